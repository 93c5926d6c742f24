//! What came in since the start, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use headwater_log::StreamInfo;

use crate::report::Report;

/// What came in to one stream since the start. Repeats that were recognised count too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamCounts {
    /// The stream.
    pub stream: String,
    /// Requests.
    pub requests: u64,
    /// Bytes, as they came.
    pub bytes: u64,
    /// Rows that went to the stream.
    pub rows: u64,
    /// Records that went to the dead letters.
    pub dead_letters: u64,
}

/// Counts by stream.
#[derive(Default)]
pub(crate) struct Counters(Mutex<BTreeMap<String, StreamCounts>>);

impl Counters {
    /// Counts a request.
    pub(crate) fn add(&self, info: &StreamInfo, bytes: u64, report: &Report) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = info.spec.name.as_str();
        if !counts.contains_key(name) {
            counts
                .insert(name.to_owned(), StreamCounts { stream: name.to_owned(), ..StreamCounts::default() });
        }
        if let Some(counts) = counts.get_mut(name) {
            counts.requests += 1;
            counts.bytes += bytes;
            counts.rows += report.accepted;
            counts.dead_letters += report.dead_lettered;
        }
    }

    /// All counts, by name of the stream.
    pub(crate) fn all(&self) -> Vec<StreamCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
