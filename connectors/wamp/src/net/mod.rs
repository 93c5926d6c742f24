//! Transports: WebSocket and RawSocket, on one port, with TLS or without.

mod listener;
mod pump;
mod rawsocket;
mod tls;
mod transport;
mod websocket;

pub use listener::{Listener, Running};
pub(crate) use rawsocket::{RawSocket, answer_handshake as rawsocket_hello};
pub use tls::TlsFiles;
pub(crate) use tls::connect as connect_tls;
pub(crate) use transport::{Incoming, Transport};
pub(crate) use websocket::{Subprotocol, WebSocket, request as request_websocket};
