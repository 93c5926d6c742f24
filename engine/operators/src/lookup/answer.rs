//! An answer as one batch, which a journal can keep: the keys that were asked, when, and the rows of each.
//!
//! | column | |
//! |---|---|
//! | the key's columns | what was asked |
//! | `$at` | when, in nanoseconds since the epoch |
//! | `$found` | the rows, as a list of structures |

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow_row::{RowConverter, SortField};

use super::spec::{Lookup, NAME};
use crate::error::{OperatorError, Result};

pub(super) const AT: &str = "$at";
pub(super) const FOUND: &str = "$found";

/// Reads keys as bytes that are equal if and only if the keys are.
pub(super) struct Keys(RowConverter);

impl Keys {
    pub(super) fn new(lookup: &Lookup) -> Result<Self> {
        let kinds = lookup.keys.iter().map(|key| lookup.input.field(*key).data_type().clone());
        Ok(Self(RowConverter::new(kinds.map(SortField::new).collect())?))
    }

    /// The key of each row; `None` if a part of it is NULL, which is equal to nothing.
    pub(super) fn read(&self, columns: &[ArrayRef]) -> Result<Vec<Option<Box<[u8]>>>> {
        let rows = self.0.convert_columns(columns)?;
        let has_null = |row: usize| columns.iter().any(|column| column.is_null(row));
        let key = |(nth, row): (usize, arrow_row::Row<'_>)| (!has_null(nth)).then(|| row.data().into());
        Ok(rows.iter().enumerate().map(key).collect())
    }
}

/// The columns of a batch at these places.
pub(super) fn columns_at(batch: &RecordBatch, places: &[usize]) -> Vec<ArrayRef> {
    places.iter().map(|place| Arc::clone(batch.column(*place))).collect()
}

/// What was found, put with the keys that were asked; rows that belong to none of them are left out.
pub(super) fn put_together(
    lookup: &Lookup,
    keys: &Keys,
    asked: &RecordBatch,
    found: &RecordBatch,
    at: i64,
) -> Result<RecordBatch> {
    let mut rows_of: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
    for (row, key) in (0..).zip(keys.read(&columns_at(found, &lookup.answer_keys))?) {
        if let Some(key) = key {
            rows_of.entry(key).or_default().push(row);
        }
    }
    let (mut counts, mut order) = (Vec::new(), Vec::new());
    for key in keys.read(asked.columns())? {
        let rows = key.and_then(|key| rows_of.remove(&key)).unwrap_or_default();
        counts.push(rows.len());
        order.extend(rows);
    }
    let rows = take_record_batch(found, &UInt32Array::from(order))?;
    let times: ArrayRef = Arc::new(Int64Array::from_value(at, asked.num_rows()));
    let columns = asked.columns().iter().cloned().chain([times, list_of(lookup, rows, counts)?]);
    Ok(RecordBatch::try_new(schema(lookup), columns.collect())?)
}

/// Rows as a column of lists, of so many rows each.
pub(super) fn list_of(lookup: &Lookup, rows: RecordBatch, counts: Vec<usize>) -> Result<ArrayRef> {
    let DataType::List(item) = list_type(lookup) else { return Err(damaged("its type")) };
    let rows = RecordBatch::try_new(open_schema(lookup), rows.columns().to_vec())?;
    let values: ArrayRef = Arc::new(StructArray::from(rows));
    Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(counts), values, None)?))
}

fn list_type(lookup: &Lookup) -> DataType {
    let item = DataType::Struct(open_schema(lookup).fields().clone());
    DataType::List(Arc::new(Field::new("item", item, false)))
}

/// The columns of an answer, each of which can be NULL, as it is for a row without a match.
pub(super) fn open_schema(lookup: &Lookup) -> SchemaRef {
    let fields = lookup.answered.fields().iter().map(|field| Field::clone(field).with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The columns of an answer as it is kept.
pub(super) fn schema(lookup: &Lookup) -> SchemaRef {
    let mut fields = key_fields(lookup);
    fields.push(Field::new(AT, DataType::Int64, false));
    fields.push(Field::new(FOUND, list_type(lookup), false));
    Arc::new(Schema::new(fields))
}

/// The columns of what is asked.
pub(super) fn key_fields(lookup: &Lookup) -> Vec<Field> {
    let kinds = lookup.keys.iter().map(|key| lookup.input.field(*key).data_type().clone());
    lookup.key_columns.iter().zip(kinds).map(|(name, kind)| Field::new(name, kind, true)).collect()
}

/// The parts of an answer: the keys' columns, the times, and the rows of all keys with how many each has.
pub(super) type Parts = (Vec<ArrayRef>, Int64Array, RecordBatch, Vec<usize>);

/// Takes an answer apart.
pub(super) fn take_apart(lookup: &Lookup, answer: &RecordBatch) -> Result<Parts> {
    let column = |name: &str| answer.column_by_name(name).ok_or_else(|| damaged(name));
    let times = column(AT)?.as_primitive_opt::<Int64Type>().ok_or_else(|| damaged(AT))?.clone();
    let list = column(FOUND)?.as_list_opt::<i32>().ok_or_else(|| damaged(FOUND))?;
    let counts = (0..list.len()).map(|nth| list.value_length(nth) as usize).collect();
    let first = list.value_offsets().first().copied().unwrap_or_default() as usize;
    let last = list.value_offsets().last().copied().unwrap_or_default() as usize;
    let rows = RecordBatch::from(list.values().as_struct_opt().ok_or_else(|| damaged(FOUND))?);
    let rows = rows.slice(first, last - first);
    if rows.num_columns() != lookup.answered.fields().len() {
        return Err(damaged(FOUND));
    }
    Ok((answer.columns()[..lookup.keys.len()].to_vec(), times, rows, counts))
}

fn damaged(what: &str) -> OperatorError {
    OperatorError::bad_checkpoint(NAME, format!("what a table once answered lacks {what}"))
}
