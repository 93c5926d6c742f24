//! Aggregate functions over groups.

mod call;

pub use call::AggregateCall;
