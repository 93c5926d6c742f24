//! What becomes of packets: sessions, subscriptions, retained messages, wills, and what is recorded.
//!
//! ```text
//!  packet ── Broker::receive ──> pending ── recorded (or not wanted) ──> routed, acknowledged
//!                                   │ ▲
//!                                   ▼ │ committed
//!                              recorders' queues ── taken ──> the log
//!
//!  routed ──> queue of each subscriber ── Broker::outgoing ──> packets
//! ```
//!
//! No network, no tasks, no clock of its own: packets go in and out as values. One lock holds it all; nothing waits under it.
//!
//! Invariants:
//! - A PUBLISH of QoS 1 or 2 that a recorder wants is acknowledged after every such recorder has said that it is durable, and only then do
//!   subscribers see it. Acknowledgements go in the order of the publications.
//! - A publication that is not acknowledged is still here, in the queue of a recorder, or its sender has not been told anything and
//!   sends it again.
//! - What waits for one session or one recorder is bounded. A subscriber that is too slow is skipped and told so in the log; a publisher
//!   that is too fast for a recorder is not read from.

mod access;
mod api;
mod connect;
mod figures;
mod incoming;
mod ledger;
mod message;
mod options;
mod outgoing;
mod recorder;
mod restore;
mod retained;
mod routing;
mod session;
mod state;
#[cfg(test)]
mod tests;

pub use access::{Access, User};
pub use api::{Broker, LinkId, Recording};
pub use message::Message;
pub use options::BrokerOptions;
pub use outgoing::Sending;
