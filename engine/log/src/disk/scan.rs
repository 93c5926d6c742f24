//! Reads an active file from its start: what opening, sealing, `verify` and `repair` know of it.
//!
//! Why cutting a tail is safe: every commit says up to where the file was known to be durable when it was written. Power
//! that goes before a sync may leave any of the unsynced pages, so a damaged commit may well be followed by a
//! whole one. What counts is whether a later commit says that the damaged bytes were durable:
//!
//! ```text
//!  | commit 1 | commit 2 | com~~~ 3 | commit 4: synced to the end of 2 |      3 and 4 were never acknowledged: cut
//!  | commit 1 | com~~~ 2 | commit 3 | commit 4: synced to the end of 2 |      2 was durable: refuse
//! ```
//!
//! The newest commit of a file that was not closed has no witness; if it is damaged it counts as torn. A log
//! that is closed ends with an empty commit, the witness for all before it.
//!
//! Where bytes are known to be durable no write can have been torn, so opening reads the headers there and leaves the
//! bodies to those who read them, each buffer against its checksum, as in sealed files.

use std::path::Path;

use headwater_core::world::DiskFile;

use super::layout::{self, BLOCK, CommitHeader, FileHeader, Kind};
use super::store;
use crate::batch::{BatchError, Header, Limits, verify};
use crate::error::{LogError, Result};

/// How much is read at once when looking for what follows damage.
const SEARCH_BYTES: usize = 1 << 20;

/// How much of a batch is read at once for its header.
const HEADER_BYTES: u64 = 4096;

/// Which bytes of an active file are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// So many bytes of the file count.
    pub len: u64,
    /// Commits that end here or before are known to be durable: their bodies are not read.
    pub durable: u64,
}

impl Span {
    /// All bytes, bodies too.
    pub(crate) fn whole(len: u64) -> Self {
        Self { len, durable: 0 }
    }
}

/// The end of the whole commits of an active file.
#[derive(Clone, Debug)]
pub(crate) struct Scanned {
    /// Where the first commit that is not whole starts, or the file ends.
    pub end: u64,
    /// The checksum from which the next batch chains.
    pub chain: u32,
    /// Up to where the file is known to be durable.
    pub synced_to: u64,
    /// What is wrong with the bytes at `end`, if there are any but zeros.
    pub damage: Option<String>,
    /// Whether a later commit proves that the bytes at `end` were durable.
    pub was_durable: bool,
}

/// Reads the header of an active file; if it is not one, why.
pub(crate) fn read_header(file: &dyn DiskFile, path: &Path, number: u64) -> Result<(FileHeader, u32)> {
    let corrupt = |at, reason: String| LogError::corrupt(path, at, reason);
    let len = store::len(file, path)?;
    if len < BLOCK as u64 {
        return Err(corrupt(len, "the file header is cut off".to_owned()));
    }
    match FileHeader::decode(&store::read_block(file, path, 0)?) {
        Ok(found) if found.0.kind == Kind::Active && found.0.number == number => Ok(found),
        Ok(_) => Err(corrupt(0, format!("this is not active file {number}"))),
        Err(reason) => Err(corrupt(0, reason)),
    }
}

/// Reads an active file, and shows `visit` the batches of each whole commit.
pub(crate) fn scan(
    file: &dyn DiskFile,
    path: &Path,
    number: u64,
    chain: u32,
    span: Span,
    mut visit: impl FnMut(&[(u64, Header)]) -> Result<()>,
) -> Result<Scanned> {
    let len = span.len;
    let mut scanned = Scanned { end: BLOCK as u64, chain, synced_to: 0, damage: None, was_durable: false };
    while scanned.end < len {
        match read_commit(file, path, number, &scanned, span) {
            Ok((commit, batches)) => {
                visit(&batches)?;
                scanned.chain = batches.last().map_or(scanned.chain, |(_, header)| header.crc);
                scanned.synced_to = commit.synced_to;
                scanned.end += BLOCK as u64 + commit.bytes;
            }
            Err(BatchError::Damaged { reason, .. }) => {
                if !is_zero(file, path, scanned.end, len)? {
                    scanned.damage = Some(reason);
                }
                scanned.was_durable = was_durable(file, path, number, scanned.end, len)?;
                break;
            }
            Err(BatchError::Log(error)) => return Err(error),
        }
    }
    Ok(scanned)
}

/// One commit and its batches, all of them verified, or their headers alone where the bytes are durable.
fn read_commit(
    file: &dyn DiskFile,
    path: &Path,
    number: u64,
    before: &Scanned,
    span: Span,
) -> std::result::Result<(CommitHeader, Vec<(u64, Header)>), BatchError> {
    let damaged = |reason: &str| BatchError::damaged(0, reason);
    let left = span.len - before.end;
    if left < BLOCK as u64 {
        return Err(damaged("a commit is cut off"));
    }
    let Some(commit) = CommitHeader::decode(&store::read_block(file, path, before.end)?, number, before.end)
    else {
        return Err(damaged("no commit starts here, or the checksum of its header does not hold"));
    };
    if commit.bytes > left - BLOCK as u64 {
        return Err(damaged("the batches of a commit are cut off"));
    }
    let start = before.end + BLOCK as u64;
    let end = start + commit.bytes;
    let whole = match end <= span.durable {
        true => None,
        false => Some(store::read(file, path, start, commit.bytes as usize)?),
    };
    let (mut at, mut chain, mut batches) = (start, before.chain, Vec::with_capacity(commit.batches as usize));
    while at < end {
        let header = match &whole {
            Some(bytes) => Header::parse(&bytes.slice((at - start) as usize), &Limits::FORMAT)?,
            None => read_header_at(file, path, at, end)?,
        };
        if header.lengths.total > end - at {
            return Err(damaged("a batch is longer than its commit"));
        }
        if header.chain != chain {
            return Err(damaged("a batch does not chain from the one before it"));
        }
        if let Some(bytes) = &whole {
            verify(&header, &bytes.slice((at - start) as usize))?;
        }
        chain = header.crc;
        let next = at + header.lengths.total;
        batches.push((at, header));
        at = next;
    }
    if batches.len() != commit.batches as usize {
        return Err(damaged("a commit does not hold as many batches as it says"));
    }
    Ok((commit, batches))
}

/// The header of the batch at `at`, in a commit that ends at `end`.
fn read_header_at(
    file: &dyn DiskFile,
    path: &Path,
    at: u64,
    end: u64,
) -> std::result::Result<Header, BatchError> {
    let bytes = store::read(file, path, at, (end - at).min(HEADER_BYTES) as usize)?;
    let lengths = Header::peek_lengths(&bytes, &Limits::FORMAT)?;
    if lengths.header <= bytes.len() {
        return Header::parse(&bytes, &Limits::FORMAT);
    }
    let bytes = store::read(file, path, at, (lengths.header as u64).min(end - at) as usize)?;
    Header::parse(&bytes, &Limits::FORMAT)
}

/// Whether a commit after `damage` says that the bytes there were durable.
fn was_durable(file: &dyn DiskFile, path: &Path, number: u64, damage: u64, len: u64) -> Result<bool> {
    let mut found = false;
    blocks(file, path, damage, len, |at, block| {
        found = CommitHeader::decode(block, number, at).is_some_and(|commit| commit.synced_to > damage);
        found
    })?;
    Ok(found)
}

fn is_zero(file: &dyn DiskFile, path: &Path, from: u64, len: u64) -> Result<bool> {
    let mut zero = true;
    blocks(file, path, from, len, |_, block| {
        zero = layout::is_zero(block);
        !zero
    })?;
    Ok(zero)
}

/// Shows `visit` every aligned block, until it has seen enough. A last one that is cut off is filled up with zeros.
pub(crate) fn blocks(
    file: &dyn DiskFile,
    path: &Path,
    from: u64,
    len: u64,
    mut visit: impl FnMut(u64, &[u8; BLOCK]) -> bool,
) -> Result<()> {
    let mut at = from;
    while at < len {
        let bytes = store::read(file, path, at, (len - at).min(SEARCH_BYTES as u64) as usize)?;
        for (number, chunk) in bytes.chunks(BLOCK).enumerate() {
            let mut block = [0; BLOCK];
            block[..chunk.len()].copy_from_slice(chunk);
            if visit(at + (number * BLOCK) as u64, &block) {
                return Ok(());
            }
        }
        at += bytes.len() as u64;
    }
    Ok(())
}
