//! The network: a port for clients of all versions, over TCP or WebSocket, with TLS or without; and the way to brokers elsewhere.

mod pump;
mod service;
mod websocket;

pub use headwater_net::{ClientTls, Listener, ServerTls};
pub use service::Running;
