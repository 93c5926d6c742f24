//! Messages to bytes.

use bytes::Bytes;

use super::{Code, Id, Invocation, Message, Publish, Request};
use crate::wire::{Dict, Encoder, Malformed, Payload, Serializer};

impl Message {
    /// Writes the message. Fails only if a payload that came by another serializer cannot be read.
    pub fn encode(&self, serializer: Serializer) -> Result<Bytes, Malformed> {
        let with = |items, payload| {
            let code = self.code().map_or_else(|| self.extension(), Code::number);
            Encoder::new(serializer, code, items, payload)
        };
        let mut out;
        match self {
            Self::Hello { realm: text, details: dict }
            | Self::Challenge { method: text, extra: dict }
            | Self::Authenticate { signature: text, extra: dict } => {
                out = with(2, None);
                out.text(text);
                out.dict(dict);
            }
            Self::Welcome { session: id, details: dict }
            | Self::Cancel { request: id, options: dict }
            | Self::Interrupt { request: id, options: dict } => {
                out = with(2, None);
                out.uint(*id);
                out.dict(dict);
            }
            Self::Abort { details, reason, payload } => {
                out = with(2, Some(payload));
                out.dict(details);
                out.text(reason);
                out.payload(payload)?;
            }
            Self::Goodbye { details, reason } => {
                out = with(2, None);
                out.dict(details);
                out.text(reason);
            }
            Self::Error { of, request, details, error, payload } => {
                out = with(4, Some(payload));
                out.uint(*of);
                out.uint(*request);
                out.dict(details);
                out.text(error);
                out.payload(payload)?;
            }
            Self::Publish(Publish { request, options, uri, payload })
            | Self::Call(Publish { request, options, uri, payload }) => {
                out = with(3, Some(payload));
                out.uint(*request);
                out.dict(options);
                out.text(uri);
                out.payload(payload)?;
            }
            Self::Subscribe(Request { request, options, uri })
            | Self::Register(Request { request, options, uri }) => {
                out = with(3, None);
                out.uint(*request);
                out.dict(options);
                out.text(uri);
            }
            Self::Published { request: first, publication: second }
            | Self::Subscribed { request: first, subscription: second }
            | Self::Unsubscribe { request: first, subscription: second }
            | Self::Registered { request: first, registration: second }
            | Self::Unregister { request: first, registration: second } => {
                out = with(2, None);
                out.uint(*first);
                out.uint(*second);
            }
            Self::Unsubscribed { request, details } | Self::Unregistered { request, details } => {
                out = with(1 + usize::from(details.is_some()), None);
                out.uint(*request);
                if let Some(details) = details {
                    out.dict(details);
                }
            }
            Self::Event(Invocation { first, second, details, payload })
            | Self::Invocation(Invocation { first, second, details, payload }) => {
                out = with(3, Some(payload));
                out.uint(*first);
                out.uint(*second);
                out.dict(details);
                out.payload(payload)?;
            }
            Self::Result { request, details: dict, payload }
            | Self::Yield { request, options: dict, payload } => {
                out = with(2, Some(payload));
                out.uint(*request);
                out.dict(dict);
                out.payload(payload)?;
            }
            Self::Extension { .. } => out = with(0, None),
        }
        Ok(out.finish())
    }

    fn extension(&self) -> u64 {
        match self {
            Self::Extension { code } => *code,
            _ => 0,
        }
    }
}

/// Writes an EVENT without putting it together first.
pub(crate) fn encode_event(
    serializer: Serializer,
    subscription: Id,
    publication: Id,
    details: &Dict,
    payload: &Payload,
) -> Result<Bytes, Malformed> {
    let mut out = Encoder::new(serializer, Code::Event.number(), 3, Some(payload));
    out.uint(subscription);
    out.uint(publication);
    out.dict(details);
    out.payload(payload)?;
    Ok(out.finish())
}
