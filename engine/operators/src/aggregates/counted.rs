//! The aggregates of groups of which the rows are counted anyway: COUNT(*) is that, and keeps nothing of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Schema};

use super::{AggregateCall, AggregateSet};
use crate::error::Result;

/// Aggregates side by side, as in an [`AggregateSet`]; of some groups it is asked with how many rows each of them has.
pub(crate) struct CountedSet {
    /// How many state columns each aggregate has among those of `others`; none for COUNT(*).
    calls: Vec<Option<usize>>,
    others: AggregateSet,
    fields: Vec<Field>,
}

impl CountedSet {
    pub(crate) fn try_new(
        operator: &'static str,
        calls: &[AggregateCall],
        input: &Schema,
        retractions: bool,
    ) -> Result<Self> {
        let all = AggregateSet::try_new(operator, calls, input, retractions)?;
        let fields = all.state_fields()?;
        let widths = calls.iter().zip(all.widths());
        let kept = widths.map(|(call, width)| (!call.counts_rows()).then_some(*width)).collect();
        let others: Vec<AggregateCall> = calls.iter().filter(|call| !call.counts_rows()).cloned().collect();
        let others = AggregateSet::try_new(operator, &others, input, retractions)?;
        Ok(Self { calls: kept, others, fields })
    }

    /// The columns that [`Self::state`] gives: those of an [`AggregateSet`].
    pub(crate) fn state_fields(&self) -> &[Field] {
        &self.fields
    }

    /// Makes room for groups below `groups`.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.others.resize(groups);
    }

    /// Adds the rows of a batch, each to its group.
    pub(crate) fn update(
        &mut self,
        batch: &RecordBatch,
        groups: &[u32],
        weights: Option<&[i64]>,
    ) -> Result<()> {
        self.others.update(batch, groups, weights)
    }

    /// Adds states, as [`Self::state`] gave them, each to its group.
    pub(crate) fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let mut own = Vec::with_capacity(states.len());
        let mut states = states;
        for width in &self.calls {
            let (first, others) = states.split_at(width.unwrap_or(1));
            own.extend(first.iter().filter(|_| width.is_some()).cloned());
            states = others;
        }
        self.others.merge(&own, groups)
    }

    /// The results of some groups, a column per aggregate.
    pub(crate) fn evaluate(&mut self, groups: &[u32], rows: Vec<i64>) -> Result<Vec<ArrayRef>> {
        let others = self.others.evaluate(groups)?;
        Ok(self.with_counts(others, |_| 1, rows))
    }

    /// The results of some groups that will be cleared next.
    pub(crate) fn finish(&mut self, groups: &[u32], rows: Vec<i64>) -> Result<Vec<ArrayRef>> {
        let others = self.others.finish(groups)?;
        Ok(self.with_counts(others, |_| 1, rows))
    }

    /// The states of some groups.
    pub(crate) fn state(&mut self, groups: &[u32], rows: Vec<i64>) -> Result<Vec<ArrayRef>> {
        let others = self.others.state(groups)?;
        Ok(self.with_counts(others, |width| width, rows))
    }

    /// Puts how many rows there are where COUNT(*) stands.
    fn with_counts(
        &self,
        others: Vec<ArrayRef>,
        width: impl Fn(usize) -> usize,
        rows: Vec<i64>,
    ) -> Vec<ArrayRef> {
        let counts: ArrayRef = Arc::new(Int64Array::from(rows));
        let mut others = others.into_iter();
        let mut all = Vec::with_capacity(self.fields.len());
        for call in &self.calls {
            match call {
                None => all.push(Arc::clone(&counts)),
                Some(own) => all.extend(others.by_ref().take(width(*own))),
            }
        }
        all
    }

    /// Empties some groups.
    pub(crate) fn clear(&mut self, groups: &[u32]) {
        self.others.clear(groups);
    }

    /// Keeps these groups alone, renumbered from 0 in this order.
    pub(crate) fn retain(&mut self, groups: &[u32]) {
        self.others.retain(groups);
    }

    /// Bytes of memory, estimated.
    pub(crate) fn size(&self) -> usize {
        self.others.size()
    }
}
