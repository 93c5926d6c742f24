//! Rows to bytes, in two steps: what does not depend on order on the submitting thread, the rest on the committing one.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use headwater_core::{EventTime, SchemaId, Sequence, ShardId, StreamId};

use super::limits::Limits;
use super::merge::Arrivals;
use crate::api::{Compression, Producer};
use crate::error::Result;

/// Where rows come from and how they are to be written.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The schema of the rows.
    pub schema: SchemaId,
    /// Index of the timestamp column whose range the header carries.
    pub event_time: Option<usize>,
    /// How to compress the buffers.
    pub compression: Compression,
    /// Who appends.
    pub producer: Option<Producer>,
}

/// What is known only when a batch gets its place in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Placement {
    /// The first row's sequence number.
    pub first: Sequence,
    /// When the rows arrived; ignored by a batch that was prepared with [`Arrivals::Each`].
    pub arrival: EventTime,
    /// The CRC of the batch before in the same file, or of the file's own header.
    pub chain: u32,
    /// Whether the next batch in the file belongs to the same atomic group.
    pub group_continues: bool,
}

/// A batch without a place: body, checksums and statistics are done.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    header: Vec<u8>,
    body: Vec<Buffer>,
    total: u64,
    rows: u32,
}

impl Prepared {
    /// Rows.
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// Bytes of the whole batch, a multiple of 64.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total
    }

    /// Gives the batch its place: a few fields and the header's checksum.
    pub(crate) fn finish(self, place: Placement) -> Encoded {
        let _ = place;
        todo!()
    }
}

/// A batch as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    header: Vec<u8>,
    body: Vec<Buffer>,
    total: u64,
    crc: u32,
}

impl Encoded {
    /// CRC-32C of the header: what the next batch in the file chains from.
    pub(crate) fn crc(&self) -> u32 {
        self.crc
    }

    /// The header's bytes, as [`super::Header::parse`] takes them.
    pub(crate) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Bytes of the whole batch, a multiple of 64.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total
    }

    /// The bytes in order, header first, padding included: for one gather write.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.header.as_slice()).chain(self.body.iter().map(|buffer| buffer.as_slice()))
    }
}

/// Prepares rows (at least one) for writing. Rows merged from several appends bring each row's arrival.
pub(crate) fn prepare(
    source: &Source,
    rows: &RecordBatch,
    arrivals: &Arrivals,
    limits: &Limits,
) -> Result<Prepared> {
    let _ = (source, rows, arrivals, limits);
    todo!()
}
