//! Transports: WebSocket and RawSocket, on one port, with TLS or without.

mod pump;
mod rawsocket;
mod service;
mod transport;
mod websocket;

pub use headwater_net::{Listener, ServerTls};
pub(crate) use rawsocket::{RawSocket, answer_handshake as rawsocket_hello};
pub use service::Running;
pub(crate) use transport::{Incoming, Transport};
pub(crate) use websocket::{Subprotocol, WebSocket, request as request_websocket};
