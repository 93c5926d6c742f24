//! Rows that came after their window had closed: never dropped, appended to `system.late_rows` with the step's results.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use headwater_core::ShardId;
use headwater_ingest::dead_letter::late_rows_schema;
use headwater_ingest::{Encoder, Format, FormatOptions};
use headwater_log::{Append, Producer, StreamInfo};
use headwater_operators::Late;

use crate::error::Result;

/// Where late rows go.
#[derive(Clone)]
pub(crate) struct LateRows {
    /// The stream `system.late_rows`.
    pub info: Arc<StreamInfo>,
    /// The stream that the rows came from; several are joined by a comma.
    pub source: String,
    /// The event-time column, if it goes by one name.
    pub event_time: Option<String>,
}

impl LateRows {
    /// The appends for the late rows of a step, and how many rows they hold.
    pub fn appends(
        &self,
        job: &str,
        _step: u64,
        late: &[Late],
        producer: Producer,
    ) -> Result<(Vec<Append>, u64)> {
        let mut batches = Vec::new();
        let mut count = 0;
        for late in late.iter().filter(|late| late.batch.num_rows() > 0) {
            count += late.batch.num_rows() as u64;
            batches.push(self.describe(job, late)?);
        }
        if batches.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let batch = arrow::compute::concat_batches(&late_rows_schema(), &batches)?;
        // `system.late_rows` takes from many jobs: the producer is the job's, so its steps are told apart there, too.
        let append = Append { producer: Some(producer), ..Append::new(self.info.id, ShardId(0), batch) };
        Ok((vec![append], count))
    }

    fn describe(&self, job: &str, late: &Late) -> Result<RecordBatch> {
        let rows = late.batch.num_rows();
        let mut lines = Vec::new();
        let mut encoder = Encoder::new(Format::JsonLines, late.batch.schema(), &FormatOptions::default())?;
        encoder.encode(&late.batch, &mut lines)?;
        encoder.finish(&mut lines)?;
        let payload: Vec<String> =
            String::from_utf8_lossy(&lines).lines().take(rows).map(str::to_owned).collect();
        let constant = |text: &str| Arc::new(StringArray::from(vec![text; rows]));
        let time = self.event_time.as_ref().and_then(|name| late.batch.column_by_name(name));
        let time = match time.filter(|column| matches!(column.data_type(), DataType::Timestamp(..))) {
            Some(column) => arrow::compute::cast(column, &utc())?,
            None => arrow::array::new_null_array(&utc(), rows),
        };
        let unknown = TimestampNanosecondArray::new_null(rows).with_timezone("UTC");
        Ok(RecordBatch::try_new(
            late_rows_schema(),
            vec![
                constant(job),
                constant(&self.source),
                constant(&late.operator),
                Arc::new(StringArray::from(payload)),
                time,
                Arc::new(unknown),
            ],
        )?)
    }
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}
