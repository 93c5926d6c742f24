//! Rows in memory: a whole log of them for tests and for what need not last, and the `memory` streams of a log on disk.

mod life;
mod log;
mod reader;
mod rows;

pub(crate) use life::{first_of_life, is_in_memory};
pub use log::MemoryLog;
pub(crate) use reader::MemoryReader;
pub(crate) use rows::{MemoryBatch, MemoryRows};
