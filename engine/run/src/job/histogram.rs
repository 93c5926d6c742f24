//! How long things took, in buckets that Prometheus understands.

use std::time::Duration;

/// Upper bounds in microseconds; the last bucket is open.
const BOUNDS: [u64; 14] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    u64::MAX,
];

/// Counts of durations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: [u64; BOUNDS.len()],
    sum_micros: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let micros = took.as_micros() as u64;
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.counts[bucket.min(BOUNDS.len() - 1)] += 1;
        self.sum_micros += micros;
    }

    /// (upper bound in microseconds, how many took at most that), cumulative.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let up_to = |(bound, count): (&u64, &u64)| {
            sum += count;
            (*bound, sum)
        };
        BOUNDS.iter().zip(&self.counts).map(up_to).collect()
    }

    /// The sum of all in microseconds.
    pub fn sum_micros(&self) -> u64 {
        self.sum_micros
    }
}
