//! What can be set about a log on disk.

use std::time::Duration;

use crate::producers::PRODUCERS_REMEMBERED;

/// Settings of a [`super::DiskLog`]. [`DiskLogOptions::default`] is what `headwater serve` uses.
#[derive(Clone, PartialEq, Debug)]
pub struct DiskLogOptions {
    /// A file that takes appends is sealed when the next commit would make it larger than this. Default 128 MiB.
    pub segment_bytes: u64,
    /// A file that takes appends is sealed when it is older than this and holds rows, so that retention by age can
    /// remove them. Default one hour.
    pub segment_age: Duration,
    /// `submit` blocks while more bytes than this wait to be written. Default 256 MiB.
    pub queue_bytes: u64,
    /// How many bytes a second the scrubber reads of sealed segments; 0 turns it off. Default 4 MiB.
    pub scrub_bytes_per_second: u64,
    /// How often retention is looked at. Default one minute.
    pub retention_interval: Duration,
    /// How many producers of one shard are remembered, so that a repeat is recognised: each `Idempotency-Key` of a request is one.
    /// Each takes some hundred bytes of memory, and a sealed file has a copy of all. Default 4,096, 16 at the least.
    pub producers_remembered: usize,
    /// How many files are kept open for readers. Default 256.
    pub open_files: usize,
    /// How many bytes of decoded batches are kept of shards that have several readers. Default 32 MiB.
    pub decoded_bytes: usize,
    /// Whether full files are sealed and retention removes rows. Default yes; whoever only looks at a log says no, so that what it
    /// looks at stays.
    pub maintains: bool,
}

impl Default for DiskLogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            segment_age: Duration::from_secs(3600),
            queue_bytes: 256 << 20,
            scrub_bytes_per_second: 4 << 20,
            retention_interval: Duration::from_secs(60),
            producers_remembered: PRODUCERS_REMEMBERED,
            open_files: 256,
            decoded_bytes: 32 << 20,
            maintains: true,
        }
    }
}
