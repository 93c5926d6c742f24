//! WAMP in messages: one in each, or several where that was agreed.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use headwater_net::Stream;
use headwater_net::websocket::{Said, Socket};

use super::Subprotocol;
use crate::net::transport::{Incoming, Transport, WRITE_BYTES, room_for};
use crate::wire::Serializer;

/// The separators of JSON messages: that of the specification, and the one that Autobahn for Python sends.
const SEPARATORS: [u8; 2] = [0x1e, 0x18];

/// How long the other side has to close, too.
const CLOSING: Duration = Duration::from_secs(2);

/// How long the header of a frame is at most.
const HEADER_BYTES_MAX: usize = 14;

/// A WebSocket that carries WAMP.
pub(crate) struct WebSocket<S> {
    socket: Socket<S>,
    subprotocol: Subprotocol,
    /// What follows each message of a batch of JSON.
    separator: u8,
    /// Messages of a batch that were not taken yet.
    batch: VecDeque<Bytes>,
}

impl<S: Stream> WebSocket<S> {
    pub(in crate::net) fn new(socket: Socket<S>, subprotocol: Subprotocol) -> Self {
        Self { socket, subprotocol, separator: SEPARATORS[0], batch: VecDeque::new() }
    }

    /// What was agreed.
    pub(in crate::net) fn subprotocol(&self) -> Subprotocol {
        self.subprotocol
    }

    fn received(&mut self, payload: Bytes) -> Incoming {
        if !self.subprotocol.is_batched {
            return Incoming::Message(payload);
        }
        let split = match self.subprotocol.serializer {
            Serializer::Json => {
                let last = payload.last().copied();
                self.separator = last.filter(|last| SEPARATORS.contains(last)).unwrap_or(SEPARATORS[0]);
                split_text(payload, self.separator)
            }
            Serializer::MsgPack | Serializer::Cbor => split_binary(payload),
        };
        match split {
            Some(messages) => {
                self.batch = messages;
                self.batch.pop_front().map_or(Incoming::Wrong("a batch is empty"), Incoming::Message)
            }
            None => Incoming::Wrong("a batch is not made of whole messages"),
        }
    }

    /// All messages as one.
    fn joined(&self, messages: &mut VecDeque<Bytes>) -> Vec<u8> {
        let mut out = Vec::new();
        for message in messages.drain(..) {
            if self.subprotocol.serializer.is_text() {
                out.put(message);
                out.put_u8(self.separator);
            } else {
                out.put_u32(message.len() as u32);
                out.put(message);
            }
        }
        out
    }
}

impl<S: Stream> Transport for WebSocket<S> {
    async fn read(&mut self) -> Incoming {
        if let Some(message) = self.batch.pop_front() {
            return Incoming::Message(message);
        }
        let is_text = self.subprotocol.serializer.is_text();
        match self.socket.read().await {
            Said::Text(bytes) if is_text => self.received(bytes),
            Said::Binary(bytes) if !is_text => self.received(bytes),
            Said::Text(_) => Incoming::Wrong("a text frame came where binary was agreed"),
            Said::Binary(_) => Incoming::Wrong("a binary frame came where text was agreed"),
            Said::Alive => Incoming::Alive,
            Said::End => Incoming::End,
        }
    }

    fn has_more(&self) -> bool {
        !self.batch.is_empty() || self.socket.has_more()
    }

    async fn write(&mut self, messages: &mut VecDeque<Bytes>) -> io::Result<()> {
        let is_text = self.subprotocol.serializer.is_text();
        let mut out = room_for(messages, HEADER_BYTES_MAX);
        if self.subprotocol.is_batched && !messages.is_empty() {
            let joined = self.joined(messages);
            self.socket.add(is_text, &joined, &mut out);
        }
        while let Some(message) = messages.pop_front() {
            self.socket.add(is_text, &message, &mut out);
            if out.len() >= WRITE_BYTES {
                self.socket.send(&out).await?;
                out.clear();
            }
        }
        self.socket.send(&out).await?;
        self.socket.flush().await
    }

    async fn ping(&mut self) -> io::Result<bool> {
        let mut ping = Vec::new();
        self.socket.add_ping(&mut ping);
        self.socket.send(&ping).await?;
        self.socket.flush().await.map(|()| true)
    }

    async fn close(&mut self) {
        // Who does not close in time is cut off.
        let _ = tokio::time::timeout(CLOSING, self.socket.close()).await;
    }
}

/// The messages of a batch of text; each ends in the separator.
fn split_text(batch: Bytes, separator: u8) -> Option<VecDeque<Bytes>> {
    let mut messages = VecDeque::new();
    let mut start = 0;
    for (at, _) in batch.iter().enumerate().filter(|(_, byte)| **byte == separator) {
        messages.push_back(batch.slice(start..at));
        start = at + 1;
    }
    (start == batch.len()).then_some(messages)
}

/// The messages of a binary batch; each comes after its length.
fn split_binary(mut batch: Bytes) -> Option<VecDeque<Bytes>> {
    let mut messages = VecDeque::new();
    while !batch.is_empty() {
        if batch.len() < 4 {
            return None;
        }
        let length = batch.get_u32() as usize;
        if batch.len() < length {
            return None;
        }
        messages.push_back(batch.split_to(length));
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_split() {
        let split = |batch: &'static [u8]| split_binary(Bytes::from_static(batch));
        assert_eq!(split(b"\0\0\0\x01a\0\0\0\x02bc").unwrap(), ["a", "bc"]);
        assert_eq!(split(b""), Some(VecDeque::new()));
        assert_eq!(split(b"\0\0\0\x02a"), None);
        assert_eq!(split(b"\0\0\0"), None);
        assert_eq!(split_text(Bytes::from_static(b"[1]\x18[2]\x18"), 0x18).unwrap(), ["[1]", "[2]"]);
        assert_eq!(split_text(Bytes::from_static(b"[1]\x1e[2]"), 0x1e), None);
    }
}
