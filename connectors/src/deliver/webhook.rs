//! One attempt to post a delivery.

use std::time::Duration;

use bytes::Bytes;
use headwater_core::{World, causes};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, StatusCode, Url, redirect};

use super::attempt::{Attempt, Failure};
use super::sign::{SIGNATURE, signature};
use crate::error::Result;
use crate::http::Tls;

/// How much of an answer that is no success is kept.
const ANSWER_BYTES_MAX: usize = 200;

/// Where deliveries are posted to.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) content_type: HeaderValue,
    pub(super) secret: Option<Bytes>,
    pub(super) timeout: Duration,
    pub(super) tls: Tls,
}

impl Webhook {
    /// Makes the client: it follows no redirects, which would lead around the configuration's list.
    pub(crate) fn client(&self) -> Result<Client> {
        self.tls.build(Client::builder().timeout(self.timeout).redirect(redirect::Policy::none()))
    }

    pub(crate) async fn post(
        &self,
        client: &Client,
        world: &World,
        attempt: &Attempt,
    ) -> Result<i32, Failure> {
        let wrong = |reason: String| Failure { status: None, reason, retry: false, not_before: None };
        let mut headers = self.headers.clone();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| wrong(error.to_string()));
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("headwater"));
        headers.insert(HeaderName::from_static("idempotency-key"), value(&attempt.id)?);
        headers.insert(HeaderName::from_static(attempt.owner.0), value(&attempt.owner.1)?);
        headers.insert(HeaderName::from_static("x-headwater-attempt"), HeaderValue::from(attempt.number));
        if attempt.is_test {
            headers.insert(HeaderName::from_static("x-headwater-test"), HeaderValue::from_static("true"));
        }
        if let Some(secret) = &self.secret {
            let seconds = world.clock.now().millis().div_euclid(1_000);
            let signed = signature(secret, seconds, &attempt.body);
            headers.insert(HeaderName::from_static(SIGNATURE), value(&signed)?);
        }
        let request = client.post(self.url.clone()).headers(headers).body(attempt.body.clone());
        let outage = |error: reqwest::Error| Failure {
            status: error.status().map(|status| i32::from(status.as_u16())),
            // The error's own URL is left out: it may hold a token.
            reason: causes(&error.without_url()),
            retry: true,
            not_before: None,
        };
        let mut answer = request.send().await.map_err(outage)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(i32::from(status.as_u16()));
        }
        let not_before =
            answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut said = Vec::new();
        while let Ok(Some(part)) = answer.chunk().await {
            said.extend_from_slice(&part);
            if said.len() >= ANSWER_BYTES_MAX {
                break;
            }
        }
        said.truncate(ANSWER_BYTES_MAX);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        Err(Failure {
            status: Some(i32::from(status.as_u16())),
            reason: if said.is_empty() {
                format!("answered {status}")
            } else {
                format!("answered {status}: {said}")
            },
            retry: status != StatusCode::GONE,
            not_before: not_before.map(Duration::from_secs),
        })
    }
}
