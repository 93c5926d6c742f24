//! Joins with the version of a row that was valid at a time.

mod ahead;
mod operator;
mod spec;
mod state;

pub use spec::{TemporalInput, TemporalJoin, TemporalJoinSpec};
