//! Rows that came after their window had closed: never dropped, appended with the step's results, to `system.late_rows` or where
//! `LATE DATA TO` says.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::{can_cast_types, cast, concat_batches};
use arrow::datatypes::FieldRef;
use headwater_ingest::dead_letter::late_rows_schema;
use headwater_ingest::{Encoder, Format, FormatOptions};
use headwater_log::{Append, Producer, StreamInfo};
use headwater_operators::{Late, Rows};
use headwater_plan::LATENESS;

use crate::error::Result;
use crate::job::Sink;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// Where late rows go.
pub(crate) struct LateRows {
    into: Arc<StreamInfo>,
    sink: Sink,
    /// Whether the stream has the rows' own columns, and not those of `system.late_rows`.
    own_columns: bool,
    /// The stream that the rows came from; several are joined by a comma.
    source: String,
}

impl LateRows {
    /// Late rows of what was read from `source` go to `system.late_rows`, or with their own columns to another stream.
    pub fn new(into: Arc<StreamInfo>, own_columns: bool, source: String) -> Result<Self> {
        Ok(Self { sink: Sink::new(Arc::clone(&into))?, into, own_columns, source })
    }

    /// The appends for the late rows of a step, and how many rows they hold.
    pub fn appends(&self, job: &str, late: &[Late], producer: Producer) -> Result<(Vec<Append>, u64)> {
        let late = late.iter().filter(|late| late.batch.num_rows() > 0);
        let batches =
            late.map(|late| if self.own_columns { self.by_name(late) } else { self.describe(job, late) });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        if batches.is_empty() {
            return Ok((Vec::new(), 0));
        }
        // The stream takes from many jobs: the producer is the job's, so that its steps are told apart there, too.
        self.sink.appends(&[Rows::new(concat_batches(&self.into.spec.schema, &batches)?)], producer)
    }

    /// The columns of the stream, each from the row's column of that name.
    fn by_name(&self, late: &Late) -> Result<RecordBatch> {
        let column = |field: &FieldRef| -> Result<ArrayRef> {
            let (name, kind) = (field.name(), field.data_type());
            match late.batch.column_by_name(name) {
                _ if name == LATENESS => Ok(Arc::new(lateness(late))),
                Some(column) if column.data_type() == kind => Ok(Arc::clone(column)),
                Some(column) if can_cast_types(column.data_type(), kind) => Ok(cast(column, kind)?),
                _ => Ok(new_null_array(kind, late.batch.num_rows())),
            }
        };
        let schema = &self.into.spec.schema;
        let columns = schema.fields().iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    fn describe(&self, job: &str, late: &Late) -> Result<RecordBatch> {
        let rows = late.batch.num_rows();
        let constant = |text: &str| Arc::new(StringArray::from(vec![text; rows]));
        Ok(RecordBatch::try_new(
            late_rows_schema(),
            vec![
                constant(job),
                constant(&self.source),
                constant(&late.operator),
                Arc::new(StringArray::from(json_of(&late.batch)?)),
                Arc::new(late.times.clone().with_timezone("UTC")),
                Arc::new(late.clocks.clone().with_timezone("UTC")),
            ],
        )?)
    }
}

/// Each row as a JSON object.
pub(crate) fn json_of(batch: &RecordBatch) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut encoder = Encoder::new(Format::JsonLines, batch.schema(), &FormatOptions::default())?;
    encoder.encode(batch, &mut lines)?;
    encoder.finish(&mut lines)?;
    Ok(String::from_utf8_lossy(&lines).lines().take(batch.num_rows()).map(str::to_owned).collect())
}

/// By how many milliseconds the watermark was past each row's time.
fn lateness(late: &Late) -> Int64Array {
    let (times, clocks) = (&late.times, &late.clocks);
    let known = |row: usize| times.is_valid(row) && clocks.is_valid(row);
    let by = |row: usize| clocks.value(row).saturating_sub(times.value(row)) / NANOS_PER_MILLI;
    (0..times.len()).map(|row| known(row).then(|| by(row))).collect()
}
