//! The header of a batch: what it says, how it is written, and how it is read without trusting it.
//!
//! Fields and offsets are listed in `FORMAT.md`. The fixed part is 144 bytes. The checksum covers everything after itself,
//! so the chain value, the padding and the lengths too; the magic before it is compared in full.

use headwater_core::{Epoch, EventTime, ProducerId, SchemaId, Sequence, ShardId, StreamId};

use super::error::{BatchError, Result};
use super::limits::Limits;
use super::stats::ColumnStats;
use super::wire::{Reader, padded_64};
use crate::api::{Compression, Producer};

/// Bytes of the header's fixed part: what must be read to know the rest.
pub(crate) const FIXED_BYTES: usize = 144;

/// What a batch starts with.
pub(crate) const MAGIC: [u8; 4] = *b"HWB1";

const VERSION: u16 = 1;

/// Offsets of the fields that are set when a batch is placed.
const AT_CRC: usize = 4;
const AT_CHAIN: usize = 8;
const AT_FLAGS: usize = 14;
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
    /// How long a batch is, from at least its first [`FIXED_BYTES`] bytes.
    pub(crate) fn peek_lengths(bytes: &[u8], limits: &Limits) -> Result<Lengths> {
        if bytes.len() < FIXED_BYTES {
            return Err(BatchError::damaged(
                0,
                format!("{} bytes are too few for a header's {FIXED_BYTES}", bytes.len()),
            ));
        }
        let mut read = Reader::new(bytes, 0);
        if read.take(MAGIC.len())? != MAGIC {
            return Err(BatchError::damaged(0, "no batch starts here: the magic is not HWB1"));
        }
        read.take(8)?;
        let version = read.u16()?;
        if version != VERSION {
            return Err(BatchError::damaged(
                12,
                format!("the format version is {version}, this program reads version {VERSION}"),
            ));
        }
        read.u16()?;
        let header = read.u32()?;
        read.u32()?;
        let total = read.u64()?;
        let fits = header as usize >= FIXED_BYTES && header <= limits.header_bytes && header % 64 == 0;
        if !fits {
            return Err(BatchError::damaged(16, format!("a header cannot be {header} bytes long")));
        }
        if total < u64::from(header) || total > limits.total_bytes || total % 64 != 0 {
            return Err(BatchError::damaged(24, format!("a batch cannot be {total} bytes long")));
        }
        Ok(Lengths { header: header as usize, total })
    }

    /// Reads a header from bytes that hold at least all of it, and checks every field.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let lengths = Self::peek_lengths(bytes, limits)?;
        let Some(bytes) = bytes.get(..lengths.header) else {
            return Err(BatchError::damaged(
                bytes.len() as u64,
                format!("a header of {} bytes is cut off at {}", lengths.header, bytes.len()),
            ));
        };
        let stored = Reader::new(bytes, AT_CRC).u32()?;
        let actual = crc_fast::crc32_iscsi(&bytes[AFTER_CRC..]);
        if stored != actual {
            return Err(BatchError::damaged(
                AT_CRC as u64,
                format!("the header's checksum is {actual:08x}, it says {stored:08x}"),
            ));
        }
        parse_checked(bytes, lengths, limits)
    }

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

/// Reads a header whose checksum holds. The fields are checked all the same: what wrote them may have been wrong.
fn parse_checked(bytes: &[u8], lengths: Lengths, limits: &Limits) -> Result<Header> {
    let mut read = Reader::new(bytes, AT_CRC);
    let crc = read.u32()?;
    let chain = read.u32()?;
    read.u16()?;
    let flags = read.u16()?;
    if flags & !ALL_FLAGS != 0 {
        return Err(BatchError::damaged(AT_FLAGS as u64, format!("unknown flags in {flags:#06x}")));
    }
    read.u32()?;
    let rows = read.u32()?;
    if rows == 0 || rows > limits.rows {
        return Err(BatchError::damaged(20, format!("a batch cannot have {rows} rows")));
    }
    read.u64()?;
    let stream = StreamId(read.u32()?);
    let shard = ShardId(read.u32()?);
    let first = read.u64()?;
    if first.checked_add(u64::from(rows)).is_none() {
        return Err(BatchError::damaged(
            AT_FIRST as u64,
            format!("sequence {first} leaves no room for {rows} rows"),
        ));
    }
    let schema = SchemaId(read.u32()?);
    let compression = compression_of(read.u8()?)?;
    read.zeros(3)?;
    let counts = [read.u32()?, read.u32()?, read.u32()?, read.u32()?];
    let decoded_bytes = read.u64()?;
    if decoded_bytes > limits.total_bytes {
        return Err(BatchError::damaged(
            72,
            format!("a body cannot be {decoded_bytes} bytes before compression"),
        ));
    }
    let event_time = times(&mut read, flags & HAS_EVENT_TIME != 0)?;
    let arrival = times(&mut read, true)?.unwrap_or((EventTime(0), EventTime(0)));
    let has_arrivals = flags & HAS_ARRIVALS != 0;
    if !has_arrivals && arrival.0 != arrival.1 {
        return Err(BatchError::damaged(AT_ARRIVAL as u64, "rows without arrivals of their own have two"));
    }
    let producer = producer(&mut read, flags & HAS_PRODUCER != 0)?;
    read.zeros(12)?;

    let Tables { stats, nodes, buffers, variadic } = tables(&mut read, counts, lengths, limits)?;
    Ok(Header {
        crc,
        chain,
        stream,
        shard,
        first: Sequence(first),
        rows,
        schema,
        compression,
        group_continues: flags & GROUP_CONTINUES != 0,
        has_arrivals,
        event_time,
        arrival,
        producer,
        lengths,
        decoded_bytes,
        stats,
        nodes,
        buffers,
        variadic,
    })
}

/// What follows the fixed part, each as long as that says.
struct Tables {
    stats: Vec<ColumnStats>,
    nodes: Vec<Node>,
    buffers: Vec<BufferEntry>,
    variadic: Vec<u64>,
}

/// Reads the tables behind the fixed part, to the end of the header.
fn tables(read: &mut Reader<'_>, counts: [u32; 4], lengths: Lengths, limits: &Limits) -> Result<Tables> {
    let [columns, nodes, buffers, variadic] = counts;
    let nodes = entries(read, nodes, NODE_BYTES, |read| node(read, limits))?;
    let buffers = buffers_of(read, buffers, lengths)?;
    let variadic = entries(read, variadic, VARIADIC_BYTES, |read| {
        let at = read.at();
        let count = read.u64()?;
        if count > buffers.len() as u64 {
            return Err(BatchError::damaged(at, format!("{count} data buffers of {} in all", buffers.len())));
        }
        Ok(count)
    })?;
    let stats = entries(read, columns, STATS_BYTES_MIN, ColumnStats::read)?;
    if read.left() >= 64 {
        return Err(BatchError::damaged(read.at(), format!("{} bytes too many in the header", read.left())));
    }
    read.zeros(read.left())?;
    Ok(Tables { stats, nodes, buffers, variadic })
}

fn compression_code(compression: Compression) -> u8 {
    match compression {
        Compression::None => 0,
        Compression::Lz4 => 1,
        Compression::Zstd => 2,
    }
}

fn compression_of(code: u8) -> Result<Compression> {
    match code {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Lz4),
        2 => Ok(Compression::Zstd),
        _ => Err(BatchError::damaged(52, format!("unknown compression {code}"))),
    }
}

/// Reads a smallest and a largest time; zeros if there are none.
fn times(read: &mut Reader<'_>, present: bool) -> Result<Option<(EventTime, EventTime)>> {
    if !present {
        return read.zeros(16).map(|()| None);
    }
    let at = read.at();
    let (min, max) = (EventTime(read.i64()?), EventTime(read.i64()?));
    if min > max {
        return Err(BatchError::damaged(at, format!("the smallest time {min} is after the largest {max}")));
    }
    Ok(Some((min, max)))
}

fn producer(read: &mut Reader<'_>, present: bool) -> Result<Option<Producer>> {
    if !present {
        return read.zeros(20).map(|()| None);
    }
    let (id, sequence, epoch) = (ProducerId(read.u64()?), read.u64()?, Epoch(read.u32()?));
    Ok(Some(Producer { id, epoch, sequence }))
}

/// Reads `count` entries of at least `bytes_min` each, having checked that there is room for so many.
fn entries<'a, T>(
    read: &mut Reader<'a>,
    count: u32,
    bytes_min: usize,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = count as usize;
    if count > read.left() / bytes_min {
        return Err(BatchError::damaged(
            read.at(),
            format!("{count} entries of {bytes_min} bytes do not fit into {} bytes", read.left()),
        ));
    }
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(one(read)?);
    }
    Ok(all)
}

fn node(read: &mut Reader<'_>, limits: &Limits) -> Result<Node> {
    let at = read.at();
    let node = Node { len: read.u64()?, nulls: read.u64()? };
    if node.len > limits.values() || node.nulls > node.len {
        return Err(BatchError::damaged(at, format!("{} values with {} nulls", node.len, node.nulls)));
    }
    Ok(node)
}

/// Reads the buffers' entries. They lie in order without gaps other than padding, and fill the body.
fn buffers_of(read: &mut Reader<'_>, count: u32, lengths: Lengths) -> Result<Vec<BufferEntry>> {
    let body = lengths.total - lengths.header as u64;
    let mut end = 0;
    let buffers = entries(read, count, BUFFER_BYTES, |read| {
        let at = read.at();
        let entry = BufferEntry { offset: read.u64()?, len: read.u64()?, crc: read.u32()? };
        read.zeros(4)?;
        if entry.offset != end || entry.len > body - end {
            return Err(BatchError::damaged(
                at,
                format!(
                    "{} bytes at {} of a body of {body} bytes, expected at {end}",
                    entry.len, entry.offset
                ),
            ));
        }
        end += padded_64(entry.len);
        if end > body {
            return Err(BatchError::damaged(
                at,
                format!("the padding reaches {end} in a body of {body} bytes"),
            ));
        }
        Ok(entry)
    })?;
    if end != body {
        return Err(BatchError::damaged(24, format!("the buffers take {end} bytes of a body of {body}")));
    }
    Ok(buffers)
}
