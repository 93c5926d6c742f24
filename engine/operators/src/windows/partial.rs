//! The first of two phases: adds up each batch per slice and key, so that little crosses the exchange.
//!
//! The columns that come out: the keys, then `$slice` and `$from` (see [`super::place`]), then the aggregates' states.
//!
//! Where nearly every row has a key of its own there is nothing to add up, and each key would be looked up here for nothing: then each
//! row is handed on as the state that it makes. Whether that is so is told by the first rows of the batch, and by nothing else, so that
//! a step that is done again hands on the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::aggregate::WindowAggregate;
use super::kind::WindowKind;
use super::place::{Fate, Place, Placer, Sorting, Times, positive_weights};
use super::slices::Slices;
use crate::aggregates::AggregateSet;
use crate::api::{Changes, Clocks, Operator, OperatorSpec, Output, Rows};
use crate::error::Result;
use crate::groups::KeyTable;

/// So many rows of a batch tell how many share a key.
const SAMPLE_ROWS: usize = 4096;

/// Rows are handed on as they are if of so many rows at most one has a key that another has.
const SHARED_ONE_IN: usize = 32;

/// Adds up each batch per slice and key; holds no state between batches.
#[derive(Clone, Debug)]
pub struct WindowPartialSpec {
    what: Arc<WindowAggregate>,
    schema: SchemaRef,
}

impl WindowPartialSpec {
    /// Checks sizes, columns and types.
    pub fn try_new(what: WindowAggregate) -> Result<Self> {
        what.check()?;
        what.check_two_phases()?;
        let schema = partial_schema(&what)?;
        Ok(Self { what: Arc::new(what), schema })
    }

    /// The output columns that the exchange to the second phase goes by; none means all to one instance.
    pub fn exchange_keys(&self) -> Vec<usize> {
        (0..self.what.keys.len()).collect()
    }
}

/// Keys, place, states.
pub(super) fn partial_schema(what: &WindowAggregate) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = what.keys.iter().map(|key| what.input.field(*key).clone()).collect();
    fields.push(Field::new("$slice", DataType::Int64, false));
    fields.push(Field::new("$from", DataType::Int64, false));
    fields.extend(AggregateSet::try_new("", &what.aggregates, &what.input, false)?.state_fields()?);
    Ok(Arc::new(Schema::new(fields)))
}

impl OperatorSpec for WindowPartialSpec {
    fn name(&self) -> &'static str {
        match self.what.kind {
            WindowKind::Tumble { .. } => "TumblePartial",
            WindowKind::Hop { .. } => "HopPartial",
            WindowKind::Cumulate { .. } => "CumulatePartial",
        }
    }

    fn describe(&self) -> String {
        self.what.describe()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn adds_up_batches(&self) -> bool {
        true
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        let slices = what_slices(&self.what, self.name())?;
        Ok(Box::new(Partial {
            name: Arc::from(self.name()),
            what: Arc::clone(&self.what),
            schema: Arc::clone(&self.schema),
            slices,
        }))
    }
}

/// The empty state of a window aggregation.
pub(super) fn what_slices(what: &WindowAggregate, operator: &'static str) -> Result<Slices> {
    let types = what.keys.iter().map(|key| what.input.field(*key).data_type().clone()).collect();
    let aggregates = AggregateSet::try_new(operator, &what.aggregates, &what.input, false)?;
    Ok(Slices::new(what.kind, KeyTable::new(types)?, aggregates, what.per_key.is_some()))
}

struct Partial {
    name: Arc<str>,
    what: Arc<WindowAggregate>,
    schema: SchemaRef,
    /// Empty between batches.
    slices: Slices,
}

impl Operator for Partial {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        positive_weights(&rows, &self.name)?;
        let mut ordinals = Vec::with_capacity(rows.len());
        let rows = sort_by_clock(&self.what, rows, i64::MIN, &self.name, out, |place, rows| {
            ordinals.extend(std::iter::repeat_n(self.slices.ordinal(place), rows));
        })?;
        if rows.is_empty() {
            return Ok(());
        }
        let weights = positive_weights(&rows, &self.name)?;
        let columns = key_columns(&rows.batch, &self.what.keys);
        let columns = if self.has_own_keys(&columns, rows.len())? {
            self.slices.each_alone(&rows.batch, columns, &ordinals, weights)?
        } else {
            let (mut keys, mut groups) = (Vec::new(), Vec::new());
            self.slices.keys.intern(&columns, rows.len(), &mut keys)?;
            self.slices.find(&ordinals, &keys, &mut groups);
            self.slices.aggregates.update(&rows.batch, &groups, weights)?;
            self.slices.drain()?
        };
        // What lateness there was has been told; a partial result is never late by its clock.
        out.emit(Rows::new(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        Ok(())
    }
}

impl Partial {
    /// Whether nearly each row of a batch has a key of its own, by a part of it.
    fn has_own_keys(&mut self, columns: &[ArrayRef], rows: usize) -> Result<bool> {
        if rows < 2 * SAMPLE_ROWS {
            return Ok(false);
        }
        let sample: Vec<ArrayRef> = columns.iter().map(|column| column.slice(0, SAMPLE_ROWS)).collect();
        self.slices.keys.intern(&sample, SAMPLE_ROWS, &mut Vec::new())?;
        let own = self.slices.keys.len();
        self.slices.keys.clear();
        Ok((SAMPLE_ROWS - own) * SHARED_ONE_IN <= SAMPLE_ROWS)
    }
}

/// The key columns of a batch.
pub(crate) fn key_columns(batch: &RecordBatch, keys: &[usize]) -> Vec<ArrayRef> {
    keys.iter().map(|key| Arc::clone(batch.column(*key))).collect()
}

/// Calls `keep` with the places of rows that count, each with how many there are in it one after the other; hands on the late ones, and
/// gives back the rows that count.
pub(super) fn sort_by_clock(
    what: &WindowAggregate,
    rows: Rows,
    watermark: i64,
    operator: &Arc<str>,
    out: &mut Output,
    mut keep: impl FnMut(Place, usize),
) -> Result<Rows> {
    let times = Times::new(rows.batch.column(what.time), operator)?;
    let mut placer = Placer::new(what.kind);
    let mut sorting = Sorting::with_capacity(rows.len());
    // Where all rows have one clock and a time, those of a slice that follow one another share a place.
    let in_runs = matches!(rows.clocks, Clocks::Uniform(_)) && times.nulls.is_none();
    let mut row = 0;
    while row < rows.len() {
        let Some(time) = times.get(row) else {
            sorting.untimed(row);
            row += 1;
            continue;
        };
        let clock = rows.clock(row).0.max(watermark);
        let mut run = 1;
        match placer.place(time, clock) {
            Fate::Counts(place) => {
                if in_runs {
                    run += placer.run(place, &times.values[row + 1..]);
                }
                keep(place, run);
                sorting.keep_all(row..row + run);
            }
            Fate::Late => sorting.late(row, time, clock),
            Fate::Nowhere => {}
        }
        row += run;
    }
    sorting.split(rows, operator, out)
}
