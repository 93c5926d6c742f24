//! The log on disk.

mod log;
mod options;

pub use log::DiskLog;
pub use options::DiskLogOptions;

/// The rows of one shard that are in files.
#[derive(Default)]
pub(crate) struct FileRows;
