//! The network: a port for clients of all versions, over TCP or WebSocket, with TLS or without; and the way to brokers elsewhere.

mod listener;
mod pump;
mod websocket;

pub use headwater_net::{ClientTls, ServerTls};
pub use listener::{Listener, Running};
