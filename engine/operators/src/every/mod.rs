//! Changes that are said at intervals of event time instead of with every step.

mod operator;
mod spec;

pub use spec::{EmitEvery, EmitEverySpec};
