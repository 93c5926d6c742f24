//! Small batches to larger ones, when a segment is sealed.

use std::ops::Range;

use arrow::array::{RecordBatch, TimestampNanosecondArray};
use headwater_core::EventTime;

use super::decode::Decoded;
use super::header::Header;
use crate::error::Result;

/// When the rows of a batch arrived.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Arrivals {
    /// All at the same time. For a batch that is being appended: when it is committed, see [`super::Placement`].
    Same(EventTime),
    /// Each at its own; without nulls.
    Each(TimestampNanosecondArray),
}

impl Arrivals {
    /// As a column of so many rows.
    pub(crate) fn to_array(&self, rows: usize) -> TimestampNanosecondArray {
        match self {
            Self::Same(time) => TimestampNanosecondArray::from_value(time.0, rows),
            Self::Each(times) => times.clone(),
        }
    }
}

/// Which runs of consecutive batches of one shard are to become one batch each. Every batch is in one run.
pub(crate) fn plan_merges(headers: &[Header]) -> Vec<Range<usize>> {
    let _ = headers;
    todo!()
}

/// Concatenates consecutive batches that were decoded to the same schema with their arrivals.
pub(crate) fn merge(batches: &[Decoded]) -> Result<(RecordBatch, Arrivals)> {
    let _ = batches;
    todo!()
}
