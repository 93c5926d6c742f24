//! From `CREATE TRIGGER` to a [`crate::Dataflow`] that ends in one operator.
//!
//! ```text
//!  SELECT * FROM stream ── as any query ──> source, stages ── hash(key) ──> Trigger ──> firings
//!  WHEN, UNTIL ── gt, change, prev, ago, .. ──> columns of memory, and one expression over them and the row's own
//! ```
//!
//! - A stream without a watermark, or with a timeline for each key, has the time of arrival as a trigger's time: it is in the log,
//!   and it goes on for a device that says nothing.

mod columns;
mod condition;
mod definition;
mod flow;
mod insert;

pub use columns::FIRING_COLUMNS;
pub use definition::{Action, Condition, Partition, RearmDef, StartAt, TriggerDef};
pub use flow::TriggerPlan;
pub(crate) use flow::plan;
