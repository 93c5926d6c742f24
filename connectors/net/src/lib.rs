//! Ports, TLS and WebSocket (RFC 6455), for gateways and clients of protocols that are spoken over them.
//!
//! WebSocket is by hand, because what they need is little: one extension, messages that share their bytes with what comes in, and
//! nothing held by a connection that waits. The Autobahn test suite holds it to the standard.
//!
//! Invariants:
//! - Nothing here knows what the messages mean.
//! - A wait for what comes in can be given up at any time, and loses nothing.

#[cfg(test)]
mod fuzzing;
mod inbox;
mod listener;
mod stream;
mod tls;
pub mod websocket;

pub use inbox::Inbox;
pub use listener::{Caller, Listener, Running, Service};
pub use stream::Stream;
pub use tls::{ClientTls, ServerTls};
