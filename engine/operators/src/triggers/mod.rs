//! Triggers: conditions over a stream's rows that fire.
//!
//! ```text
//!  rows ── columns of memory (previous row, value some time ago) ── WHEN, UNTIL, vectorised ── a machine per key ── firings
//!                                                                         timers of the wheel ──┘
//! ```
//!
//! - A key's rows are taken in the order of the log. A row that is older than one before it is judged like any other.
//! - What time does (a condition has held for so long, no value has come for so long) is done before the key's next row,
//!   up to that row's own time and its shard's watermark, and at the end of the step up to the watermark. So what fires does not
//!   depend on where steps are cut.
//! - The end of an input is not time: what waits then has not happened.

mod ago;
mod firings;
mod history;
mod machine;
mod operator;
mod spec;
mod store;
mod wheel;

pub use firings::FiringColumn;
pub use machine::Rearm;
pub use spec::{Memory, Remembered, Trigger, TriggerSpec, When};
