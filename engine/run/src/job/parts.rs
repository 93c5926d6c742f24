//! Entries of state as bytes: what a checkpoint and a spill file have in common.
//!
//! A part is an Arrow IPC stream, one for each table of state and kind of change; the slots of the rows are a last column `_slot`.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use headwater_operators::{StateChange, StateEntries};
use serde::{Deserialize, Serialize};

const SLOT: &str = "_slot";

/// Where a part lies among the bytes that hold it, and what it is.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) struct Part {
    /// The table of state.
    pub table: String,
    /// Whether entries are deleted.
    pub delete: bool,
    /// Where it begins.
    pub offset: usize,
    /// How many bytes it has.
    pub length: usize,
}

/// Appends entries to `out`.
pub(crate) fn encode(entries: &StateEntries, out: &mut Vec<u8>) -> Result<Part, String> {
    let offset = out.len();
    write(entries, out).map_err(|error| format!("encode {}: {error}", entries.table))?;
    let delete = entries.change == StateChange::Delete;
    Ok(Part { table: entries.table.clone(), delete, offset, length: out.len() - offset })
}

fn write(entries: &StateEntries, out: &mut Vec<u8>) -> Result<(), arrow::error::ArrowError> {
    let rows = if entries.slots.is_empty() {
        entries.rows.clone()
    } else {
        let mut fields = entries.rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(SLOT, DataType::UInt32, false)));
        let mut columns = entries.rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from(entries.slots.clone())));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?
    };
    let mut writer = StreamWriter::try_new(out, &rows.schema())?;
    writer.write(&rows)?;
    writer.finish()
}

/// Reads a part's own bytes.
pub(crate) fn decode(bytes: &[u8], part: &Part) -> Result<StateEntries, String> {
    let bad = |what: String| format!("table {}: {what}", part.table);
    let reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| bad(error.to_string()))?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
    let rows = arrow::compute::concat_batches(&schema, &batches);
    let mut rows = rows.map_err(|error| bad(error.to_string()))?;
    let mut slots = Vec::new();
    if schema.fields().last().is_some_and(|field| field.name() == SLOT) {
        let column = rows.remove_column(rows.num_columns() - 1);
        slots = column.as_primitive::<UInt32Type>().values().to_vec();
    }
    let change = if part.delete { StateChange::Delete } else { StateChange::Put };
    Ok(StateEntries { table: part.table.clone(), change, rows, slots })
}

/// The CRC-32C of bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
