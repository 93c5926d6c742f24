//! `OVER` rows that change, and in any order: what is said of a row is taken back and said anew when its frame changes.

mod apply;
mod columns;
#[cfg(test)]
mod cost;
mod evaluate;
mod lasting;
mod marks;
mod operator;
mod rows;
mod sorted;
mod spec;
mod state;
mod touched;

pub use spec::{UpdatingOver, UpdatingOverSpec};
