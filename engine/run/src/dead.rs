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

/// Rows for which an expression of a query that is looked on could not be computed: it goes on without them, and keeps them nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uncomputed {
    /// How many there are.
    pub rows: u64,
    /// Where the first of them came from.
    pub stream: String,
    /// Why it could not be computed.
    pub reason: String,
    /// The row, as JSON.
    pub payload: String,
}

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

    /// The appends for the rows of a job's step that failed at a time. `job_of`: the job, or the trigger of a set that it is so for.
    pub fn appends(
        &self,
        job_of: impl Fn(&Failed) -> String,
        failed: &[Failed],
        now: EventTime,
        producer: Producer,
    ) -> Result<Vec<Append>> {
        if failed.is_empty() {
            return Ok(Vec::new());
        }
        let letters = self.letters(|failed| format!("job {}", job_of(failed)), failed, now)?;
        Ok(self.sink.appends(&[Rows::new(letters)], producer)?.0)
    }

    /// The appends for rows of a replay, whose steps have no numbers of their own in the log.
    pub fn of_replay(&self, replay: &str, failed: &[Failed], now: EventTime) -> Result<Vec<Append>> {
        match failed.is_empty() {
            true => Ok(Vec::new()),
            false => self.sink.spread(&self.letters(|_| replay.to_owned(), failed, now)?),
        }
    }

    /// What is said of a step's rows to whoever looks on; `None`: nothing, as all could be computed.
    pub fn told(&self, failed: &[Failed]) -> Result<Option<Uncomputed>> {
        let Some(first) = failed.first() else { return Ok(None) };
        Ok(Some(Uncomputed {
            rows: failed.iter().map(|failed| failed.reasons.len() as u64).sum(),
            stream: first.table.as_deref().unwrap_or(&self.source).to_owned(),
            reason: reasons(first).next().unwrap_or_default(),
            payload: json_of(&first.batch.slice(0, 1))?.pop().unwrap_or_default(),
        }))
    }

    fn letters(
        &self,
        who: impl Fn(&Failed) -> String,
        failed: &[Failed],
        now: EventTime,
    ) -> Result<RecordBatch> {
        let mut first = 1;
        let each = failed.iter().map(|failed| {
            let letters = self.describe(&who(failed), failed, first, now);
            first += failed.reasons.len() as i64;
            letters
        });
        Ok(concat_batches(&dead_letters_schema(), &each.collect::<Result<Vec<_>>>()?)?)
    }

    /// Rows are counted from `first` on, within their step.
    fn describe(&self, who: &str, failed: &Failed, first: i64, now: EventTime) -> Result<RecordBatch> {
        let rows = failed.reasons.len();
        let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
        let columns: Vec<ArrayRef> = vec![
            constant(failed.table.as_deref().unwrap_or(&self.source)),
            constant(who),
            Arc::new(Int64Array::from_iter_values(first..first + rows as i64)),
            constant(OperatorError::ON_A_VALUE.as_str()),
            new_null_array(&DataType::Utf8, rows),
            Arc::new(StringArray::from_iter_values(reasons(failed))),
            Arc::new(BinaryArray::from_iter_values(json_of(&failed.batch)?)),
            Arc::new(TimestampNanosecondArray::from_value(now.0, rows).with_timezone("UTC")),
            new_null_array(&DataType::Utf8, rows),
        ];
        Ok(RecordBatch::try_new(dead_letters_schema(), columns)?)
    }
}

fn reasons(failed: &Failed) -> impl Iterator<Item = String> {
    failed.reasons.iter().map(|reason| format!("{}: {reason}", failed.operator))
}
