//! The streams for what could not be used: `system.dead_letters` and `system.late_rows`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

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
        // Which record of its request or file, from 1.
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
