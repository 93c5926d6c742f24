//! `OVER`: functions over the rows around each row of a partition, in the order of event time.

mod aggregates;
mod frame;
mod operator;
mod partitions;
mod spec;
mod state;

pub use frame::{Frame, FrameBound};
pub use spec::{FrameRow, Over, OverCall, OverFunction, OverSpec};
