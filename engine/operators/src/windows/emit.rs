//! Windows that close become rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, make_array};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use headwater_core::EventTime;

use super::layout::{OutputColumn, WindowColumn};
use crate::api::{Clocks, Output, Rows};
use crate::error::Result;
use crate::groups::KeyTable;

/// In nanoseconds: `window_time` is so long before `window_end`.
pub(crate) const MILLISECOND: i64 = 1_000_000;

/// The columns of closed windows, in the order that the planner wants.
pub(crate) struct Layout {
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<OutputColumn>,
}

/// Windows that have closed, row by row.
#[derive(Default)]
pub(crate) struct Closed {
    pub(crate) starts: Vec<i64>,
    pub(crate) ends: Vec<i64>,
    pub(crate) keys: Vec<u32>,
}

impl Closed {
    pub(crate) fn push(&mut self, start: i64, end: i64, key: u32) {
        self.starts.push(start);
        self.ends.push(end);
        self.keys.push(key);
    }

    /// Adds a window of several keys.
    pub(crate) fn extend(&mut self, start: i64, end: i64, keys: Vec<u32>) {
        let len = self.len() + keys.len();
        self.starts.resize(len, start);
        self.ends.resize(len, end);
        if self.keys.is_empty() { self.keys = keys } else { self.keys.extend(keys) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl Layout {
    /// Hands on closed windows with their results.
    pub(crate) fn emit(
        &self,
        closed: &Closed,
        keys: &KeyTable,
        results: &[ArrayRef],
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let key_columns = keys.columns(&closed.keys)?;
        let columns = self
            .columns
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| match column.from {
                WindowColumn::Start => window_column(closed.starts.iter().copied(), field.data_type()),
                WindowColumn::End => window_column(closed.ends.iter().copied(), field.data_type()),
                WindowColumn::Time => {
                    let times = closed.ends.iter().map(|end| end.saturating_sub(MILLISECOND));
                    window_column(times, field.data_type())
                }
                WindowColumn::Key(key) => Ok(Arc::clone(&key_columns[key])),
                WindowColumn::Aggregate(aggregate) => Ok(Arc::clone(&results[aggregate])),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(closed.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        out.emit(Rows { batch, weights: None, clocks: Clocks::Uniform(clock) });
        Ok(())
    }
}

/// Nanoseconds as a timestamp column.
pub(crate) fn window_column(times: impl Iterator<Item = i64>, kind: &DataType) -> Result<ArrayRef> {
    let unit = match kind {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Nanosecond,
    };
    let values = Int64Array::from_iter_values(times.map(|time| EventTime(time).to_unit(unit)));
    Ok(make_array(values.into_data().into_builder().data_type(kind.clone()).build()?))
}
