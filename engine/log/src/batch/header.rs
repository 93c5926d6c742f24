//! The header of a batch: what it says, and how it is written. How it is read without trusting it is in [`read`].
//!
//! Fields and offsets are listed in `FORMAT.md`. The fixed part is 144 bytes. The checksum covers everything after itself,
//! so the chain value, the padding and the lengths too; the magic before it is compared in full.

mod read;

use headwater_core::{Epoch, EventTime, ProducerId, SchemaId, Sequence, ShardId, StreamId};

use super::stats::ColumnStats;
use super::wire::padded_64;
use crate::api::{Compression, Producer};

/// Bytes of the header's fixed part: what must be read to know the rest.
pub(crate) const FIXED_BYTES: usize = 144;

/// What a batch starts with.
pub(crate) const MAGIC: [u8; 4] = *b"HWB1";

const VERSION: u16 = 1;

/// Offsets of fields that are set when a batch is placed, or that errors name.
const AT_CRC: usize = 4;
const AT_CHAIN: usize = 8;
const AT_VERSION: usize = 12;
const AT_FLAGS: usize = 14;
const AT_HEADER: usize = 16;
const AT_TOTAL: usize = 24;
const AT_FIRST: usize = 40;
const AT_ARRIVAL: usize = 96;
const AFTER_CRC: usize = 8;

const GROUP_CONTINUES: u16 = 1 << 0;
const HAS_ARRIVALS: u16 = 1 << 1;
const HAS_PRODUCER: u16 = 1 << 2;
const HAS_EVENT_TIME: u16 = 1 << 3;
const ALL_FLAGS: u16 = GROUP_CONTINUES | HAS_ARRIVALS | HAS_PRODUCER | HAS_EVENT_TIME;

const NODE_BYTES: usize = 16;
const BUFFER_BYTES: usize = 24;
const VARIADIC_BYTES: usize = 8;
const STATS_BYTES_MIN: usize = 16;

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

/// A header, either read and checked or about to be written.
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
    /// Bytes of the body's buffers before compression.
    pub decoded_bytes: u64,
    /// Statistics of each column.
    pub stats: Vec<ColumnStats>,
    pub(super) nodes: Vec<Node>,
    pub(super) buffers: Vec<BufferEntry>,
    /// How many data buffers each view array has, in the order of the nodes.
    pub(super) variadic: Vec<u64>,
}

impl Header {
    /// The sequence number after the last row's.
    pub(crate) fn next(&self) -> Sequence {
        self.first.plus(u64::from(self.rows))
    }

    /// The offset of the body's byte `offset` from the start of the batch.
    pub(super) fn in_body(&self, offset: u64) -> u64 {
        self.lengths.header as u64 + offset
    }

    /// Writes the header, all fields but the checksum, with `lengths.header` set to what it took and `lengths.total`
    /// to that and the body.
    pub(super) fn write(&mut self, body_bytes: u64) -> Vec<u8> {
        let mut stats = Vec::new();
        for column in &self.stats {
            column.write(&mut stats);
        }
        let used = FIXED_BYTES
            + self.nodes.len() * NODE_BYTES
            + self.buffers.len() * BUFFER_BYTES
            + self.variadic.len() * VARIADIC_BYTES
            + stats.len();
        let header = padded_64(used as u64);
        self.lengths = Lengths { header: header as usize, total: header + body_bytes };

        let mut out = Vec::with_capacity(self.lengths.header);
        self.write_fixed(&mut out);
        for node in &self.nodes {
            out.extend_from_slice(&node.len.to_le_bytes());
            out.extend_from_slice(&node.nulls.to_le_bytes());
        }
        for buffer in &self.buffers {
            out.extend_from_slice(&buffer.offset.to_le_bytes());
            out.extend_from_slice(&buffer.len.to_le_bytes());
            out.extend_from_slice(&buffer.crc.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        for count in &self.variadic {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&stats);
        out.resize(self.lengths.header, 0);
        out
    }

    fn write_fixed(&self, out: &mut Vec<u8>) {
        let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
        put(&MAGIC);
        put(&[0; 4]);
        put(&self.chain.to_le_bytes());
        put(&VERSION.to_le_bytes());
        put(&self.flags().to_le_bytes());
        put(&(self.lengths.header as u32).to_le_bytes());
        put(&self.rows.to_le_bytes());
        put(&self.lengths.total.to_le_bytes());
        put(&self.stream.0.to_le_bytes());
        put(&self.shard.0.to_le_bytes());
        put(&self.first.0.to_le_bytes());
        put(&self.schema.0.to_le_bytes());
        put(&[compression_code(self.compression), 0, 0, 0]);
        put(&(self.stats.len() as u32).to_le_bytes());
        put(&(self.nodes.len() as u32).to_le_bytes());
        put(&(self.buffers.len() as u32).to_le_bytes());
        put(&(self.variadic.len() as u32).to_le_bytes());
        put(&self.decoded_bytes.to_le_bytes());
        let (min, max) = self.event_time.unwrap_or((EventTime(0), EventTime(0)));
        put(&min.0.to_le_bytes());
        put(&max.0.to_le_bytes());
        put(&self.arrival.0.0.to_le_bytes());
        put(&self.arrival.1.0.to_le_bytes());
        let producer = self.producer.unwrap_or(Producer { id: ProducerId(0), epoch: Epoch(0), sequence: 0 });
        put(&producer.id.0.to_le_bytes());
        put(&producer.sequence.to_le_bytes());
        put(&producer.epoch.0.to_le_bytes());
        put(&[0; 12]);
        debug_assert_eq!(out.len(), FIXED_BYTES);
    }

    fn flags(&self) -> u16 {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        flag(self.group_continues, GROUP_CONTINUES)
            | flag(self.has_arrivals, HAS_ARRIVALS)
            | flag(self.producer.is_some(), HAS_PRODUCER)
            | flag(self.event_time.is_some(), HAS_EVENT_TIME)
    }
}

/// Sets in a written header what depends on its place, and the checksum, which is returned.
/// `arrival` is left as it is where each row has its own.
pub(super) fn place(
    bytes: &mut [u8],
    first: Sequence,
    arrival: EventTime,
    chain: u32,
    group_continues: bool,
) -> u32 {
    let mut flags = u16::from_le_bytes([bytes[AT_FLAGS], bytes[AT_FLAGS + 1]]);
    if group_continues {
        flags |= GROUP_CONTINUES;
    }
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(AT_CHAIN, &chain.to_le_bytes());
    put(AT_FLAGS, &flags.to_le_bytes());
    put(AT_FIRST, &first.0.to_le_bytes());
    if flags & HAS_ARRIVALS == 0 {
        put(AT_ARRIVAL, &arrival.0.to_le_bytes());
        put(AT_ARRIVAL + 8, &arrival.0.to_le_bytes());
    }
    let crc = crc_fast::crc32_iscsi(&bytes[AFTER_CRC..]);
    bytes[AT_CRC..AFTER_CRC].copy_from_slice(&crc.to_le_bytes());
    crc
}

fn compression_code(compression: Compression) -> u8 {
    match compression {
        Compression::None => 0,
        Compression::Lz4 => 1,
        Compression::Zstd => 2,
    }
}
