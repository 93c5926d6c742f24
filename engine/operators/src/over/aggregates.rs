//! Aggregates over the frames of one kind.
//!
//! From one row to the next a frame loses rows at its start and gains some at its end: only these are retracted and
//! added. Rows of different partitions are taken together, in rounds: the nth row of each partition is in the nth.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::partitions::{Partition, Store, Stretch};
use crate::aggregates::{AggregateCall, AggregateSet};
use crate::error::Result;

pub(super) struct FrameAggregates {
    pub(super) set: AggregateSet,
    /// The input's columns, of which only those are filled that the calls read.
    schema: SchemaRef,
    read: Vec<bool>,
    slides: bool,
    count: usize,
}

/// A frame that an output row asks for.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) partition: u32,
    pub(super) before: Stretch,
    pub(super) stretch: Stretch,
}

/// What is done in a round.
#[derive(Default)]
struct Round {
    rows: Vec<u32>,
    groups: Vec<u32>,
    weights: Vec<i64>,
    /// Which asks are answered, and for which partitions.
    asks: Vec<u32>,
    asking: Vec<u32>,
}

impl FrameAggregates {
    pub(super) fn try_new(
        operator: &'static str,
        calls: &[AggregateCall],
        input: &SchemaRef,
        slides: bool,
    ) -> Result<Self> {
        let mut read = vec![false; input.fields().len()];
        for call in calls {
            let inputs = call.inputs().iter().chain(call.filter());
            for column in inputs.flat_map(|expr: &Arc<dyn PhysicalExpr>| collect_columns(expr)) {
                read[column.index()] = true;
            }
        }
        let fields = input.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        Ok(Self {
            set: AggregateSet::try_new(operator, calls, input, slides)?,
            schema: Arc::new(Schema::new(fields.collect::<Vec<Field>>())),
            read,
            slides,
            count: calls.len(),
        })
    }

    /// The results for frames, of which those of one partition follow each other in order.
    pub(super) fn answer(
        &mut self,
        asks: &[Ask],
        partitions: &[Partition],
        store: &Store,
    ) -> Result<Vec<ArrayRef>> {
        self.set.resize(partitions.len());
        let (rounds, same) = self.rounds(asks, partitions);
        let rows: Vec<u32> = rounds.iter().flat_map(|round| round.rows.iter().copied()).collect();
        let batch = self.gather(&rows, store)?;
        let mut results: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(rounds.len()); self.count];
        let mut places = vec![(0, 0); asks.len()];
        let mut from = 0;
        for (nth, round) in rounds.iter().enumerate() {
            let part = batch.slice(from, round.rows.len());
            from += round.rows.len();
            if !round.rows.is_empty() {
                let weights = self.slides.then_some(round.weights.as_slice());
                self.set.update(&part, &round.groups, weights)?;
            }
            for (result, column) in self.set.evaluate(&round.asking)?.into_iter().zip(&mut results) {
                column.push(result);
            }
            round.asks.iter().enumerate().for_each(|(row, ask)| places[*ask as usize] = (nth, row));
        }
        let places: Vec<(usize, usize)> = same.iter().map(|ask| places[*ask as usize]).collect();
        let column = |parts: Vec<ArrayRef>| {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
            Ok(interleave(&parts, &places)?)
        };
        results.into_iter().map(column).collect()
    }

    /// The rounds, and for each ask the one whose answer is its own, too: that of the same frame.
    fn rounds(&self, asks: &[Ask], partitions: &[Partition]) -> (Vec<Round>, Vec<u32>) {
        let mut rounds: Vec<Round> = Vec::new();
        let mut same: Vec<u32> = Vec::with_capacity(asks.len());
        let mut depth = 0;
        for (nth, ask) in asks.iter().enumerate() {
            let before = nth.checked_sub(1).map(|before| &asks[before]);
            let follows = before.is_some_and(|before| before.partition == ask.partition);
            if follows && ask.before == ask.stretch {
                same.push(same[nth - 1]);
                continue;
            }
            same.push(nth as u32);
            depth = if follows { depth + 1 } else { 0 };
            if rounds.len() == depth {
                rounds.push(Round::default());
            }
            let round = &mut rounds[depth];
            let partition = &partitions[ask.partition as usize];
            let (old, new) = (ask.before, ask.stretch);
            let mut push = |from: u64, to: u64, weight: i64| {
                for row in (from..to).filter_map(|position| partition.at(position as i64)) {
                    round.rows.push(row);
                    round.groups.push(ask.partition);
                    round.weights.push(weight);
                }
            };
            if self.slides {
                push(old.start, old.end.min(new.start), -1);
            }
            push(old.end.max(new.start), new.end, 1);
            round.asks.push(nth as u32);
            round.asking.push(ask.partition);
        }
        (rounds, same)
    }

    fn gather(&self, rows: &[u32], store: &Store) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().zip(&self.read).enumerate();
        let columns = columns.map(|(nth, (field, read))| match read {
            true => {
                let none = new_null_array(field.data_type(), 1);
                store.column(nth, rows.iter().map(|row| Some(*row)), &none)
            }
            false => Ok(new_null_array(field.data_type(), rows.len())),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
