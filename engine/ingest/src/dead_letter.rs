//! The streams for what could not be used: `system.dead_letters` and `system.late_rows`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::{EventTime, StreamName};
use headwater_log::{Log, LogError, StreamInfo, StreamSpec};

use crate::bad::BadRecord;
use crate::error::Result;

/// The stream of records that could not become rows.
pub const DEAD_LETTERS: &str = "system.dead_letters";

/// The stream of rows that came after their window had closed.
pub const LATE_ROWS: &str = "system.late_rows";

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The columns of [`DEAD_LETTERS`].
pub fn dead_letters_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // The stream that the record was meant for.
        Field::new("stream", DataType::Utf8, false),
        // Where it came from: `http`, `sql`, or the name of a source.
        Field::new("source", DataType::Utf8, false),
        // Which record of its request or file, from 1; in formats of lines (JSON lines, CSV) the line on which it begins, a header counted.
        Field::new("record", DataType::Int64, false),
        // The code of the fault.
        Field::new("code", DataType::Utf8, false),
        // The field to blame, if one is.
        Field::new("field", DataType::Utf8, true),
        // What was expected and what was found.
        Field::new("reason", DataType::Utf8, false),
        // The record's bytes.
        Field::new("payload", DataType::Binary, false),
        // When it arrived.
        Field::new("arrived", utc(), false),
        // What the source says besides, as JSON: a file's name, a message's key.
        Field::new("metadata", DataType::Utf8, true),
    ]))
}

/// The columns of [`LATE_ROWS`]. The runner writes them.
pub fn late_rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // The job for which the row was late.
        Field::new("job", DataType::Utf8, false),
        // The stream that it came from.
        Field::new("stream", DataType::Utf8, false),
        // The operator that found it late.
        Field::new("operator", DataType::Utf8, false),
        // The row as the operator saw it, as a JSON object.
        Field::new("payload", DataType::Utf8, false),
        // Its event time.
        Field::new("event_time", utc(), true),
        // The watermark that it came after.
        Field::new("watermark", utc(), true),
    ]))
}

/// Bad records as rows of [`DEAD_LETTERS`].
pub(crate) fn dead_letters(
    stream: &str,
    source: &str,
    bad: &[BadRecord],
    arrived: EventTime,
) -> Result<RecordBatch> {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(bad.iter().map(|_| text))) };
    let schema = dead_letters_schema();
    let arrived = TimestampNanosecondArray::from_value(arrived.0, bad.len()).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        text(stream),
        text(source),
        Arc::new(Int64Array::from_iter_values(bad.iter().map(|bad| bad.record.cast_signed()))),
        Arc::new(StringArray::from_iter_values(bad.iter().map(|bad| bad.code().as_str()))),
        Arc::new(StringArray::from_iter(bad.iter().map(|bad| bad.field.as_deref()))),
        Arc::new(StringArray::from_iter_values(bad.iter().map(|bad| &bad.reason))),
        Arc::new(BinaryArray::from_iter_values(bad.iter().map(|bad| &bad.payload))),
        Arc::new(arrived),
        new_null_array(&DataType::Utf8, bad.len()),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// A stream of the engine, created if it is not there yet.
pub fn system_stream(log: &dyn Log, name: &str, schema: SchemaRef) -> Result<Arc<StreamInfo>> {
    match log.stream_named(name) {
        Err(LogError::NoStream { .. }) => {}
        found => return Ok(found?),
    }
    let name = StreamName::new(name).expect("the names of the engine's streams are well-formed");
    let spec = StreamSpec::new(name, schema);
    match log.create_stream(spec.clone()) {
        Ok(info) => Ok(Arc::new(info)),
        // Somebody else was faster.
        Err(LogError::StreamExists { .. }) => Ok(log.stream_named(spec.name.as_str())?),
        Err(error) => Err(error.into()),
    }
}
