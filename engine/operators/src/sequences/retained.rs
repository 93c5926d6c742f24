//! RETENTION: which conditions held in any row.
//!
//! State column: a bit for each condition.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Builder, Int64Array, ListBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int64Type};

use super::call::Kind;
use crate::aggregates::{Aggregator, pick};
use crate::error::Result;

/// Which conditions held in any row of each group.
pub(super) struct Retained {
    conditions: usize,
    met: Vec<i64>,
}

impl Retained {
    pub(super) fn new(conditions: usize) -> Self {
        Self { conditions, met: Vec::new() }
    }
}

impl Aggregator for Retained {
    fn resize(&mut self, groups: usize) {
        self.met.resize(groups.max(self.met.len()), 0);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        let nulls = values
            .iter()
            .fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
        for (condition, column) in values.iter().enumerate() {
            for row in column.as_boolean().values().set_indices() {
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    self.met[groups[row] as usize] |= 1 << condition;
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for (group, met) in groups.iter().zip(states[0].as_primitive::<Int64Type>().values()) {
            self.met[*group as usize] |= met;
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let mut lists = ListBuilder::new(Int32Builder::new());
        for group in groups {
            let met = self.met[*group as usize];
            for condition in 0..self.conditions {
                lists.values().append_value((met & 1 & (met >> condition)) as i32);
            }
            lists.append(true);
        }
        let lists = lists.finish();
        debug_assert_eq!(*lists.data_type(), Kind::Retention.returns());
        Ok(Arc::new(lists))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Int64])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from(pick(&self.met, groups)))])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.met[*group as usize] = 0);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.met = pick(&self.met, groups);
    }

    fn size(&self) -> usize {
        self.met.capacity() * size_of::<i64>()
    }
}
