//! One URL, and what a failed request to it means.

use std::time::Duration;

use bytes::Bytes;
use headwater_ingest::Options;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

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
                let made = reqwest::Client::builder().timeout(self.timeout).build();
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
        Err(if is_worth_a_retry(status) {
            ConnectorError::outage(what(), format!("answered {status}"))
        } else {
            ConnectorError::refused(what(), format!("answered {status}"))
        })
    }
}

fn is_worth_a_retry(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
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
