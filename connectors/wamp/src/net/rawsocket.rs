//! WAMP over a plain stream.
//!
//! ```text
//!  handshake   7F | length (4 bits), serializer (4 bits) | 00 | 00      length: 2^(9 + length) bytes at most
//!  refused     7F | error (4 bits), 0 | 00 | 00                         1 serializer, 2 length, 3 reserved bits, 4 too many
//!  frame       reserved (4 bits), 2^24 (1 bit), kind (3 bits) | length (24 bits) | payload
//!              kind: 0 message, 1 ping, 2 pong
//! ```

use std::collections::VecDeque;
use std::io;

use bytes::{Buf as _, Bytes};
use headwater_net::{Inbox, Stream};
use tokio::io::AsyncWriteExt as _;

use super::transport::{Incoming, Transport, WRITE_BYTES, room_for};
use crate::wire::Serializer;

/// The first byte of the handshake, by which RawSocket is told from HTTP.
pub(crate) const MAGIC: u8 = 0x7f;

const HEADER: usize = 4;
const MESSAGE: u8 = 0;
const PING: u8 = 1;
const PONG: u8 = 2;

/// Why a handshake is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Serializer = 1,
    ReservedBits = 3,
    TooMany = 4,
}

/// Reads the client's part of the handshake: the serializer, and how long a message it takes.
pub(super) fn read_handshake([_, what, a, b]: [u8; 4]) -> Result<(Serializer, usize), Refused> {
    if a != 0 || b != 0 {
        return Err(Refused::ReservedBits);
    }
    let serializer = Serializer::from_rawsocket_id(what & 0x0f).ok_or(Refused::Serializer)?;
    Ok((serializer, 1 << (9 + (what >> 4))))
}

/// The router's part of the handshake: messages of up to `bytes_max` bytes, rounded down to a power of two.
pub(crate) fn answer_handshake(serializer: Serializer, bytes_max: usize) -> [u8; 4] {
    let length = bytes_max.max(512).ilog2().clamp(9, 24) - 9;
    [MAGIC, (length as u8) << 4 | serializer.rawsocket_id(), 0, 0]
}

/// The router's refusal.
pub(super) fn refuse_handshake(why: Refused) -> [u8; 4] {
    [MAGIC, (why as u8) << 4, 0, 0]
}

/// A stream after its handshake.
pub(crate) struct RawSocket<S> {
    inbox: Inbox<S>,
    bytes_max: usize,
}

impl<S: Stream> RawSocket<S> {
    /// Takes messages of up to `bytes_max` bytes.
    pub(crate) fn new(stream: S, bytes_max: usize) -> Self {
        Self { inbox: Inbox::new(stream), bytes_max }
    }

    /// The next frame that is there, if it is whole.
    fn next_frame(&mut self) -> Option<Incoming> {
        let header: [u8; HEADER] = self.inbox.bytes.get(..HEADER)?.try_into().ok()?;
        let (flags, kind) = (header[0] >> 3, header[0] & 0x07);
        let low = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let length = match flags {
            0 => low,
            1 if low == 0 => 1 << 24,
            _ => return Some(Incoming::Wrong("reserved bits of a frame are set")),
        };
        if length > self.bytes_max {
            return Some(Incoming::Wrong("a frame is longer than was agreed"));
        }
        if self.inbox.bytes.len() < HEADER + length {
            self.inbox.bytes.reserve(HEADER + length - self.inbox.bytes.len());
            return None;
        }
        self.inbox.bytes.advance(HEADER);
        let payload = self.inbox.bytes.split_to(length).freeze();
        Some(match kind {
            MESSAGE => Incoming::Message(payload),
            PING => {
                push_frame(&mut self.inbox.urgent, PONG, &payload);
                Incoming::Alive
            }
            PONG => Incoming::Alive,
            _ => Incoming::Wrong("a frame is of an unknown kind"),
        })
    }
}

impl<S: Stream> Transport for RawSocket<S> {
    async fn read(&mut self) -> Incoming {
        loop {
            if let Some(frame) = self.next_frame() {
                return frame;
            }
            if matches!(self.inbox.more().await, Ok(0) | Err(_)) {
                return Incoming::End;
            }
        }
    }

    fn has_more(&self) -> bool {
        !self.inbox.bytes.is_empty()
    }

    async fn write(&mut self, messages: &mut VecDeque<Bytes>) -> io::Result<()> {
        let mut out = room_for(messages, HEADER);
        while let Some(message) = messages.pop_front() {
            push_frame(&mut out, MESSAGE, &message);
            if out.len() >= WRITE_BYTES {
                self.inbox.write(&out).await?;
                out.clear();
            }
        }
        self.inbox.write(&out).await?;
        self.inbox.stream.flush().await
    }

    /// Not asked: Autobahn on asyncio breaks down when it is. TCP itself looks after silent connections.
    async fn ping(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    async fn close(&mut self) {
        // The other side may be gone, which is what is wanted.
        let _ = self.inbox.stream.shutdown().await;
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let length = payload.len() as u32;
    let [high, a, b, c] = length.to_be_bytes();
    // The length 2^24 has a bit of its own, next to the kind.
    out.extend_from_slice(&[kind | high << 3, a, b, c]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn handshakes() {
        assert_eq!(read_handshake([MAGIC, 0xf1, 0, 0]), Ok((Serializer::Json, 1 << 24)));
        assert_eq!(read_handshake([MAGIC, 0x03, 0, 0]), Ok((Serializer::Cbor, 512)));
        assert_eq!(read_handshake([MAGIC, 0xf5, 0, 0]), Err(Refused::Serializer));
        assert_eq!(read_handshake([MAGIC, 0xf1, 0, 1]), Err(Refused::ReservedBits));
        assert_eq!(answer_handshake(Serializer::MsgPack, 16 << 20), [MAGIC, 0xf2, 0, 0]);
        assert_eq!(answer_handshake(Serializer::Json, 700), [MAGIC, 0x01, 0, 0]);
        assert_eq!(refuse_handshake(Refused::TooMany), [MAGIC, 0x40, 0, 0]);
    }

    #[tokio::test]
    async fn frames_are_read_however_they_arrive_and_pings_are_answered() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut socket = RawSocket::new(near, 512);
        let mut bytes = Vec::new();
        push_frame(&mut bytes, MESSAGE, b"one");
        push_frame(&mut bytes, PING, b"alive?");
        push_frame(&mut bytes, MESSAGE, &[7; 512]);
        for byte in &bytes {
            far.write_all(&[*byte]).await.unwrap();
        }
        assert!(matches!(socket.read().await, Incoming::Message(one) if one == "one"));
        assert!(matches!(socket.read().await, Incoming::Alive));
        assert!(matches!(socket.read().await, Incoming::Message(long) if long.len() == 512));
        socket.write(&mut VecDeque::new()).await.unwrap();
        let mut pong = [0; 10];
        far.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x02\0\0\x06alive?");
    }

    #[tokio::test]
    async fn frames_against_the_agreement_are_wrong() {
        for header in [[0, 0, 2, 1], [0x10, 0, 0, 0], [0x08, 0, 0, 1], [0x03, 0, 0, 0], [0x08, 0, 0, 0]] {
            let (near, mut far) = tokio::io::duplex(64);
            let mut socket = RawSocket::new(near, 512);
            far.write_all(&header).await.unwrap();
            assert!(matches!(socket.read().await, Incoming::Wrong(_)), "{header:?}");
        }
    }
}
