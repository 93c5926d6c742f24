//! Bytes to rows: the columns that are wanted and no others, each buffer verified before it is used.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array, new_null_array};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampNanosecondType};

use super::columns::{Builder, Cursor};
use super::error::{BatchError, Result};
use super::fetch::{Fetch, fetch_buffers};
use super::header::{FIXED_BYTES, Header};
use super::merge::Arrivals;
use crate::LogError;
use crate::schema::{stored_type, widen};

/// The type of the column of arrivals.
const ARRIVALS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// What is wanted of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The schema that wrote the batch.
    pub written: &'a SchemaRef,
    /// The schema to adapt to: the stream's newest.
    pub target: &'a SchemaRef,
    /// Which columns of `target`, in this order; `None` for all.
    pub projection: Option<&'a [usize]>,
    /// The schema of the result: `target` projected, made once per reader.
    pub output: &'a SchemaRef,
    /// Whether arrivals are wanted.
    pub arrivals: bool,
}

/// Rows that were read.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    /// The columns asked for; without any, a row count only.
    pub rows: RecordBatch,
    /// When the rows arrived, if asked for; else the range is in the header.
    pub arrivals: Option<Arrivals>,
}

/// Reads what is wanted. Without columns and arrivals nothing is fetched.
pub(crate) fn decode(header: &Header, wanted: &Wanted<'_>, fetch: &dyn Fetch) -> Result<Decoded> {
    let all: Vec<usize>;
    let projection = match wanted.projection {
        Some(projection) => projection,
        None => {
            all = (0..wanted.target.fields().len()).collect();
            &all
        }
    };
    let each_arrival = wanted.arrivals && header.has_arrivals;
    let mut stored = if projection.is_empty() && !each_arrival {
        Stored::default()
    } else {
        read_columns(header, wanted.written, projection, each_arrival, fetch)?
    };
    let rows = header.rows as usize;
    let mut columns = Vec::with_capacity(projection.len());
    for (index, field) in projection.iter().zip(wanted.output.fields()) {
        columns.push(match stored.columns.get(*index).and_then(Option::as_ref) {
            Some(column) => widen(column, field.data_type())?,
            None => new_null_array(field.data_type(), rows),
        });
    }
    let arrivals =
        wanted.arrivals.then(|| stored.arrivals.take().unwrap_or(Arrivals::Same(header.arrival.0)));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let rows = RecordBatch::try_new_with_options(Arc::clone(wanted.output), columns, &options)
        .map_err(LogError::from)?;
    Ok(Decoded { rows, arrivals })
}

/// What was read of a body.
#[derive(Default)]
struct Stored {
    /// By index in the schema that wrote the batch; what was not wanted is not there.
    columns: Vec<Option<ArrayRef>>,
    arrivals: Option<Arrivals>,
}

fn read_columns(
    header: &Header,
    written: &SchemaRef,
    projection: &[usize],
    each_arrival: bool,
    fetch: &dyn Fetch,
) -> Result<Stored> {
    let mut types: Vec<&DataType> =
        written.fields().iter().map(|field| stored_type(field.data_type())).collect();
    let mut is_wanted = vec![false; types.len()];
    for index in projection {
        // A column that the batch was written without is not there to be wanted.
        if let Some(is_wanted) = is_wanted.get_mut(*index) {
            *is_wanted = true;
        }
    }
    if header.has_arrivals {
        types.push(&ARRIVALS);
        is_wanted.push(each_arrival);
    }
    let (starts, numbers) = locate(header, &types, &is_wanted)?;
    let mut build =
        Builder { header, buffers: fetch_buffers(header, &numbers, fetch)?, at: Cursor::default() };
    let mut columns = Vec::with_capacity(types.len());
    for (index, data_type) in types.iter().enumerate() {
        columns.push(if is_wanted[index] {
            build.at = starts[index];
            Some(make_array(build.array(data_type, header.rows as usize)?))
        } else {
            None
        });
    }
    let times = if header.has_arrivals { columns.pop().flatten() } else { None };
    let arrivals = times.map(|times| Arrivals::Each(times.as_primitive::<TimestampNanosecondType>().clone()));
    Ok(Stored { columns, arrivals })
}

/// Where each column starts, and the numbers of the buffers of those that are wanted.
fn locate(header: &Header, types: &[&DataType], is_wanted: &[bool]) -> Result<(Vec<Cursor>, Vec<usize>)> {
    let mut at = Cursor::default();
    let mut starts = Vec::with_capacity(types.len());
    let mut numbers = Vec::new();
    for (data_type, is_wanted) in types.iter().zip(is_wanted) {
        starts.push(at);
        let first = at.buffer;
        at.skip(header, data_type)?;
        if *is_wanted {
            numbers.extend(first..at.buffer);
        }
    }
    if at.is_at_end(header) {
        Ok((starts, numbers))
    } else {
        let reason = format!("the header does not describe the columns of schema {}", header.schema);
        Err(BatchError::damaged(FIXED_BYTES as u64, reason))
    }
}
