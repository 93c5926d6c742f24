//! `headwater log repair`: makes a damaged log open again, and says exactly which rows that costs.
//!
//! A file with damaged batches is written anew from its whole ones; the file as it was is kept under `damaged/`. What is
//! missing between the rows that are left is recorded in the catalog, so that a reader that comes to it gets an error that
//! names it, and never other rows in its place. Damage that costs no rows, such as a garbled footer, is made good. A damaged
//! catalog comes first: `salvage` makes it whole as far as that can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::world::{Disk, DiskFile, Open};
use headwater_core::{Sequence, ShardId, StreamId, World};

use super::catalog::Catalog;
use super::event::{Event, Lost, Sealed, SealedFile};
use super::index::Entry;
use super::layout::{BLOCK, FileHeader, Kind, Layout};
use super::rebuild::{is_footer_whole, read_batch, read_batch_header, read_sealed};
use super::recover::{reseal, strays, take_lock};
use super::salvage::{Salvaged, salvage};
use super::scan::{Span, blocks, read_header, scan};
use super::segment::{ShardEntries, encode_footer};
use super::store;
use super::verify::active_files;
use crate::api::LostRows;
use crate::batch::Header;
use crate::error::{LogError, Result};
use crate::producers::Producers;

/// What was, or would be, done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Repaired {
    /// What is done to which file.
    pub actions: Vec<(PathBuf, String)>,
    /// Rows that are lost by it.
    pub lost: Vec<LostRows>,
}

/// Repairs a log that nobody has open; with `dry_run` it only says what would be done. Of a damaged catalog what its copy does not have
/// is lost: streams that are nowhere else named, whose files are put aside.
pub fn repair(world: &World, dir: &Path, dry_run: bool) -> Result<Repaired> {
    let layout = Layout::new(dir);
    let _lock = take_lock(world, dir, &layout)?;
    let disk = &*world.disk;
    let path = layout.catalog();
    let (catalog, salvaged) = match Catalog::look(disk, &layout) {
        Ok(catalog) if dry_run => (catalog, None),
        Ok(_) => (Catalog::open(disk, &layout)?, None),
        Err(error) if is_damage(&error) => {
            let Some(salvaged) = salvage(disk, &layout)? else { return Err(error) };
            (Catalog::of(salvaged.state.clone(), &path), Some(salvaged))
        }
        Err(error) => return Err(error),
    };
    let mut repair = Repair {
        world,
        disk,
        layout: &layout,
        catalog,
        dry_run,
        done: Repaired::default(),
        is_salvaged: salvaged.is_some(),
        strangers: BTreeSet::new(),
        ends: Ends::new(),
    };
    if let Some(salvaged) = salvaged {
        repair.catalog(salvaged)?;
    }
    repair.unknown()?;
    repair.sealed()?;
    repair.active()?;
    Ok(repair.done)
}

fn is_damage(error: &LogError) -> bool {
    let is_missing = |source: &std::io::Error| source.kind() == std::io::ErrorKind::NotFound;
    match error {
        LogError::Corrupt { .. } => true,
        LogError::Io { source, .. } => is_missing(source),
        _ => false,
    }
}

/// Where each shard ends so far.
type Ends = BTreeMap<(StreamId, ShardId), Sequence>;

/// Whole batches and where they are.
type Batches = Vec<(u64, Header)>;

/// What is left of a file.
#[derive(Default)]
pub(super) struct Survivors {
    /// The whole batches.
    pub whole: Batches,
    /// Headers of batches whose body is damaged: they tell which rows are lost.
    bodiless: Vec<Header>,
    /// The first damage, if there is any.
    damage: Option<String>,
}

struct Repair<'a> {
    world: &'a World,
    disk: &'a dyn Disk,
    layout: &'a Layout,
    catalog: Catalog,
    dry_run: bool,
    done: Repaired,
    /// Whether the catalog was damaged.
    is_salvaged: bool,
    /// Streams that were lost with it.
    strangers: BTreeSet<StreamId>,
    ends: Ends,
}

impl Repair<'_> {
    /// Writes the catalog anew, from what was found of it, and puts the files aside of streams that are lost.
    fn catalog(&mut self, salvaged: Salvaged) -> Result<()> {
        let path = self.layout.catalog();
        self.done.actions.extend(salvaged.told);
        self.strangers = salvaged.lost;
        self.act(&path, &format!("it is written anew, with {} events", salvaged.events.len()));
        for stream in self.strangers.clone() {
            self.stranger(stream)?;
        }
        for file in salvaged.aside {
            match store::open(self.disk, &file, Open::Read) {
                Err(error) if is_damage(&error) => {}
                opened => {
                    opened?;
                    self.act(&file, "it is of a stream that is lost, and is put aside");
                    if !self.dry_run {
                        self.quarantine(&file)?;
                    }
                }
            }
        }
        if self.dry_run {
            return Ok(());
        }
        self.keep_as_it_was(&path)?;
        self.catalog = Catalog::replace(self.disk, self.layout, self.world.clock.now(), &salvaged.events)?;
        Ok(())
    }

    /// Puts the sealed files aside of a stream that is lost. Its rows in active files are told of with these.
    fn stranger(&mut self, stream: StreamId) -> Result<()> {
        let dir = self.layout.stream_dir(stream);
        let mut paths: Vec<_> =
            store::list(self.disk, &dir)?.into_iter().map(|entry| dir.join(entry.name)).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "hws"));
        for path in paths {
            let file = store::open(self.disk, &path, Open::Read)?;
            let found = survivors(&*file, &path, |header| header.stream == stream)?;
            self.give_up(&found.whole);
            if !self.dry_run {
                self.quarantine(&path)?;
            }
        }
        Ok(())
    }

    /// Notes the rows of batches as lost, those of one after the other of a shard as one stretch.
    fn give_up(&mut self, batches: &Batches) {
        for (_, header) in batches {
            let (stream, shard, rows) = (header.stream, header.shard, header.first..header.next());
            let goes_on = |lost: &&mut LostRows| {
                (lost.stream, lost.shard) == (stream, shard) && lost.rows.end == rows.start
            };
            match self.done.lost.iter_mut().find(goes_on) {
                Some(lost) => lost.rows.end = rows.end,
                None => self.done.lost.push(LostRows { stream, shard, rows }),
            }
        }
    }

    /// Copies the catalog to where damaged files are kept: it keeps its name until another takes its place.
    fn keep_as_it_was(&mut self, path: &Path) -> Result<()> {
        let file = match store::open(self.disk, path, Open::Read) {
            Err(error) if is_damage(&error) => return Ok(()),
            file => file?,
        };
        let len = store::len(&*file, path)?;
        let bytes = store::read(&*file, path, 0, len as usize)?;
        let dir = self.layout.dir.join("damaged");
        store::create_durable_dir(self.disk, &dir)?;
        let to = dir.join(self.layout.name_of(path));
        store::create_whole(self.disk, &to, |file, path| store::write(file, path, &bytes, 0))?;
        self.act(path, &format!("the file as it was is kept as {}", to.display()));
        Ok(())
    }

    fn unknown(&mut self) -> Result<()> {
        let actives = active_files(self.disk, self.layout, &self.catalog.state)?;
        for path in strays(self.disk, self.layout, &self.catalog.state, &actives)?.unknown {
            self.act(&path, "the catalog does not know this file; it is put aside");
            if !self.dry_run {
                self.quarantine(&path)?;
            }
        }
        Ok(())
    }

    fn sealed(&mut self) -> Result<()> {
        let files: Vec<_> = self.catalog.state.files.iter().map(|(key, file)| (*key, *file)).collect();
        for ((stream, number), expected) in files {
            let path = self.layout.sealed(stream, number);
            match store::open(self.disk, &path, Open::Read) {
                Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    self.act(&path, "the file is missing; it is struck from the catalog");
                    let event = Event::Removed { stream: stream.0, files: vec![number] };
                    self.keep(event)?;
                }
                file => self.sealed_file(file?, &path, stream, number, expected)?,
            }
        }
        Ok(())
    }

    fn sealed_file(
        &mut self,
        file: Arc<dyn DiskFile>,
        path: &Path,
        stream: StreamId,
        number: u64,
        expected: SealedFile,
    ) -> Result<()> {
        let footer = read_sealed(&*file, path, stream, number, expected.bytes);
        let found = self.readable(survivors(&*file, path, |header| header.stream == stream)?);
        let batches = &found.whole;
        let rows = batches.iter().map(|(_, header)| u64::from(header.rows)).sum::<u64>();
        let expected_ends = footer.as_ref().map(|read| {
            let end = |part: &super::segment::ShardPart| ((stream, part.shard), part.summary.rows.end);
            read.parts.iter().map(end).collect::<Vec<_>>()
        });
        let damage = found.damage.as_deref().unwrap_or_default();
        self.account(&found, damage)?;
        for (shard, end) in expected_ends.unwrap_or_default() {
            self.account_to(shard, end, damage)?;
        }
        let is_whole = match &footer {
            Ok(read) => is_footer_whole(&*file, &read.segment)?,
            Err(_) => false,
        };
        if rows == expected.rows && is_whole {
            return Ok(());
        }
        if rows == expected.rows {
            self.act(path, "its footer is damaged and is made anew; no row is lost");
            if !self.dry_run {
                let file = store::open(self.disk, path, Open::Write)?;
                let read = reseal(&*file, path, stream, number, rows)?;
                let now = SealedFile { bytes: read.segment.bytes, ..expected };
                self.keep(Event::Resealed { file: number, now })?;
            }
            return Ok(());
        }
        self.act(path, &format!("{} of {} rows are whole and are kept", rows, expected.rows));
        if self.dry_run {
            return Ok(());
        }
        self.quarantine(path)?;
        let bytes = self.write_sealed(stream, number, &*file, path, batches)?;
        let now = SealedFile { stream: stream.0, bytes, rows };
        self.keep(Event::Resealed { file: number, now })
    }

    /// Active files that opening the log would refuse become sealed ones, with what is whole in them.
    fn active(&mut self) -> Result<()> {
        let numbers = active_files(self.disk, self.layout, &self.catalog.state)?;
        let begun = self.catalog.state.unsealed().map(|(begun, _)| begun);
        if let Some(active) = begun.filter(|begun| !numbers.contains(begun)) {
            let path = self.layout.active(active);
            self.act(&path, "the file is missing; its rows are lost, and how many they were is not known");
            self.keep(Event::Sealed(Sealed { active, adopted: None, files: Vec::new() }))?;
        }
        for (index, number) in numbers.iter().enumerate() {
            let path = self.layout.active(*number);
            let file = store::open(self.disk, &path, Open::Read)?;
            let is_newest = index + 1 == numbers.len();
            match self.active_damage(&*file, &path, *number, is_newest)? {
                None => {
                    let found = self.readable(survivors(&*file, &path, |_| true)?);
                    self.account(&Survivors { bodiless: Vec::new(), ..found }, "")?;
                }
                Some(damage) => self.active_file(&*file, &path, *number, &damage)?,
            }
        }
        Ok(())
    }

    /// Why opening the log would refuse an active file, if it would.
    fn active_damage(
        &self,
        file: &dyn DiskFile,
        path: &Path,
        number: u64,
        is_newest: bool,
    ) -> Result<Option<String>> {
        let len = store::len(file, path)?;
        let durable = self.catalog.state.durable_bytes(number);
        let scanned = match read_header(file, path, number) {
            Ok((_, chain)) => scan(file, path, number, chain, Span::whole(len), |_| Ok(()))?,
            Err(LogError::Corrupt { .. }) if is_newest && len <= BLOCK as u64 && durable == 0 => {
                return Ok(None);
            }
            Err(LogError::Corrupt { reason, .. }) => return Ok(Some(reason)),
            Err(error) => return Err(error),
        };
        let is_short = scanned.end < durable;
        let refused = scanned.was_durable || !is_newest || is_short;
        let short = is_short.then(|| "the file is cut off".to_owned());
        let damage = scanned.damage.filter(|_| refused).or(short);
        if damage.is_some() || !self.is_salvaged {
            return Ok(damage);
        }
        let found = survivors(file, path, |_| true)?;
        let has_stranger = found.whole.iter().any(|(_, header)| self.strangers.contains(&header.stream));
        let lost = has_stranger.then(|| "it has rows of streams that are lost".to_owned());
        Ok(lost.or(self.readable(found).damage))
    }

    fn active_file(&mut self, file: &dyn DiskFile, path: &Path, number: u64, damage: &str) -> Result<()> {
        let found = self.readable(survivors(file, path, |_| true)?);
        let strangers = found.whole.iter().filter(|(_, header)| self.strangers.contains(&header.stream));
        let strangers = strangers.cloned().collect();
        self.give_up(&strangers);
        self.account(&found, damage)?;
        let batches = found.whole;
        self.act(
            path,
            &format!("it is damaged ({damage}); {} whole batches are kept, sealed", batches.len()),
        );
        if self.dry_run {
            return Ok(());
        }
        let mut streams: BTreeMap<StreamId, Batches> = BTreeMap::new();
        for (at, header) in batches {
            if self.catalog.state.streams.get(header.stream).is_ok() {
                streams.entry(header.stream).or_default().push((at, header));
            }
        }
        let mut files = Vec::new();
        for (stream, batches) in streams {
            let rows = batches.iter().map(|(_, header)| u64::from(header.rows)).sum();
            let bytes = self.write_sealed(stream, number, file, path, &batches)?;
            files.push(SealedFile { stream: stream.0, bytes, rows });
        }
        self.quarantine(path)?;
        self.keep(Event::Sealed(Sealed { active: number, adopted: None, files }))
    }

    /// What can be read of what is left of a file: not the rows whose columns were lost with the catalog.
    fn readable(&self, mut found: Survivors) -> Survivors {
        let is_known = |(_, header): &(u64, Header)| {
            let stream = self.catalog.state.streams.get(header.stream);
            stream.map_or(true, |stream| (header.schema.0 as usize) < stream.schemas.len())
        };
        let (known, unknown): (Batches, Batches) = found.whole.into_iter().partition(is_known);
        if !unknown.is_empty() {
            found
                .damage
                .get_or_insert_with(|| "the columns of some rows were lost with the catalog".to_owned());
        }
        found.whole = known;
        found.bodiless.extend(unknown.into_iter().map(|(_, header)| header));
        found
    }

    /// Follows the sequence numbers of batches, and records what is missing between and after them.
    fn account(&mut self, found: &Survivors, damage: &str) -> Result<()> {
        for (_, header) in &found.whole {
            let shard = (header.stream, header.shard);
            if self.catalog.state.streams.get(header.stream).is_ok() {
                self.account_to(shard, header.first, damage)?;
                self.ends.insert(shard, header.next());
            }
        }
        for header in &found.bodiless {
            if self.catalog.state.streams.get(header.stream).is_ok() {
                self.account_to((header.stream, header.shard), header.next(), damage)?;
            }
        }
        Ok(())
    }

    /// Records the rows of a shard from where it ends so far up to `to` as lost, if there are any.
    fn account_to(&mut self, (stream, shard): (StreamId, ShardId), to: Sequence, damage: &str) -> Result<()> {
        let state = &self.catalog.state;
        let first = state.first(stream, shard);
        let end = self.ends.get(&(stream, shard)).copied().unwrap_or(first).max(first);
        let end = state.lost_until(stream, shard, end);
        if to <= end {
            return Ok(());
        }
        self.ends.insert((stream, shard), to);
        self.done.lost.push(LostRows { stream, shard, rows: end..to });
        let reason = if damage.is_empty() { "a file is missing" } else { damage }.to_owned();
        let lost = Lost { stream: stream.0, shard: shard.0, from: end.0, to: to.0, reason };
        self.keep(Event::Lost(lost))
    }

    /// A sealed file of whole batches as they are.
    fn write_sealed(
        &self,
        stream: StreamId,
        number: u64,
        from: &dyn DiskFile,
        from_path: &Path,
        batches: &Batches,
    ) -> Result<u64> {
        let header = FileHeader {
            kind: Kind::Sealed,
            number,
            stream: Some(stream),
            created: self.world.clock.now(),
            previous: 0,
        };
        let mut shards: BTreeMap<ShardId, (Vec<Entry>, Producers)> = BTreeMap::new();
        let (mut at, mut bytes) = (BLOCK as u64, 0);
        store::create_durable_dir(self.disk, &self.layout.stream_dir(stream))?;
        store::create_whole(self.disk, &self.layout.sealed(stream, number), |file, path| {
            store::write(file, path, &header.encode().0, 0)?;
            for (place, header) in batches {
                let batch = store::read(from, from_path, *place, header.lengths.total as usize)?;
                store::write(file, path, &batch, at)?;
                let (entries, producers) = shards.entry(header.shard).or_default();
                entries.push(Entry::of(at, header));
                if let Some(producer) = header.producer {
                    producers.note(producer, header.first, header.next());
                }
                at += header.lengths.total;
            }
            let shards: Vec<ShardEntries> = std::mem::take(&mut shards)
                .into_iter()
                .map(|(shard, (entries, producers))| ShardEntries {
                    shard,
                    entries,
                    producers: producers.snapshot(),
                })
                .collect();
            let (footer, len) = encode_footer(stream, number, at, &shards);
            bytes = len;
            store::write(file, path, &footer, at)
        })?;
        Ok(bytes)
    }

    /// Puts a damaged file aside, as it is. Handles that are open keep working.
    fn quarantine(&mut self, path: &Path) -> Result<()> {
        let dir = self.layout.dir.join("damaged");
        store::create_durable_dir(self.disk, &dir)?;
        let name = self.layout.name_of(path).replace('/', "-");
        let to = dir.join(name);
        self.done.actions.push((path.to_owned(), format!("the file as it was is kept as {}", to.display())));
        store::rename(self.disk, path, &to)?;
        store::sync_dir(self.disk, &dir)
    }

    fn act(&mut self, path: &Path, what: &str) {
        self.done.actions.push((path.to_owned(), what.to_owned()));
    }

    fn keep(&mut self, event: Event) -> Result<()> {
        if self.dry_run { Ok(()) } else { self.catalog.keep_one(event) }
    }
}

/// What is left of a file, in order.
pub(super) fn survivors(
    file: &dyn DiskFile,
    path: &Path,
    mut wanted: impl FnMut(&Header) -> bool,
) -> Result<Survivors> {
    let len = store::len(file, path)?;
    let (mut found, mut next, mut failed) = (Survivors::default(), BLOCK as u64, None);
    blocks(file, path, BLOCK as u64, len, |at, block| {
        if at < next || block[..4] != *b"HWB1" {
            return false;
        }
        match read_batch(file, path, at, len) {
            Ok(header) => {
                next = at + header.lengths.total;
                if wanted(&header) {
                    found.whole.push((at, header));
                }
            }
            Err(LogError::Corrupt { reason, .. }) => {
                found.bodiless.extend(read_batch_header(file, path, at, len).ok().filter(|one| wanted(one)));
                found.damage.get_or_insert(reason);
            }
            Err(error) => failed = Some(error),
        }
        failed.is_some()
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(found),
    }
}
