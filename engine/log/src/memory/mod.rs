//! Rows in memory: a whole log of them for tests and for what need not last, and the `memory` streams of a log on disk.

mod log;
mod reader;
mod rows;

pub use log::MemoryLog;
pub(crate) use reader::MemoryReader;
pub(crate) use rows::{MemoryBatch, MemoryRows};
