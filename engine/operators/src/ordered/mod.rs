//! Windows that are told by the order of a partition's rows: so many rows, or from one row to another.

mod operator;
mod spec;
mod state;

pub use spec::{OrderedKind, OrderedWindows, OrderedWindowsSpec};
