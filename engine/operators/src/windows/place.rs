//! Which slice a row goes to, and which rows are late.
//!
//! A row counts in the windows that are still open by its own clock. If some windows of its slice have closed by then and
//! others have not, it must be kept apart from the rows that count in all of them: so a place is a slice and the end of
//! the first window that the row counts in.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use headwater_core::time::nanos_per;

use super::kind::WindowKind;
use crate::api::{Late, Output, Rows};
use crate::error::{OperatorError, Result};

/// What a row without event time is late by.
const NULL_TIME: &str = "null event time";

/// A slice, and the end of the first window that the rows here count in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) slice: i64,
    pub(super) from: i64,
}

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Counts(Place),
    Late,
    /// It lies between two windows.
    Nowhere,
}

/// Tells rows' fates, one after the other; fast while rows lie in the same slice.
pub(super) struct Placer {
    kind: WindowKind,
    slice: i64,
    slice_end: i64,
    first_end: i64,
}

impl Placer {
    pub(super) fn new(kind: WindowKind) -> Self {
        Self { kind, slice: 0, slice_end: 0, first_end: i64::MIN }
    }

    #[inline]
    pub(super) fn place(&mut self, time: i64, clock: i64) -> Fate {
        if self.slice <= time && time < self.slice_end && clock < self.first_end {
            return Fate::Counts(Place { slice: self.slice, from: self.first_end });
        }
        self.place_slowly(time, clock)
    }

    /// How many of these times in a row are of the place that the last one counts in, at the same clock.
    pub(super) fn run(&self, place: Place, times: &[i64]) -> usize {
        if (place.slice, place.from) != (self.slice, self.first_end) {
            return 0;
        }
        let slice = self.slice..self.slice_end;
        times.iter().position(|time| !slice.contains(time)).unwrap_or(times.len())
    }

    fn place_slowly(&mut self, time: i64, clock: i64) -> Fate {
        let slice = self.kind.slice_of(time);
        if let Some(first_end) = self.kind.next_end(slice, i64::MIN) {
            self.slice = slice;
            self.slice_end = slice.saturating_add(self.kind.slice_size());
            self.first_end = first_end;
        }
        fate(&self.kind, slice, clock)
    }
}

/// What becomes of the rows of a slice at a clock.
pub(super) fn fate(kind: &WindowKind, slice: i64, clock: i64) -> Fate {
    match kind.next_end(slice, clock) {
        Some(from) => Fate::Counts(Place { slice, from }),
        None if kind.last_end(slice).is_some() => Fate::Late,
        None => Fate::Nowhere,
    }
}

/// A time column in nanoseconds.
pub(crate) struct Times {
    pub(crate) values: arrow::buffer::ScalarBuffer<i64>,
    pub(crate) nulls: Option<NullBuffer>,
}

impl Times {
    pub(crate) fn new(column: &ArrayRef, operator: &str) -> Result<Self> {
        let DataType::Timestamp(unit, _) = column.data_type() else {
            let reason = format!("event time must be a timestamp and is {}", column.data_type());
            return Err(OperatorError::unsupported(operator, reason));
        };
        let values = match unit {
            TimeUnit::Second => column.as_primitive::<TimestampSecondType>().values(),
            TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().values(),
            TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().values(),
            TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().values(),
        };
        let values = match nanos_per(*unit) {
            1 => values.clone(),
            nanos => values.iter().map(|value| value.saturating_mul(nanos)).collect(),
        };
        Ok(Self { values, nulls: column.nulls().cloned() })
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => None,
            _ => Some(self.values[row]),
        }
    }
}

/// Which rows of a batch are kept, which are late, which have no time.
#[derive(Default)]
pub(crate) struct Sorting {
    kept: Vec<bool>,
    late: Vec<(u32, Lateness)>,
    untimed: Vec<u32>,
}

/// By what a row is late.
#[derive(Clone, Copy)]
struct Lateness {
    time: i64,
    clock: i64,
}

impl Sorting {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { kept: vec![false; rows], late: Vec::new(), untimed: Vec::new() }
    }

    #[inline]
    pub(crate) fn keep(&mut self, row: usize) {
        self.kept[row] = true;
    }

    /// Rows one after the other.
    pub(crate) fn keep_all(&mut self, rows: std::ops::Range<usize>) {
        self.kept[rows].fill(true);
    }

    /// A row of this time that came after the watermark was at `clock`.
    pub(crate) fn late(&mut self, row: usize, time: i64, clock: i64) {
        self.late.push((row as u32, Lateness { time, clock }));
    }

    pub(crate) fn untimed(&mut self, row: usize) {
        self.untimed.push(row as u32);
    }

    /// Hands on what is late.
    pub(crate) fn emit_late(&self, batch: &RecordBatch, operator: &Arc<str>, out: &mut Output) -> Result<()> {
        if !self.late.is_empty() {
            let places = UInt32Array::from_iter_values(self.late.iter().map(|(row, _)| *row));
            let each = |of: fn(&Lateness) -> i64| {
                TimestampNanosecondArray::from_iter_values(self.late.iter().map(|(_, late)| of(late)))
            };
            out.late.push(Late {
                batch: take_record_batch(batch, &places)?,
                times: each(|late| late.time),
                clocks: each(|late| late.clock),
                operator: Arc::clone(operator),
            });
        }
        if !self.untimed.is_empty() {
            let unknown = TimestampNanosecondArray::new_null(self.untimed.len());
            out.late.push(Late {
                batch: take_record_batch(batch, &UInt32Array::from(self.untimed.clone()))?,
                times: unknown.clone(),
                clocks: unknown,
                operator: Arc::from(NULL_TIME),
            });
        }
        Ok(())
    }

    /// Hands on the rows of which the clock, or the watermark `passed` if that is greater, is more than `after` nanoseconds past the
    /// time that stands in `column`; gives back the others.
    pub(crate) fn in_time(
        rows: Rows,
        column: usize,
        after: i64,
        passed: i64,
        operator: &Arc<str>,
        out: &mut Output,
    ) -> Result<Rows> {
        let times = Times::new(rows.batch.column(column), operator)?;
        let mut sorting = Self::with_capacity(rows.len());
        for row in 0..rows.len() {
            let clock = rows.clock(row).0.max(passed);
            match times.get(row) {
                None => sorting.untimed(row),
                Some(time) if clock > time.saturating_add(after) => sorting.late(row, time, clock),
                Some(_) => sorting.keep(row),
            }
        }
        sorting.split(rows, operator, out)
    }

    /// Hands on what is late, and gives back what is kept.
    pub(crate) fn split(self, rows: Rows, operator: &Arc<str>, out: &mut Output) -> Result<Rows> {
        self.emit_late(&rows.batch, operator, out)?;
        if self.kept.iter().all(|kept| *kept) {
            Ok(rows)
        } else {
            rows.filter(&BooleanArray::from(self.kept))
        }
    }
}

/// Refuses rows with weights, where each comes once and stays.
pub(crate) fn refuse_weights(rows: &Rows, operator: &str) -> Result<()> {
    if rows.weights.is_none() {
        return Ok(());
    }
    let reason = "rows came with weights, from an input that only ever adds each once";
    Err(OperatorError::unsupported(operator, reason))
}

/// The weights of rows that may only be added.
pub(crate) fn positive_weights<'a>(rows: &'a Rows, operator: &str) -> Result<Option<&'a [i64]>> {
    let weights = rows.weights.as_ref().map(|weights| &**weights.values());
    match weights {
        Some(weights) if weights.iter().any(|weight| *weight < 0) => Err(OperatorError::unsupported(
            operator,
            "rows cannot be retracted from a window; aggregate in the window first and update afterwards",
        )),
        weights => Ok(weights),
    }
}
