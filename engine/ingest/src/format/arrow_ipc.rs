//! Arrow IPC, stream or file, to rows.
//!
//! Columns are matched by name and cast where they must be; see [`crate::conform`].

use std::io::Cursor;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use bytes::Bytes;

use super::decode::{Decoded, concat};
use crate::conform::conform;
use crate::error::{IngestError, Result};

/// What a file, as opposed to a stream, begins with.
const FILE_MAGIC: &[u8] = b"ARROW1";

pub(super) fn decode(bytes: &[u8], schema: &SchemaRef, next_record: &mut u64) -> Result<Decoded> {
    if bytes.is_empty() {
        return concat(schema, Vec::new());
    }
    let mut parts = Vec::new();
    let mut take = |batch: std::result::Result<_, ArrowError>| {
        let (rows, bad) = conform(&batch.map_err(unreadable)?, schema, *next_record)?;
        *next_record += (rows.num_rows() + bad.len()) as u64;
        parts.push(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() });
        Ok::<_, IngestError>(())
    };
    if bytes.starts_with(FILE_MAGIC) {
        FileReader::try_new(Cursor::new(bytes), None).map_err(unreadable)?.try_for_each(&mut take)?;
    } else {
        StreamReader::try_new(Cursor::new(bytes), None).map_err(unreadable)?.try_for_each(&mut take)?;
    }
    concat(schema, parts)
}

fn unreadable(error: ArrowError) -> IngestError {
    IngestError::Unreadable { format: "Arrow IPC", reason: error.to_string() }
}
