//! Counters since the log was opened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::api::LogMetrics;

/// Upper bounds of the histogram of syncs, in microseconds.
const SYNC_MICROS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, u64::MAX];

/// The counters.
#[derive(Default)]
pub(crate) struct Metrics {
    rows: AtomicU64,
    bytes: AtomicU64,
    commits: AtomicU64,
    syncs: AtomicU64,
    sync_micros: [AtomicU64; SYNC_MICROS.len()],
    sync_micros_sum: AtomicU64,
    duplicates: AtomicU64,
    scrubbed_bytes: AtomicU64,
}

impl Metrics {
    /// Counts a commit.
    pub(crate) fn committed(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts repeats.
    pub(crate) fn repeated(&self, count: u64) {
        self.duplicates.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts bytes that were looked at for damage.
    pub(crate) fn scrubbed(&self, bytes: u64) {
        self.scrubbed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a sync.
    pub(crate) fn synced(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = SYNC_MICROS.partition_point(|bound| *bound < micros);
        self.sync_micros[bucket].fetch_add(1, Ordering::Relaxed);
        self.sync_micros_sum.fetch_add(micros, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them.
    pub(crate) fn read(&self) -> LogMetrics {
        let mut total = 0;
        let cumulative = SYNC_MICROS.iter().zip(&self.sync_micros).map(|(bound, count)| {
            total += count.load(Ordering::Relaxed);
            (*bound, total)
        });
        LogMetrics {
            sync_micros: cumulative.collect(),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            sync_micros_sum: self.sync_micros_sum.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            scrubbed_bytes: self.scrubbed_bytes.load(Ordering::Relaxed),
            damaged: 0,
            poisoned: None,
        }
    }
}
