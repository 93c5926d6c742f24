//! How often a sequence occurs: in lines of text, and in the events of a key.
//!
//! ```text
//!  lines ── Sequence ──> occurrences, or lines that have one
//!  events of a key, by time ──┬── Pattern ──> does it occur, how often
//!                             └── Funnel  ──> how many of its steps were taken
//! ```
//!
//! Invariants:
//! - Everything here is a function of what it is given: no clock, no columns, no groups.
//! - Patterns and funnels have the meaning that ClickHouse gives them (sequenceMatch, sequenceCount, windowFunnel). Where that
//!   leaves something open, or gives up, it is said where we decide.
//! - Nothing is exponential: a pattern is held against each event at most once for each of its parts.

mod error;
mod event;
mod funnel;
mod pattern;
mod text;

pub use error::{Result, SequenceError};
pub use event::{CONDITIONS_MAX, Event, sort};
pub use funnel::{Funnel, FunnelMode};
pub use pattern::Pattern;
pub use text::{Counting, Sequence};
