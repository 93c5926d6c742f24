//! The rules by which alarms change their state and groups change their size: those of CloudWatch and of EC2 Auto Scaling.
//!
//! ```text
//!  points of a metric ── AlarmFold ──> OK, ALARM, INSUFFICIENT_DATA ──┬── Expression ──> a composite alarm's state
//!                                                                     └── Group ──> decisions: from, to, why, why not
//! ```
//!
//! Invariants:
//! - Everything here is a function of what it is given: no clock, no log, no tables, no threads. Time is a number that the caller
//!   moves.
//! - What the public documentation of those services leaves open is said where it is decided, as our own reading.

pub mod alarm;
pub mod composite;
mod error;
pub mod scaling;

pub use error::{DecideError, Result};
