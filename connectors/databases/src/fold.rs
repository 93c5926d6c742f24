//! What the rows of a flush leave behind, key by key: a statement that updates by key may name each key once.
//!
//! Changes of one key may come in either order, the retraction of the old row before or after the new one: what counts is which rows
//! are left when all are added up. So a key is deleted only if more of its rows were retracted than added.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow_row::{RowConverter, SortField};

/// What is to be done, as rows of the batch, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folded {
    /// Rows whose key has this row from now on.
    pub(crate) upserts: Vec<u32>,
    /// Rows whose key has none from now on.
    pub(crate) deletes: Vec<u32>,
}

/// What a key has come to.
#[derive(Default)]
struct Key {
    /// Rows that are not settled yet: the row's bytes, how often it was added, and where it was last.
    rows: Vec<(Vec<u8>, i64, u32)>,
    last: u32,
}

/// Folds a batch by the columns `key`; `weight` is the column that says how often a row is added, of all rows once if there is none.
pub(crate) fn fold(rows: &RecordBatch, key: &[usize], weight: Option<usize>) -> Result<Folded, ArrowError> {
    let keys = bytes_of(rows, key)?;
    let weights = weight.and_then(|column| rows.column(column).as_primitive_opt::<Int64Type>());
    let retracts = weights.is_some_and(|weights| weights.values().iter().any(|weight| *weight < 0));
    if !retracts {
        let mut last: HashMap<&[u8], u32> = HashMap::with_capacity(rows.num_rows());
        for (row, key) in (0_u32..).zip(keys.iter()) {
            last.insert(key.data(), row);
        }
        let mut upserts: Vec<u32> = last.into_values().collect();
        upserts.sort_unstable();
        return Ok(Folded { upserts, deletes: Vec::new() });
    }
    let own: Vec<usize> = (0..rows.num_columns()).filter(|column| Some(*column) != weight).collect();
    let whole = bytes_of(rows, &own)?;
    let mut folded: HashMap<&[u8], Key> = HashMap::new();
    for (row, (key, bytes)) in (0_u32..).zip(keys.iter().zip(whole.iter())) {
        let weight = weights.map_or(1, |weights| weights.value(row as usize));
        let key = folded.entry(key.data()).or_default();
        key.last = row;
        match key.rows.iter_mut().find(|(known, ..)| known == bytes.data()) {
            Some((_, count, last)) => (*count, *last) = (*count + weight, row),
            None => key.rows.push((bytes.data().to_vec(), weight, row)),
        }
        key.rows.retain(|(_, count, _)| *count != 0);
    }
    let (mut upserts, mut deletes) = (Vec::new(), Vec::new());
    for key in folded.into_values() {
        let added = key.rows.iter().filter(|(_, count, _)| *count > 0).map(|(.., row)| *row).max();
        match added {
            Some(row) => upserts.push(row),
            None if key.rows.is_empty() => {}
            None => deletes.push(key.last),
        }
    }
    upserts.sort_unstable();
    deletes.sort_unstable();
    Ok(Folded { upserts, deletes })
}

/// Some rows of a batch.
pub(crate) fn pick(rows: &RecordBatch, which: &[u32]) -> Result<RecordBatch, ArrowError> {
    take_record_batch(rows, &UInt32Array::from(which.to_vec()))
}

fn bytes_of(rows: &RecordBatch, columns: &[usize]) -> Result<arrow_row::Rows, ArrowError> {
    let columns: Vec<ArrayRef> = columns.iter().map(|column| rows.column(*column).clone()).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    RowConverter::new(fields.collect())?.convert_columns(&columns)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    /// Rows `key, value, weight`.
    fn check(changes: &[(&str, i64, i64)], upserts: &[u32], deletes: &[u32]) {
        let rows = RecordBatch::try_from_iter([
            ("k", Arc::new(StringArray::from_iter_values(changes.iter().map(|row| row.0))) as ArrayRef),
            ("v", Arc::new(Int64Array::from_iter_values(changes.iter().map(|row| row.1)))),
            ("_weight", Arc::new(Int64Array::from_iter_values(changes.iter().map(|row| row.2)))),
        ])
        .unwrap();
        let expect = Folded { upserts: upserts.to_vec(), deletes: deletes.to_vec() };
        assert_eq!(fold(&rows, &[0], Some(2)).unwrap(), expect, "{changes:?}");
    }

    #[test]
    fn the_last_row_of_a_key_is_left() {
        check(&[("a", 1, 1), ("b", 1, 1), ("a", 2, 1)], &[1, 2], &[]);
    }

    #[test]
    fn an_update_is_one_whichever_half_comes_first() {
        check(&[("a", 1, -1), ("a", 2, 1)], &[1], &[]);
        check(&[("a", 2, 1), ("a", 1, -1)], &[0], &[]);
    }

    #[test]
    fn what_is_retracted_is_deleted() {
        check(&[("a", 1, -1), ("b", 1, 1)], &[1], &[0]);
        check(&[("a", 1, -1), ("a", 2, 1), ("a", 2, -1)], &[], &[2]);
    }

    #[test]
    fn what_comes_and_goes_is_nothing() {
        check(&[("a", 1, 1), ("a", 1, -1)], &[], &[]);
        check(&[("a", 1, -1), ("a", 1, 1)], &[], &[]);
    }
}
