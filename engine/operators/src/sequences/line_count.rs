//! SEQUENCE_COUNT over lines of text.
//!
//! State column: the count so far.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use headwater_sequences::{Counting, Sequence};

use crate::aggregates::{Aggregator, pick};
use crate::error::Result;

/// How often a sequence of text is in the lines of each group.
pub(super) struct LineCount {
    sequence: Sequence,
    counting: Counting,
    counts: Vec<i64>,
}

impl LineCount {
    pub(super) fn new(sequence: Sequence, counting: Counting) -> Self {
        Self { sequence, counting, counts: Vec::new() }
    }
}

/// Calls `found` with each row of a column of lines that has the sequence, and how often, in parts that add up.
pub(super) fn scan(
    sequence: &Sequence,
    counting: Counting,
    lines: &ArrayRef,
    mut found: impl FnMut(usize, i64),
) {
    let nulls = lines.nulls();
    let add = |row: usize, count: u64| {
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            found(row, count.cast_signed());
        }
    };
    match lines.data_type() {
        DataType::Binary => {
            let lines = lines.as_binary::<i32>();
            sequence.scan(lines.value_data(), lines.value_offsets(), counting, add);
        }
        _ => {
            let lines = lines.as_string::<i32>();
            sequence.scan(lines.value_data(), lines.value_offsets(), counting, add);
        }
    }
}

impl Aggregator for LineCount {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups.max(self.counts.len()), 0);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let counts = &mut self.counts;
        scan(&self.sequence, self.counting, &values[0], |row, count| {
            counts[groups[row] as usize] += count * weights.map_or(1, |weights| weights[row]);
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        for (group, count) in groups.iter().zip(states[0].as_primitive::<Int64Type>().values()) {
            self.counts[*group as usize] += count;
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(pick(&self.counts, groups))))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Int64])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.counts[*group as usize] = 0);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.counts = pick(&self.counts, groups);
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}
