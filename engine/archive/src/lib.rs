//! Archives: a stream as Parquet in S3-compatible storage or in a directory, and the log's own cold tier.
//!
//! ```text
//!  a shard      archive's first      boundary            next sequence
//!               |== files of whole ranges ==|
//!                                |== the log ==============|
//!               '--------- History: one log, each row once ---------'
//! ```
//!
//! What lies at the archive's place (names beginning with `_` are passed over by Spark, pyarrow and the like):
//!
//! | name | what it is |
//! |---|---|
//! | `_archive.json` | whose archive this is; written once |
//! | `_manifest/<number>.json` | what was planned, committed or merged: one numbered entry each, written once |
//! | `_manifest/<number>.snapshot.json` | all that the entries up to this one come to |
//! | `_uploads/..` | which parts of a large upload are there |
//! | `[day=../[hour=../]]<shard>-<first>-<next>.parquet` | rows of one range of a shard: `first` to `next`, exclusive |
//!
//! How each row gets there exactly once. A range is **planned** by an entry of the manifest, **written** under names that follow
//! from the range, and **committed** by another entry. Entries and files are put only where nothing is, so of two writers who
//! decide at once one wins and the other learns what was decided. Whoever finds a range planned and not committed writes exactly
//! that range: rows of the log do not change, so the same names hold the same rows, whoever writes them and however often.
//! So no file ever overlaps another, not even one that a crash has left uncommitted.
//!
//! Invariants:
//! - This crate knows nothing of SQL, jobs or queries.
//! - The committed ranges of a shard follow one another without a gap.
//! - A row is released to the log's retention only after the range that holds it was committed.

mod ahead;
mod archiver;
mod attach;
mod compact;
mod disk_store;
mod encode;
mod error;
mod gather;
mod handle;
mod history;
mod identity;
mod layout;
mod ledger;
mod manifest;
mod place;
mod prune;
mod reader;
mod restore;
mod settings;
mod upload;
mod verify;

pub use archiver::{Archiver, Stepped};
pub use compact::{Compacted, GRACE, compact};
pub use error::{ArchiveError, Result};
pub use handle::{Archive, ArchiveStatus};
pub use history::History;
pub use identity::Identity;
pub use layout::{ARRIVAL, SEQUENCE, SHARD};
pub use ledger::Ledger;
pub use manifest::{FileInfo, Manifest, Range, Span};
pub use place::Place;
pub use restore::restore;
pub use settings::{Codec, Partition, Roll, Settings};
pub use upload::Progress;
pub use verify::{Verified, verify};
