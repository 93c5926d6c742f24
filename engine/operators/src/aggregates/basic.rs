//! COUNT, BOOL_AND and BOOL_OR.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};

use super::{Aggregator, pick};
use crate::error::Result;
use crate::paged::PagedVec;

/// COUNT(*) without a value, COUNT(x) with one.
#[derive(Default)]
pub(super) struct Count {
    counts: PagedVec<i64>,
}

impl Aggregator for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let nulls = values.first().and_then(|values| values.logical_nulls());
        match (nulls, weights) {
            (None, None) => match self.counts.one_page_mut() {
                Some(counts) => groups.iter().for_each(|group| counts[*group as usize] += 1),
                None => groups.iter().for_each(|group| self.counts[*group] += 1),
            },
            (Some(nulls), None) => {
                for (group, valid) in groups.iter().zip(&nulls) {
                    self.counts[*group] += i64::from(valid);
                }
            }
            (nulls, Some(weights)) => {
                for (row, (group, weight)) in groups.iter().zip(weights).enumerate() {
                    if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                        self.counts[*group] += weight;
                    }
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for (group, count) in groups.iter().zip(states[0].as_primitive::<Int64Type>().values()) {
            self.counts[*group] += count;
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.counts.pick(groups))))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Int64])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.counts[*group] = 0);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.counts = groups.iter().map(|group| self.counts[*group]).collect();
    }

    fn size(&self) -> usize {
        self.counts.size()
    }
}

/// BOOL_AND and BOOL_OR: once a value has been the one that decides, it is the result.
pub(super) struct BoolFold {
    and: bool,
    results: Vec<Option<bool>>,
}

impl BoolFold {
    pub(super) fn new(and: bool) -> Self {
        Self { and, results: Vec::new() }
    }
}

impl Aggregator for BoolFold {
    fn resize(&mut self, groups: usize) {
        self.results.resize(groups, None);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        for (group, value) in groups.iter().zip(values[0].as_boolean()) {
            let Some(value) = value else { continue };
            let result = &mut self.results[*group as usize];
            *result = Some(match *result {
                None => value,
                Some(so_far) if self.and => so_far && value,
                Some(so_far) => so_far || value,
            });
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.update(states, groups, None)
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from(pick(&self.results, groups))))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Boolean])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.results[*group as usize] = None);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.results = pick(&self.results, groups);
    }

    fn size(&self) -> usize {
        self.results.capacity()
    }
}
