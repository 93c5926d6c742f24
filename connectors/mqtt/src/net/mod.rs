//! The network: a port for clients of all versions, over TCP or WebSocket, with TLS or without; and the way to brokers elsewhere.

mod listener;
mod pump;
mod tls;
mod websocket;

pub use listener::{Listener, Running};
pub use tls::{ClientTls, ServerTls};
