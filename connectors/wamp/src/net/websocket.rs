//! WAMP over WebSocket: one message per frame, or several where a batched subprotocol was agreed.
//!
//! ```text
//!  wamp.2.json  wamp.2.msgpack  wamp.2.cbor              text for JSON, binary for the others
//!  wamp.2.json.batched                                   each message followed by 1E (or 18, as Autobahn has it)
//!  wamp.2.msgpack.batched  wamp.2.cbor.batched           each message after its length, 4 bytes
//! ```

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};

use super::transport::{Incoming, Transport};
use crate::wire::Serializer;

/// The separators of JSON messages: that of the specification, and the one that Autobahn for Python sends.
const SEPARATORS: [u8; 2] = [0x1e, 0x18];

/// How long the other side has to close, too.
const CLOSING: Duration = Duration::from_secs(2);

/// What was agreed about messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subprotocol {
    pub serializer: Serializer,
    pub is_batched: bool,
}

impl Subprotocol {
    /// The subprotocol of a name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let rest = name.trim().strip_prefix("wamp.2.")?;
        let (serializer, is_batched) =
            rest.strip_suffix(".batched").map_or((rest, false), |serializer| (serializer, true));
        Some(Self { serializer: Serializer::from_name(serializer)?, is_batched })
    }

    fn name(self) -> String {
        format!("wamp.2.{}{}", self.serializer.name(), if self.is_batched { ".batched" } else { "" })
    }
}

/// How the WebSocket itself is set up.
pub(crate) fn config(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(64 << 10)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

/// Chooses the first subprotocol of the client's that there is; without one the handshake is refused.
#[expect(clippy::result_large_err, reason = "the type is the library's")]
pub(super) fn negotiate(
    request: &Request,
    mut response: Response,
    chosen: &mut Option<Subprotocol>,
) -> Result<Response, ErrorResponse> {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offers = offers.iter().filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    *chosen = offers.into_iter().find_map(Subprotocol::from_name);
    let Some(name) = chosen.and_then(|chosen| HeaderValue::from_str(&chosen.name()).ok()) else {
        let mut refusal = ErrorResponse::new(Some("offer a subprotocol, such as wamp.2.json\n".to_owned()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refusal);
    };
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    Ok(response)
}

/// A WebSocket after its handshake.
pub(crate) struct WebSocket<S> {
    stream: WebSocketStream<S>,
    subprotocol: Subprotocol,
    /// What follows each message of a batch of JSON.
    separator: u8,
    /// Messages of a batch that were not taken yet.
    batch: VecDeque<Bytes>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> WebSocket<S> {
    pub(crate) fn new(stream: WebSocketStream<S>, subprotocol: Subprotocol) -> Self {
        Self { stream, subprotocol, separator: SEPARATORS[0], batch: VecDeque::new() }
    }

    fn received(&mut self, payload: Bytes) -> Incoming {
        if !self.subprotocol.is_batched {
            return Incoming::Message(payload);
        }
        let split = match self.subprotocol.serializer {
            Serializer::Json => {
                self.separator =
                    payload.last().copied().filter(|last| SEPARATORS.contains(last)).unwrap_or_default();
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

    fn frame(&self, payload: Bytes) -> Message {
        let kind = if self.subprotocol.serializer.is_text() { Data::Text } else { Data::Binary };
        Message::Frame(Frame::message(payload, OpCode::Data(kind), true))
    }

    /// All messages as one.
    fn joined(&self, messages: &mut VecDeque<Bytes>) -> Bytes {
        let mut out = BytesMut::new();
        for message in messages.drain(..) {
            if self.subprotocol.serializer.is_text() {
                out.put(message);
                out.put_u8(self.separator);
            } else {
                out.put_u32(message.len() as u32);
                out.put(message);
            }
        }
        out.freeze()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<S> {
    async fn read(&mut self) -> Incoming {
        if let Some(message) = self.batch.pop_front() {
            return Incoming::Message(message);
        }
        match self.stream.next().await {
            Some(Ok(Message::Text(text))) if self.subprotocol.serializer.is_text() => {
                self.received(text.into())
            }
            Some(Ok(Message::Binary(bytes))) if !self.subprotocol.serializer.is_text() => {
                self.received(bytes)
            }
            Some(Ok(Message::Text(_))) => Incoming::Wrong("a text frame came where binary was agreed"),
            Some(Ok(Message::Binary(_))) => Incoming::Wrong("a binary frame came where text was agreed"),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Incoming::Alive,
            Some(Ok(Message::Close(_)) | Err(_)) | None => Incoming::End,
        }
    }

    async fn write(&mut self, messages: &mut VecDeque<Bytes>) -> io::Result<()> {
        if self.subprotocol.is_batched {
            let frame = self.frame(self.joined(messages));
            self.stream.feed(frame).await.map_err(io::Error::other)?;
        }
        while let Some(message) = messages.pop_front() {
            let frame = self.frame(message);
            self.stream.feed(frame).await.map_err(io::Error::other)?;
        }
        self.stream.flush().await.map_err(io::Error::other)
    }

    async fn ping(&mut self) -> io::Result<bool> {
        self.stream.send(Message::Ping(Bytes::new())).await.map_err(io::Error::other).map(|()| true)
    }

    async fn close(&mut self) {
        let close = async {
            // Whatever comes now comes too late; an error says that the other side is gone.
            let _ = self.stream.close(None).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        let _ = tokio::time::timeout(CLOSING, close).await;
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
    fn subprotocols_have_names() {
        for name in ["wamp.2.json", "wamp.2.cbor", "wamp.2.msgpack.batched"] {
            assert_eq!(Subprotocol::from_name(name).unwrap().name(), name);
        }
        for name in ["wamp.2.ubjson", "wamp.1", "chat", "wamp.2.json.batch", ""] {
            assert_eq!(Subprotocol::from_name(name), None);
        }
    }

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
