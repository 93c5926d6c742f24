//! All aggregates of one operator, side by side.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{FilterBuilder, FilterPredicate};
use arrow::datatypes::{Field, Schema};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::{AggregateCall, Aggregator};
use crate::error::Result;
use crate::uncomputed::{column_or_null, mask_or_null};

/// The aggregates of an operator, over the same groups.
pub(crate) struct AggregateSet {
    operator: &'static str,
    calls: Vec<AggregateCall>,
    aggregators: Vec<Box<dyn Aggregator>>,
    /// How many state columns each has.
    widths: Vec<usize>,
    groups: usize,
}

impl AggregateSet {
    pub(crate) fn try_new(
        operator: &'static str,
        calls: &[AggregateCall],
        input: &Schema,
        retractions: bool,
    ) -> Result<Self> {
        let aggregators =
            calls.iter().map(|call| call.aggregator(input, retractions)).collect::<Result<Vec<_>>>()?;
        let widths = aggregators.iter().map(|one| Ok(one.state_types()?.len())).collect::<Result<_>>()?;
        Ok(Self { operator, calls: calls.to_vec(), aggregators, widths, groups: 0 })
    }

    /// The columns that [`Self::state`] gives: `$s<aggregate>_<column>`.
    pub(crate) fn state_fields(&self) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        for (index, aggregator) in self.aggregators.iter().enumerate() {
            for (column, kind) in aggregator.state_types()?.into_iter().enumerate() {
                fields.push(Field::new(format!("$s{index}_{column}"), kind, true));
            }
        }
        Ok(fields)
    }

    /// How many state columns each aggregate has.
    pub(crate) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Makes room for groups below `groups`.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
        self.aggregators.iter_mut().for_each(|aggregator| aggregator.resize(self.groups));
    }

    /// Adds the rows of a batch, each to its group.
    pub(crate) fn update(
        &mut self,
        batch: &RecordBatch,
        groups: &[u32],
        weights: Option<&[i64]>,
    ) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        // Of several aggregates with the same filter it is looked at once.
        let mut passed: Vec<(&Arc<dyn PhysicalExpr>, Passed)> = Vec::new();
        for (call, aggregator) in self.calls.iter().zip(&mut self.aggregators) {
            let added = match call.filter() {
                None => {
                    let inputs = call.inputs().iter();
                    let values = inputs.map(|expr| column_or_null(expr, batch, self.operator));
                    aggregator.update(&values.collect::<Result<Vec<_>>>()?, groups, weights)
                }
                Some(filter) => {
                    let known = passed.iter().position(|(known, _)| *known == filter);
                    let place = match known {
                        Some(place) => place,
                        None => {
                            let mask = mask_or_null(filter, batch, self.operator)?;
                            passed.push((filter, Passed::new(&mask, groups, weights)));
                            passed.len() - 1
                        }
                    };
                    let rows = &mut passed[place].1;
                    if rows.groups.is_empty() {
                        continue;
                    }
                    let inputs = call.inputs().iter();
                    let values = inputs.map(|expr| rows.evaluate(expr, batch, self.operator));
                    let values = values.collect::<Result<Vec<_>>>()?;
                    aggregator.update(&values, &rows.groups, rows.weights.as_deref())
                }
            };
            added.map_err(|error| error.in_expression(self.operator))?;
        }
        Ok(())
    }

    /// Adds states, as [`Self::state`] gave them, each to its group.
    pub(crate) fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let mut states = states;
        for (aggregator, width) in self.aggregators.iter_mut().zip(&self.widths) {
            let (own, others) = states.split_at(*width);
            aggregator.merge(own, groups).map_err(|error| error.in_expression(self.operator))?;
            states = others;
        }
        Ok(())
    }

    /// The results of some groups, a column per aggregate.
    pub(crate) fn evaluate(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let results = self.aggregators.iter_mut().map(|aggregator| aggregator.evaluate(groups));
        results.collect::<Result<_>>().map_err(|error| error.in_expression(self.operator))
    }

    /// The results of some groups that will be cleared next.
    pub(crate) fn finish(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let results = self.aggregators.iter_mut().map(|aggregator| aggregator.finish(groups));
        results.collect::<Result<_>>().map_err(|error| error.in_expression(self.operator))
    }

    /// The states of some groups.
    pub(crate) fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::new();
        for aggregator in &mut self.aggregators {
            columns.extend(aggregator.state(groups)?);
        }
        Ok(columns)
    }

    /// Empties some groups.
    pub(crate) fn clear(&mut self, groups: &[u32]) {
        self.aggregators.iter_mut().for_each(|aggregator| aggregator.clear(groups));
    }

    /// Keeps these groups alone, renumbered from 0 in this order.
    pub(crate) fn retain(&mut self, groups: &[u32]) {
        self.groups = groups.len();
        self.aggregators.iter_mut().for_each(|aggregator| aggregator.retain(groups));
    }

    /// Whether states can be copied without any result being another in its last bit.
    pub(crate) fn copies_exactly(&self) -> bool {
        self.aggregators.iter().all(|aggregator| aggregator.copies_exactly())
    }

    /// Bytes of memory, estimated.
    pub(crate) fn size(&self) -> usize {
        self.aggregators.iter().map(|aggregator| aggregator.size()).sum()
    }
}

/// The rows that pass a filter.
struct Passed {
    predicate: FilterPredicate,
    groups: Vec<u32>,
    weights: Option<Vec<i64>>,
    /// All their columns, once somebody has asked for them.
    batch: Option<RecordBatch>,
}

impl Passed {
    fn new(mask: &BooleanArray, groups: &[u32], weights: Option<&[i64]>) -> Self {
        let passes: Vec<bool> = mask.iter().map(|pass| pass == Some(true)).collect();
        Self {
            predicate: FilterBuilder::new(mask).optimize().build(),
            groups: keep(groups, &passes),
            weights: weights.map(|weights| keep(weights, &passes)),
            batch: None,
        }
    }

    /// What an aggregate looks at. An expression may fail for rows that do not pass, so it sees the others alone.
    fn evaluate(
        &mut self,
        expr: &Arc<dyn PhysicalExpr>,
        batch: &RecordBatch,
        operator: &str,
    ) -> Result<ArrayRef> {
        if let Some(column) = expr.downcast_ref::<Column>() {
            return Ok(self.predicate.filter(batch.column(column.index()))?);
        }
        let batch = match &self.batch {
            Some(batch) => batch,
            None => self.batch.insert(self.predicate.filter_record_batch(batch)?),
        };
        column_or_null(expr, batch, operator)
    }
}

fn keep<T: Copy>(values: &[T], mask: &[bool]) -> Vec<T> {
    values.iter().zip(mask).filter(|(_, keep)| **keep).map(|(value, _)| *value).collect()
}
