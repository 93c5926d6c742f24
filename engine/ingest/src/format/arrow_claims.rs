//! What an Arrow IPC stream claims to be, held against bounds before anybody believes it.
//!
//! A compressed buffer starts with the length that it has without compression, and a batch says how many rows it has; Arrow's
//! reader allocates what they say. Some hundred crafted bytes could so ask for terabytes, and an allocation that fails ends
//! the process. The layout of the stream is that of "Serialization and Interprocess Communication" in Arrow's columnar format:
//!
//! ```text
//!  a message:  [ffffffff] | length of the metadata (4 bytes) | metadata | body        … the last one has length 0
//!  a buffer:   length without compression, or -1 if it is not compressed (8 bytes) | bytes         if the batch is compressed
//! ```

use arrow::ipc::{MessageHeader, RecordBatch, root_as_message};

use super::arrow_ipc::unreadable;
use crate::error::Result;

/// Bytes that all compressed buffers of a body may have together once they are decompressed.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 30;

/// Rows that all batches of a body may have together.
const ROWS_MAX: u64 = 1 << 26;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// What was claimed so far.
#[derive(Default)]
struct Claims {
    bytes: u64,
    rows: u64,
}

/// Refuses a stream that claims more than any body may hold. What else is wrong with it is left to the reader.
pub(super) fn check(mut stream: &[u8]) -> Result<()> {
    let mut claims = Claims::default();
    while let Some((metadata, rest)) = next_message(stream) {
        let Ok(message) = root_as_message(metadata) else { return Ok(()) };
        let Some((body, rest)) =
            usize::try_from(message.bodyLength()).ok().and_then(|len| rest.split_at_checked(len))
        else {
            return Ok(());
        };
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => {
                message.header_as_dictionary_batch().and_then(|batch| batch.data())
            }
            _ => None,
        };
        if let Some(batch) = batch {
            claims.add(&batch, body)?;
        }
        stream = rest;
    }
    Ok(())
}

/// The metadata of the message that a stream starts with, and what follows it; nothing at its end.
fn next_message(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let stream = stream.strip_prefix(&CONTINUATION).unwrap_or(stream);
    let (len, rest) = stream.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*len) {
        0 => None,
        len => rest.split_at_checked(len as usize),
    }
}

impl Claims {
    fn add(&mut self, batch: &RecordBatch<'_>, body: &[u8]) -> Result<()> {
        let lengths = batch.nodes().into_iter().flatten().map(|node| node.length());
        let rows = lengths.chain([batch.length()]).map(|rows| u64::try_from(rows).unwrap_or(u64::MAX)).max();
        self.rows = self.rows.saturating_add(rows.unwrap_or(0));
        if self.rows > ROWS_MAX {
            return Err(unreadable(format!(
                "it says that it has {} rows; at most {ROWS_MAX} are taken",
                self.rows
            )));
        }
        if batch.compression().is_none() {
            return Ok(());
        }
        for buffer in batch.buffers().into_iter().flatten() {
            let start = usize::try_from(buffer.offset()).ok();
            let claimed = start.and_then(|start| body.get(start..)?.first_chunk::<8>());
            // An empty buffer has no length before it, and -1 says that the buffer is not compressed.
            let Some(claimed) = claimed.filter(|_| buffer.length() > 0) else { continue };
            let claimed = u64::try_from(i64::from_le_bytes(*claimed)).unwrap_or(0);
            self.bytes = self.bytes.saturating_add(claimed);
        }
        if self.bytes > DECOMPRESSED_BYTES_MAX {
            return Err(unreadable(format!(
                "it says that it has {} bytes without compression; at most {DECOMPRESSED_BYTES_MAX} are taken",
                self.bytes
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch as Rows};
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
    use bytes::Bytes;

    use super::super::arrow_ipc::decode;

    fn compressed(compression: CompressionType) -> (Rows, Vec<u8>) {
        let rows = Rows::try_from_iter([("n", Arc::new(Int64Array::from(vec![7; 5000])) as _)]).unwrap();
        let options = IpcWriteOptions::default().try_with_compression(Some(compression)).unwrap();
        let mut writer = StreamWriter::try_new_with_options(Vec::new(), &rows.schema(), options).unwrap();
        writer.write(&rows).unwrap();
        (rows, writer.into_inner().unwrap())
    }

    /// Replaces the only place where a number stands, as 8 bytes, by another number.
    fn forge(bytes: &[u8], truth: i64, lie: i64) -> Bytes {
        let at = |(at, window): (usize, &[u8])| (window == truth.to_le_bytes()).then_some(at);
        let places: Vec<usize> = bytes.windows(8).enumerate().filter_map(at).collect();
        assert!(!places.is_empty(), "{truth} is not there");
        let mut forged = bytes.to_vec();
        for at in places {
            forged[at..at + 8].copy_from_slice(&lie.to_le_bytes());
        }
        forged.into()
    }

    #[test]
    fn what_a_stream_claims_is_not_allocated() {
        for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
            let (rows, bytes) = compressed(compression);
            assert_eq!(decode(bytes.clone().into(), &rows.schema(), &mut 1).unwrap().rows, rows);
            for lie in [1 << 31, 1 << 50, i64::MAX] {
                let error =
                    decode(forge(&bytes, 40_000, lie), &rows.schema(), &mut 1).unwrap_err().to_string();
                assert!(error.contains("bytes without compression"), "{error}");
            }
            for lie in [1 << 31, 1 << 50, i64::MAX, -1] {
                let error =
                    decode(forge(&bytes, 5_000, lie), &rows.schema(), &mut 1).unwrap_err().to_string();
                assert!(error.contains("rows; at most"), "{error}");
            }
        }
    }
}
