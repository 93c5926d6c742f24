//! Exact numbers that outgrow their type. As in Flink the result is NULL then, and as many digits lie behind the point as there is room
//! for.

mod arithmetic;
mod casts;
mod kind;

pub use arithmetic::DecimalPlanner;
pub use casts::DecimalCasts;
pub use casts::narrows;
