//! Rows for which a job's expressions could not be computed: never dropped, appended with the step's results to `system.dead_letters`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use headwater_core::EventTime;
use headwater_ingest::dead_letter::dead_letters_schema;
use headwater_log::{Append, Producer, StreamInfo};
use headwater_operators::{Failed, OperatorError, Rows};

use crate::error::Result;
use crate::job::Sink;
use crate::late::json_of;

/// Where rows go that could not be computed.
pub(crate) struct DeadRows {
    sink: Sink,
    /// The stream that the rows came from; several are joined by a comma.
    source: String,
}

impl DeadRows {
    /// Rows of what was read from `source` go into the stream of dead letters.
    pub fn new(into: Arc<StreamInfo>, source: String) -> Result<Self> {
        Ok(Self { sink: Sink::new(into)?, source })
    }

    /// The appends for the rows of a step that failed at a time.
    pub fn appends(
        &self,
        job: &str,
        failed: &[Failed],
        now: EventTime,
        producer: Producer,
    ) -> Result<Vec<Append>> {
        if failed.is_empty() {
            return Ok(Vec::new());
        }
        let mut first = 1;
        let each = failed.iter().map(|failed| {
            let letters = self.describe(job, failed, first, now);
            first += failed.reasons.len() as i64;
            letters
        });
        let letters = concat_batches(&dead_letters_schema(), &each.collect::<Result<Vec<_>>>()?)?;
        Ok(self.sink.appends(&[Rows::new(letters)], producer)?.0)
    }

    /// Rows are counted from `first` on, within their step.
    fn describe(&self, job: &str, failed: &Failed, first: i64, now: EventTime) -> Result<RecordBatch> {
        let rows = failed.reasons.len();
        let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        let reasons = failed.reasons.iter().map(|reason| format!("{}: {reason}", failed.operator));
        let columns: Vec<ArrayRef> = vec![
            constant(&self.source),
            constant(&format!("job {job}")),
            Arc::new(Int64Array::from_iter_values(first..first + rows as i64)),
            constant(OperatorError::ON_A_VALUE.as_str()),
            new_null_array(&DataType::Utf8, rows),
            Arc::new(StringArray::from_iter_values(reasons)),
            Arc::new(BinaryArray::from_iter_values(json_of(&failed.batch)?)),
            Arc::new(TimestampNanosecondArray::from_value(now.0, rows).with_timezone("UTC")),
            new_null_array(&DataType::Utf8, rows),
        ];
        Ok(RecordBatch::try_new(dead_letters_schema(), columns)?)
    }
}
