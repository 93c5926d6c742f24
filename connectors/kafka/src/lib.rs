//! Kafka: a source that keeps its offsets with its rows, a sink that commits by transactions, and topics to keep a whole log in.
//!
//! ```text
//!  partition ──> messages ──> rows, "topic/partition" = next offset ── one append ──> stream
//!  stream ──> messages with a header WRITER/SHARD/SEQUENCE ── one transaction ──> topic
//! ```
//!
//! The options, and what is promised, are in `README.md` beside this crate.
//!
//! Invariants:
//! - What librdkafka does by waiting, it does on a thread where that is allowed; nothing else touches a client.
//! - An offset is committed to a group only when the rows before it are durable in the log; the log, not the group, says where to go on.
//! - What was sent is kept until it is committed: if the broker refuses some of it for its length, the rest goes again.
//! - After a transaction of which nobody knows how it ended the producer is dropped, and what is there is read back.

mod about;
mod answers;
mod batch;
mod cluster;
mod config;
mod consumer;
mod encode;
mod log;
mod offsets;
mod pieces;
mod poller;
mod producer;
mod readback;
mod sink;
mod source;

pub use config::{CONNECTOR, UPSERT};
pub use log::KafkaTopics;
