//! Few large reads instead of many small ones, and no byte used before its checksum is verified.

use std::ops::Range;

use arrow::buffer::Buffer;

use super::compress::decompress;
use super::error::{BatchError, Result};
use super::header::Header;

/// Between two wanted buffers, so many bytes are read through rather than leaving them out: a page, which the system
/// would read anyway.
const GAP_BYTES_MAX: u64 = 4096;

/// Gives bytes of a batch.
pub(crate) trait Fetch {
    /// The bytes of a range, counted from the start of the batch (the header included): exactly as many.
    /// Memory that is aligned as the widest column's values are needs no further copy: what allocators give for more than a few bytes.
    fn fetch(&self, range: Range<u64>) -> crate::Result<Buffer>;
}

/// A batch in memory, from its start. Without the bytes that are asked for it gives what there is.
impl Fetch for Buffer {
    fn fetch(&self, range: Range<u64>) -> crate::Result<Buffer> {
        let start = (range.start as usize).min(self.len());
        let end = (range.end as usize).min(self.len());
        Ok(self.slice_with_length(start, end - start))
    }
}

/// Fetches the buffers with these numbers, ascending; verifies and decompresses them. The result is indexed by number.
pub(super) fn fetch_buffers(
    header: &Header,
    wanted: &[usize],
    fetch: &dyn Fetch,
) -> Result<Vec<Option<Buffer>>> {
    let mut buffers = vec![None; header.buffers.len()];
    let mut left = header.decoded_bytes;
    for run in runs(header, wanted) {
        let entry = |number: usize| header.buffers[number];
        let start = entry(wanted[run.start]).offset;
        let last = entry(wanted[run.end - 1]);
        let bytes = fetch_exactly(header, start..last.offset + last.len, fetch)?;
        for number in &wanted[run] {
            let entry = entry(*number);
            let stored = bytes.slice_with_length((entry.offset - start) as usize, entry.len as usize);
            let actual = crc_fast::crc32_iscsi(&stored);
            if actual != entry.crc {
                return Err(BatchError::damaged(
                    header.in_body(entry.offset),
                    format!(
                        "the checksum of a buffer of {} bytes is {actual:08x}, expected {:08x}",
                        entry.len, entry.crc
                    ),
                ));
            }
            let buffer = decompress(header.compression, stored, left)
                .map_err(|reason| BatchError::damaged(header.in_body(entry.offset), reason))?;
            left = left.saturating_sub(buffer.len() as u64);
            buffers[*number] = Some(buffer);
        }
    }
    Ok(buffers)
}

/// Verifies every buffer's checksum, reading the body once: what recovery and the scrubber ask of a batch.
pub(crate) fn verify(header: &Header, fetch: &dyn Fetch) -> Result<()> {
    let body = fetch_exactly(header, 0..header.lengths.total - header.lengths.header as u64, fetch)?;
    for entry in &header.buffers {
        let (start, end) = (entry.offset as usize, (entry.offset + entry.len) as usize);
        let actual = crc_fast::crc32_iscsi(&body[start..end]);
        if actual != entry.crc {
            return Err(BatchError::damaged(
                header.in_body(entry.offset),
                format!(
                    "the checksum of a buffer of {} bytes is {actual:08x}, expected {:08x}",
                    entry.len, entry.crc
                ),
            ));
        }
    }
    Ok(())
}

/// Splits wanted buffers into runs that are read at once.
fn runs(header: &Header, wanted: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, number) in wanted.iter().enumerate() {
        let near = index.checked_sub(1).is_some_and(|before| {
            let before = header.buffers[wanted[before]];
            header.buffers[*number].offset - (before.offset + before.len) < GAP_BYTES_MAX
        });
        match runs.last_mut() {
            Some(run) if near => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

/// A range of the body.
fn fetch_exactly(header: &Header, range: Range<u64>, fetch: &dyn Fetch) -> Result<Buffer> {
    if range.is_empty() {
        return Ok(Buffer::default());
    }
    let bytes = fetch.fetch(header.in_body(range.start)..header.in_body(range.end))?;
    if bytes.len() as u64 == range.end - range.start {
        Ok(bytes)
    } else {
        Err(BatchError::damaged(
            header.in_body(range.start),
            format!("{} bytes of the body are there, expected {}", bytes.len(), range.end - range.start),
        ))
    }
}
