//! WebSocket (RFC 6455): both sides of the handshake, frames, and WAMP in messages.
//!
//! By hand, because what a router needs is little: one extension, messages that share their bytes with what comes in, and nothing
//! held by a connection that waits. The Autobahn test suite holds it to the standard.

mod deflate;
mod frame;
mod handshake;
mod socket;
mod subprotocol;
mod wamp;

pub(super) use handshake::accept;
pub(crate) use handshake::request;
#[cfg(test)]
pub(super) use handshake::{Offers, accept_any};
#[cfg(test)]
pub(super) use socket::Said;
pub(crate) use subprotocol::Subprotocol;
pub(crate) use wamp::WebSocket;
