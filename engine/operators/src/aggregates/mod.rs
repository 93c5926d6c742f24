//! Aggregate functions over groups.
//!
//! A group is a dense number; an `Aggregator` keeps one function's state for all groups. It differs from DataFusion's
//! `GroupsAccumulator` in that reading never destroys: any groups can be evaluated or written to a snapshot at any time, in
//! any order. The common functions are native and work column-wise; all others run DataFusion's own accumulator, one
//! per group. Results and their types equal DataFusion's for the same function.

mod aggregator;
mod arrivals;
mod basic;
mod call;
mod counted;
mod distinct;
mod entries;
mod extreme;
mod fallback;
mod first_last;
mod multiset;
mod set;
mod sum;
mod variance;

pub(crate) use aggregator::Aggregator;
pub(crate) use aggregator::pick;
pub use call::AggregateCall;
pub(crate) use counted::CountedSet;
pub(crate) use set::AggregateSet;
