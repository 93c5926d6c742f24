//! Parquet to rows.
//!
//! Columns are matched by name and cast where they must be; see [`crate::conform`].

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::decode::{Decoded, concat};
use crate::conform::conform;
use crate::error::{IngestError, Result};

pub(super) fn decode(bytes: Bytes, schema: &SchemaRef, next_record: &mut u64) -> Result<Decoded> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.with_batch_size(65_536).build())
        .map_err(unreadable)?;
    let mut parts = Vec::new();
    for batch in reader {
        let (rows, bad) = conform(&batch.map_err(unreadable)?, schema, *next_record)?;
        *next_record += (rows.num_rows() + bad.len()) as u64;
        parts.push(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() });
    }
    concat(schema, parts)
}

fn unreadable(error: impl std::error::Error) -> IngestError {
    IngestError::Unreadable { format: "Parquet", reason: error.to_string() }
}
