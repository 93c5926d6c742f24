//! Every other function: DataFusion's accumulator, one per group.
//!
//! Reading an accumulator may empty it, so reading means: take its state out, and rebuild from that state
//! both what is kept and what is read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::scalar::ScalarValue;

use super::Aggregator;
use crate::error::Result;

/// Makes accumulators of a function, and feeds them. DISTINCT is left to the caller.
#[derive(Clone)]
pub(super) struct Feeder {
    function: Arc<AggregateFunctionExpr>,
    /// Of the arguments, then of what they are ordered by.
    types: Vec<DataType>,
    arguments: usize,
    orders: Vec<SortOptions>,
    presort: bool,
}

impl Feeder {
    pub(super) fn try_new(
        function: &Arc<AggregateFunctionExpr>,
        types: Vec<DataType>,
        input: &Schema,
    ) -> Result<Self> {
        let orders = function.order_bys().iter().map(|order| order.options).collect();
        let plain = if function.is_distinct() {
            let plain = AggregateExprBuilder::new(Arc::new(function.fun().clone()), function.expressions())
                .order_by(function.order_bys().to_vec())
                .schema(Arc::new(input.clone()))
                .alias(function.name())
                .with_ignore_nulls(function.ignore_nulls());
            Arc::new(plain.build()?)
        } else {
            Arc::clone(function)
        };
        Ok(Self {
            arguments: function.expressions().len(),
            presort: function.order_sensitivity().hard_requires(),
            function: plain,
            types,
            orders,
        })
    }

    pub(super) fn function(&self) -> &AggregateFunctionExpr {
        &self.function
    }

    pub(super) fn types(&self) -> &[DataType] {
        &self.types
    }

    /// How many of the inputs are arguments; the others are what these are ordered by.
    pub(super) fn arguments(&self) -> usize {
        self.arguments
    }

    pub(super) fn orders(&self) -> &[SortOptions] {
        &self.orders
    }

    pub(super) fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(self.function.create_accumulator()?)
    }

    /// Adds rows to an accumulator.
    pub(super) fn feed(&self, accumulator: &mut dyn Accumulator, inputs: &[ArrayRef]) -> Result<()> {
        if !self.presort {
            return Ok(accumulator.update_batch(inputs)?);
        }
        // Such a function wants its rows sorted, and sorted runs merged.
        let sorted = self.sort(inputs)?;
        let mut run = self.accumulator()?;
        run.update_batch(&sorted)?;
        merge_scalars(accumulator, run.state()?)
    }

    /// The result of a function over these rows alone.
    pub(super) fn result(&self, inputs: &[ArrayRef]) -> Result<ScalarValue> {
        let mut accumulator = self.accumulator()?;
        let sorted = if self.orders.is_empty() { inputs.to_vec() } else { self.sort(inputs)? };
        accumulator.update_batch(&sorted)?;
        Ok(accumulator.evaluate()?)
    }

    pub(super) fn collect(&self, results: Vec<ScalarValue>) -> Result<ArrayRef> {
        if results.is_empty() {
            return Ok(new_empty_array(self.function.field().data_type()));
        }
        Ok(ScalarValue::iter_to_array(results)?)
    }

    fn sort(&self, inputs: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<_> = inputs[self.arguments..]
            .iter()
            .zip(&self.orders)
            .map(|(values, options)| SortColumn { values: Arc::clone(values), options: Some(*options) })
            .collect();
        // Equal rows stay in order of arrival.
        let arrival = UInt32Array::from_iter_values(0..inputs[0].len() as u32);
        columns.push(SortColumn { values: Arc::new(arrival), options: None });
        let order = lexsort_to_indices(&columns, None)?;
        inputs.iter().map(|column| Ok(take(column, &order, None)?)).collect()
    }
}

fn merge_scalars(accumulator: &mut dyn Accumulator, state: Vec<ScalarValue>) -> Result<()> {
    let state = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
    Ok(accumulator.merge_batch(&state)?)
}

/// DataFusion's accumulators, one per group that has had a row.
pub(super) struct Fallback {
    feeder: Feeder,
    accumulators: Vec<Option<Box<dyn Accumulator>>>,
}

impl Fallback {
    pub(super) fn new(feeder: Feeder) -> Self {
        Self { feeder, accumulators: Vec::new() }
    }

    /// Takes a group's state out and puts back what gives the same.
    fn read(&mut self, group: u32) -> Result<Vec<ScalarValue>> {
        let Some(accumulator) = &mut self.accumulators[group as usize] else {
            return Ok(self.feeder.accumulator()?.state()?);
        };
        let state = accumulator.state()?;
        let mut rebuilt = self.feeder.accumulator()?;
        merge_scalars(rebuilt.as_mut(), state.clone())?;
        *accumulator = rebuilt;
        Ok(state)
    }

    fn get(&mut self, group: u32) -> Result<&mut dyn Accumulator> {
        let slot = &mut self.accumulators[group as usize];
        if slot.is_none() {
            *slot = Some(self.feeder.accumulator()?);
        }
        Ok(slot.as_mut().expect("it has just been made").as_mut())
    }
}

impl Aggregator for Fallback {
    fn resize(&mut self, groups: usize) {
        self.accumulators.resize_with(groups, || None);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let feeder = self.feeder.clone();
        by_group(values, groups, weights, |group, rows| feeder.feed(self.get(group)?, rows))
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        by_group(states, groups, None, |group, rows| Ok(self.get(group)?.merge_batch(rows)?))
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups
            .iter()
            .map(|group| {
                let state = self.read(*group)?;
                let mut copy = self.feeder.accumulator()?;
                if self.accumulators[*group as usize].is_some() {
                    merge_scalars(copy.as_mut(), state)?;
                }
                Ok(copy.evaluate()?)
            })
            .collect::<Result<Vec<_>>>()?;
        self.feeder.collect(results)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results =
            groups.iter().map(|group| Ok(self.get(*group)?.evaluate()?)).collect::<Result<Vec<_>>>()?;
        self.feeder.collect(results)
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(self.feeder.function.state_fields()?.iter().map(|field| field.data_type().clone()).collect())
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let types = self.state_types()?;
        let mut columns = vec![Vec::with_capacity(groups.len()); types.len()];
        for group in groups {
            for (column, value) in columns.iter_mut().zip(self.read(*group)?) {
                column.push(value);
            }
        }
        let collect = |(column, kind): (Vec<ScalarValue>, DataType)| match column.is_empty() {
            true => Ok(new_empty_array(&kind)),
            false => Ok(ScalarValue::iter_to_array(column)?),
        };
        columns.into_iter().zip(types).map(collect).collect()
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.accumulators[*group as usize] = None);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.accumulators = groups.iter().map(|group| self.accumulators[*group as usize].take()).collect();
    }

    fn size(&self) -> usize {
        self.accumulators.iter().flatten().map(|accumulator| accumulator.size()).sum::<usize>()
            + self.accumulators.capacity() * size_of::<Option<Box<dyn Accumulator>>>()
    }
}

/// Calls `add` with the rows of each group, in order, repeated by weight.
fn by_group(
    columns: &[ArrayRef],
    groups: &[u32],
    weights: Option<&[i64]>,
    mut add: impl FnMut(u32, &[ArrayRef]) -> Result<()>,
) -> Result<()> {
    let mut order: Vec<u32> = (0..groups.len() as u32).collect();
    order.sort_by_key(|row| groups[*row as usize]);
    if let Some(weights) = weights {
        let times = |row: &u32| usize::try_from(weights[*row as usize]).unwrap_or(0);
        order = order.iter().flat_map(|row| std::iter::repeat_n(*row, times(row))).collect();
    }
    let sorted_groups: Vec<u32> = order.iter().map(|row| groups[*row as usize]).collect();
    let order = UInt32Array::from(order);
    let sorted = columns.iter().map(|column| take(column, &order, None)).collect::<Result<Vec<_>, _>>()?;
    let mut start = 0;
    for run in sorted_groups.chunk_by(|a, b| a == b) {
        let rows: Vec<_> = sorted.iter().map(|column| column.slice(start, run.len())).collect();
        add(run[0], &rows)?;
        start += run.len();
    }
    Ok(())
}
