//! One URL, and what a failed request to it means.

use std::time::Duration;

use bytes::Bytes;
use headwater_ingest::Options;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url, redirect};

use crate::error::{ConnectorError, Result};

/// One URL and how it is asked.
pub(super) struct Client {
    url: Url,
    method: Method,
    headers: HeaderMap,
    timeout: Duration,
    /// Made on first use: making it starts nothing, but reads certificates.
    client: Option<reqwest::Client>,
}

impl Client {
    /// Takes the options that source and sink share.
    pub(super) fn take(options: &mut Options, method: &str) -> Result<Self> {
        let endpoint = options.require("endpoint")?;
        let url =
            Url::parse(&endpoint).map_err(|error| options.bad("endpoint", &endpoint, error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(options.bad("endpoint", &endpoint, "it begins with http:// or https://").into());
        }
        let method = options
            .parse_with("method", |text| {
                Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes())
                    .map_err(|error| error.to_string())
            })?
            .map_or_else(|| Method::from_bytes(method.as_bytes()).map_err(|_| ()), Ok)
            .unwrap_or_default();
        let headers = options.parse_with("headers", read_headers)?.unwrap_or_default();
        let timeout = options.duration("timeout")?.unwrap_or(Duration::from_secs(30));
        Ok(Self { url, method, headers, timeout, client: None })
    }

    /// What is shown of the URL: no user, no password, no query.
    pub(super) fn shown(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!(
            "{}://{}{port}{}",
            self.url.scheme(),
            self.url.host_str().unwrap_or_default(),
            self.url.path()
        )
    }

    /// Sends a request and takes the answer's body. A refusal is told from an outage by its status.
    pub(super) async fn send(&mut self, headers: HeaderMap, body: Option<Bytes>) -> Result<Bytes> {
        let client = match &self.client {
            Some(client) => client,
            None => {
                let follow = match self.method {
                    Method::GET => redirect::Policy::default(),
                    // A redirect makes a GET without a body of what is not one: an answer to that says nothing about the rows.
                    _ => redirect::Policy::none(),
                };
                let made = reqwest::Client::builder().timeout(self.timeout).redirect(follow).build();
                self.client
                    .insert(made.map_err(|error| ConnectorError::refused("make an HTTP client", error))?)
            }
        };
        let mut request = client.request(self.method.clone(), self.url.clone());
        request = request.headers(self.headers.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let what = || format!("{} {}", self.method, self.shown());
        // The error's own URL is left out: it may hold a token.
        let outage = |error: reqwest::Error| ConnectorError::outage(what(), causes(&error.without_url()));
        let answer = request.send().await.map_err(outage)?;
        let status = answer.status();
        if status.is_success() {
            return answer.bytes().await.map_err(outage);
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let reason = format!("answered {status}");
        Err(if is_worth_a_retry(status) {
            ConnectorError::Outage { what: what(), reason, not_before: after.map(Duration::from_secs) }
        } else if is_about_the_body(status) {
            ConnectorError::unfit(what(), reason)
        } else {
            ConnectorError::refused(what(), reason)
        })
    }
}

fn is_worth_a_retry(status: StatusCode) -> bool {
    // A conflict is what receivers say that still work on the same key.
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::CONFLICT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_server_error() || again.contains(&status)
}

/// Whether what was sent is to blame, and not who sent it or where to.
fn is_about_the_body(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::GONE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

/// An error with what caused it: the outermost alone only says that sending failed.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Reads `Name: value, Name: value`. `{{ VARIABLE }}` in a value is taken from the environment.
pub(crate) fn read_headers(text: &str) -> std::result::Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once(':').ok_or("each header is 'Name: value'")?;
        let name = name.trim().parse::<HeaderName>().map_err(|error| error.to_string())?;
        let value = fill_from_environment(value.trim())?;
        let mut value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// A text in which `{{ VARIABLE }}` is taken from the environment, as options with credentials have it.
pub fn fill_from_environment(text: &str) -> std::result::Result<String, String> {
    let Some((before, rest)) = text.split_once("{{") else { return Ok(text.to_owned()) };
    let Some((variable, after)) = rest.split_once("}}") else { return Ok(text.to_owned()) };
    let variable = variable.trim();
    let secret = std::env::var(variable).map_err(|_| format!("the environment has no {variable}"))?;
    Ok(format!("{before}{secret}{after}"))
}
