//! State as a checkpoint keeps it: a key, and what belongs to it as JSON.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::windows::slots;

/// Adds entries that are put, and entries that are gone, to a snapshot.
pub(super) fn push<T: Serialize>(
    operator: &'static str,
    table: &str,
    put: &[(&str, T)],
    gone: &[&str],
    out: &mut Snapshot,
) -> Result<()> {
    let mut add = |change, keys: Vec<&str>, values: Option<Vec<String>>| -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let rows = keys.len();
        let mut fields = vec![Field::new("key", DataType::Utf8, false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(keys))];
        let slots = slots(&columns, rows)?;
        if let Some(values) = values {
            fields.push(Field::new("state", DataType::Utf8, false));
            columns.push(Arc::new(StringArray::from(values)));
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        out.push(StateEntries { table: table.to_owned(), change, rows, slots });
        Ok(())
    };
    let json = |value: &T| {
        serde_json::to_string(value)
            .map_err(|error| OperatorError::bad_checkpoint(operator, error.to_string()))
    };
    let values = put.iter().map(|(_, value)| json(value)).collect::<Result<_>>()?;
    add(StateChange::Put, put.iter().map(|(key, _)| *key).collect(), Some(values))?;
    add(StateChange::Delete, gone.to_vec(), None)
}

/// The entries of a checkpoint: keys, with their states unless they are gone.
pub(super) fn read<T: DeserializeOwned>(
    operator: &'static str,
    entries: &StateEntries,
) -> Result<Vec<(String, Option<T>)>> {
    let text = |column: usize, row: usize| entries.rows.column(column).as_string::<i32>().value(row);
    let wanted = if entries.change == StateChange::Put { 2 } else { 1 };
    let fits = entries.rows.num_columns() == wanted
        && entries.rows.columns().iter().all(|column| *column.data_type() == DataType::Utf8);
    if !fits {
        let reason = format!("table {:?} has other columns", entries.table);
        return Err(OperatorError::bad_checkpoint(operator, reason));
    }
    let row = |row: usize| {
        let state = (wanted == 2).then(|| serde_json::from_str(text(1, row))).transpose();
        let state = state.map_err(|error| OperatorError::bad_checkpoint(operator, error.to_string()))?;
        Ok((text(0, row).to_owned(), state))
    };
    (0..entries.rows.num_rows()).map(row).collect()
}
