//! Messages over frames, for either side.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use headwater_core::World;
use tokio::io::AsyncWriteExt as _;

use super::deflate::{Deflate, Deflater, Unreadable, inflate};
use super::frame::{Header, Kind, apply_mask, read_header, write, write_compressed};
use crate::{Inbox, Stream};

/// Reasons to close.
mod status {
    pub const NORMAL: u16 = 1000;
    pub const PROTOCOL: u16 = 1002;
    pub const NOT_TEXT: u16 = 1007;
    pub const TOO_LONG: u16 = 1009;
}

/// Which side of a connection this is. A client masks what it sends, a server does not.
#[derive(Clone)]
pub(super) enum Side {
    /// Masks come from the world's randomness.
    Client(World),
    Server,
}

/// What the other side says.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// A message of text, which is UTF-8.
    Text(Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// A ping, which was answered, or a pong.
    Alive,
    /// It closes, or was closed for breaking the protocol, or is gone.
    End,
}

/// A WebSocket after its handshake.
pub struct Socket<S> {
    inbox: Inbox<S>,
    side: Side,
    message_bytes_max: usize,
    /// Compresses what is sent, if that was agreed.
    deflater: Option<Deflater>,
    /// A message of which more parts are to come.
    partial: Option<Partial>,
    is_closed: bool,
}

struct Partial {
    is_text: bool,
    is_compressed: bool,
    bytes: BytesMut,
    /// Up to where the text was found to be text.
    checked: usize,
}

/// Why a connection is closed: the status, and words for people.
type Fault = (u16, &'static str);

impl<S: Stream> Socket<S> {
    pub(super) fn new(inbox: Inbox<S>, side: Side, message_bytes_max: usize) -> Self {
        Self { inbox, side, message_bytes_max, deflater: None, partial: None, is_closed: false }
    }

    /// The same with compression as it was agreed.
    pub(super) fn compressing(mut self, agreed: Option<Deflate>) -> Self {
        self.deflater = agreed.map(Deflater::new);
        self
    }

    /// The next thing that the other side says. A wait that is given up loses nothing.
    pub async fn read(&mut self) -> Said {
        if self.is_closed {
            return Said::End;
        }
        loop {
            match self.next_frame() {
                Ok(Some(said)) => {
                    if said == Said::End {
                        self.part().await;
                    }
                    return said;
                }
                Ok(None) => {}
                Err((status, why)) => {
                    tracing::debug!(status, "a WebSocket is closed: {why}");
                    self.push_close(&[&status.to_be_bytes()[..], why.as_bytes()].concat());
                    self.part().await;
                    return Said::End;
                }
            }
            if matches!(self.inbox.more().await, Ok(0) | Err(_)) {
                self.is_closed = true;
                return Said::End;
            }
        }
    }

    /// Whether bytes have come that were not taken yet.
    pub fn has_more(&self) -> bool {
        !self.inbox.bytes.is_empty()
    }

    /// Takes whole frames until one of them says something; `None` if more bytes are needed.
    fn next_frame(&mut self) -> Result<Option<Said>, Fault> {
        loop {
            let header = read_header(&self.inbox.bytes).map_err(|why| (status::PROTOCOL, why))?;
            let Some(header) = header else { return Ok(None) };
            // Compression begins with a message, and only where it was agreed.
            let may_be_compressed =
                self.deflater.is_some() && !header.kind.is_control() && header.kind != Kind::GoesOn;
            if header.is_compressed && !may_be_compressed {
                return Err((status::PROTOCOL, "reserved bits are set"));
            }
            if header.mask.is_some() != matches!(self.side, Side::Server) {
                return Err((status::PROTOCOL, "only clients mask, and they must"));
            }
            let before = self.partial.as_ref().map_or(0, |partial| partial.bytes.len());
            let length = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
            if !header.kind.is_control() && length > self.message_bytes_max.saturating_sub(before) {
                return Err((status::TOO_LONG, "the message is too long"));
            }
            let whole = header.header_bytes + length;
            if self.inbox.bytes.len() < whole {
                let missing = whole - self.inbox.bytes.len();
                self.inbox.bytes.reserve(missing);
                return Ok(None);
            }
            self.inbox.bytes.advance(header.header_bytes);
            let mut payload = self.inbox.bytes.split_to(length);
            if let Some(key) = header.mask {
                apply_mask(&mut payload, key);
            }
            if let Some(said) = self.take(header, payload)? {
                return Ok(Some(said));
            }
        }
    }

    fn take(&mut self, header: Header, payload: BytesMut) -> Result<Option<Said>, Fault> {
        match header.kind {
            Kind::Ping => {
                self.push(Kind::Pong, &payload);
                Ok(Some(Said::Alive))
            }
            Kind::Pong => Ok(Some(Said::Alive)),
            Kind::Close => {
                check_close(&payload)?;
                let status = payload.get(..2).unwrap_or_default().to_vec();
                self.push_close(&status);
                Ok(Some(Said::End))
            }
            Kind::Text | Kind::Binary => {
                if self.partial.is_some() {
                    return Err((status::PROTOCOL, "a message begins within another one"));
                }
                let (is_text, is_compressed) = (header.kind == Kind::Text, header.is_compressed);
                let partial = Partial { is_text, is_compressed, bytes: payload, checked: 0 };
                self.complete(partial, header.is_last)
            }
            Kind::GoesOn => {
                let Some(mut partial) = self.partial.take() else {
                    return Err((status::PROTOCOL, "a message goes on that has not begun"));
                };
                partial.bytes.unsplit(payload);
                self.complete(partial, header.is_last)
            }
        }
    }

    /// Checks what came of a message, and gives it out if that is all.
    fn complete(&mut self, mut partial: Partial, is_last: bool) -> Result<Option<Said>, Fault> {
        if partial.is_text && !partial.is_compressed {
            match std::str::from_utf8(&partial.bytes[partial.checked..]) {
                Ok(_) => partial.checked = partial.bytes.len(),
                // A letter may be cut in two where the parts meet, but not at the end.
                Err(error) if error.error_len().is_none() && !is_last => {
                    partial.checked += error.valid_up_to()
                }
                Err(_) => return Err((status::NOT_TEXT, "the text is not UTF-8")),
            }
        }
        if !is_last {
            self.partial = Some(partial);
            return Ok(None);
        }
        let bytes = match partial.is_compressed {
            true => self.inflated(&partial)?,
            false => partial.bytes.freeze(),
        };
        Ok(Some(if partial.is_text { Said::Text(bytes) } else { Said::Binary(bytes) }))
    }

    fn inflated(&self, partial: &Partial) -> Result<Bytes, Fault> {
        let bytes = inflate(&partial.bytes, self.message_bytes_max).map_err(|why| match why {
            Unreadable::TooLong => (status::TOO_LONG, "the message is too long"),
            Unreadable::Damaged => (status::NOT_TEXT, "the message is not compressed as was agreed"),
        })?;
        if partial.is_text && std::str::from_utf8(&bytes).is_err() {
            return Err((status::NOT_TEXT, "the text is not UTF-8"));
        }
        Ok(bytes.into())
    }

    fn mask(&self) -> Option<[u8; 4]> {
        match &self.side {
            Side::Server => None,
            Side::Client(world) => Some((world.random.next() as u32).to_ne_bytes()),
        }
    }

    /// Puts a frame before everything that is to be sent.
    fn push(&mut self, kind: Kind, payload: &[u8]) {
        let mask = self.mask();
        write(kind, payload, mask, &mut self.inbox.urgent);
    }

    fn push_close(&mut self, payload: &[u8]) {
        if !self.is_closed {
            self.push(Kind::Close, payload);
            self.is_closed = true;
        }
    }

    /// Sends what is left to be sent, and shuts down. The other side may be gone already.
    async fn part(&mut self) {
        let _ = self.inbox.write(&[]).await;
        let _ = self.inbox.stream.shutdown().await;
    }

    /// Adds a message to what is sent next.
    pub fn add(&mut self, is_text: bool, payload: &[u8], out: &mut Vec<u8>) {
        let (kind, mask) = (if is_text { Kind::Text } else { Kind::Binary }, self.mask());
        match self.deflater.as_mut().and_then(|deflater| deflater.deflate(payload)) {
            Some(compressed) => write_compressed(kind, &compressed, mask, out),
            None => write(kind, payload, mask, out),
        }
    }

    /// Adds a ping to what is sent next.
    pub fn add_ping(&self, out: &mut Vec<u8>) {
        write(Kind::Ping, &[], self.mask(), out);
    }

    /// Sends frames.
    pub async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.inbox.write(frames).await
    }

    /// Sends what has not gone yet.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.deflater.iter_mut().for_each(Deflater::rest);
        self.inbox.stream.flush().await
    }

    /// Says that nothing more comes, and hears out what the other side still has to say.
    pub async fn close(&mut self) {
        if self.is_closed {
            return;
        }
        let mut frame = Vec::new();
        write(Kind::Close, &status::NORMAL.to_be_bytes(), self.mask(), &mut frame);
        if self.inbox.write(&frame).await.is_ok() && self.flush().await.is_ok() {
            while self.read().await != Said::End {}
        }
        self.is_closed = true;
    }
}

/// Holds the payload of a close frame against the standard.
fn check_close(payload: &[u8]) -> Result<(), Fault> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(()) } else { Err((status::PROTOCOL, "the status has two bytes")) };
    };
    match u16::from_be_bytes([*high, *low]) {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err((status::PROTOCOL, "the status is not one to be sent")),
    }
    std::str::from_utf8(reason).map(|_| ()).map_err(|_| (status::NOT_TEXT, "the reason is not UTF-8"))
}
