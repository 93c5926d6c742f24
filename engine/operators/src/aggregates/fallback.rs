//! Every other function: DataFusion's accumulator, one per group.
//!
//! Reading an accumulator may empty it, so reading means: take its state out, and rebuild from that state
//! both what is kept and what is read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_empty_array};
use arrow::compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Schema};
use datafusion::error::DataFusionError;
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

    /// What an accumulator comes to. What its type does not hold is NULL.
    fn evaluated(&self, accumulator: &mut dyn Accumulator) -> Result<ScalarValue> {
        match accumulator.evaluate() {
            Ok(value) => Ok(value),
            Err(error @ (DataFusionError::Internal(_) | DataFusionError::ResourcesExhausted(_))) => {
                Err(error.into())
            }
            Err(_) => Ok(ScalarValue::try_from(self.function.field().data_type())?),
        }
    }

    /// The result of a function over these rows alone.
    pub(super) fn result(&self, inputs: &[ArrayRef]) -> Result<ScalarValue> {
        let mut accumulator = self.accumulator()?;
        let sorted = if self.orders.is_empty() { inputs.to_vec() } else { self.sort(inputs)? };
        accumulator.update_batch(&sorted)?;
        self.evaluated(accumulator.as_mut())
    }

    /// Results as a column of the function's type.
    pub(super) fn collect(&self, results: Vec<ScalarValue>) -> Result<ArrayRef> {
        to_column(results, self.function.field().data_type())
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

/// Values as a column of a type, from which some accumulators stray in whether list items may be null.
fn to_column(values: Vec<ScalarValue>, kind: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(new_empty_array(kind));
    }
    let column = ScalarValue::iter_to_array(values)?;
    if column.data_type() == kind { Ok(column) } else { Ok(cast(&column, kind)?) }
}

fn merge_scalars(accumulator: &mut dyn Accumulator, state: Vec<ScalarValue>) -> Result<()> {
    let state = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
    Ok(accumulator.merge_batch(&state)?)
}

/// DataFusion's accumulators, one per group that has had a row.
///
/// State columns: the function's own, then the result that was last read, if nothing has been added since. A state that
/// went through merging may give a result with another last bit; but what has once been told must be told again the
/// same, or it could not be retracted.
pub(super) struct Fallback {
    feeder: Feeder,
    slots: Vec<Option<Slot>>,
}

struct Slot {
    accumulator: Box<dyn Accumulator>,
    told: Option<ScalarValue>,
}

impl Fallback {
    pub(super) fn new(feeder: Feeder) -> Self {
        Self { feeder, slots: Vec::new() }
    }

    /// Takes a group's state out and puts back what gives the same.
    fn read(&mut self, group: u32) -> Result<Vec<ScalarValue>> {
        let Some(slot) = &mut self.slots[group as usize] else {
            return Ok(self.feeder.accumulator()?.state()?);
        };
        let state = slot.accumulator.state()?;
        slot.accumulator = self.feeder.accumulator()?;
        merge_scalars(slot.accumulator.as_mut(), state.clone())?;
        Ok(state)
    }

    fn result(&mut self, group: u32) -> Result<ScalarValue> {
        if let Some(told) = self.slots[group as usize].as_ref().and_then(|slot| slot.told.clone()) {
            return Ok(told);
        }
        let state = self.read(group)?;
        let mut copy = self.feeder.accumulator()?;
        let Some(slot) = &mut self.slots[group as usize] else {
            return self.feeder.evaluated(copy.as_mut());
        };
        merge_scalars(copy.as_mut(), state)?;
        let result = self.feeder.evaluated(copy.as_mut())?;
        slot.told = Some(result.clone());
        Ok(result)
    }

    fn slot(&mut self, group: u32) -> Result<&mut Slot> {
        let slot = &mut self.slots[group as usize];
        if slot.is_none() {
            *slot = Some(Slot { accumulator: self.feeder.accumulator()?, told: None });
        }
        Ok(slot.as_mut().expect("it has just been made"))
    }
}

impl Aggregator for Fallback {
    fn resize(&mut self, groups: usize) {
        self.slots.resize_with(groups, || None);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let feeder = self.feeder.clone();
        by_group(values, groups, weights, |group, rows| {
            let slot = self.slot(group)?;
            slot.told = None;
            feeder.feed(slot.accumulator.as_mut(), rows)
        })
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        by_group(states, groups, None, |group, rows| {
            let (told, state) = rows.split_last().expect("the last column is what was told");
            let is_copy = self.slots[group as usize].is_none() && told.len() == 1 && told.is_valid(0);
            let slot = self.slot(group)?;
            slot.told = if is_copy { Some(ScalarValue::try_from_array(told, 0)?) } else { None };
            // One state at a time: some accumulators (percentile_cont) take the first of a batch and leave the others.
            for row in 0..told.len() {
                let one: Vec<ArrayRef> = state.iter().map(|column| column.slice(row, 1)).collect();
                slot.accumulator.merge_batch(&one)?;
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.result(*group)).collect::<Result<Vec<_>>>()?;
        self.feeder.collect(results)
    }

    fn finish(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let feeder = self.feeder.clone();
        let finish = |group: &u32| feeder.evaluated(self.slot(*group)?.accumulator.as_mut());
        let results = groups.iter().map(finish).collect::<Result<Vec<_>>>()?;
        self.feeder.collect(results)
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        let fields = self.feeder.function.state_fields()?;
        let own = fields.iter().map(|field| field.data_type().clone());
        Ok(own.chain([self.feeder.function.field().data_type().clone()]).collect())
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let types = self.state_types()?;
        let untold = ScalarValue::try_from(self.feeder.function.field().data_type())?;
        let mut columns = vec![Vec::with_capacity(groups.len()); types.len()];
        for group in groups {
            let told = self.slots[*group as usize].as_ref().and_then(|slot| slot.told.clone());
            let state = self.read(*group)?.into_iter().chain([told.unwrap_or_else(|| untold.clone())]);
            columns.iter_mut().zip(state).for_each(|(column, value)| column.push(value));
        }
        columns.into_iter().zip(&types).map(|(column, kind)| to_column(column, kind)).collect()
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.slots[*group as usize] = None);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.slots = groups.iter().map(|group| self.slots[*group as usize].take()).collect();
    }

    fn copies_exactly(&self) -> bool {
        false
    }

    fn size(&self) -> usize {
        let held = self
            .slots
            .iter()
            .flatten()
            .map(|slot| slot.accumulator.size() + slot.told.as_ref().map_or(0, ScalarValue::size));
        held.sum::<usize>() + self.slots.capacity() * size_of::<Option<Slot>>()
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
