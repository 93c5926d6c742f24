//! What is said to clients.

use super::session::Link;
use super::state::State;
use crate::wire::{Disconnect, DisconnectReasonCode, Packet, Text};

/// What becomes of a connection after what was taken for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sending {
    /// There may be more.
    More,
    /// Nothing more waits.
    Idle,
    /// That was the last: the connection is to be closed.
    Last,
}

impl State {
    /// Takes what is to be said to a session's client, up to `most` packets.
    pub fn take(&mut self, number: u64, link: u64, packets: &mut Vec<Packet>, most: usize) -> Sending {
        let now = self.world.clock.monotonic();
        let session = self.sessions.get_mut(&number);
        let Some(session) = session.filter(|session| session.is_linked(link)) else {
            packets.push(closing(DisconnectReasonCode::SessionTakenOver));
            return Sending::Last;
        };
        if self.ledger.is_broken {
            packets.push(closing(DisconnectReasonCode::UnspecifiedError));
            return Sending::Last;
        }
        if !self.ledger.is_durable(session.waits_for) {
            self.ledger.wait(number, session.waits_for);
            return Sending::Idle;
        }
        let answers = session.outgoing.replies.len().min(most.saturating_sub(packets.len()));
        packets.extend(session.outgoing.replies.drain(..answers));
        let receive_max = session.link.as_ref().map_or(0, |link| link.receive_max);
        let noted = self.ledger.noted();
        let mut notes = self.ledger.of(session.kept());
        let mut messages = Vec::new();
        while packets.len() + messages.len() < most
            && let Some(next) = session.outgoing.pop(now, receive_max, &mut notes)
        {
            messages.push(next);
        }
        self.figures.sent += messages.len() as u64;
        if self.ledger.noted() > noted {
            // Under which number a message was sent must be known before it is sent.
            session.waits_for = self.ledger.noted();
            session.outgoing.replies.extend(messages);
            self.ledger.wait(number, session.waits_for);
            return Sending::Idle;
        }
        packets.extend(messages);
        if packets.len() >= most {
            return Sending::More;
        }
        match session.link.as_ref().and_then(|link| link.closing) {
            None => Sending::Idle,
            Some(reason) => {
                packets.push(closing(reason));
                Sending::Last
            }
        }
    }

    /// Whether a session's client may go on: it may not while it is too fast for a recorder, or for the log.
    pub fn may_read(&mut self, number: u64, link: u64) -> bool {
        let most = usize::from(self.options.in_flight_max);
        let (recorders, options) = (&self.recorders, &self.options);
        let Some(session) = self.sessions.get_mut(&number) else { return true };
        let is_busy = session.incoming.pending.len() >= most;
        let Some(link) = session.link.as_mut().filter(|current| current.number == link) else { return true };
        let is_full = |name: &String| {
            recorders.iter().any(|recorder| recorder.name == *name && recorder.is_full(options))
        };
        if link.held_by.as_ref().is_some_and(|name| !is_full(name)) {
            link.held_by = None;
        }
        !is_busy && link.held_by.is_none()
    }
}

impl super::session::Session {
    /// The client, if what changes about its session is noted.
    pub fn kept(&self) -> Option<&Text> {
        self.is_kept.then_some(&self.client)
    }

    /// Whether this is the session's connection.
    pub fn is_linked(&self, number: u64) -> bool {
        self.link.as_ref().is_some_and(|link: &Link| link.number == number)
    }
}

fn closing(reason: DisconnectReasonCode) -> Packet {
    Packet::Disconnect(Disconnect::new(reason))
}
