//! Triggers: conditions over a stream's rows that fire.
//!
//! ```text
//!  rows ── memory (previous row, value some time ago) ── guards ── triggers that may change ── WHEN, UNTIL ── a machine per key ── firings
//!           kept once for all                             index       and their rows            vectorised         │
//!                                                                                                timers of the wheel ──┘
//! ```
//!
//! - A key's rows are taken in the order of the log. A row that is older than one before it is judged like any other.
//! - What time does (a condition has held for so long, no value has come for so long) is done before the key's next row,
//!   up to that row's own time and its shard's watermark, and at the end of the step up to the watermark. So what fires does not
//!   depend on where steps are cut.
//! - The end of an input is not time: what waits then has not happened.
//! - Thousands of triggers over the same rows are one operator ([`TriggerRoster`]). What one of them says is what it would say alone.

mod ago;
mod bounds;
mod firings;
mod guard;
mod index;
mod machine;
mod memory;
mod operator;
mod roster;
mod spec;
mod states;
mod store;
mod tables;
mod team;
mod wheel;

pub use firings::FiringColumn;
pub use machine::Rearm;
pub use roster::TriggerRoster;
pub use spec::{Memory, Remembered, Shared as TriggerShared, Trigger, TriggerSpec, When};
pub use tables::entries_of_one;
