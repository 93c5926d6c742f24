//! Composite alarms: an expression over the states of other alarms.

mod expression;
mod parse;

pub use expression::{Expression, Outcome};
