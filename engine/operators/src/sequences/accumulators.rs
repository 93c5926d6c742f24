//! An aggregator dressed as DataFusion's accumulators, for batch queries.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{filter, prep_null_mask_filter};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::call::Call;
use crate::aggregates::Aggregator;
use crate::error::OperatorError;

/// Over groups.
pub(super) struct Grouped {
    call: Call,
    types: Vec<DataType>,
    aggregator: Box<dyn Aggregator + Sync>,
    groups: usize,
    numbers: Vec<u32>,
}

impl Grouped {
    pub(super) fn try_new(call: Call, types: Vec<DataType>) -> Result<Self> {
        let aggregator = call.aggregator(&types)?;
        Ok(Self { call, types, aggregator, groups: 0, numbers: Vec::new() })
    }

    /// Makes room, and notes the groups of the rows at hand.
    fn number(&mut self, groups: impl Iterator<Item = usize>, total: usize) {
        self.groups = self.groups.max(total);
        self.aggregator.resize(self.groups);
        self.numbers.clear();
        self.numbers.extend(groups.map(|group| group as u32));
    }

    fn first(&self, emit: EmitTo) -> Vec<u32> {
        let count = match emit {
            EmitTo::All => self.groups,
            EmitTo::First(count) => count,
        };
        (0..count as u32).collect()
    }

    /// Forgets the groups that were given out.
    fn drop_first(&mut self, count: usize) {
        let kept: Vec<u32> = (count as u32..self.groups as u32).collect();
        self.aggregator.retain(&kept);
        self.groups = kept.len();
    }
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        wanted: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let Some(wanted) = wanted else {
            self.number(groups.iter().copied(), total);
            return self.aggregator.update(values, &self.numbers, None).map_err(external);
        };
        let rows = groups.iter().zip(wanted).filter(|(_, wanted)| *wanted == Some(true));
        self.number(rows.map(|(group, _)| *group), total);
        self.aggregator.update(&filtered(values, wanted)?, &self.numbers, None).map_err(external)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = self.first(emit);
        let results = self.aggregator.finish(&groups).map_err(external)?;
        self.drop_first(groups.len());
        Ok(results)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.first(emit);
        let states = self.aggregator.state(&groups).map_err(external)?;
        self.drop_first(groups.len());
        Ok(states)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.number(groups.iter().copied(), total);
        self.aggregator.merge(states, &self.numbers).map_err(external)
    }

    fn convert_to_state(&self, values: &[ArrayRef], wanted: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let groups: Vec<usize> = (0..rows).collect();
        let mut each = Self::try_new(self.call.clone(), self.types.clone())?;
        each.update_batch(values, &groups, wanted, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.aggregator.size() + self.numbers.capacity() * size_of::<u32>()
    }
}

/// Over all rows.
pub(super) struct Single {
    aggregator: Box<dyn Aggregator + Sync>,
    zeros: Vec<u32>,
}

impl Single {
    pub(super) fn new(mut aggregator: Box<dyn Aggregator + Sync>) -> Self {
        aggregator.resize(1);
        Self { aggregator, zeros: Vec::new() }
    }

    fn zeros(&mut self, rows: usize) {
        self.zeros.resize(rows, 0);
    }
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Single")
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.zeros(values.first().map_or(0, |column| column.len()));
        self.aggregator.update(values, &self.zeros, None).map_err(external)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.aggregator.evaluate(&[0]).map_err(external)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.aggregator.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let states = self.aggregator.state(&[0]).map_err(external)?;
        states.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.zeros(states.first().map_or(0, |column| column.len()));
        self.aggregator.merge(states, &self.zeros).map_err(external)
    }
}

fn filtered(values: &[ArrayRef], wanted: &BooleanArray) -> Result<Vec<ArrayRef>> {
    let wanted = prep_null_mask_filter(wanted);
    values.iter().map(|column| Ok(filter(column, &wanted)?)).collect()
}

fn external(error: OperatorError) -> DataFusionError {
    match error {
        OperatorError::DataFusion(error) => error,
        other => DataFusionError::External(Box::new(other)),
    }
}
