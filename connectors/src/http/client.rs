//! One URL, and what a failed request to it means.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_core::causes;
use headwater_ingest::Options;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url, redirect};

use super::tls::Tls;
use crate::deliver::Allowed;
use crate::environment::fill_from_environment;
use crate::error::{ConnectorError, Result};

/// How many redirects are followed in a row.
const REDIRECTS_MAX: usize = 10;

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
    allowed: Allowed,
    /// Made on first use: making it starts nothing, but reads certificates.
    client: Option<reqwest::Client>,
}

impl Client {
    /// Takes the options that source and sink share. `method` is the one that is meant unless another is set; a sink's is POST. It goes
    /// only where the operator's configuration lets webhooks go: with a method and a body of its own a source could say what a webhook
    /// says, and what it is shown anybody who reads the stream would see.
    pub(super) fn take(options: &mut Options, method: Method, allowed: &Allowed) -> Result<Self> {
        let endpoint = options.require("endpoint")?;
        let url = fill_from_environment(&endpoint)
            .and_then(|url| Url::parse(&url).map_err(|error| error.to_string()))
            .map_err(|reason| options.bad("endpoint", &endpoint, reason))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(options.bad("endpoint", &endpoint, "it begins with http:// or https://").into());
        }
        allowed.check_url(&url).map_err(|why| ConnectorError::refused(options.owner(), why))?;
        let usual = method;
        let method = options.parse_with("method", |text| {
            Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes()).map_err(|error| error.to_string())
        })?;
        let method = method.unwrap_or_else(|| usual.clone());
        let headers = options.parse_with("headers", read_headers)?.unwrap_or_default();
        let timeout = options.duration("timeout")?.unwrap_or(Duration::from_secs(30));
        let tls = Tls::take(options, &url)?;
        // A redirect makes a GET without a body of what is not one: an answer to that says nothing about the rows.
        let follows = usual == Method::GET && method == Method::GET;
        let (shown, allowed) = (shown(&endpoint), allowed.clone());
        Ok(Self { url, shown, method, headers, timeout, tls, follows, allowed, client: None })
    }

    /// Which redirects are followed: none leads around the configuration's list.
    fn redirects(&self) -> redirect::Policy {
        if !self.follows {
            return redirect::Policy::none();
        }
        let allowed = self.allowed.clone();
        redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() >= REDIRECTS_MAX {
                return attempt.error("too many redirects");
            }
            match allowed.check_url(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(why) => attempt.error(why),
            }
        })
    }

    /// Sends a request and takes the answer's body. A refusal is told from an outage by its status.
    pub(super) async fn send(&mut self, headers: HeaderMap, body: Option<Bytes>) -> Result<Bytes> {
        let client = match &self.client {
            Some(client) => client,
            None => {
                let builder = reqwest::Client::builder().timeout(self.timeout).redirect(self.redirects());
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
            Client::take(&mut options, Method::POST, &Allowed::default())
        };
        // A variable that every environment has.
        let client = take("https://h/{{ PATH }}/x").unwrap();
        assert_eq!(client.shown, "https://h/{{ PATH }}/x");
        assert!(!client.url.path().contains("PATH"), "{}", client.url);
        let error = take("https://h/{{ HEADWATER_NO_SUCH_VARIABLE }}").err().unwrap().to_string();
        assert!(error.contains("the environment has no HEADWATER_NO_SUCH_VARIABLE"), "{error}");
    }
}
