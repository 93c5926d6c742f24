//! The append-only, sharded, Arrow-columnar log.
//!
//! ```text
//! stream ── shards ── segments ── batches ── rows
//! ```
//!
//! Invariants:
//! - The log knows nothing of SQL, of jobs or of the network: what lies outside it reaches through [`Topics`].
//! - A row that was acknowledged is read back, once, at its sequence number, for as long as retention keeps it.
//! - Nothing is skipped silently: what cannot be read is an error with a file and an offset.
//!
//! [`Log`] is the one trait; its conformance suite is [`conformance`]. `FORMAT.md` beside this crate describes the bytes.

mod admit;
mod api;
pub(crate) mod batch;
pub mod conformance;
mod disk;
#[cfg(test)]
mod documented;
mod error;
mod memory;
mod metrics;
mod pending;
mod producers;
mod queue;
pub(crate) mod schema;
mod sequencer;
mod shape;
mod stored;
mod streams;
mod submit;
mod topics;
mod view;
mod wakes;

pub use api::*;
pub use disk::{Damage, DiskLog, DiskLogOptions, DumpedBatch, Repaired, Verified, dump, repair, verify};
pub use error::{LogError, Result};
pub use memory::MemoryLog;
pub use topics::{Message, Stored, TopicError, TopicLog, TopicLogOptions, TopicResult, Topics};
