//! What a step has changed: old results against new ones, and the rows to retract and to add.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, make_comparator,
};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use headwater_core::EventTime;

use super::group::NOWHERE;
use crate::api::{Clocks, Output, Rows};
use crate::error::Result;

/// Whether results are the same after a step as before it, for pairs of places in old columns and in new ones; what has no place in one of
/// them is not. Without aggregates, all rows of a key are the same.
pub(super) fn unchanged(old: &[ArrayRef], new: &[ArrayRef], places: &[(u32, u32)]) -> Result<Vec<bool>> {
    let is_in_both = |(before, now): &(u32, u32)| *before != NOWHERE && *now != NOWHERE;
    let mut same: Vec<bool> = places.iter().map(is_in_both).collect();
    for (old, new) in old.iter().zip(new) {
        if *old.data_type() == DataType::Int64 && old.null_count() + new.null_count() == 0 {
            let (old, new) =
                (old.as_primitive::<Int64Type>().values(), new.as_primitive::<Int64Type>().values());
            keep_if(&mut same, places, |before, now| old[before] == new[now]);
        } else {
            let compare = make_comparator(old, new, SortOptions::default())?;
            keep_if(&mut same, places, |before, now| compare(before, now).is_eq());
        }
    }
    Ok(same)
}

/// A loop with no more to do than this has many places under way at a time, of which each is outside of the caches.
fn keep_if(same: &mut [bool], places: &[(u32, u32)], is: impl Fn(usize, usize) -> bool) {
    for (same, (before, now)) in same.iter_mut().zip(places) {
        *same = *same && is(*before as usize, *now as usize);
    }
}

/// Rows to retract and to add: which of the keys, where its results are (0 old, 1 new), and the weight.
pub(super) struct Changes {
    keys: Vec<u32>,
    results: Vec<(usize, usize)>,
    weights: Vec<i64>,
}

impl Changes {
    pub(super) fn with_capacity(rows: usize) -> Self {
        let (keys, results) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        Self { keys, results, weights: Vec::with_capacity(rows) }
    }

    #[inline]
    pub(super) fn push(&mut self, key: u32, result: (usize, usize), weight: i64) {
        self.keys.push(key);
        self.results.push(result);
        self.weights.push(weight);
    }

    /// `keys`: the columns of the keys.
    pub(super) fn emit(
        self,
        keys: Vec<ArrayRef>,
        old: &[ArrayRef],
        new: &[ArrayRef],
        schema: &SchemaRef,
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let rows = self.keys.len();
        let is_each_once = keys.first().is_some_and(|key| self.keys.iter().copied().eq(0..key.len() as u32));
        let mut columns = keys;
        if !is_each_once {
            let places = UInt32Array::from(self.keys);
            columns =
                columns.iter().map(|key| take(key, &places, None)).collect::<std::result::Result<_, _>>()?;
        }
        for (old, new) in old.iter().zip(new) {
            columns.push(interleave(&[old.as_ref(), new.as_ref()], &self.results)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        let weights = self.weights.contains(&-1).then(|| Int64Array::from(self.weights));
        out.emit(Rows { batch, weights, clocks: Clocks::Uniform(clock) });
        Ok(())
    }
}
