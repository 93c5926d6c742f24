//! Joins of two inputs that go on for ever.

mod expiry;
mod lasting;
mod operator;
mod residual;
mod rows;
mod spec;
mod state;

pub use spec::{Complete, Join, JoinClosing, JoinInput, JoinKind, JoinSpec, JoinTime};
