//! Reads the batches of a sealed file one after the other: to scrub it, and to do without a footer that is damaged.

use std::collections::BTreeMap;
use std::path::Path;

use headwater_core::world::DiskFile;
use headwater_core::{ShardId, StreamId};

use super::index::Entry;
use super::layout::{BLOCK, u64_at};
use super::segment::{
    Seal, Segment, ShardEntries, ShardPart, encode_footer, read_footer, read_list, read_summary,
};
use super::store;
use crate::batch::{BatchError, FIXED_BYTES, Header, Limits, verify};
use crate::error::{LogError, Result};
use crate::producers::Producers;

/// Reads and verifies batches from `at` until `most` is reached; shows each to `visit`. Answers with where the next batch is,
/// or nothing where the batches end and the footer starts.
pub(crate) fn read_batches(
    file: &dyn DiskFile,
    path: &Path,
    mut at: u64,
    most: u64,
    mut visit: impl FnMut(u64, &Header),
) -> Result<Option<u64>> {
    let len = store::len(file, path)?;
    while at < most {
        if at + BLOCK as u64 > len {
            return Err(LogError::corrupt(path, at, "the file ends without a footer"));
        }
        let block = store::read_block(file, path, at)?;
        if Seal::decode(&block).is_some() {
            return Ok(None);
        }
        // An adopted file has the headers of its commits between the batches.
        if super::layout::CommitHeader::decode(&block, u64_at(&block, 16), at).is_some() {
            at += BLOCK as u64;
            continue;
        }
        let header = read_batch(file, path, at, len)?;
        visit(at, &header);
        at += header.lengths.total;
    }
    Ok(Some(at))
}

/// Reads and verifies one batch.
pub(crate) fn read_batch(file: &dyn DiskFile, path: &Path, at: u64, len: u64) -> Result<Header> {
    let header = read_batch_header(file, path, at, len)?;
    if header.lengths.total > len - at {
        return Err(LogError::corrupt(path, at, "a batch is cut off"));
    }
    let bytes = store::read(file, path, at, header.lengths.total as usize)?;
    verify(&header, &bytes).map_err(|error| error.in_file(path, at))?;
    Ok(header)
}

/// Reads the header of one batch.
pub(crate) fn read_batch_header(file: &dyn DiskFile, path: &Path, at: u64, len: u64) -> Result<Header> {
    let fixed = store::read(file, path, at, FIXED_BYTES.min((len - at) as usize))?;
    let in_file = |error: BatchError| error.in_file(path, at);
    let lengths = Header::peek_lengths(&fixed, &Limits::FORMAT).map_err(in_file)?;
    let bytes = store::read(file, path, at, lengths.header.min((len - at) as usize))?;
    Header::parse(&bytes, &Limits::FORMAT).map_err(in_file)
}

/// The footer that a file should have, from its batches alone. Who appended what is known only as far as single batches tell.
pub(crate) fn rebuild_footer(
    file: &dyn DiskFile,
    path: &Path,
    stream: StreamId,
    number: u64,
) -> Result<(Vec<u8>, u64)> {
    let mut shards: BTreeMap<ShardId, (Vec<Entry>, Producers)> = BTreeMap::new();
    let mut end = BLOCK as u64;
    let read = read_batches(file, path, end, u64::MAX, |at, header| {
        end = at + header.lengths.total;
        if header.stream == stream {
            let (entries, producers) = shards.entry(header.shard).or_default();
            entries.push(Entry::of(at, header));
            if let Some(producer) = header.producer {
                producers.note(producer, header.first, header.next());
            }
        }
    });
    // Where the first seal is damaged too, the batches end where no batch starts; the rows are counted by the caller.
    if let Err(error) = read
        && !ends_at(file, path, end)?
    {
        return Err(error);
    }
    let kept = kept_producers(file, path, end);
    let shards: Vec<ShardEntries> = shards
        .into_iter()
        .map(|(shard, (entries, producers))| {
            let kept = kept.iter().find(|part| part.shard == shard).map(|part| part.producers.clone());
            ShardEntries { shard, entries, producers: kept.unwrap_or_else(|| producers.snapshot()) }
        })
        .collect();
    Ok((encode_footer(stream, number, end, &shards).0, end))
}

/// What is left of a footer that starts at `end`: who appended what is nowhere else. Either seal tells where it is.
fn kept_producers(file: &dyn DiskFile, path: &Path, end: u64) -> Vec<ShardPart> {
    let last = store::len(file, path).map_or(end, |len| len.saturating_sub(BLOCK as u64));
    let summary = [end, last].into_iter().find_map(|at| {
        let seal =
            Seal::decode(&store::read_block(file, path, at).ok()?).filter(|seal| seal.footer == end)?;
        read_summary(file, path, &seal).ok()
    });
    summary.map(|(_, parts)| parts).unwrap_or_default()
}

/// Whether a footer whose summary could be read is whole: both seals, and the list of every shard.
pub(crate) fn is_footer_whole(file: &dyn DiskFile, segment: &Segment) -> Result<bool> {
    let last = store::read_block(file, &segment.path, segment.bytes - BLOCK as u64)?;
    let Some(seal) = Seal::decode(&last) else { return Ok(false) };
    let lists = (0..segment.lists.len()).all(|place| read_list(file, segment, place).is_ok());
    Ok(lists && store::read_block(file, &segment.path, seal.footer)? == last)
}

/// The batches of one shard: as the footer lists them or, if the list is damaged, as they follow each other in the file.
pub(crate) fn entries_of(file: &dyn DiskFile, segment: &Segment, place: usize) -> Result<Vec<Entry>> {
    let listed = read_list(file, segment, place);
    let (Err(error @ LogError::Corrupt { .. }), Some(list)) = (&listed, segment.lists.get(place)) else {
        return listed;
    };
    tracing::error!(%error, "a damaged index is done without");
    let mut entries = Vec::new();
    read_batches(file, &segment.path, BLOCK as u64, u64::MAX, |at, header| {
        if (header.stream, header.shard) == (segment.stream, list.shard) {
            entries.push(Entry::of(at, header));
        }
    })?;
    if entries.len() == list.count as usize { Ok(entries) } else { listed }
}

/// Whether no batch starts at `at`, nor at any later block.
fn ends_at(file: &dyn DiskFile, path: &Path, at: u64) -> Result<bool> {
    let len = store::len(file, path)?;
    let mut none = true;
    super::scan::blocks(file, path, at, len, |at, block| {
        none = block[..4] != *b"HWB1" || read_batch(file, path, at, len).is_err();
        !none
    })?;
    Ok(none)
}

/// What a footer's bytes say of a file.
pub(crate) struct Read {
    /// The file.
    pub segment: Segment,
    /// What it holds, by shard.
    pub parts: Vec<ShardPart>,
}

/// Reads the footer of a sealed file.
pub(crate) fn read_sealed(
    file: &dyn DiskFile,
    path: &Path,
    stream: StreamId,
    number: u64,
    bytes: u64,
) -> Result<Read> {
    let len = store::len(file, path)?;
    if len != bytes {
        let reason = format!("the file has {len} bytes; the catalog says {bytes}");
        return Err(LogError::corrupt(path, len.min(bytes), reason));
    }
    let (seal, lists, parts) = read_footer(file, path, bytes)?;
    if (seal.stream, seal.number) != (stream, number) {
        let reason = format!("this is file {} of stream {}", seal.number, seal.stream);
        return Err(LogError::corrupt(path, bytes - BLOCK as u64, reason));
    }
    Ok(Read { segment: Segment { path: path.to_owned(), stream, number, bytes, lists }, parts })
}
