//! A log whose streams are topics of a broker: what Kafka offers, behind the small trait [`Topics`], so that nothing here knows Kafka.
//!
//! ```text
//!  stream ── topic              shard ── partition             batch ── message
//!
//!  LOG.catalog     | opened | create | evolve | opened | ..        one partition; which streams there are
//!  LOG.readings.7  | batch | batch | marker | batch | ..           sequence numbers are in the batches
//!                    '-- a group, in whatever topics: one transaction
//!
//!  submit ──► queue ──► place ──► commit a transaction ──► publish ──► answer
//! ```
//!
//! Invariants:
//! - One process writes. Who opens the log fences off whoever had it before, whose next commit fails for good.
//! - Sequence numbers are the log's own. Offsets say only where a batch is; they have gaps, and readers never see them.
//! - Nobody guesses how a commit ended: when its answer is lost, the log takes over from itself, which ends what was
//!   open, and reads what is there.
//! - Opening reads the ends of partitions, not the partitions.
//!
//! `FORMAT.md` beside this crate describes the messages.

mod batch;
mod broker;
mod catalog;
mod commit;
mod inner;
mod log;
mod note;
mod open;
mod options;
mod reader;
mod retention;
mod rows;
mod search;
mod tail;
mod write;

pub use broker::{Message, Stored, TopicError, TopicResult, Topics};
pub use log::TopicLog;
pub use options::TopicLogOptions;
pub(crate) use rows::TopicRows;
