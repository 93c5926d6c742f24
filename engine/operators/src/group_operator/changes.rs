//! What a step has changed: old results against new ones, and the rows to retract and to add.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
    make_comparator,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use headwater_core::EventTime;

use crate::api::{Clocks, Output, Rows};
use crate::error::Result;

/// Whether old results equal new ones, column by column. Without aggregates, all rows of a key are the same.
pub(super) struct Comparison(Vec<Columns>);

/// Old and new results of an aggregate.
enum Columns {
    /// Integers, none of them NULL.
    Ints(ScalarBuffer<i64>, ScalarBuffer<i64>),
    Any(DynComparator),
}

impl Comparison {
    pub(super) fn new(old: &[ArrayRef], new: &[ArrayRef]) -> Result<Self> {
        let columns = old.iter().zip(new).map(|(old, new)| {
            if *old.data_type() == DataType::Int64 && old.null_count() + new.null_count() == 0 {
                let of = |column: &ArrayRef| column.as_primitive::<Int64Type>().values().clone();
                return Ok(Columns::Ints(of(old), of(new)));
            }
            make_comparator(old, new, SortOptions::default()).map(Columns::Any)
        });
        Ok(Self(columns.collect::<std::result::Result<_, _>>()?))
    }

    #[inline]
    pub(super) fn holds(&self, old: usize, new: usize) -> bool {
        self.0.iter().all(|columns| match columns {
            Columns::Ints(olds, news) => olds[old] == news[new],
            Columns::Any(compare) => compare(old, new).is_eq(),
        })
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
