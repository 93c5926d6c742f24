//! `OVER`: functions over the rows around each row of a partition. In the order of event time and over rows that are only ever added,
//! each result is said once; otherwise results change with the rows (`updating`).

mod aggregates;
mod frame;
mod operator;
mod partitions;
mod spec;
mod state;
mod updating;

pub use frame::{Frame, FrameBound};
pub use spec::{FrameRow, Over, OverCall, OverFunction, OverSpec};
pub use updating::{UpdatingOver, UpdatingOverSpec};
