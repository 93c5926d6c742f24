//! WAMP over WebSocket.

mod handshake;
mod subprotocol;
mod wamp;

pub(super) use handshake::accept;
pub(crate) use handshake::request;
pub(crate) use subprotocol::Subprotocol;
pub(crate) use wamp::WebSocket;
