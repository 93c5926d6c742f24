//! A sealed file: the rows that one stream had in one active file, by shard and sequence, and a footer that finds them.
//!
//! ```text
//!  0            64
//!  | file header | batches ...        | seal | lists | summary | seal |
//!                                     '--------- footer --------------'
//!
//!  lists     per shard, per batch: 64 bytes, see `encode_entry`
//!  summary   per shard: what its batches hold, where its list is, who appended last; one CRC-32C
//!  seal      64 bytes, the same before and after: where lists and summary are, their checksum, the file's length
//! ```
//!
//! An adopted file is an active file with a footer; its footer lists the stream's own batches only. The lists are an index and
//! can be rebuilt from the batches; which producers appended what cannot, once small batches are merged.

use std::path::{Path, PathBuf};

use arrow::buffer::Buffer;
use bytes::{Buf, BufMut};
use headwater_core::world::DiskFile;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::index::{Entry, Summary};
use super::layout::{BLOCK, check_block, is_zero, seal_block, u32_at, u64_at};
use super::store;
use crate::error::{LogError, Result};
use crate::producers::{Snapshot, decode_producers, encode_producers};

const SEAL_MAGIC: [u8; 8] = *b"HWSEALED";
const ENTRY_BYTES: usize = 64;
const HAS_EVENT_TIME: u32 = 1;

/// A sealed file that is part of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// Where it is.
    pub path: PathBuf,
    /// Its stream.
    pub stream: StreamId,
    /// Its number.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// Where the list of each shard is, in the order of the summary, and its checksum.
    pub lists: Vec<List>,
}

/// The list of one shard's batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct List {
    /// The shard.
    pub shard: ShardId,
    /// Where it starts.
    pub at: u64,
    /// How many batches.
    pub count: u32,
    /// CRC-32C of the list.
    pub crc: u32,
}

/// What a footer says of one shard.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ShardPart {
    /// The shard.
    pub shard: ShardId,
    /// What the file holds of it.
    pub summary: Summary,
    /// Who had appended what when the file was full.
    pub producers: Vec<Snapshot>,
}

/// What is to be written into a footer for one shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardEntries {
    /// The shard.
    pub shard: ShardId,
    /// Its batches, in order; at least one.
    pub entries: Vec<Entry>,
    /// Who had appended what when the file was full.
    pub producers: Vec<Snapshot>,
}

/// The block before and after a footer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seal {
    /// The number of the file.
    pub number: u64,
    /// The stream.
    pub stream: StreamId,
    /// Where the footer starts.
    pub footer: u64,
    /// Where the summary starts.
    pub summary: u64,
    /// The length of the file.
    pub bytes: u64,
    summary_crc: u32,
}

impl Seal {
    fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&SEAL_MAGIC);
        block[12..16].copy_from_slice(&self.stream.0.to_le_bytes());
        block[16..24].copy_from_slice(&self.number.to_le_bytes());
        block[24..32].copy_from_slice(&self.footer.to_le_bytes());
        block[32..40].copy_from_slice(&self.summary.to_le_bytes());
        block[40..48].copy_from_slice(&self.bytes.to_le_bytes());
        block[48..52].copy_from_slice(&self.summary_crc.to_le_bytes());
        seal_block(&mut block);
        block
    }

    /// From bytes, if they are such a block and make sense.
    pub(crate) fn decode(block: &[u8; BLOCK]) -> Option<Self> {
        if block[..8] != SEAL_MAGIC {
            return None;
        }
        check_block(block)?;
        let seal = Self {
            stream: StreamId(u32_at(block, 12)),
            number: u64_at(block, 16),
            footer: u64_at(block, 24),
            summary: u64_at(block, 32),
            bytes: u64_at(block, 40),
            summary_crc: u32_at(block, 48),
        };
        let after_footer = seal.footer.checked_add(BLOCK as u64)?;
        let after_summary = seal.summary.checked_add(BLOCK as u64)?;
        let fits = after_footer <= seal.summary && after_summary <= seal.bytes && is_zero(&block[52..]);
        fits.then_some(seal)
    }
}

/// The footer of a file whose batches end at `at`, and the file's length with it.
pub(crate) fn encode_footer(
    stream: StreamId,
    number: u64,
    at: u64,
    shards: &[ShardEntries],
) -> (Vec<u8>, u64) {
    let (mut lists, mut summary) = (Vec::new(), Vec::new());
    let first_list = at + BLOCK as u64;
    summary.put_u32_le(shards.len() as u32);
    for one in shards {
        let start = lists.len();
        one.entries.iter().for_each(|entry| encode_entry(&mut lists, entry));
        let Some(total) = Summary::of(&one.entries) else { continue };
        summary.put_u32_le(one.shard.0);
        summary.put_u32_le(one.entries.len() as u32);
        summary.put_u64_le(first_list + start as u64);
        summary.put_u32_le(crc_fast::crc32_iscsi(&lists[start..]));
        summary.put_u64_le(total.rows.start.0);
        summary.put_u64_le(total.rows.end.0);
        summary.put_u64_le(total.bytes);
        encode_times(&mut summary, total.event_time, total.arrival);
        encode_producers(&mut summary, &one.producers);
    }
    let seal = Seal {
        number,
        stream,
        footer: at,
        summary: first_list + lists.len() as u64,
        bytes: (first_list + lists.len() as u64 + summary.len() as u64).next_multiple_of(BLOCK as u64)
            + BLOCK as u64,
        summary_crc: crc_fast::crc32_iscsi(&summary),
    };
    let mut footer = seal.encode().to_vec();
    footer.extend_from_slice(&lists);
    // The length of the summary is not written: its checksum covers the zeros up to the second seal as well.
    footer.extend_from_slice(&summary);
    footer.resize((seal.bytes - at) as usize - BLOCK, 0);
    let padded = crc_fast::crc32_iscsi(&footer[(seal.summary - at) as usize..]);
    let seal = Seal { summary_crc: padded, ..seal }.encode();
    footer[..BLOCK].copy_from_slice(&seal);
    footer.extend_from_slice(&seal);
    let bytes = at + footer.len() as u64;
    (footer, bytes)
}

fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.put_u64_le(entry.at);
    out.put_u32_le(entry.bytes);
    out.put_u32_le(entry.header);
    out.put_u64_le(entry.first.0);
    out.put_u32_le(entry.rows);
    encode_times(out, entry.event_time, entry.arrival);
}

/// 36 bytes.
fn encode_times(
    out: &mut Vec<u8>,
    event_time: Option<(EventTime, EventTime)>,
    arrival: (EventTime, EventTime),
) {
    out.put_u32_le(if event_time.is_some() { HAS_EVENT_TIME } else { 0 });
    let (min, max) = event_time.unwrap_or((EventTime(0), EventTime(0)));
    for time in [min, max, arrival.0, arrival.1] {
        out.put_i64_le(time.0);
    }
}

type Times = (Option<(EventTime, EventTime)>, (EventTime, EventTime));

fn decode_times(bytes: &mut &[u8]) -> std::result::Result<Times, bytes::TryGetError> {
    let flags = bytes.try_get_u32_le()?;
    let mut times = [EventTime(0); 4];
    for time in &mut times {
        *time = EventTime(bytes.try_get_i64_le()?);
    }
    let [min, max, first, last] = times;
    Ok(((flags & HAS_EVENT_TIME != 0).then_some((min, max)), (first, last)))
}

fn decode_entry(bytes: &mut &[u8]) -> std::result::Result<Entry, bytes::TryGetError> {
    let (at, total) = (bytes.try_get_u64_le()?, bytes.try_get_u32_le()?);
    let (header, first) = (bytes.try_get_u32_le()?, Sequence(bytes.try_get_u64_le()?));
    let rows = bytes.try_get_u32_le()?;
    let (event_time, arrival) = decode_times(bytes)?;
    Ok(Entry { at, bytes: total, header, first, rows, event_time, arrival })
}

fn decode_summary(mut bytes: &[u8]) -> std::result::Result<(Vec<List>, Vec<ShardPart>), bytes::TryGetError> {
    let bytes = &mut bytes;
    let (mut lists, mut parts) = (Vec::new(), Vec::new());
    for _ in 0..bytes.try_get_u32_le()? {
        let shard = ShardId(bytes.try_get_u32_le()?);
        let count = bytes.try_get_u32_le()?;
        let (at, crc) = (bytes.try_get_u64_le()?, bytes.try_get_u32_le()?);
        lists.push(List { shard, at, count, crc });
        let rows = Sequence(bytes.try_get_u64_le()?)..Sequence(bytes.try_get_u64_le()?);
        let total = bytes.try_get_u64_le()?;
        let (event_time, arrival) = decode_times(bytes)?;
        let summary = Summary { rows, batches: u64::from(count), bytes: total, event_time, arrival };
        parts.push(ShardPart { shard, summary, producers: decode_producers(bytes)? });
    }
    Ok((lists, parts))
}

/// The footer of a file of known length, if it is whole; else where it is damaged and how.
pub(crate) fn read_footer(
    file: &dyn DiskFile,
    path: &Path,
    bytes: u64,
) -> Result<(Seal, Vec<List>, Vec<ShardPart>)> {
    let corrupt = |at: u64, reason: &str| LogError::corrupt(path, at, reason);
    if bytes < 3 * BLOCK as u64 {
        return Err(corrupt(bytes, "the file is too short to be sealed"));
    }
    let trailer = bytes - BLOCK as u64;
    let seal = Seal::decode(&store::read_block(file, path, trailer)?)
        .filter(|seal| seal.bytes == bytes)
        .ok_or_else(|| corrupt(trailer, "the block that ends the footer is damaged"))?;
    let (lists, parts) = read_summary(file, path, &seal)?;
    Ok((seal, lists, parts))
}

/// What a footer says of each shard, and where their lists are.
pub(crate) fn read_summary(
    file: &dyn DiskFile,
    path: &Path,
    seal: &Seal,
) -> Result<(Vec<List>, Vec<ShardPart>)> {
    let corrupt = |reason: &str| LogError::corrupt(path, seal.summary, reason);
    let count = seal.bytes - BLOCK as u64 - seal.summary;
    if seal.bytes > store::len(file, path)? {
        return Err(corrupt("the footer's summary is cut off"));
    }
    let summary = store::read(file, path, seal.summary, count as usize)?;
    if crc_fast::crc32_iscsi(&summary) != seal.summary_crc {
        return Err(corrupt("the checksum of the footer's summary does not hold"));
    }
    decode_summary(&summary).map_err(|_| corrupt("the footer's summary says more than there is"))
}

/// How many rows a footer speaks of, if it is whole.
pub(crate) fn rows_of(footer: &[u8]) -> Option<u64> {
    let (head, _) = footer.split_first_chunk::<BLOCK>()?;
    let seal = Seal::decode(head)?;
    let start = (seal.summary - seal.footer) as usize;
    let (_, parts) = decode_summary(footer.get(start..)?).ok()?;
    Some(parts.iter().map(|part| part.summary.rows.end.0 - part.summary.rows.start.0).sum())
}

/// The list of one shard's batches, as the footer has it.
pub(crate) fn read_list(file: &dyn DiskFile, segment: &Segment, place: usize) -> Result<Vec<Entry>> {
    let Some(list) = segment.lists.get(place) else {
        return Err(LogError::corrupt(&segment.path, segment.bytes, "the footer lacks a list"));
    };
    let corrupt = |reason: &str| LogError::corrupt(&segment.path, list.at, reason);
    let count = list.count as usize * ENTRY_BYTES;
    if list.at.checked_add(count as u64).is_none_or(|end| end > segment.bytes) {
        return Err(corrupt("a list of batches is longer than the file"));
    }
    let bytes: Buffer = store::read(file, &segment.path, list.at, count)?;
    if crc_fast::crc32_iscsi(&bytes) != list.crc {
        return Err(corrupt("the checksum of a list of batches does not hold"));
    }
    let mut rest = bytes.as_slice();
    (0..list.count).map(|_| decode_entry(&mut rest).map_err(|_| corrupt("a list is cut off"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::producers::Remembered;

    fn entry(at: u64, first: u64) -> Entry {
        Entry {
            at,
            bytes: 640,
            header: 192,
            first: Sequence(first),
            rows: 10,
            event_time: (first > 0).then_some((EventTime(1), EventTime(2))),
            arrival: (EventTime(3), EventTime(4)),
        }
    }

    #[test]
    fn a_footer_comes_back() {
        let recent = vec![Remembered { sequence: 4, first: 0, next: 10 }];
        let producers = vec![Snapshot { producer: 9, epoch: 1, recent }];
        let shards = [
            ShardEntries { shard: ShardId(0), entries: vec![entry(64, 0), entry(704, 10)], producers },
            ShardEntries { shard: ShardId(5), entries: vec![entry(1344, 0)], producers: Vec::new() },
        ];
        let (footer, bytes) = encode_footer(StreamId(3), 8, 1984, &shards);
        assert_eq!((footer.len() as u64 + 1984, bytes % 64), (bytes, 0));

        let disk = headwater_core::world::sim::SimWorld::new(1).world().disk;
        let path = Path::new("/segment");
        let file = store::open(&*disk, path, headwater_core::world::Open::Create).unwrap();
        store::write(&*file, path, &footer, 1984).unwrap();
        let (seal, lists, parts) = read_footer(&*file, path, bytes).unwrap();
        assert_eq!((seal.stream, seal.number, seal.footer), (StreamId(3), 8, 1984));
        assert_eq!(parts[0].producers, shards[0].producers);
        assert_eq!(parts[0].summary.rows, Sequence(0)..Sequence(20));
        assert_eq!(parts[1].shard, ShardId(5));
        let segment = Segment { path: path.to_owned(), stream: StreamId(3), number: 8, bytes, lists };
        assert_eq!(read_list(&*file, &segment, 0).unwrap(), shards[0].entries);
        assert_eq!(read_list(&*file, &segment, 1).unwrap(), shards[1].entries);
        assert!(read_footer(&*file, path, bytes - 64).is_err());
    }
}
