//! Reads the header of a batch: no field is believed before it is checked.

use headwater_core::{Epoch, EventTime, ProducerId, SchemaId, Sequence, ShardId, StreamId};

use super::{
    AFTER_CRC, ALL_FLAGS, AT_CRC, AT_HEADER, AT_TOTAL, AT_VERSION, BUFFER_BYTES, BufferEntry, FIXED_BYTES,
    GROUP_CONTINUES, HAS_ARRIVALS, HAS_EVENT_TIME, HAS_PRODUCER, Header, Lengths, MAGIC, NODE_BYTES, Node,
    STATS_BYTES_MIN, VARIADIC_BYTES, VERSION,
};
use crate::api::{Compression, Producer};
use crate::batch::error::{BatchError, Result};
use crate::batch::limits::Limits;
use crate::batch::stats::ColumnStats;
use crate::batch::wire::{Reader, padded_64};

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
                AT_VERSION as u64,
                format!("the format version is {version}, this program reads version {VERSION}"),
            ));
        }
        read.u16()?;
        let header = read.u32()?;
        read.u32()?;
        let total = read.u64()?;
        let fits = header as usize >= FIXED_BYTES && header <= limits.header_bytes && header % 64 == 0;
        if !fits {
            return Err(BatchError::damaged(
                AT_HEADER as u64,
                format!("a header cannot be {header} bytes long"),
            ));
        }
        if total < u64::from(header) || total > limits.total_bytes || total % 64 != 0 {
            return Err(BatchError::damaged(
                AT_TOTAL as u64,
                format!("a batch cannot be {total} bytes long"),
            ));
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
}

/// Reads a header whose checksum holds. The fields are checked all the same: what wrote them may have been wrong.
fn parse_checked(bytes: &[u8], lengths: Lengths, limits: &Limits) -> Result<Header> {
    let mut read = Reader::new(bytes, AT_CRC);
    let (header, counts) = fixed_part(&mut read, lengths, limits)?;
    let Tables { stats, nodes, buffers, variadic } = tables(&mut read, counts, lengths, limits)?;
    Ok(Header { stats, nodes, buffers, variadic, ..header })
}

/// Reads the fixed part: a header whose tables are empty yet, and how many entries each of them has.
fn fixed_part(read: &mut Reader<'_>, lengths: Lengths, limits: &Limits) -> Result<(Header, [u32; 4])> {
    let (crc, chain) = (read.u32()?, read.u32()?);
    let _version = read.u16()?;
    let flags = flags_of(read)?;
    let _header = read.u32()?;
    let rows = rows_of(read, limits)?;
    let _total = read.u64()?;
    let (stream, shard) = (StreamId(read.u32()?), ShardId(read.u32()?));
    let first = first_of(read, rows)?;
    let schema = SchemaId(read.u32()?);
    let compression = compression_of(read)?;
    read.zeros(3)?;
    let counts = [read.u32()?, read.u32()?, read.u32()?, read.u32()?];
    let decoded_bytes = decoded_bytes_of(read, limits)?;
    let event_time = times(read, flags & HAS_EVENT_TIME != 0)?;
    let has_arrivals = flags & HAS_ARRIVALS != 0;
    let arrival = arrival_of(read, has_arrivals)?;
    let producer = producer(read, flags & HAS_PRODUCER != 0)?;
    read.zeros(12)?;
    let header = Header {
        crc,
        chain,
        stream,
        shard,
        first,
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
        stats: Vec::new(),
        nodes: Vec::new(),
        buffers: Vec::new(),
        variadic: Vec::new(),
    };
    Ok((header, counts))
}

fn flags_of(read: &mut Reader<'_>) -> Result<u16> {
    let at = read.at();
    let flags = read.u16()?;
    if flags & !ALL_FLAGS != 0 {
        return Err(BatchError::damaged(at, format!("unknown flags in {flags:#06x}")));
    }
    Ok(flags)
}

fn rows_of(read: &mut Reader<'_>, limits: &Limits) -> Result<u32> {
    let at = read.at();
    let rows = read.u32()?;
    if rows == 0 || rows > limits.rows {
        return Err(BatchError::damaged(at, format!("a batch cannot have {rows} rows")));
    }
    Ok(rows)
}

fn first_of(read: &mut Reader<'_>, rows: u32) -> Result<Sequence> {
    let at = read.at();
    let first = read.u64()?;
    if first.checked_add(u64::from(rows)).is_none() {
        return Err(BatchError::damaged(at, format!("sequence {first} leaves no room for {rows} rows")));
    }
    Ok(Sequence(first))
}

fn decoded_bytes_of(read: &mut Reader<'_>, limits: &Limits) -> Result<u64> {
    let at = read.at();
    let bytes = read.u64()?;
    if bytes > limits.total_bytes {
        return Err(BatchError::damaged(at, format!("a body cannot be {bytes} bytes before compression")));
    }
    Ok(bytes)
}

fn arrival_of(read: &mut Reader<'_>, has_arrivals: bool) -> Result<(EventTime, EventTime)> {
    let at = read.at();
    let (min, max) = times(read, true)?.unwrap_or((EventTime(0), EventTime(0)));
    if !has_arrivals && min != max {
        return Err(BatchError::damaged(at, "rows without arrivals of their own have two"));
    }
    Ok((min, max))
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

fn compression_of(read: &mut Reader<'_>) -> Result<Compression> {
    let at = read.at();
    match read.u8()? {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Lz4),
        2 => Ok(Compression::Zstd),
        code => Err(BatchError::damaged(at, format!("unknown compression {code}"))),
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
        return Err(BatchError::damaged(
            AT_TOTAL as u64,
            format!("the buffers take {end} bytes of a body of {body}"),
        ));
    }
    Ok(buffers)
}
