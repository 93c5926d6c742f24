//! Skeleton.
use crate::bad::BadRecord;
use crate::error::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// Gives rows the columns of `schema`: by name, cast, or NULL.
pub fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<(RecordBatch, Vec<BadRecord>)> {
    let _ = (rows, schema);
    unimplemented!()
}
