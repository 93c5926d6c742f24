//! Arrow IPC, stream or file, to rows.
//!
//! Columns are matched by name and cast where they must be; see [`crate::conform`].
//!
//! ```text
//!  a file:   ARROW1 0 0 | zeros | a stream | footer | length of the footer (4 bytes) | ARROW1
//! ```
//!
//! A file is read as the stream that it holds: the footer only repeats where the batches are. What lengths it claims is checked before
//! ([`arrow_claims`]).

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use bytes::Bytes;

use super::arrow_claims;
use super::decode::{Decoded, concat};
use crate::conform::conform;
use crate::error::{IngestError, Result};

const MAGIC: &[u8] = b"ARROW1";

/// The magic of a file is followed by zeros up to this, and then by words of zeros up to whatever its writer aligned to.
const HEAD: usize = 8;

pub(super) fn decode(bytes: Bytes, schema: &SchemaRef, next_record: &mut u64) -> Result<Decoded> {
    let bytes = stream_of(bytes)?;
    arrow_claims::check(&bytes)?;
    let mut stream = Buffer::from(bytes);
    let mut decoder = StreamDecoder::new();
    let mut parts = Vec::new();
    while let Some(batch) = decoder.decode(&mut stream).map_err(unreadable)? {
        let (rows, bad) = conform(&batch, schema, *next_record)?;
        *next_record += (rows.num_rows() + bad.len()) as u64;
        parts.push(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() });
    }
    decoder.finish().map_err(unreadable)?;
    concat(schema, parts)
}

/// The stream in these bytes.
fn stream_of(bytes: Bytes) -> Result<Bytes> {
    let Some(end) = bytes.strip_prefix(MAGIC).map(|_| bytes.len().saturating_sub(MAGIC.len())) else {
        return Ok(bytes);
    };
    let cut_off = || unreadable("the file is cut off");
    let length = end.checked_sub(4).and_then(|at| bytes.get(at..end)?.first_chunk::<4>());
    let footer = u32::from_le_bytes(*length.ok_or_else(cut_off)?) as usize;
    let stream_end = end.checked_sub(4 + footer).filter(|end| *end >= HEAD && bytes.ends_with(MAGIC));
    let stream = bytes.slice(HEAD..stream_end.ok_or_else(cut_off)?);
    let zeros = stream.chunks_exact(8).take_while(|word| *word == [0; 8]).count() * 8;
    Ok(stream.slice(zeros..))
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> IngestError {
    IngestError::Unreadable { format: "Arrow IPC", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::ipc::writer::FileWriter;

    use super::*;

    #[test]
    fn a_file_is_read_as_its_stream() {
        let rows =
            RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)]).unwrap();
        let mut writer = FileWriter::try_new(Vec::new(), &rows.schema()).unwrap();
        writer.write(&rows).unwrap();
        writer.write(&rows).unwrap();
        let bytes = Bytes::from(writer.into_inner().unwrap());
        let decoded = decode(bytes.clone(), &rows.schema(), &mut 1).unwrap();
        assert_eq!(decoded.rows.num_rows(), 6);
        for len in 1..bytes.len() {
            assert!(decode(bytes.slice(..len), &rows.schema(), &mut 1).is_err(), "cut off at {len}");
        }
    }
}
