//! One URL, and what a failed request to it means.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_ingest::Options;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url, redirect};

use super::tls::Tls;
use crate::environment::fill_from_environment;
use crate::error::{ConnectorError, Result};

/// How long an answer may be.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One URL and how it is asked.
pub(super) struct Client {
    url: Url,
    /// What is shown of the URL: no user, no password, no query, and variables by their names.
    pub(super) shown: String,
    method: Method,
    headers: HeaderMap,
    timeout: Duration,
    tls: Tls,
    follows: bool,
    /// Made on first use: making it starts nothing, but reads certificates.
    client: Option<reqwest::Client>,
}

impl Client {
    /// Takes the options that source and sink share. `method` is the one that is meant unless another is set; a sink's is POST.
    pub(super) fn take(options: &mut Options, method: Method) -> Result<Self> {
        let endpoint = options.require("endpoint")?;
        let url = fill_from_environment(&endpoint)
            .and_then(|url| Url::parse(&url).map_err(|error| error.to_string()))
            .map_err(|reason| options.bad("endpoint", &endpoint, reason))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(options.bad("endpoint", &endpoint, "it begins with http:// or https://").into());
        }
        let usual = method;
        let method = options.parse_with("method", |text| {
            Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes()).map_err(|error| error.to_string())
        })?;
        let method = method.unwrap_or_else(|| usual.clone());
        let headers = options.parse_with("headers", read_headers)?.unwrap_or_default();
        let timeout = options.duration("timeout")?.unwrap_or(Duration::from_secs(30));
        let tls = Tls::take(options, &url)?;
        // A redirect makes a GET without a body of what is not one: an answer to that says nothing about the rows. And it would lead a
        // sink around the configuration's list.
        let follows = usual == Method::GET && method == Method::GET;
        Ok(Self { url, shown: shown(&endpoint), method, headers, timeout, tls, follows, client: None })
    }

    /// Where it goes.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a request and takes the answer's body. A refusal is told from an outage by its status.
    pub(super) async fn send(&mut self, headers: HeaderMap, body: Option<Bytes>) -> Result<Bytes> {
        let client = match &self.client {
            Some(client) => client,
            None => {
                let follow =
                    if self.follows { redirect::Policy::default() } else { redirect::Policy::none() };
                let builder = reqwest::Client::builder().timeout(self.timeout).redirect(follow);
                self.client.insert(self.tls.build(builder)?)
            }
        };
        let mut request = client.request(self.method.clone(), self.url.clone());
        request = request.headers(self.headers.clone()).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let what = || format!("{} {}", self.method, self.shown);
        // The error's own URL is left out: it may hold a token.
        let outage = |error: reqwest::Error| ConnectorError::outage(what(), causes(&error.without_url()));
        let answer = request.send().await.map_err(outage)?;
        let status = answer.status();
        if status.is_success() {
            let mut answer = answer;
            let mut body = BytesMut::new();
            while let Some(part) = answer.chunk().await.map_err(outage)? {
                if body.len() + part.len() > ANSWER_BYTES_MAX {
                    let reason = format!("the answer has more than {ANSWER_BYTES_MAX} bytes");
                    return Err(ConnectorError::refused(what(), reason));
                }
                body.extend_from_slice(&part);
            }
            return Ok(body.freeze());
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

/// What is shown of an endpoint: no user, no password, no query. Variables are shown by their names.
fn shown(endpoint: &str) -> String {
    let without_query = endpoint.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = without_query.split_once("://") else { return without_query.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_what_is_secret() {
        assert_eq!(shown("https://u:p@h:8443/a/b?token=t#f"), "https://h:8443/a/b");
        assert_eq!(shown("https://h/services/{{ TOKEN }}?a=b"), "https://h/services/{{ TOKEN }}");
        assert_eq!(shown("http://h"), "http://h");
        let take = |endpoint: &str| {
            let mut options = Options::new("connector webhook", [("endpoint", endpoint)]);
            Client::take(&mut options, Method::POST)
        };
        // A variable that every environment has.
        let client = take("https://h/{{ PATH }}/x").unwrap();
        assert_eq!(client.shown, "https://h/{{ PATH }}/x");
        assert!(!client.url.path().contains("PATH"), "{}", client.url);
        let error = take("https://h/{{ HEADWATER_NO_SUCH_VARIABLE }}").err().unwrap().to_string();
        assert!(error.contains("the environment has no HEADWATER_NO_SUCH_VARIABLE"), "{error}");
    }
}
