//! The header of a batch.

use headwater_core::{EventTime, SchemaId, Sequence, ShardId, StreamId};

use super::error::Result;
use super::limits::Limits;
use super::stats::ColumnStats;
use crate::api::{Compression, Producer};

/// Bytes of the header's fixed part: what must be read to know the rest.
pub(crate) const FIXED_BYTES: usize = 136;

/// How long a batch is, from its fixed part alone. Not yet covered by a checksum: within limits, and no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lengths {
    /// Bytes of the header, fixed part included; a multiple of 64.
    pub header: usize,
    /// Bytes of the batch, header included; a multiple of 64.
    pub total: u64,
}

/// One node of the tree of arrays, as Arrow IPC has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    /// Values.
    pub len: u64,
    /// Nulls among them.
    pub nulls: u64,
}

/// One buffer of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BufferEntry {
    /// From the start of the body; a multiple of 64.
    pub offset: u64,
    /// Bytes, padding not counted.
    pub len: u64,
    /// CRC-32C of the bytes as stored.
    pub crc: u32,
}

/// A header that was read and checked.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Header {
    /// CRC-32C of the header: what the next batch in the file chains from.
    pub crc: u32,
    /// The CRC of the batch before in the same file, or of the file's own header.
    pub chain: u32,
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The first row's sequence number.
    pub first: Sequence,
    /// Rows, at least one.
    pub rows: u32,
    /// The schema that wrote it.
    pub schema: SchemaId,
    /// How the buffers are compressed.
    pub compression: Compression,
    /// Whether the next batch in the file belongs to the same atomic group.
    pub group_continues: bool,
    /// Whether a last column holds each row's arrival; else all arrived at `arrival.0`, which is `arrival.1`.
    pub has_arrivals: bool,
    /// Smallest and largest event time, if any row has one.
    pub event_time: Option<(EventTime, EventTime)>,
    /// Smallest and largest arrival.
    pub arrival: (EventTime, EventTime),
    /// Who appended it, if that is to be remembered.
    pub producer: Option<Producer>,
    /// How long it is.
    pub lengths: Lengths,
    /// Statistics of each column.
    pub stats: Vec<ColumnStats>,
    pub(super) nodes: Vec<Node>,
    pub(super) buffers: Vec<BufferEntry>,
    pub(super) variadic: Vec<u64>,
}

impl Header {
    /// How long a batch is, from at least its first [`FIXED_BYTES`] bytes.
    pub(crate) fn peek_lengths(bytes: &[u8], limits: &Limits) -> Result<Lengths> {
        let _ = (bytes, limits);
        todo!()
    }

    /// Reads a header from bytes that hold at least all of it, and checks every field.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let _ = (bytes, limits);
        todo!()
    }

    /// The sequence number after the last row's.
    pub(crate) fn next(&self) -> Sequence {
        self.first.plus(u64::from(self.rows))
    }
}
