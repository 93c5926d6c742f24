//! A damaged catalog, put together again: from its own events that are whole, from its copy, and from the files that it named.
//!
//! ```text
//!  catalog.hwc       | header | event | event | ~~~~~~~~~ | event | event |
//!  catalog-copy.hwc  | header | event | event | event | ev                       as it was some time before
//!                                              '- taken from the copy
//! ```
//!
//! A catalog only grows at its end until it is written anew as a whole, so what the copy has at the same place is what was damaged. What
//! it does not have is lost, and is told. Of a sealed file the file itself says what it is. A stream's name and columns are nowhere
//! else: the rows of a stream that is lost cannot be read, and its files are put aside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use headwater_core::world::{Disk, Open};
use headwater_core::{Sequence, ShardId, StreamId};

use super::catalog::{self, Found};
use super::event::{Event, Sealed, SealedFile, State, Trimmed};
use super::layout::{Layout, active_number, sealed_number};
use super::repair::survivors;
use super::store;
use crate::error::{LogError, Result};
use crate::memory::is_in_memory;
use crate::streams::Change;

/// Fewer bytes than any event takes.
const EVENT_BYTES_MIN: u64 = 16;

/// A catalog that was put together again.
pub(crate) struct Salvaged {
    /// Its events, in order.
    pub events: Vec<(Event, Option<SchemaRef>)>,
    /// What they say.
    pub state: State,
    /// The numbers of streams that are lost.
    pub lost: BTreeSet<StreamId>,
    /// Files of lost streams that are not in the directories of these.
    pub aside: Vec<PathBuf>,
    /// What was found, by file.
    pub told: Vec<(PathBuf, String)>,
}

/// What is left of a log's catalog. `None`: there is neither a catalog nor a copy of one.
pub(crate) fn salvage(disk: &dyn Disk, layout: &Layout) -> Result<Option<Salvaged>> {
    let (catalog, copy) = (bytes_of(disk, &layout.catalog())?, bytes_of(disk, &layout.catalog_copy())?);
    if catalog.is_none() && copy.is_none() {
        return Ok(None);
    }
    let found = catalog::find(&catalog.unwrap_or_default(), &copy.unwrap_or_default());
    let mut salvage =
        Salvage { disk, layout, dropped: BTreeSet::new(), named: BTreeSet::new(), done: Salvaged::new() };
    salvage.tell_of_bytes(&found);
    for (event, schema) in found.events {
        salvage.take(event, schema);
    }
    if !found.gaps.is_empty() || found.cut.is_some() {
        salvage.look_for_streams()?;
        salvage.register()?;
        salvage.trim()?;
        salvage.open_again(found.gaps.iter().map(|gap| gap.end - gap.start).sum());
    }
    Ok(Some(salvage.done))
}

fn bytes_of(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>> {
    match store::open(disk, path, Open::Read) {
        Ok(file) => {
            let len = store::len(&*file, path)?;
            Ok(Some(store::read(&*file, path, 0, len as usize)?.to_vec()))
        }
        Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

struct Salvage<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    /// Streams that were dropped.
    dropped: BTreeSet<StreamId>,
    /// Streams that something speaks of.
    named: BTreeSet<StreamId>,
    done: Salvaged,
}

impl Salvaged {
    fn new() -> Self {
        Self {
            events: Vec::new(),
            state: State::default(),
            lost: BTreeSet::new(),
            aside: Vec::new(),
            told: Vec::new(),
        }
    }

    fn tell(&mut self, path: PathBuf, what: String) {
        self.told.push((path, what));
    }
}

impl Salvage<'_> {
    fn tell_of_bytes(&mut self, found: &Found) {
        let tell = |what: &str, ranges: &[std::ops::Range<u64>], done: &mut Salvaged| {
            for range in ranges {
                let (from, to) = (range.start, range.end);
                done.tell(
                    self.layout.catalog(),
                    format!("bytes {from} up to but not {to} are damaged; {what}"),
                );
            }
        };
        tell("its copy has what was there", &found.filled, &mut self.done);
        tell("what was there is lost", &found.gaps, &mut self.done);
        if let Some(end) = found.cut {
            self.done.tell(
                self.layout.catalog(),
                format!("it is cut off; what followed byte {end} is lost, if anything did"),
            );
        }
    }

    /// Takes over an event if it fits: what it speaks of may be lost.
    fn take(&mut self, event: Event, schema: Option<SchemaRef>) {
        let event = match event {
            Event::Together(events) => return events.into_iter().for_each(|event| self.take(event, None)),
            Event::Stream(Change::Drop { stream }) => {
                self.dropped.insert(StreamId(stream));
                event
            }
            Event::Sealed(mut sealed) => {
                self.named.extend(sealed.files.iter().map(|file| StreamId(file.stream)));
                sealed.files.retain(|file| self.knows(file.stream));
                if sealed.adopted.is_some_and(|stream| !self.knows(stream)) {
                    sealed.adopted = None;
                    self.done.aside.push(self.layout.active(sealed.active));
                }
                Event::Sealed(sealed)
            }
            Event::Trimmed(Trimmed { stream, .. }) | Event::Removed { stream, .. } if !self.knows(stream) => {
                self.named.insert(StreamId(stream));
                return;
            }
            Event::Lost(lost) if !self.knows(lost.stream) => {
                self.named.insert(StreamId(lost.stream));
                return;
            }
            event => event,
        };
        let was_dropped = matches!(&event, Event::Stream(Change::Drop { .. }));
        match self.done.state.apply(event.clone(), schema.clone()) {
            Ok(()) => self.done.events.push((event, schema)),
            Err(_) if was_dropped => {}
            Err(reason) => {
                self.done.tell(
                    self.layout.catalog(),
                    format!("an event does not fit without those that are lost: {reason}"),
                );
            }
        }
    }

    fn knows(&self, stream: u32) -> bool {
        self.done.state.streams.get(StreamId(stream)).is_ok()
    }

    /// Adds an event that follows from what is there.
    fn add(&mut self, event: Event) {
        let added = self.done.state.apply(event.clone(), None);
        debug_assert_eq!(added, Ok(()), "it speaks of what is known");
        self.done.events.push((event, None));
    }

    /// Finds the streams that have files or rows, and are not known.
    fn look_for_streams(&mut self) -> Result<()> {
        for entry in store::list(self.disk, &self.layout.dir)? {
            let path = self.layout.dir.join(&entry.name);
            if let Some(stream) = entry.name.parse().ok().filter(|_| entry.is_dir).map(StreamId) {
                let files = store::list(self.disk, &path)?;
                if files.iter().any(|file| sealed_number(&file.name).is_some()) {
                    self.named.insert(stream);
                }
            } else if active_number(&entry.name).is_some() {
                let file = store::open(self.disk, &path, Open::Read)?;
                survivors(&*file, &path, |header| {
                    self.named.insert(header.stream);
                    false
                })?;
            }
        }
        let streams = &self.done.state.streams;
        let is_lost = |stream: &StreamId| streams.get(*stream).is_err() && !self.dropped.contains(stream);
        self.done.lost = self.named.iter().copied().filter(is_lost).collect();
        for stream in self.done.lost.clone() {
            let what = format!(
                "what stream number {stream} is called and which columns it has is lost, unless it had been dropped; its \
                 files are put aside"
            );
            self.done.tell(self.layout.stream_dir(stream), what);
        }
        // No number is used again.
        if let Some(newest) = self.named.last().copied()
            && !self.done.state.streams.existed(newest)
        {
            self.add(Event::Stream(Change::NextStream { id: newest.0 + 1 }));
        }
        Ok(())
    }

    /// Names the sealed files of known streams again that lost events have named.
    fn register(&mut self) -> Result<()> {
        let mut found: BTreeMap<u64, Vec<SealedFile>> = BTreeMap::new();
        let streams: Vec<StreamId> = self.done.state.streams.iter().map(|stream| stream.info.id).collect();
        for stream in streams {
            for entry in store::list(self.disk, &self.layout.stream_dir(stream))? {
                let Some(number) = sealed_number(&entry.name) else { continue };
                let state = &self.done.state;
                let is_named =
                    state.sealed.contains_key(&number) || state.removed.contains(&(stream, number));
                if is_named || self.has_active(number)? {
                    continue;
                }
                let path = self.layout.sealed(stream, number);
                let file = store::open(self.disk, &path, Open::Read)?;
                let bytes = store::len(&*file, &path)?;
                let whole = survivors(&*file, &path, |header| header.stream == stream)?.whole;
                let rows = whole.iter().map(|(_, header)| u64::from(header.rows)).sum();
                if rows == 0 {
                    continue;
                }
                self.done.tell(
                    path,
                    format!("the catalog had lost it; its {rows} rows are part of the log again"),
                );
                found.entry(number).or_default().push(SealedFile { stream: stream.0, bytes, rows });
            }
        }
        for (active, files) in found {
            self.add(Event::Sealed(Sealed { active, adopted: None, files }));
        }
        Ok(())
    }

    fn has_active(&self, number: u64) -> Result<bool> {
        let entries = store::list(self.disk, &self.layout.dir)?;
        Ok(entries.iter().any(|entry| active_number(&entry.name) == Some(number)))
    }

    /// Lets shards begin with the first row that is there: that they begin later may have been in what is lost.
    fn trim(&mut self) -> Result<()> {
        let mut firsts: BTreeMap<(StreamId, ShardId), Sequence> = BTreeMap::new();
        let sealed =
            self.done.state.files.keys().map(|(stream, number)| self.layout.sealed(*stream, *number));
        let mut paths: Vec<PathBuf> = sealed.collect();
        for entry in store::list(self.disk, &self.layout.dir)? {
            let is_active = active_number(&entry.name)
                .is_some_and(|number| !self.done.state.sealed.contains_key(&number));
            paths.extend(is_active.then(|| self.layout.dir.join(&entry.name)));
        }
        for path in paths {
            let file = match store::open(self.disk, &path, Open::Read) {
                Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
                file => file?,
            };
            for (_, header) in survivors(&*file, &path, |_| true)?.whole {
                let first = firsts.entry((header.stream, header.shard)).or_insert(header.first);
                *first = header.first.min(*first);
            }
        }
        for ((stream, shard), first) in firsts {
            let Ok(known) = self.done.state.streams.get(stream) else { continue };
            let from = self.done.state.first(stream, shard);
            let begins = self.done.state.lost_until(stream, shard, from);
            if begins >= first || is_in_memory(&known.info) {
                continue;
            }
            let what = format!(
                "shard {shard} of {} begins with row {first} now: whether the rows before it were removed by retention is lost",
                known.info.spec.name
            );
            self.done.tell(self.layout.stream_dir(stream), what);
            self.add(Event::Trimmed(Trimmed {
                stream: stream.0,
                shard: shard.0,
                first: first.0,
                producers: Vec::new(),
            }));
        }
        Ok(())
    }

    /// The log may have been opened by events that are lost: their numbers must not be given again to rows that are kept in memory.
    fn open_again(&mut self, bytes: u64) {
        if self.done.state.streams.iter().any(|stream| is_in_memory(&stream.info)) {
            let times = self.done.state.opened + bytes / EVENT_BYTES_MIN + 1;
            self.add(Event::Opened { times });
        }
    }
}
