//! Aggregates over the frames of one kind.
//!
//! From one row to the next a frame loses rows at its start and gains some at its end: only these are retracted and
//! added. Runs of rows that do not follow each other are taken together, in rounds: the nth row of each run is in the nth.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::frame::Frame;
use super::partitions::Stretch;
use super::spec::{OverCall, OverFunction};
use crate::aggregates::{AggregateCall, AggregateSet};
use crate::error::Result;
use crate::held::Store;

pub(super) struct FrameAggregates {
    pub(super) set: AggregateSet,
    /// The input's columns, of which only those are filled that the calls read.
    schema: SchemaRef,
    read: Vec<bool>,
    pub(super) slides: bool,
    count: usize,
    /// How many rows have been added or taken away.
    #[cfg(test)]
    pub(super) taken: u64,
}

/// A frame that an output row asks for.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    /// Rows that follow each other: a partition, or a stretch of one. The run's group has what is in `before` for its first ask.
    pub(super) run: u32,
    pub(super) before: Stretch,
    pub(super) stretch: Stretch,
}

/// The row at a position of a run.
pub(super) type RowAt<'a> = &'a dyn Fn(u32, u64) -> Option<u32>;

/// What frames give.
pub(super) struct Answer {
    /// A column for each call, a row for each ask.
    pub(super) columns: Vec<ArrayRef>,
    /// The states of those asks that were to be kept.
    pub(super) kept: Vec<(u32, Vec<ArrayRef>)>,
}

/// What is done in a round.
#[derive(Default)]
struct Round {
    rows: Vec<u32>,
    groups: Vec<u32>,
    weights: Vec<i64>,
    /// Which asks are answered, and for which runs.
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
            #[cfg(test)]
            taken: 0,
        })
    }

    /// Those of the calls that are aggregates over a frame; `None` if there are none.
    pub(super) fn over(
        operator: &'static str,
        calls: &[OverCall],
        input: &SchemaRef,
        frames: &[Frame],
        frame: usize,
    ) -> Result<Option<Self>> {
        let own = calls.iter().filter_map(|call| match &call.function {
            OverFunction::Aggregate { call, frame: of } if *of == frame => Some(call.clone()),
            _ => None,
        });
        let own: Vec<AggregateCall> = own.collect();
        if own.is_empty() {
            return Ok(None);
        }
        Self::try_new(operator, &own, input, frames[frame].slides()).map(Some)
    }

    /// The results for frames, of which those of one run follow each other in order. The states of those that `keep` names are
    /// given, too.
    pub(super) fn answer<T: Copy + Default>(
        &mut self,
        asks: &[Ask],
        runs: usize,
        row: RowAt<'_>,
        store: &Store<T>,
        keep: &dyn Fn(&Ask) -> bool,
    ) -> Result<Answer> {
        self.set.resize(runs);
        let (rounds, same) = self.rounds(asks, row);
        let rows: Vec<u32> = rounds.iter().flat_map(|round| round.rows.iter().copied()).collect();
        #[cfg(test)]
        {
            self.taken += rows.len() as u64;
        }
        let batch = self.gather(&rows, store)?;
        let mut results: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(rounds.len()); self.count];
        let mut kept = Vec::new();
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
            let wanted: Vec<u32> =
                round.asks.iter().copied().filter(|ask| keep(&asks[*ask as usize])).collect();
            self.keep(&wanted, asks, &mut kept)?;
            round.asks.iter().enumerate().for_each(|(row, ask)| places[*ask as usize] = (nth, row));
        }
        let places: Vec<(usize, usize)> = same.iter().map(|ask| places[*ask as usize]).collect();
        let column = |parts: Vec<ArrayRef>| {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
            Ok(interleave(&parts, &places)?)
        };
        Ok(Answer { columns: results.into_iter().map(column).collect::<Result<_>>()?, kept })
    }

    /// Takes copies of the states that some asks have led to.
    fn keep(&mut self, wanted: &[u32], asks: &[Ask], kept: &mut Vec<(u32, Vec<ArrayRef>)>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let groups: Vec<u32> = wanted.iter().map(|ask| asks[*ask as usize].run).collect();
        let states = self.set.state(&groups)?;
        for (nth, ask) in wanted.iter().enumerate() {
            kept.push((*ask, states.iter().map(|column| column.slice(nth, 1)).collect()));
        }
        Ok(())
    }

    /// The rounds, and for each ask the one whose answer is its own, too: that of the same frame.
    fn rounds(&self, asks: &[Ask], row: RowAt<'_>) -> (Vec<Round>, Vec<u32>) {
        let mut rounds: Vec<Round> = Vec::new();
        let mut same: Vec<u32> = Vec::with_capacity(asks.len());
        let mut depth = 0;
        for (nth, ask) in asks.iter().enumerate() {
            let before = nth.checked_sub(1).map(|before| &asks[before]);
            let follows = before.is_some_and(|before| before.run == ask.run);
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
            let (old, new) = (ask.before, ask.stretch);
            let mut push = |from: u64, to: u64, weight: i64| {
                for row in (from..to).filter_map(|position| row(ask.run, position)) {
                    round.rows.push(row);
                    round.groups.push(ask.run);
                    round.weights.push(weight);
                }
            };
            if self.slides {
                push(old.start, old.end.min(new.start), -1);
            }
            push(old.end.max(new.start), new.end, 1);
            round.asks.push(nth as u32);
            round.asking.push(ask.run);
        }
        (rounds, same)
    }

    fn gather<T: Copy + Default>(&self, rows: &[u32], store: &Store<T>) -> Result<RecordBatch> {
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
