//! Opening a log: from what is on the disk to what readers and the committer work with.
//!
//! ```text
//!  catalog ──► streams, files ──► footers of sealed files ──► scan of active files ──► tail cut ──► open
//! ```
//!
//! Only what was not known to be durable is read as a whole, and that is the end of one active file. Of the other active
//! files the headers are read, of a sealed file the footer; should that be damaged, it is made anew from the batches.
//! Nothing is acknowledged on the strength of what is found here until it is durable.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::world::{Disk, DiskFile, DiskLock, Open};
use headwater_core::{EventTime, Sequence, ShardId, StreamId, World};

use super::active::Active;
use super::catalog::Catalog;
use super::commit::Writer;
use super::event::{Event, SealedFile, State};
use super::index::{ActiveEntry, Entry, Part};
use super::inner::Opened;
use super::layout::{Layout, active_number, is_temporary, sealed_number};
use super::rebuild::{Read, read_sealed, rebuild_footer};
use super::scan::{Scanned, Span, read_header, scan};
use super::scrub::Damage;
use super::seal::{SealJob, snapshot};
use super::store;
use crate::batch::Header;
use crate::error::{LogError, Result};
use crate::memory::{first_of_life, is_in_memory};
use crate::producers::Producers;
use crate::sequencer::Sequencer;
use crate::view::View;

/// Makes the directories and takes the lock.
pub(crate) fn take_lock(world: &World, dir: &Path, layout: &Layout) -> Result<DiskLock> {
    let disk = &*world.disk;
    store::create_dir(disk, &layout.dir)?;
    let path = layout.lock();
    disk.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => LogError::Locked { dir: dir.to_owned() },
        _ => LogError::io("lock", &path, error),
    })
}

/// Reads the log of a directory, and makes it consistent where a crash has left it in between.
pub(crate) fn recover(world: &World, layout: &Layout) -> Result<Opened> {
    let disk = &*world.disk;
    let catalog = open_catalog(world, layout)?;
    let actives = clean_up(disk, layout, &catalog.state)?;
    let mut catalog = catalog.compact(disk, world.clock.now())?;
    if catalog.state.streams.iter().any(|stream| is_in_memory(&stream.info)) {
        let times = catalog.state.opened + 1;
        catalog.keep_one(Event::Opened { times })?;
    }
    let mut recovery = Recovery::new(layout, catalog);
    recovery.add_sealed(disk)?;
    recovery.add_active(world, &actives)?;
    recovery.check_numbers(&actives);
    if let Some(active) = &mut recovery.writer.active {
        active.rewrite_unsynced()?;
    }
    store::sync_dir(disk, &layout.dir)?;
    Ok(recovery.finish())
}

fn open_catalog(world: &World, layout: &Layout) -> Result<Catalog> {
    let (disk, path) = (&*world.disk, layout.catalog());
    let entries = store::list(disk, &layout.dir)?;
    if entries.iter().any(|entry| entry.name == "catalog.hwc") {
        return Catalog::open(disk, layout);
    }
    if entries.iter().any(|entry| entry.is_dir || active_number(&entry.name).is_some()) {
        return Err(LogError::corrupt(
            path,
            0,
            "the catalog is missing, and there are files that it should name",
        ));
    }
    let catalog = Catalog::create(disk, &path, world.clock.now())?;
    // The directory itself must not be lost either.
    for dir in layout.dir.ancestors().skip(1).take(2).filter(|dir| !dir.as_os_str().is_empty()) {
        store::sync_dir(disk, dir)?;
    }
    Ok(catalog)
}

/// Ends what a crash interrupted: removes files that are not part of the log, and gives adopted ones their names.
/// Answers with the numbers of the active files.
fn clean_up(disk: &dyn Disk, layout: &Layout, state: &State) -> Result<Vec<u64>> {
    let mut actives = Vec::new();
    for entry in store::list(disk, &layout.dir)? {
        if is_temporary(&entry.name) {
            store::remove(disk, &layout.dir.join(&entry.name))?;
        } else if let Some(number) = active_number(&entry.name) {
            actives.push(number);
        }
    }
    actives.sort_unstable();
    for number in &actives {
        let Some(adopted) = state.sealed.get(number) else { continue };
        let from = layout.active(*number);
        match adopted.filter(|stream| state.files.contains_key(&(*stream, *number))) {
            Some(stream) => {
                store::create_durable_dir(disk, &layout.stream_dir(stream))?;
                store::rename(disk, &from, &layout.sealed(stream, *number))?;
                store::sync_dir(disk, &layout.stream_dir(stream))?;
            }
            None => store::remove(disk, &from)?,
        }
    }
    actives.retain(|number| !state.sealed.contains_key(number));
    let strays = strays(disk, layout, state, &actives)?;
    if let Some(path) = strays.unknown.first() {
        let reason = "the catalog does not know this file; part of the catalog may be lost";
        return Err(LogError::corrupt(path, 0, reason));
    }
    strays.unfinished.iter().try_for_each(|path| store::remove(disk, path))?;
    Ok(actives)
}

/// Files in the directories of streams that are not part of the log.
#[derive(Default)]
pub(crate) struct Strays {
    /// What sealing or removing files has left behind when it was interrupted.
    pub unfinished: Vec<PathBuf>,
    /// What cannot be explained: the catalog should know of it.
    pub unknown: Vec<PathBuf>,
}

/// Finds the files that are not part of the log; `actives` are the active files that are.
pub(crate) fn strays(disk: &dyn Disk, layout: &Layout, state: &State, actives: &[u64]) -> Result<Strays> {
    let mut strays = Strays::default();
    let dirs = store::list(disk, &layout.dir)?.into_iter().filter(|entry| entry.is_dir);
    for stream in dirs.filter_map(|entry| entry.name.parse().ok()).map(StreamId) {
        let dir = layout.stream_dir(stream);
        for entry in store::list(disk, &dir)? {
            let path = dir.join(&entry.name);
            let Some(number) = sealed_number(&entry.name) else {
                strays.unfinished.extend(is_temporary(&entry.name).then_some(path));
                continue;
            };
            let was_dropped = state.streams.get(stream).is_err() && state.streams.existed(stream);
            let was_removed = state.removed.contains(&(stream, number));
            if was_dropped || was_removed || actives.contains(&number) {
                strays.unfinished.push(path);
            } else if !state.files.contains_key(&(stream, number)) {
                strays.unknown.push(path);
            }
        }
    }
    Ok(strays)
}

struct Recovery<'a> {
    layout: &'a Layout,
    catalog: Catalog,
    view: View,
    writer: Writer,
    actives: BTreeMap<u64, Arc<dyn DiskFile>>,
    seals: VecDeque<SealJob>,
    damage: Vec<Damage>,
}

impl<'a> Recovery<'a> {
    /// The streams, with shards that begin where the catalog says and are empty.
    fn new(layout: &'a Layout, catalog: Catalog) -> Self {
        let state = &catalog.state;
        let (mut view, mut sequencer) = (View::default(), Sequencer::default());
        for stream in state.streams.iter() {
            let info = &stream.info;
            view.add(info.id, info.spec.shards);
            sequencer.add(info.id, info.spec.name.clone(), info.spec.shards);
            for (shard, token) in &stream.fences {
                if let Some(head) = sequencer.head_mut(info.id, *shard) {
                    head.fence = Some(*token);
                }
            }
        }
        for ((stream, shard), trimmed) in &state.trimmed {
            let first = Sequence(trimmed.first);
            if let Some(shard) = view.shard_mut(*stream, *shard) {
                (shard.first, shard.next) = (first, first);
            }
            if let Some(head) = sequencer.head_mut(*stream, *shard) {
                head.producers = Producers::from_snapshot(&trimmed.producers);
            }
        }
        for stream in state.streams.iter().filter(|stream| is_in_memory(&stream.info)) {
            for shard in view.shards_mut(stream.info.id) {
                shard.begin_at(first_of_life(state.opened));
            }
        }
        view.streams = state.streams.clone();
        let next_number = state.sealed.last_key_value().map_or(0, |(last, _)| last + 1);
        Self {
            layout,
            view,
            writer: Writer { sequencer, active: None, next_number, last_arrival: EventTime::MIN },
            catalog,
            actives: BTreeMap::new(),
            seals: VecDeque::new(),
            damage: Vec::new(),
        }
    }

    /// Adds what the footers of sealed files say.
    fn add_sealed(&mut self, disk: &dyn Disk) -> Result<()> {
        let files: Vec<_> = self.catalog.state.files.iter().map(|(key, file)| (*key, *file)).collect();
        for ((stream, number), expected) in files {
            let path = self.layout.sealed(stream, number);
            let file = store::open(disk, &path, Open::Read)?;
            let read = match read_sealed(&*file, &path, stream, number, expected.bytes) {
                Err(error @ LogError::Corrupt { .. }) => {
                    tracing::error!(%error, "the footer is made anew from the batches");
                    self.damage.extend(Damage::from_error(&error));
                    self.reseal(disk, &path, stream, number, expected.rows)?
                }
                result => result?,
            };
            let segment = Arc::new(read.segment);
            for (place, part) in read.parts.into_iter().enumerate() {
                if let Some(head) = self.writer.sequencer.head_mut(stream, part.shard)
                    && part.summary.rows.end > self.catalog.state.first(stream, part.shard)
                {
                    head.producers = Producers::from_snapshot(&part.producers);
                }
                let segment = Arc::clone(&segment);
                self.add_part(part.shard, Part { segment, place, summary: part.summary })?;
            }
        }
        Ok(())
    }

    fn add_part(&mut self, shard: ShardId, part: Part) -> Result<()> {
        let stream = part.segment.stream;
        self.writer.last_arrival = self.writer.last_arrival.max(part.summary.arrival.1);
        let path = part.segment.path.clone();
        let Some(rows) = self.view.shard_mut(stream, shard) else {
            return Err(LogError::corrupt(path, 0, format!("the stream has no shard {shard}")));
        };
        if part.summary.rows.end <= rows.first {
            return Ok(());
        }
        let is_first = rows.files.sealed.is_empty() && part.summary.rows.start <= rows.first;
        let (start, end) = (part.summary.rows.start, part.summary.rows.end);
        if !is_first && !self.catalog.state.follows(stream, shard, rows.next, start) {
            let reason = format!("shard {shard} goes on at sequence {start}, expected {}", rows.next);
            return Err(LogError::corrupt(path, 0, reason));
        }
        rows.next = end;
        rows.files.sealed.push_back(part);
        Ok(())
    }

    /// Gives a sealed file another footer. Its batches must be whole, and all of them there.
    fn reseal(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        stream: StreamId,
        number: u64,
        rows: u64,
    ) -> Result<Read> {
        let file = store::open(disk, path, Open::Write)?;
        let read = reseal(&*file, path, stream, number, rows)?;
        let now = SealedFile { stream: stream.0, bytes: read.segment.bytes, rows };
        self.catalog.keep_one(Event::Resealed { file: number, now })?;
        Ok(read)
    }

    /// Scans the active files, oldest first.
    fn add_active(&mut self, world: &World, numbers: &[u64]) -> Result<()> {
        let mut numbers = numbers.to_vec();
        if let Some((begun, _)) = self.catalog.state.unsealed()
            && !numbers.contains(&begun)
        {
            let reason = "the file is missing; the catalog says that it was begun";
            return Err(LogError::corrupt(self.layout.active(begun), 0, reason));
        }
        self.forget_unborn(&*world.disk, &mut numbers)?;
        for (index, number) in numbers.iter().enumerate() {
            let path = self.layout.active(*number);
            let file = store::open(&*world.disk, &path, Open::Write)?;
            let chain = read_header(&*file, &path, *number)?.1;
            // All of a file was durable before the next one was begun.
            let span = match numbers.get(index + 1) {
                Some(later) => {
                    let len = self.length_before(&*world.disk, *later)?;
                    Span { len, durable: len }
                }
                None => {
                    let durable = self.catalog.state.durable_bytes(*number);
                    Span { len: store::len(&*file, &path)?, durable }
                }
            };
            let scanned = scan(&*file, &path, *number, chain, span, |batches| {
                batches.iter().try_for_each(|(at, header)| self.add_batch(&path, *number, *at, header))
            })?;
            self.actives.insert(*number, Arc::clone(&file));
            let is_newest = index + 1 == numbers.len();
            self.end_active(world, &path, file, *number, &scanned, is_newest)?;
        }
        Ok(())
    }

    /// Removes the newest active file if it was never fully created.
    fn forget_unborn(&self, disk: &dyn Disk, numbers: &mut Vec<u64>) -> Result<()> {
        if let Some(number) = unborn(disk, self.layout, &self.catalog.state, numbers)? {
            let path = self.layout.active(number);
            tracing::warn!(file = %path.display(), "removed a file that was not fully created");
            store::remove(disk, &path)?;
            store::sync_dir(disk, &self.layout.dir)?;
            numbers.pop();
        }
        Ok(())
    }

    /// How long the active file before this one is.
    fn length_before(&self, disk: &dyn Disk, number: u64) -> Result<u64> {
        let path = self.layout.active(number);
        let file = store::open(disk, &path, Open::Read)?;
        Ok(read_header(&*file, &path, number)?.0.previous)
    }

    fn add_batch(&mut self, path: &Path, file: u64, at: u64, header: &Header) -> Result<()> {
        let corrupt = |reason: String| LogError::corrupt(path, at, reason);
        let (stream, shard) = (header.stream, header.shard);
        self.writer.last_arrival = self.writer.last_arrival.max(header.arrival.1);
        let Some(rows) = self.view.shard_mut(stream, shard) else {
            if self.view.streams.get(stream).is_err() && self.view.streams.existed(stream) {
                return Ok(());
            }
            return Err(corrupt(format!("shard {shard} of stream {stream} is not in the catalog")));
        };
        let is_first = rows.files.sealed.is_empty() && rows.files.active.is_empty();
        let starts = is_first && header.first <= rows.first && header.next() >= rows.first;
        if !starts && !self.catalog.state.follows(stream, shard, rows.next, header.first) {
            let (is, should) = (header.first, rows.next);
            return Err(corrupt(format!("shard {shard} goes on at sequence {is}, expected {should}")));
        }
        rows.next = header.next();
        rows.files.active.push_back(ActiveEntry { file, entry: Entry::of(at, header) });
        if let (Some(producer), Some(head)) = (header.producer, self.writer.sequencer.head_mut(stream, shard))
        {
            head.producers.note(producer, header.first, header.next());
        }
        Ok(())
    }

    fn end_active(
        &mut self,
        world: &World,
        path: &Path,
        file: Arc<dyn DiskFile>,
        number: u64,
        scanned: &Scanned,
        is_newest: bool,
    ) -> Result<()> {
        let len = store::len(&*file, path)?;
        if is_newest {
            cut_tail(&*file, path, len, scanned, self.catalog.state.durable_bytes(number))?;
            self.writer.active = Some(Active {
                number,
                path: path.to_owned(),
                file,
                len: scanned.end,
                synced_to: scanned.synced_to,
                chain: scanned.chain,
                since: world.clock.monotonic(),
            });
            return Ok(());
        }
        if let Some(reason) = &scanned.damage {
            return Err(LogError::corrupt(path, scanned.end, reason.clone()));
        }
        // What follows the commits is a footer of an adoption that was not finished.
        let producers = snapshot(&self.view, &self.writer.sequencer, number);
        self.seals.push_back(SealJob { number, path: path.to_owned(), file, len: scanned.end, producers });
        Ok(())
    }

    /// Numbers are never used again.
    fn check_numbers(&mut self, actives: &[u64]) {
        let after = actives.last().map_or(0, |last| last + 1);
        self.writer.next_number = self.writer.next_number.max(after);
    }

    fn finish(mut self) -> Opened {
        for stream in self.view.streams.list() {
            for (shard, rows) in (0..).map(ShardId).zip(self.view.shards_mut(stream.id)) {
                let lost = self.catalog.state.lost_until(stream.id, shard, rows.next);
                rows.next = lost;
                if let Some(head) = self.writer.sequencer.head_mut(stream.id, shard) {
                    head.next = rows.next;
                }
            }
        }
        let Self { catalog, view, writer, actives, seals, damage, .. } = self;
        Opened { view, writer, catalog, actives, seals, damage }
    }
}

/// The newest active file, if it was never fully created: nothing is written to one before its header is durable.
pub(crate) fn unborn(
    disk: &dyn Disk,
    layout: &Layout,
    state: &State,
    numbers: &[u64],
) -> Result<Option<u64>> {
    let Some(number) = numbers.last().copied() else { return Ok(None) };
    let path = layout.active(number);
    let file = store::open(disk, &path, Open::Read)?;
    if read_header(&*file, &path, number).is_ok() {
        return Ok(None);
    }
    let mut has_commit = false;
    super::scan::blocks(&*file, &path, 0, store::len(&*file, &path)?, |at, block| {
        has_commit = super::layout::CommitHeader::decode(block, number, at).is_some();
        has_commit
    })?;
    let was_begun = state.durable.is_some_and(|(begun, _)| begun == number);
    Ok((!has_commit && !was_begun).then_some(number))
}

/// Cuts what was not fully written. [`super::scan`] says why that is safe; `durable` is up to where the catalog knows
/// the file to be durable.
fn cut_tail(file: &dyn DiskFile, path: &Path, len: u64, scanned: &Scanned, durable: u64) -> Result<()> {
    let missing = if scanned.end == len { "the file is cut off" } else { "zeros where a commit should be" };
    let reason = scanned.damage.clone().unwrap_or_else(|| missing.to_owned());
    if scanned.was_durable || scanned.end < durable {
        return Err(LogError::corrupt(path, scanned.end, reason));
    }
    if scanned.end == len {
        return Ok(());
    }
    if scanned.damage.is_some() {
        let (offset, bytes) = (scanned.end, len - scanned.end);
        tracing::warn!(file = %path.display(), offset, bytes, reason, "cut commits that were not fully written");
    }
    store::cut(file, path, scanned.end)
}

/// Replaces a damaged footer by one made of the batches; `rows` is how many there must be.
pub(crate) fn reseal(
    file: &dyn DiskFile,
    path: &Path,
    stream: StreamId,
    number: u64,
    rows: u64,
) -> Result<Read> {
    let (footer, end) = rebuild_footer(file, path, stream, number)?;
    let bytes = end + footer.len() as u64;
    let found = super::segment::rows_of(&footer);
    if found != Some(rows) {
        let reason = format!("the batches hold {} rows, there were {rows}", found.unwrap_or(0));
        return Err(LogError::corrupt(path, end, reason));
    }
    file.set_len(end).map_err(|error| LogError::io("cut", path, error))?;
    store::write(file, path, &footer, end)?;
    store::sync(file, path)?;
    read_sealed(file, path, stream, number, bytes)
}
