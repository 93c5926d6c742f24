//! Reads one shard from files, sealed and active.
//!
//! A reader holds the entries of a stretch of batches and the file they are in. The file stays open, so that sealing, adoption and
//! retention do not disturb it; when the stretch is read, the next one is looked up by sequence number.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use headwater_core::size::bytes_of_rows;
use headwater_core::world::DiskFile;
use headwater_core::{EventTime, Sequence};

use super::index::{Entry, FileRows, Part};
use super::inner::Inner;
use super::rebuild::entries_of;
use super::recent::Seat;
use super::store;
use crate::api::{From, ReadBatch, ReadSpec, Reader};
use crate::batch::{Decoded, Fetch, Header, Limits, decode};
use crate::error::{LogError, Result};
use crate::stored::{self, Cursor};
use crate::streams::Stream;

/// A batch up to this size is read whole, header and all, whichever columns are wanted: one read costs less than two.
const WHOLE_BYTES_MAX: u32 = 64 << 10;

/// How many entries of active files are taken at once.
const ENTRIES: usize = 256;

/// A reader of files.
pub(crate) struct DiskReader {
    inner: Arc<Inner>,
    cursor: Cursor,
    stretch: Stretch,
    seat: Seat,
}

/// A batch as it was decoded for a projection.
pub(crate) struct DecodedBatch {
    /// By this, bounds leave it out.
    header: Header,
    decoded: Decoded,
}

/// Consecutive batches in one file.
#[derive(Default)]
struct Stretch {
    file: Option<(Arc<dyn DiskFile>, PathBuf)>,
    entries: VecDeque<Entry>,
}

/// Where a row was found.
enum Found {
    Sealed(Part),
    Active(u64, VecDeque<Entry>),
}

impl DiskReader {
    /// Starts where `spec` says.
    pub(crate) fn new(inner: Arc<Inner>, spec: ReadSpec) -> Result<Self> {
        let mut cursor = Cursor::new(&inner.view.read(), spec)?;
        cursor.position = start(&inner, &cursor.spec)?;
        let seat = inner.recent.sit_down(&cursor.spec);
        Ok(Self { inner, cursor, stretch: Stretch::default(), seat })
    }

    /// Whether there is a row at the position for this reader.
    fn has_next(&mut self) -> Result<bool> {
        Ok(self.cursor.ahead(&self.inner.view.read())?.is_some())
    }

    /// The batch at the position.
    fn entry(&mut self) -> Result<Entry> {
        loop {
            match self.stretch.entries.front() {
                Some(entry) if entry.next() <= self.cursor.position => {
                    self.stretch.entries.pop_front();
                }
                Some(entry) if entry.first <= self.cursor.position => return Ok(*entry),
                _ => self.stretch = self.look_up()?,
            }
        }
    }

    /// The stretch that starts with the batch at the position.
    fn look_up(&self) -> Result<Stretch> {
        loop {
            let found = {
                let view = self.inner.view.read();
                let (stream, shard) = view.shard(self.cursor.spec.stream, self.cursor.spec.shard)?;
                shard.check_kept(&stream.info, self.cursor.spec.shard, self.cursor.position)?;
                self.inner.check_not_lost(&self.cursor.spec, self.cursor.position, stream)?;
                find(&shard.files, self.cursor.position).ok_or_else(|| LogError::Corrupt {
                    file: self.inner.layout.dir.clone(),
                    offset: 0,
                    reason: format!(
                        "no file holds sequence {} of {}",
                        self.cursor.position, stream.info.spec.name
                    ),
                })?
            };
            if let Some(stretch) = self.open(found)? {
                return Ok(stretch);
            }
        }
    }

    /// The file and the entries of what was found; nothing if it was sealed or removed a moment ago.
    fn open(&self, found: Found) -> Result<Option<Stretch>> {
        match found {
            Found::Active(number, entries) => {
                let file = self.inner.actives.lock().get(&number).cloned();
                let file = file.map(|file| (file, self.inner.layout.active(number)));
                Ok(file.is_some().then_some(Stretch { file, entries }))
            }
            Found::Sealed(part) => {
                let path = &part.segment.path;
                let file = match self.inner.files.get(path) {
                    Err(_) if !self.inner.is_current(&self.cursor.spec, &part) => return Ok(None),
                    result => result?,
                };
                let mut entries: VecDeque<Entry> = entries_of(&*file, &part.segment, part.place)?.into();
                let before = entries.partition_point(|entry| entry.next() <= self.cursor.position);
                entries.drain(..before);
                if entries.front().is_none_or(|entry| entry.first > self.cursor.position) {
                    let reason = format!("the footer has no batch with sequence {}", self.cursor.position);
                    return Err(LogError::corrupt(path, part.segment.bytes, reason));
                }
                Ok(Some(Stretch { file: Some((file, path.clone())), entries }))
            }
        }
    }

    /// The rows of a batch, if it is not left out by bounds.
    fn rows(&self, entry: &Entry) -> Result<Option<Decoded>> {
        let cursor = &self.cursor;
        let spec = &cursor.spec;
        let counts_only = spec.projection.as_ref().is_some_and(Vec::is_empty);
        if counts_only && spec.bounds.is_empty() && !spec.arrivals {
            let count = RecordBatchOptions::new().with_row_count(Some(entry.rows as usize));
            let output = Arc::clone(&cursor.shape.output);
            let rows = RecordBatch::try_new_with_options(output, Vec::new(), &count)?;
            return Ok(Some(Decoded { rows, arrivals: None }));
        }
        let key = self.seat.key(entry, cursor.schemas.len());
        if let Some(kept) = key.as_ref().and_then(|key| self.inner.recent.get(key)) {
            let written = &cursor.schemas[kept.header.schema.0 as usize];
            let matches = cursor.may_match(&kept.header, written);
            return Ok(matches.then(|| kept.decoded.clone()));
        }
        let Some((file, path)) = &self.stretch.file else { return Err(LogError::Closed) };
        let whole = entry.bytes <= WHOLE_BYTES_MAX || (spec.projection.is_none() && spec.bounds.is_empty());
        let count = if whole && !counts_only { entry.bytes } else { entry.header };
        let head = store::read(&**file, path, entry.at, count as usize)?;
        let in_file = |error: crate::batch::BatchError| error.in_file(path, entry.at);
        let header = Header::parse(&head, &Limits::FORMAT).map_err(in_file)?;
        self.check(&header, entry, path)?;
        let Some(written) = cursor.written(&header) else {
            let reason = format!("schema {} is not known", header.schema);
            return Err(LogError::corrupt(path, entry.at, reason));
        };
        if !cursor.may_match(&header, written) {
            return Ok(None);
        }
        let in_file_fetch = BatchInFile { file: &**file, path, at: entry.at };
        let fetch: &dyn Fetch = if count == entry.bytes { &head } else { &in_file_fetch };
        let decoded = decode(&header, &cursor.wanted(written), fetch).map_err(in_file)?;
        if let Some(key) = key {
            let kept = DecodedBatch { header, decoded: decoded.clone() };
            self.inner.recent.put(
                key,
                Arc::new(kept),
                bytes_of_rows(&decoded.rows).max(entry.bytes as usize),
            );
        }
        Ok(Some(decoded))
    }

    /// Refuses a batch other than the one that the index promised.
    fn check(&self, header: &Header, entry: &Entry, path: &std::path::Path) -> Result<()> {
        let is = (header.stream, header.shard, header.first, header.rows, header.lengths.total);
        let should = (
            self.cursor.spec.stream,
            self.cursor.spec.shard,
            entry.first,
            entry.rows,
            u64::from(entry.bytes),
        );
        if is == should {
            return Ok(());
        }
        Err(LogError::corrupt(path, entry.at, "another batch is here than the index says"))
    }
}

impl Reader for DiskReader {
    fn next(&mut self) -> Result<Option<ReadBatch>> {
        while self.has_next()? {
            let entry = self.entry()?;
            let decoded = self.rows(&entry)?;
            let rows = (entry.first, entry.next());
            let batch = self.cursor.pass(rows, entry.arrival, entry.event_time, decoded.as_ref());
            if batch.is_some() {
                return Ok(batch);
            }
        }
        Ok(None)
    }

    fn position(&self) -> Sequence {
        self.cursor.position
    }
}

/// A batch that is read from its file piece by piece.
struct BatchInFile<'a> {
    file: &'a dyn DiskFile,
    path: &'a std::path::Path,
    at: u64,
}

impl Fetch for BatchInFile<'_> {
    fn fetch(&self, range: Range<u64>) -> Result<Buffer> {
        store::read(self.file, self.path, self.at + range.start, (range.end - range.start) as usize)
    }
}

fn find(files: &FileRows, at: Sequence) -> Option<Found> {
    if let Some(part) = files.part_at(at)
        && part.summary.rows.start <= at
    {
        return Some(Found::Sealed(part.clone()));
    }
    let index = files.active_at(at);
    let first = files.active.get(index).filter(|one| one.entry.first <= at)?;
    let same_file = files.active.range(index..).take_while(|one| one.file == first.file);
    Some(Found::Active(first.file, same_file.take(ENTRIES).map(|one| one.entry).collect()))
}

/// Where reading starts.
fn start(inner: &Inner, spec: &ReadSpec) -> Result<Sequence> {
    let view = inner.view.read();
    let (stream, shard) = view.shard(spec.stream, spec.shard)?;
    if let Some(start) = stored::start(stream, shard, spec)? {
        return Ok(start);
    }
    let seek = match spec.from {
        From::EventTime(time) => Seek::EventTime(time),
        From::Arrival(time) => Seek::Arrival(time),
        From::Earliest | From::Latest | From::Sequence(_) => return Ok(shard.first),
    };
    let part = shard.files.sealed.iter().find(|part| {
        seek.may_hold(part.summary.event_time, part.summary.arrival) && part.summary.rows.end > shard.first
    });
    let Some(part) = part.cloned() else {
        let found = shard.files.active.iter().find(|one| seek.holds(&one.entry));
        return Ok(found.map_or(shard.next, |one| one.entry.first));
    };
    drop(view);
    // What is read of the file is only where in it to start; should it be gone by now, its first row does as well.
    let entries = inner.files.get(&part.segment.path);
    let entries = entries.and_then(|file| entries_of(&*file, &part.segment, part.place)).unwrap_or_default();
    let found = entries.iter().find(|entry| seek.holds(entry));
    Ok(found.map_or(part.summary.rows.start, |entry| entry.first))
}

#[derive(Clone, Copy)]
enum Seek {
    EventTime(EventTime),
    Arrival(EventTime),
}

impl Seek {
    fn may_hold(self, event_time: Option<(EventTime, EventTime)>, arrival: (EventTime, EventTime)) -> bool {
        match self {
            Self::EventTime(time) => event_time.is_some_and(|(_, max)| max >= time),
            Self::Arrival(time) => arrival.1 >= time,
        }
    }

    fn holds(self, entry: &Entry) -> bool {
        self.may_hold(entry.event_time, entry.arrival)
    }
}

impl Inner {
    /// Whether a part is still what the shard has there: not removed and not sealed anew.
    fn is_current(&self, spec: &ReadSpec, part: &Part) -> bool {
        let view = self.view.read();
        view.shard(spec.stream, spec.shard).is_ok_and(|(_, shard)| {
            shard.files.sealed.iter().any(|one| Arc::ptr_eq(&one.segment, &part.segment))
        })
    }

    /// Refuses a row that `repair` could not save.
    fn check_not_lost(&self, spec: &ReadSpec, at: Sequence, stream: &Stream) -> Result<()> {
        let lost = self.lost.iter().find(|lost| {
            lost.stream == spec.stream.0 && lost.shard == spec.shard.0 && (lost.from..lost.to).contains(&at.0)
        });
        let Some(lost) = lost else { return Ok(()) };
        let reason = format!(
            "sequences {} to {} of shard {} of {} were lost ({}); read on from {}",
            lost.from,
            lost.to - 1,
            spec.shard,
            stream.info.spec.name,
            lost.reason,
            lost.to
        );
        Err(LogError::corrupt(self.layout.stream_dir(spec.stream), 0, reason))
    }
}
