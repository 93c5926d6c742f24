//! Transports: WebSocket and RawSocket, on one port, with TLS or without.

mod listener;
mod pump;
mod rawsocket;
mod transport;
mod websocket;

pub use headwater_net::ServerTls;
pub use listener::{Listener, Running};
pub(crate) use rawsocket::{RawSocket, answer_handshake as rawsocket_hello};
pub(crate) use transport::{Incoming, Transport};
pub(crate) use websocket::{Subprotocol, WebSocket, request as request_websocket};
