//! Tables of a snapshot that several operators have.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::hash::{hash_rows, slot_of};

use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};

/// A part of a table has at most so many rows, where there may be many: it is written and let go of before the next is made.
pub(crate) const PART_ROWS: usize = 1 << 16;

/// The slots of rows with these key columns.
pub(crate) fn slots(keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
    if keys.is_empty() {
        return Ok(vec![slot_of(0); rows]);
    }
    Ok(hash_rows(keys)?.into_iter().map(slot_of).collect())
}

/// Adds the table `watermark`, which every instance gets.
pub(crate) fn push_watermark(watermark: i64, out: &mut Snapshot) -> Result<()> {
    let schema = Schema::new(vec![Field::new("$watermark", DataType::Int64, false)]);
    let column = Arc::new(Int64Array::from(vec![watermark]));
    push_entries("watermark", RecordBatch::try_new(Arc::new(schema), vec![column])?, Vec::new(), out);
    Ok(())
}

pub(crate) fn read_watermark(rows: &RecordBatch) -> i64 {
    rows.column(0).as_primitive::<Int64Type>().values().iter().copied().max().unwrap_or(i64::MIN)
}

/// Adds entries that are put, unless there are none.
pub(crate) fn push_entries(table: &str, rows: RecordBatch, slots: Vec<u32>, out: &mut Snapshot) {
    if rows.num_rows() > 0 {
        out.push(StateEntries { table: table.to_owned(), change: StateChange::Put, rows, slots });
    }
}

/// Whether rows of a checkpoint have the columns that the state has now.
pub(crate) fn check_schema(operator: &str, rows: &RecordBatch, schema: &SchemaRef) -> Result<()> {
    let types = |schema: &Schema| -> Vec<DataType> {
        schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    let (there, here) = (types(&rows.schema()), types(schema));
    if there == here {
        return Ok(());
    }
    Err(OperatorError::bad_checkpoint(operator, format!("its columns are {there:?}, the query's {here:?}")))
}
