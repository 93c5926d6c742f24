//! The log on disk.
//!
//! ```text
//!                     submit (any thread): check, encode, checksum
//!                        │
//!                      queue
//!                        │        committer: place ─ write ─ sync ─ publish ─ answer
//!                        ▼
//!  catalog      active file (all streams)  ──full──►  sealer: one file per stream, merged, with a footer
//!  (streams,             │                                      │
//!   files)               └───────────────┬──────────────────────┘
//!                                        ▼
//!                                   view: readers       retention: oldest files go      scrubber: reads, slowly
//! ```
//!
//! Invariants:
//! - What is acknowledged is durable as its stream's durability says, and was published at the same moment.
//! - A file is written to by one task at a time, and only at its end; what is sealed is never changed, its footer aside.
//! - The catalog names every file that counts. A crash between any two operations on the disk leaves each row exactly once.
//! - After a failed write or sync nothing more is written; the first cause is kept.

mod active;
mod catalog;
mod commit;
mod event;
mod files;
mod index;
mod inner;
mod layout;
mod log;
mod options;
mod reader;
mod rebuild;
mod recent;
mod recover;
mod repair;
mod retention;
mod salvage;
mod scan;
mod scrub;
mod seal;
mod segment;
mod store;
mod verify;

pub(crate) use index::FileRows;
pub use log::DiskLog;
pub use options::DiskLogOptions;
pub use repair::{Repaired, repair};
pub use scrub::Damage;
pub use verify::{DumpedBatch, Verified, dump, verify};
