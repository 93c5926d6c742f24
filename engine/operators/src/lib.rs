//! Streaming operators and their state, over Arrow batches.
//!
//! ```text
//!  rows ── on_batch ──────┐
//!  time ── on_watermark ──┴─> Operator ──> rows that come and go, rows that are late, rows that failed
//!                              │    ▲
//!                     snapshot ▼    │ restore
//!                           entries of state, by slot
//! ```
//!
//! [`OperatorSpec`] is what the planner makes, and tells an operator apart from its state; [`Operator`] is one at work.
//!
//! Invariants:
//! - An operator knows nothing of the log, of SQL text or of threads.
//! - What an operator emits is a function of the sequence of calls it got, bit for bit; never of hash order, addresses
//!   or clocks.
//! - State ends when the watermark says so, in memory.

mod api;
mod closing;
mod deltas;
mod dictionary;
mod error;
mod expand;
mod groups;
mod held;
mod line;
mod narrow;
mod not_null;
mod packed;
mod paged;
mod parts;

pub mod aggregates;
pub mod decide;
mod every;
mod group_aggregate;
mod group_operator;
mod joins;
mod lookup;
mod ordered;
mod over;
pub mod patterns;
mod ranks;
pub mod sequences;
mod stateless;
mod temporal;
pub mod triggers;
mod uncomputed;
mod unnest;
mod values;
pub mod windows;

pub use aggregates::AggregateCall;
pub use api::*;
pub use closing::Closing;
pub use error::{OperatorError, Result, plainly};
pub use every::{EmitEvery, EmitEverySpec};
pub use expand::{ExpandSpec, GroupingSet};
pub use group_aggregate::{GroupAggregate, GroupAggregateSpec, Revises};
pub use joins::{Complete, Join, JoinClosing, JoinInput, JoinKind, JoinSpec, JoinTime};
pub use lookup::{Lookup, LookupCache, LookupOperator, LookupRetry, LookupSpec};
pub use not_null::NotNullSpec;
pub use ordered::{OrderedAggregates, OrderedKind, OrderedWindows, OrderedWindowsSpec, part_rows};
pub use over::{
    Frame, FrameBound, FrameRow, Over, OverCall, OverFunction, OverSpec, UpdatingOver, UpdatingOverSpec,
};
pub use patterns::{MatchRecognize, MatchRecognizeSpec};
pub use ranks::{TopN, TopNSpec};
pub use stateless::{FilterSpec, ProjectSpec};
pub use temporal::{TemporalInput, TemporalJoin, TemporalJoinSpec};
pub use triggers::{
    FiringColumn, Memory, Rearm, Remembered, Trigger, TriggerRoster, TriggerShared, TriggerSpec, When,
    entries_of_one,
};
pub use uncomputed::{append_columns, column_or_null};
pub use unnest::{UnnestSpec, Unnested};
pub use values::ValuesSpec;
pub use windows::{
    AssignWindowsSpec, OutputColumn, PerKey, SessionAggregate, SessionAggregateSpec, WindowAggregate,
    WindowAggregateSpec, WindowColumn, WindowFinalSpec, WindowKind, WindowPartialSpec,
};
