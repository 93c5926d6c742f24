//! The rows of all partitions: their columns, how they are ordered, and where what was said with each is kept.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow_row::{RowConverter, SortField};

use crate::error::Result;
use crate::held::Store;
use crate::windows::Times;

/// Nothing has been said with a row.
pub(super) const UNTOLD: u32 = u32::MAX;

const DAY: i64 = 86_400_000_000_000;

/// What a snapshot knows of a row beside its columns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Note {
    /// The watermark behind the step in which it came.
    pub(super) at: i64,
    /// It was retracted without having come; it is in no order, and goes when it comes.
    pub(super) owed: bool,
}

/// How far along the order a row is, where frames have a length: nulls before all numbers or behind them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Measure {
    side: u8,
    value: i64,
}

const NUMBER: u8 = 1;

impl Measure {
    fn new(value: Option<i64>, options: SortOptions) -> Self {
        match value {
            None => Self { side: if options.nulls_first { 0 } else { 2 }, value: 0 },
            // The complement turns the order around and keeps distances.
            Some(value) => Self { side: NUMBER, value: if options.descending { !value } else { value } },
        }
    }

    /// So much further along the order. No length leads from NULL to anything else.
    pub(super) fn shifted(self, by: i64) -> Self {
        if self.side == NUMBER { Self { value: self.value.saturating_add(by), ..self } } else { self }
    }
}

/// A row as it is ordered: by what it is ordered by, then by all its columns, both in `arrow-row` encoding.
#[derive(Clone, Default)]
pub(super) struct Line {
    pub(super) bytes: Box<[u8]>,
    head: u32,
    pub(super) measure: Measure,
}

impl Line {
    /// What it is ordered by: peers are equal in it.
    pub(super) fn head(&self) -> &[u8] {
        &self.bytes[..self.head as usize]
    }
}

/// Turns batches into lines.
pub(super) struct Encoder {
    order: Option<RowConverter>,
    columns: RowConverter,
    by: Vec<(usize, SortOptions)>,
    /// Whether frames have lengths.
    measured: bool,
}

impl Encoder {
    pub(super) fn try_new(input: &SchemaRef, by: &[(usize, SortOptions)], measured: bool) -> Result<Self> {
        let kind = |column: usize| input.field(column).data_type().clone();
        let order = by.iter().map(|(column, options)| SortField::new_with_options(kind(*column), *options));
        let columns = (0..input.fields().len()).map(|column| SortField::new(kind(column)));
        Ok(Self {
            order: if by.is_empty() { None } else { Some(RowConverter::new(order.collect())?) },
            columns: RowConverter::new(columns.collect())?,
            by: by.to_vec(),
            measured,
        })
    }

    pub(super) fn encode(&self, batch: &RecordBatch, operator: &str) -> Result<Vec<Line>> {
        let order: Vec<ArrayRef> =
            self.by.iter().map(|(column, _)| Arc::clone(batch.column(*column))).collect();
        let order = self.order.as_ref().map(|converter| converter.convert_columns(&order)).transpose()?;
        let columns = self.columns.convert_columns(batch.columns())?;
        let measures = match self.by.first().filter(|_| self.measured) {
            Some((column, options)) => measures(batch.column(*column), *options, operator)?,
            None => vec![Measure::default(); batch.num_rows()],
        };
        let line = |(row, measure): (usize, Measure)| {
            let head = order.as_ref().map_or(&[][..], |order| order.row(row).data());
            let columns = columns.row(row);
            Line { bytes: [head, columns.data()].concat().into(), head: head.len() as u32, measure }
        };
        Ok(measures.into_iter().enumerate().map(line).collect())
    }
}

/// Whether frames over a column of this type can have a length: in nanoseconds of a time, else in its numbers.
pub(super) fn has_lengths(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
    )
}

fn measures(column: &ArrayRef, options: SortOptions, operator: &str) -> Result<Vec<Measure>> {
    let measure = |value: Option<i64>| Measure::new(value, options);
    match column.data_type() {
        DataType::Timestamp(..) => {
            let times = Times::new(column, operator)?;
            Ok((0..column.len()).map(|row| measure(times.get(row))).collect())
        }
        kind => {
            let unit = if *kind == DataType::Date32 { DAY } else { 1 };
            let days = if unit == DAY { cast(column, &DataType::Int32)? } else { Arc::clone(column) };
            let numbers = cast(&days, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>().iter();
            Ok(numbers.map(|value| measure(value.map(|value| value.saturating_mul(unit)))).collect())
        }
    }
}

/// A row beside its columns.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) line: Line,
    /// Where what was said with it is kept.
    pub(super) told: u32,
    /// How many different values of the order there are up to it, if anybody asks.
    pub(super) dense: i64,
}

/// Rows by number.
pub(super) struct Held {
    pub(super) store: Store<Note>,
    entries: Vec<Entry>,
    /// Bytes of the lines.
    bytes: usize,
}

impl Held {
    pub(super) fn new(input: &SchemaRef) -> Self {
        Self { store: Store::new(input), entries: Vec::new(), bytes: 0 }
    }

    pub(super) fn entry(&self, row: u32) -> &Entry {
        &self.entries[row as usize]
    }

    pub(super) fn entry_mut(&mut self, row: u32) -> &mut Entry {
        &mut self.entries[row as usize]
    }

    pub(super) fn line(&self, row: u32) -> &Line {
        &self.entry(row).line
    }

    /// The number of a row's partition.
    pub(super) fn partition(&self, row: u32) -> u32 {
        self.store.row(row).key
    }

    /// Gives rows of the store their lines.
    pub(super) fn note_lines(&mut self, rows: &[u32], lines: impl Iterator<Item = Line>) {
        for (row, line) in rows.iter().zip(lines) {
            let row = *row as usize;
            if row >= self.entries.len() {
                let none = Entry { line: Line::default(), told: UNTOLD, dense: 0 };
                self.entries.resize(row + 1, none);
            }
            self.bytes += line.bytes.len();
            self.entries[row] = Entry { line, told: UNTOLD, dense: 0 };
        }
    }

    /// Lets go of a row.
    pub(super) fn remove(&mut self, row: u32) {
        let line = std::mem::take(&mut self.entries[row as usize].line);
        self.bytes -= line.bytes.len();
        self.store.remove(row);
    }

    pub(super) fn size(&self) -> usize {
        self.store.size() + self.bytes + self.entries.capacity() * size_of::<Entry>()
    }
}
