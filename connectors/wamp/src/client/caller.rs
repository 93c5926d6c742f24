//! Calls of procedures that others have registered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Link;
use super::session::{ClientError, Session};
use crate::message::{Code, Message, Publish};
use crate::wire::{Dict, Payload};

/// What came of a call: the result, or the URI of an error and words for people.
pub type Called = Result<Payload, (String, String)>;

/// How many calls are under way at a time.
const CALLS_MAX: usize = 256;

impl Session {
    /// Calls a procedure once with each of these arguments; the answers are in the same order. The router ends calls that take longer
    /// than `timeout`.
    pub async fn call(
        &mut self,
        uri: &str,
        arguments: &[Payload],
        timeout: Duration,
    ) -> Result<Vec<Called>, ClientError> {
        let mut answers = Vec::with_capacity(arguments.len());
        for some in arguments.chunks(CALLS_MAX) {
            answers.extend(self.call_at_once(uri, some, timeout).await?);
        }
        Ok(answers)
    }

    async fn call_at_once(
        &mut self,
        uri: &str,
        arguments: &[Payload],
        timeout: Duration,
    ) -> Result<Vec<Called>, ClientError> {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let (mut out, mut places) = (VecDeque::new(), HashMap::new());
        for (place, payload) in arguments.iter().enumerate() {
            let (request, options) = (self.requests.issue(), Dict::new().with("timeout", millis));
            let (uri, payload) = (uri.to_owned(), payload.clone());
            let call = Message::Call(Publish { request, options, uri, payload });
            let bytes =
                call.encode(Link::SERIALIZER).map_err(|error| ClientError::Gone(error.to_string()))?;
            out.push_back(bytes);
            places.insert(request, place);
        }
        self.link.send(&mut out).await?;
        let mut answers: Vec<Option<Called>> = vec![None; arguments.len()];
        while !places.is_empty() {
            let (request, answer) = match self.answer_within(timeout).await? {
                Message::Result { request, payload, .. } => (request, Ok(payload)),
                Message::Error { of, request, error, payload, .. } if of == Code::Call.number() => {
                    (request, Err((error, words(&payload))))
                }
                other => {
                    self.take(other)?;
                    continue;
                }
            };
            if let Some(place) = places.remove(&request) {
                answers[place] = Some(answer);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// The next message, for which the router has the time of a call and a little more.
    async fn answer_within(&mut self, time: Duration) -> Result<Message, ClientError> {
        let late = |_| ClientError::Gone("the router takes too long".to_owned());
        tokio::time::timeout(time + Duration::from_secs(10), self.receive()).await.map_err(late)?
    }
}

/// What an error says to people: its first argument, where that is text.
pub(super) fn words(payload: &Payload) -> String {
    let args = payload.args().unwrap_or_default();
    args.first().and_then(|first| first.as_str()).unwrap_or_default().to_owned()
}
