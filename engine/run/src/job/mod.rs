//! Jobs: queries that go on for ever.
//!
//! ```text
//!  log ─> source (shards, clocks) ─> exec (stages over workers) ─> sink (one atomic group) ─> log
//!              └──────────── pipeline: one step ───────────┘            │
//!         driver: when to step, redo, checkpoint, idle          journal row in the same group
//! ```

mod blobs;
mod checkpoint;
mod clock;
mod driver;
mod exchange;
mod exec;
mod handle;
mod histogram;
mod journal;
mod keyed;
mod lookup;
mod pace;
mod parts;
mod pipeline;
mod sink;
mod source;
mod spill;

pub(crate) use blobs::{Blobs, DiskBlobs, ObjectBlobs};
pub(crate) use clock::{NEW_CLOCK, nanos};
pub(crate) use driver::JobPlan;
pub(crate) use handle::JobHandle;
pub(crate) use journal::{JournalReader, begin_at, first_cut, schema as journal_schema};
pub(crate) use pipeline::{Cut, Limits, Pipeline, ShardCut, Start};
pub use sink::fit;
pub(crate) use sink::{Copies, WEIGHT};
pub(crate) use source::metadata_columns;
pub(crate) use spill::{Lease, StateMemory};
