//! The other side of a session, as broker and dealer see it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Features, Identity, Mailbox, Wakeups};
use crate::message::uri::error;
use crate::message::{Code, Id, Message};
use crate::wire::{Dict, Serializer};

/// The other side of a session. Does not change while the session lasts.
#[derive(Debug)]
pub struct Peer {
    /// The session's id.
    pub id: Id,
    /// How messages to it are written.
    pub serializer: Serializer,
    /// How long a message it takes, in bytes.
    pub message_bytes_max: usize,
    /// Who it is.
    pub identity: Identity,
    /// What it can do.
    pub features: Features,
    /// What is known about its transport, for the meta API.
    pub transport: Dict,
    /// Whether it is a part of this process, which needs no permission.
    pub is_trusted: bool,
    /// Where messages to it go.
    pub mailbox: Arc<Mailbox>,
}

impl Peer {
    /// Sends an answer, an invocation, or anything else that must not be skipped. `false` if the peer cannot take it.
    pub fn send(&self, message: &Message) -> bool {
        match message.encode(self.serializer) {
            Ok(bytes) if bytes.len() <= self.message_bytes_max => {
                self.mailbox.answer(bytes);
                true
            }
            _ => false,
        }
    }

    /// Whether it writes down for whom events are meant, and so gets them all.
    pub fn records_receivers(&self) -> bool {
        self.is_trusted && self.features.subscriber_receivers
    }

    /// Sends an event that was written for this peer's serializer. It is woken for it with others.
    pub(super) fn send_event(&self, event: &Bytes, wakeups: &mut Wakeups) {
        // An event that is too long for the peer has no other way to it: it goes without.
        if event.len() <= self.message_bytes_max {
            wakeups.deliver(&self.mailbox, event.clone());
        }
    }

    /// Refuses a request.
    pub fn refuse(&self, of: Code, request: Id, error: &str, message: &str) {
        self.send(&Message::error(of, request, error, message));
    }

    /// Sends the outcome of a call, or says that it is too long.
    pub fn send_outcome(&self, request: Id, message: &Message) {
        if !self.send(message) {
            let why = format!(
                "the outcome is longer than the {} bytes that you take, or cannot be written as {}",
                self.message_bytes_max,
                self.serializer.name()
            );
            self.refuse(Code::Call, request, error::PAYLOAD_SIZE_EXCEEDED, &why);
        }
    }

    /// Says goodbye, as the last thing in this session.
    pub fn part(&self, reason: &str, details: Dict) {
        let goodbye = Message::Goodbye { details, reason: reason.to_owned() };
        if let Ok(bytes) = goodbye.encode(self.serializer) {
            self.mailbox.goodbye(bytes);
        }
    }
}
