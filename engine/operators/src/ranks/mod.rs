//! The first rows of each partition, by an order: top-N and deduplication.

mod lasting;
mod lists;
mod operator;
mod spec;
mod state;

pub use spec::{TopN, TopNSpec};
