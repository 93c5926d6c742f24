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
mod cuts;
mod driver;
mod eras;
mod exchange;
mod exec;
mod handle;
mod histogram;
mod journal;
mod keyed;
mod lookup;
mod lost;
mod members;
mod membership;
mod order;
mod pace;
mod parts;
mod pipeline;
mod progress;
mod quiet;
mod rested;
mod saving;
mod set;
mod sink;
mod source;
mod spill;
mod trim;
mod unsaid;

pub(crate) use blobs::{Blobs, DiskBlobs, ObjectBlobs};
pub(crate) use checkpoint::{Manifest, Place, Restored, Writer, newest_step, remove_all_but, restore};
pub(crate) use clock::{NEW_CLOCK, ShardClock, nanos};
pub(crate) use driver::{JobPlan, JobSettings, producer_of};
pub(crate) use eras::{Era, Eras, place_of};
pub(crate) use handle::JobHandle;
pub(crate) use journal::{
    Entry, Journal, JournalReader, begin_at, encode as journal_line, first_cut, schema as journal_schema,
};
pub(crate) use lookup::{Answer, at_once};
pub(crate) use lost::{Places, begun_at, first_rows, gone, lost};
pub(crate) use members::{Apart, Coming, Leaving, Members, member_id};
pub(crate) use membership::{Membership, Roll};
pub(crate) use pipeline::{Cut, IdleTimeouts, Limits, Pipeline, ShardCut, ShardTime, Start, Step};
pub(crate) use quiet::Quiet;
pub(crate) use rested::Rested;
pub use sink::fit;
pub(crate) use sink::{Copies, Results, Sink, WEIGHT};
pub(crate) use source::{Morsels, ShardInput, Until, metadata_columns};
pub(crate) use spill::{Lease, StateMemory, StatePart};
