//! Keeps web pages of strangers away from a server on this machine.
//!
//! A browser lets any page send a request to `127.0.0.1`, and with a rebound DNS name even read the answer. So a request
//! that names an origin must come from the host that it is sent to, and a server on loopback answers to loopback names only.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headwater_core::is_loopback_name;

use crate::error::ApiError;

/// Refuses requests that a stranger's page may have made; the state says whether the server is on loopback.
pub(crate) async fn check(State(loopback): State<bool>, request: Request, next: Next) -> Response {
    let host = request.uri().authority().map(|authority| authority.as_str().to_owned());
    match stranger(host.as_deref(), request.headers(), loopback) {
        Some(who) => ApiError::foreign_origin(&who).into_response(),
        None => next.run(request).await,
    }
}

/// Who the request came from, if it must be refused.
fn stranger(authority: Option<&str>, headers: &HeaderMap, loopback: bool) -> Option<String> {
    let text = |name| headers.get(name).map(|value: &axum::http::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).or(authority);
    if loopback && host.is_some_and(|host| !is_loopback_name(host)) {
        return host.map(str::to_owned);
    }
    let origin = text(header::ORIGIN)?;
    let origin_host = origin.split_once("://").map_or(origin, |(_, host)| host);
    (Some(origin_host) != host).then(|| origin.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn refused(host: &str, origin: Option<&str>, loopback: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        stranger(None, &headers, loopback).is_some()
    }

    #[test]
    fn pages_of_strangers_are_refused_and_our_own_are_not() {
        assert!(!refused("127.0.0.1:8585", None, true));
        assert!(!refused("localhost:8585", Some("http://localhost:8585"), true));
        assert!(!refused("[::1]:8585", None, true));
        assert!(refused("127.0.0.1:8585", Some("https://evil.example"), true));
        assert!(refused("127.0.0.1:8585", Some("null"), true));
        assert!(refused("evil.example:8585", None, true), "a rebound name");
        assert!(!refused("iot.example:8585", None, false));
        assert!(refused("iot.example:8585", Some("https://evil.example"), false));
    }
}
