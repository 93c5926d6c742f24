//! Small batches to larger ones, when a segment is sealed.
//!
//! What a batch costs beside its rows is a header, a read per column, and the set-up of every kernel that it goes through:
//! some microseconds in all. At [`ROWS_TARGET`] that is nothing per row, and a column of eight-byte values is half a
//! megabyte, which a disk reads at full speed and a core's cache still holds. [`BYTES_TARGET`] keeps a projection of wide rows
//! selective and a reader's memory small.

use std::ops::Range;

use arrow::array::{RecordBatch, TimestampNanosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampNanosecondType;
use headwater_core::EventTime;

use super::decode::Decoded;
use super::header::Header;
use crate::error::Result;

/// A batch gets no more batches merged into it when it would have more rows than this.
pub(crate) const ROWS_TARGET: u64 = 64 * 1024;

/// A batch gets no more batches merged into it when its body, before compression, would take more than this.
pub(crate) const BYTES_TARGET: u64 = 4 << 20;

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
pub(crate) fn plan_merges<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (index, header) in headers.into_iter().enumerate() {
        rows += u64::from(header.rows);
        bytes += header.decoded_bytes;
        match runs.last_mut() {
            Some(run) if rows <= ROWS_TARGET && bytes <= BYTES_TARGET => run.end = index + 1,
            _ => {
                runs.push(index..index + 1);
                (rows, bytes) = (u64::from(header.rows), header.decoded_bytes);
            }
        }
    }
    runs
}

/// Concatenates consecutive batches (at least one) that were decoded to the same schema with their arrivals.
pub(crate) fn merge(batches: &[Decoded]) -> Result<(RecordBatch, Arrivals)> {
    let schema = batches[0].rows.schema();
    let rows = concat_batches(&schema, batches.iter().map(|batch| &batch.rows))?;
    let mut times = batches.iter().map(|batch| &batch.arrivals);
    let first = times.next().cloned().flatten();
    if let Some(Arrivals::Same(time)) = first
        && times.all(|time| *time == first)
    {
        return Ok((rows, Arrivals::Same(time)));
    }
    let mut all = arrow::array::PrimitiveBuilder::<TimestampNanosecondType>::with_capacity(rows.num_rows());
    for batch in batches {
        let arrivals = batch.arrivals.as_ref().map(|arrivals| arrivals.to_array(batch.rows.num_rows()));
        all.append_slice(arrivals.as_ref().map_or(&[], |times| times.values()));
    }
    Ok((rows, Arrivals::Each(all.finish())))
}
