//! From bytes at the edge to rows in the log.
//!
//! ```text
//!  bytes ── decode ──> rows ── admit ──> rows ── route ──> rows per shard ─┐
//!             │                  │                                          ├─> one atomic group ─> log
//!             └─ bad records ────┴────────────────> dead letters ───────────┘
//! ```
//!
//! Invariants:
//! - This crate knows nothing of SQL, jobs, HTTP or any other protocol.
//! - A bad record never fails its request and never vanishes: it goes, bytes and all, to `system.dead_letters`, in the
//!   same atomic group as the good rows of the request.
//! - What is decided about a record depends on the record, the stream and the time of arrival, which the log keeps.

mod admit;
mod bad;
mod conform;
mod counters;
pub mod dead_letter;
mod error;
pub mod format;
mod options;
mod position;
mod quantity;
mod report;
mod route;
mod service;

pub use admit::{CLOCK_GUARD, EventTimes};
pub use bad::{BadRecord, RecordFault};
pub use conform::conform;
pub use counters::StreamCounts;
pub use error::{IngestError, Result};
pub use format::{CsvHeader, Decoded, Decoder, Encoder, Format, FormatOptions, json_cells, read_timestamp};
pub use format::{KeyFormat, MessageDecoder, Messages, RegisteredSchema, Schemas};
pub use options::{OptionError, Options, is_secret, nearest};
pub use position::{CURSORS, Mark, Marks, POSITIONS, Place, SourceStep};
pub use quantity::{parse_duration, parse_size};
pub use report::{PendingReport, Report, ShardEnd};
pub use route::{Routed, route};
pub use service::{AppendRequest, Ingest, Payload, format_options_of};
