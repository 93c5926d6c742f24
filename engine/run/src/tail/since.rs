//! The rows of a time or later. The log begins a read at a time with a whole batch, in which there may be earlier rows.

use std::ops::Range;

use arrow::array::{Array, RecordBatch, TimestampNanosecondArray};
use headwater_core::EventTime;
use headwater_log::{From, ReadBatch, StreamInfo};

use crate::error::{Result, RunError};
use crate::job::nanos;

/// From which time on rows are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    /// The time.
    pub time: EventTime,
    /// The column that tells a row's event time; `None`: its arrival counts.
    pub column: Option<usize>,
}

impl Since {
    /// By a stream's event time, or arrival where it has none.
    pub fn of(info: &StreamInfo, time: EventTime) -> Self {
        let column = info.spec.event_time.as_ref().and_then(|name| info.spec.schema.index_of(name).ok());
        Self { time, column }
    }

    /// Where the log begins to read.
    pub fn place(&self) -> From {
        match self.column {
            Some(_) => From::EventTime(self.time),
            None => From::Arrival(self.time),
        }
    }

    /// The stretches of rows that are given. Rows without a time are not.
    pub fn stretches(&self, read: &ReadBatch) -> Result<Vec<Range<usize>>> {
        let times = match self.column {
            Some(column) => times_of(&read.rows, column)?,
            None => {
                read.arrivals.clone().ok_or_else(|| RunError::Invalid("arrivals were not read".to_owned()))?
            }
        };
        let mut stretches: Vec<Range<usize>> = Vec::new();
        for row in (0..times.len()).filter(|row| times.is_valid(*row) && times.value(*row) >= self.time.0) {
            match stretches.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => stretches.push(row..row + 1),
            }
        }
        Ok(stretches)
    }
}

fn times_of(rows: &RecordBatch, column: usize) -> Result<TimestampNanosecondArray> {
    let times = nanos(rows.column(column));
    times.map_err(|source| RunError::Operator { what: "a tail".to_owned(), source })
}
