//! Bytes to rows: the columns that are wanted and no others, each buffer verified before it is used.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;

use super::error::Result;
use super::header::Header;
use super::merge::Arrivals;

/// Gives bytes of a batch.
pub(crate) trait Fetch {
    /// The bytes of a range, counted from the start of the batch (the header included): exactly as many.
    /// Buffers that are aligned to 64 bytes in memory (as arrow's own are) need no further copy.
    fn fetch(&self, range: Range<u64>) -> crate::Result<Buffer>;
}

/// A batch in memory.
impl Fetch for Buffer {
    fn fetch(&self, range: Range<u64>) -> crate::Result<Buffer> {
        let _ = range;
        todo!()
    }
}

/// What is wanted of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The schema that wrote the batch.
    pub written: &'a SchemaRef,
    /// The schema to adapt to: the stream's newest.
    pub target: &'a SchemaRef,
    /// Which columns of `target`, in this order; `None` for all.
    pub projection: Option<&'a [usize]>,
    /// The schema of the result: `target` projected, made once per reader.
    pub output: &'a SchemaRef,
    /// Whether arrivals are wanted.
    pub arrivals: bool,
}

/// Rows that were read.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    /// The columns asked for; without any, a row count only.
    pub rows: RecordBatch,
    /// When the rows arrived, if asked for; else the range is in the header.
    pub arrivals: Option<Arrivals>,
}

/// Reads what is wanted. Without columns and arrivals nothing is fetched.
pub(crate) fn decode(header: &Header, wanted: &Wanted<'_>, fetch: &dyn Fetch) -> Result<Decoded> {
    let _ = (header, wanted, fetch);
    todo!()
}

/// Verifies every buffer's checksum: what recovery and the scrubber ask of a batch.
pub(crate) fn verify(header: &Header, fetch: &dyn Fetch) -> Result<()> {
    let _ = (header, fetch);
    todo!()
}
