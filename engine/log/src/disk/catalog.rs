//! The catalog: a file of events, each durable before anybody acts on it.
//!
//! ```text
//!  0            64
//!  | file header | event | event | ...
//!
//!  an event     0      4     8        12          16
//!               | HWE1 | crc | length | of schema | JSON .. | schema .. |
//!                              of JSON              '- CRC-32C covers bytes 8 to the end
//! ```
//!
//! Why cutting the tail is safe: an event is synced before the next one is written. So when an event is damaged and a whole
//! one follows, the damaged one was durable, and opening is refused. When none follows, the last write may have
//! been torn; nobody has acted on that event, and it is cut. A log that was closed ends with a
//! `Closed` event, so that damage to its last real event is never mistaken for a torn write.
//!
//! A copy is made again and again while it grows, of what is durable. So what it has behind the end of the catalog was there, and was
//! cut off or is damaged: opening is refused, and `repair` takes it from the copy, as it does an event that is damaged in the middle.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_core::EventTime;
use headwater_core::world::{Disk, DiskFile, Open};

use super::event::{Event, State};
use super::layout::{BLOCK, FileHeader, Kind, Layout};
use super::store;
use crate::error::{LogError, Result};
use crate::schema;

const MAGIC: [u8; 4] = *b"HWE1";
const HEAD: usize = 16;

/// The most that one event takes: a length beyond it is damage.
const EVENT_BYTES_MAX: usize = 64 << 20;

/// A catalog that is larger than this, and more than twice as large as need be, is rewritten when opened.
const REWRITE_BYTES_MIN: usize = 256 << 10;

/// The catalog, open for more events.
pub(crate) struct Catalog {
    path: PathBuf,
    /// `None`: it is only looked at.
    file: Option<Arc<dyn DiskFile>>,
    len: u64,
    failed: Option<LogError>,
    /// What its events say.
    pub state: State,
}

impl Catalog {
    /// Makes an empty one.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, now: EventTime) -> Result<Self> {
        rewrite(disk, path, now, &[])?;
        Self::open_written(disk, path)
    }

    /// Opens one, and cuts an event that was torn.
    pub(crate) fn open(disk: &dyn Disk, layout: &Layout) -> Result<Self> {
        let path = layout.catalog();
        let file = store::open(disk, &path, Open::Write)?;
        let (state, len) = replay_beside_copy(disk, layout, &*file)?;
        Self::take_over(file, &path, state, len)
    }

    /// Opens one that was written as a whole just now: the copy may still be that of the one before.
    fn open_written(disk: &dyn Disk, path: &Path) -> Result<Self> {
        let file = store::open(disk, path, Open::Write)?;
        let (state, len) = replay(&*file, path)?;
        Self::take_over(file, path, state, len)
    }

    fn take_over(file: Arc<dyn DiskFile>, path: &Path, state: State, len: u64) -> Result<Self> {
        if len < store::len(&*file, path)? {
            tracing::warn!(file = %path.display(), offset = len, "cut an event that was not fully written");
            store::cut(&*file, path, len)?;
        }
        // After a sync that failed, the last event may look written and not be durable. Writing the same bytes again
        // makes them so.
        let bytes = store::read(&*file, path, 0, len as usize)?;
        store::write(&*file, path, &bytes, 0)?;
        store::sync(&*file, path)?;
        Ok(Self { path: path.to_owned(), file: Some(file), len, failed: None, state })
    }

    /// Opens one to look at, without changing anything.
    pub(crate) fn look(disk: &dyn Disk, layout: &Layout) -> Result<Self> {
        let path = layout.catalog();
        let file = store::open(disk, &path, Open::Read)?;
        let (state, len) = replay_beside_copy(disk, layout, &*file)?;
        Ok(Self { len, ..Self::of(state, &path) })
    }

    /// Writes one anew as a whole, and its copy.
    pub(crate) fn replace(
        disk: &dyn Disk,
        layout: &Layout,
        now: EventTime,
        events: &[(Event, Option<SchemaRef>)],
    ) -> Result<Self> {
        rewrite(disk, &layout.catalog(), now, events)?;
        let catalog = Self::open_written(disk, &layout.catalog())?;
        keep_copy(disk, layout, catalog.len)?;
        Ok(catalog)
    }

    /// How many of its bytes are durable.
    pub(crate) fn durable_len(&self) -> u64 {
        self.len
    }

    /// One that is not there yet, to look at.
    pub(crate) fn of(state: State, path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, len: 0, failed: None, state }
    }

    /// Rewrites it if that makes it much smaller. Files that were removed must be gone.
    pub(crate) fn compact(self, disk: &dyn Disk, now: EventTime) -> Result<Self> {
        if (self.len as usize) < REWRITE_BYTES_MIN {
            return Ok(self);
        }
        let events = self.state.as_events();
        let size: usize = events.iter().map(|(event, schema)| encode(event, schema.as_ref()).len()).sum();
        if size * 2 > self.len as usize {
            return Ok(self);
        }
        rewrite(disk, &self.path, now, &events)?;
        Self::open_written(disk, &self.path)
    }

    /// Keeps an event, durably, and applies it. One at a time: of two in one write a loss of power may leave the second.
    /// After a failure it takes no more: what is in the file is not known.
    pub(crate) fn keep(&mut self, event: Event, schema: Option<SchemaRef>) -> Result<()> {
        if let Some(cause) = &self.failed {
            return Err(cause.clone());
        }
        let Some(file) = &self.file else { return Err(LogError::Closed) };
        let bytes = encode(&event, schema.as_ref());
        let written = store::write(&**file, &self.path, &bytes, self.len)
            .and_then(|()| store::sync(&**file, &self.path));
        if let Err(error) = written {
            self.failed = Some(error.clone());
            return Err(error);
        }
        self.len += bytes.len() as u64;
        self.state.apply(event, schema).map_err(|reason| LogError::corrupt(&self.path, self.len, reason))
    }

    /// Keeps one event without a schema.
    pub(crate) fn keep_one(&mut self, event: Event) -> Result<()> {
        self.keep(event, None)
    }
}

/// Copies as many bytes of the catalog as are durable, if it has grown or was written anew. What somebody is writing meanwhile is left out.
pub(crate) fn keep_copy(disk: &dyn Disk, layout: &Layout, len: u64) -> Result<()> {
    let (path, copy) = (layout.catalog(), layout.catalog_copy());
    let file = store::open(disk, &path, Open::Read)?;
    let is_same = match store::open(disk, &copy, Open::Read) {
        Ok(old) if store::len(&*old, &copy)? == len => {
            store::read_block(&*old, &copy, 0)? == store::read_block(&*file, &path, 0)?
        }
        _ => false,
    };
    if is_same {
        return Ok(());
    }
    let bytes = store::read(&*file, &path, 0, len as usize)?;
    store::create_whole(disk, &copy, |file, path| store::write(file, path, &bytes, 0))
}

/// What there is in a damaged catalog and its copy.
#[derive(Default)]
pub(crate) struct Found {
    /// The whole events, in order.
    pub events: Vec<(Event, Option<SchemaRef>)>,
    /// Damaged bytes that the copy has.
    pub filled: Vec<Range<u64>>,
    /// Damaged bytes that nothing has.
    pub gaps: Vec<Range<u64>>,
    /// Where the copy ends, if the catalog ends before it: what followed is lost, too, if anything did.
    pub cut: Option<u64>,
}

/// Finds the whole events of a damaged catalog, and those of its copy in the place of others.
pub(crate) fn find(bytes: &[u8], copy: &[u8]) -> Found {
    let copy = if agree(bytes, copy) { copy } else { &[] };
    let mut found = Found::default();
    if !has_header(bytes) {
        // All that a header says is that this is a catalog.
        found.filled.push(0..BLOCK as u64);
    }
    found.cut = (bytes.len() < copy.len()).then_some(copy.len() as u64);
    let (mut at, end) = (BLOCK, bytes.len().max(copy.len()));
    while at < end {
        if let Some((event, len)) = parse(bytes, at) {
            found.events.push(event);
            at += len;
        } else if let Some((event, len)) = parse(copy, at) {
            found.events.push(event);
            extend(&mut found.filled, at, at + len);
            at += len;
        } else {
            let is_event = |at: &usize| parse(bytes, *at).or_else(|| parse(copy, *at)).is_some();
            // At the end of the file nobody has acted on what is not whole.
            let Some(next) = (at + 1..end).find(is_event) else { break };
            extend(&mut found.gaps, at, next);
            at = next;
        }
    }
    found
}

fn extend(ranges: &mut Vec<Range<u64>>, from: usize, to: usize) {
    match ranges.last_mut() {
        Some(last) if last.end == from as u64 => last.end = to as u64,
        _ => ranges.push(from as u64..to as u64),
    }
}

fn header(bytes: &[u8]) -> Option<&[u8; BLOCK]> {
    let block = bytes.get(..BLOCK)?.try_into().ok()?;
    let is_catalog = matches!(FileHeader::decode(block), Ok((FileHeader { kind: Kind::Catalog, .. }, _)));
    is_catalog.then_some(block)
}

fn has_header(bytes: &[u8]) -> bool {
    header(bytes).is_some()
}

/// Whether a copy is one of this catalog, and not of what was there before it was written anew.
fn agree(bytes: &[u8], copy: &[u8]) -> bool {
    let same_header = match (header(bytes), header(copy)) {
        (_, None) => return false,
        (Some(own), Some(copied)) if own != copied => return false,
        (own, _) => own.is_some(),
    };
    let (mut at, mut events) = (BLOCK, 0);
    while at < bytes.len().min(copy.len()) {
        let Some((_, len)) = parse(bytes, at) else {
            at += 1;
            continue;
        };
        if copy.get(at..at + len).is_some_and(|copied| *copied != bytes[at..at + len]) {
            return false;
        }
        events += 1;
        at += len;
    }
    same_header || events > 0 || bytes.len() <= BLOCK
}

type Parsed = ((Event, Option<SchemaRef>), usize);

/// The whole event at a place, and how long it is.
fn parse(bytes: &[u8], at: usize) -> Option<Parsed> {
    let (json, schema, len) = decode(bytes.get(at..)?).ok()?;
    let event = serde_json::from_slice(json).ok()?;
    let schema = match schema {
        [] => None,
        bytes => Some(schema::from_bytes(bytes).ok()?),
    };
    Some(((event, schema), len))
}

fn rewrite(
    disk: &dyn Disk,
    path: &Path,
    now: EventTime,
    events: &[(Event, Option<SchemaRef>)],
) -> Result<()> {
    let header = FileHeader { kind: Kind::Catalog, number: 0, stream: None, created: now, previous: 0 };
    let mut bytes = header.encode().0.to_vec();
    for (event, schema) in events {
        bytes.extend(encode(event, schema.as_ref()));
    }
    store::create_whole(disk, path, |file, path| store::write(file, path, &bytes, 0))
}

fn encode(event: &Event, schema: Option<&SchemaRef>) -> Vec<u8> {
    let json = serde_json::to_vec(event).expect("an event has only keys that JSON can have");
    let schema = schema.map(|schema| schema::to_bytes(schema)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(HEAD + json.len() + schema.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(schema.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&schema);
    let crc = crc_fast::crc32_iscsi(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The event at the start of bytes, its schema's bytes, and how long it is; if there is no whole one, why.
fn decode(bytes: &[u8]) -> std::result::Result<(&[u8], &[u8], usize), &'static str> {
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    if bytes.get(..4) != Some(&MAGIC) {
        return Err("no event starts here");
    }
    let (Some(crc), Some(json), Some(schema)) = (word(4), word(8), word(12)) else {
        return Err("an event is cut off");
    };
    let (json, schema) = (json as usize, schema as usize);
    let len = HEAD + json + schema;
    if len > EVENT_BYTES_MAX || len > bytes.len() {
        return Err("an event is cut off, or its length is damaged");
    }
    if crc != crc_fast::crc32_iscsi(&bytes[8..len]) {
        return Err("the checksum of an event does not hold");
    }
    Ok((&bytes[HEAD..HEAD + json], &bytes[HEAD + json..len], len))
}

/// What the events of a catalog say, and where the last whole one ends. Fails if its copy goes on there: what was copied was durable.
fn replay_beside_copy(disk: &dyn Disk, layout: &Layout, file: &dyn DiskFile) -> Result<(State, u64)> {
    let path = layout.catalog();
    let (state, len) = replay(file, &path)?;
    let copied = copied_behind(disk, layout, file, len)?;
    if copied > 0 {
        let name = layout.catalog_copy();
        let reason = format!(
            "it ends here, or is damaged from here on, and its copy {} has {copied} bytes of events more",
            name.file_name().unwrap_or_default().display()
        );
        return Err(LogError::corrupt(&path, len, reason));
    }
    Ok((state, len))
}

/// How many bytes of whole events a copy of this catalog has behind the place where its own end. A copy that cannot be read says nothing.
fn copied_behind(disk: &dyn Disk, layout: &Layout, file: &dyn DiskFile, len: u64) -> Result<usize> {
    let copy = match longer_than(disk, &layout.catalog_copy(), len) {
        Ok(copy) => copy,
        Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => {
            tracing::warn!(%error, "the copy of the catalog cannot be read, and is not compared with it");
            return Ok(0);
        }
    };
    let own = store::read(file, &layout.catalog(), 0, len as usize)?;
    // A catalog that was written anew has another header, and its copy is that of the one before until the keeper comes round.
    let Some(behind) = copy.strip_prefix(&*own) else { return Ok(0) };
    let mut end = 0;
    while let Some((_, len)) = parse(behind, end) {
        end += len;
    }
    Ok(end)
}

/// The bytes of a file that is longer than this; of any other nothing.
fn longer_than(disk: &dyn Disk, path: &Path, len: u64) -> Result<Vec<u8>> {
    let file = store::open(disk, path, Open::Read)?;
    let own = store::len(&*file, path)?;
    let count = if own > len { own } else { 0 };
    Ok(store::read(&*file, path, 0, count as usize)?.to_vec())
}

/// What the events of a catalog say, and where the last whole one ends.
fn replay(file: &dyn DiskFile, path: &Path) -> Result<(State, u64)> {
    let len = store::len(file, path)?;
    if len < BLOCK as u64 {
        return Err(LogError::corrupt(path, len, "the file header is cut off"));
    }
    let header = FileHeader::decode(&store::read_block(file, path, 0)?);
    match header {
        Ok((FileHeader { kind: Kind::Catalog, .. }, _)) => {}
        Ok(_) => return Err(LogError::corrupt(path, 0, "this is not a catalog")),
        Err(reason) => return Err(LogError::corrupt(path, 0, reason)),
    }
    let bytes = store::read(file, path, 0, len as usize)?;
    let (mut state, mut at) = (State::default(), BLOCK);
    while at < bytes.len() {
        let corrupt = |reason: String| LogError::corrupt(path, at as u64, reason);
        match decode(&bytes[at..]) {
            Ok((json, schema_bytes, len)) => {
                let event = serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?;
                let schema = match schema_bytes {
                    [] => None,
                    bytes => Some(schema::from_bytes(bytes).map_err(corrupt)?),
                };
                state.apply(event, schema).map_err(corrupt)?;
                at += len;
            }
            Err(reason) if (at + 1..bytes.len()).any(|later| decode(&bytes[later..]).is_ok()) => {
                return Err(corrupt(reason.to_owned()));
            }
            Err(_) => break,
        }
    }
    Ok((state, at as u64))
}
