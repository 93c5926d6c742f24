//! A sink that writes rows to standard output. Rows between a crash and the flush before it come twice.

mod config;
mod sink;

pub(crate) use config::{CONNECTOR, PRINT};
