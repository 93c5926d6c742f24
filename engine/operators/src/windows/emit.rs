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
    /// Start and end, and how many rows one after the other have them.
    windows: Vec<(i64, i64, usize)>,
    keys: Vec<u32>,
    /// Their numbers in their partitions, if they have some.
    pub(crate) numbers: Vec<i64>,
}

impl Closed {
    pub(crate) fn push(&mut self, start: i64, end: i64, key: u32) {
        match self.windows.last_mut() {
            Some(last) if (last.0, last.1) == (start, end) => last.2 += 1,
            _ => self.windows.push((start, end, 1)),
        }
        self.keys.push(key);
    }

    /// Adds a window of several keys.
    pub(crate) fn extend(&mut self, start: i64, end: i64, keys: &[u32]) {
        self.windows.push((start, end, keys.len()));
        self.keys.extend(keys);
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// A time of each row's window.
    fn column(&self, kind: &DataType, of: impl Fn(i64, i64) -> i64) -> Result<ArrayRef> {
        let unit = unit_of(kind);
        let mut values = Vec::with_capacity(self.len());
        for (start, end, rows) in &self.windows {
            values.resize(values.len() + rows, EventTime(of(*start, *end)).to_unit(unit));
        }
        as_times(Int64Array::from(values), kind)
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
        self.emit_weighted(closed, keys, results, None, clock, out)
    }

    /// Hands on what has become of windows, each row so many times.
    pub(crate) fn emit_weighted(
        &self,
        closed: &Closed,
        keys: &KeyTable,
        results: &[ArrayRef],
        weights: Option<Int64Array>,
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let key_columns = keys.columns(&closed.keys)?;
        let columns = self
            .columns
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| match column.from {
                WindowColumn::Start => closed.column(field.data_type(), |start, _| start),
                WindowColumn::End => closed.column(field.data_type(), |_, end| end),
                WindowColumn::Time => {
                    closed.column(field.data_type(), |_, end| end.saturating_sub(MILLISECOND))
                }
                WindowColumn::Number => Ok(Arc::new(Int64Array::from(closed.numbers.clone())) as ArrayRef),
                WindowColumn::Key(key) => Ok(Arc::clone(&key_columns[key])),
                WindowColumn::Aggregate(aggregate) => Ok(Arc::clone(&results[aggregate])),
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(closed.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        out.emit(Rows { batch, weights, clocks: Clocks::Uniform(clock) });
        Ok(())
    }
}

/// Nanoseconds as a timestamp column.
pub(crate) fn window_column(times: impl Iterator<Item = i64>, kind: &DataType) -> Result<ArrayRef> {
    let unit = unit_of(kind);
    as_times(Int64Array::from_iter_values(times.map(|time| EventTime(time).to_unit(unit))), kind)
}

fn unit_of(kind: &DataType) -> TimeUnit {
    match kind {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Nanosecond,
    }
}

fn as_times(values: Int64Array, kind: &DataType) -> Result<ArrayRef> {
    Ok(make_array(values.into_data().into_builder().data_type(kind.clone()).build()?))
}
