//! Windows that are told by the order of a partition's rows: so many rows, or from one row to another.

mod operator;
mod spec;
mod state;
mod sums;

pub use spec::{OrderedAggregates, OrderedKind, OrderedWindows, OrderedWindowsSpec, part_rows};
