//! `headwater log verify`: reads every byte of a log that nobody has open, and says what does not hold. Changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headwater_core::world::{Disk, DiskFile, Open};
use headwater_core::{Sequence, ShardId, StreamId, World};

use super::catalog::Catalog;
use super::event::State;
use super::index::Entry;
use super::layout::{BLOCK, Layout, active_number};
use super::rebuild::{Read, read_batches, read_sealed};
use super::recover::{strays, take_lock, unborn};
use super::scan::{Span, read_header, scan};
use super::scrub::Damage;
use super::segment::read_list;
use super::store;
use crate::error::{LogError, Result};

/// What was read, and what was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verified {
    /// How many files were read.
    pub files: u64,
    /// How many batches were whole.
    pub batches: u64,
    /// How many rows they hold.
    pub rows: u64,
    /// What does not hold, in the order of the files. A log without any opens, and reads back what was appended.
    pub damage: Vec<Damage>,
    /// What opening the log will cut: commits that were never acknowledged.
    pub torn: Vec<Damage>,
}

/// Reads all of a log. Fails with [`LogError::Locked`] while it is open.
pub fn verify(world: &World, dir: &Path) -> Result<Verified> {
    let layout = Layout::new(dir);
    let _lock = take_lock(world, dir, &layout)?;
    let disk = &*world.disk;
    let mut verified = Verified::default();
    verified.files += 1;
    match Catalog::look(disk, &layout) {
        Ok(Catalog { state, .. }) => {
            Verifier { disk, layout: &layout, state: &state, verified: &mut verified }.all()?;
        }
        Err(error) => verified.note(error)?,
    }
    Ok(verified)
}

impl Verified {
    /// Keeps damage as a finding. A file that is missing is damage too; other errors end the reading.
    fn note(&mut self, error: LogError) -> Result<()> {
        match error {
            LogError::Corrupt { file, offset, reason } => {
                self.damage.push(Damage { file, offset, reason });
                Ok(())
            }
            LogError::Io { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                self.damage.push(Damage { file: path, offset: 0, reason: "the file is missing".to_owned() });
                Ok(())
            }
            error => Err(error),
        }
    }
}

struct Verifier<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    state: &'a State,
    verified: &'a mut Verified,
}

/// Where each shard ends so far.
type Ends = BTreeMap<(StreamId, ShardId), Sequence>;

impl Verifier<'_> {
    fn all(mut self) -> Result<()> {
        let mut ends = Ends::new();
        for ((stream, number), file) in &self.state.files {
            let path = self.layout.sealed(*stream, *number);
            self.verified.files += 1;
            if let Err(error) = self.sealed(&path, *stream, *number, file.bytes, &mut ends) {
                self.verified.note(error)?;
            }
        }
        let mut numbers = active_files(self.disk, self.layout, self.state)?;
        if let Some(number) = unborn(self.disk, self.layout, self.state, &numbers)? {
            let reason = "the file was not fully created".to_owned();
            self.verified.torn.push(Damage { file: self.layout.active(number), offset: 0, reason });
            self.verified.files += 1;
            numbers.pop();
        }
        for file in strays(self.disk, self.layout, self.state, &numbers)?.unknown {
            let reason = "the catalog does not know this file".to_owned();
            self.verified.damage.push(Damage { file, offset: 0, reason });
        }
        if let Some(begun) =
            self.state.unsealed().map(|(begun, _)| begun).filter(|one| !numbers.contains(one))
        {
            let reason = "the file is missing; the catalog says that it was begun".to_owned();
            self.verified.damage.push(Damage { file: self.layout.active(begun), offset: 0, reason });
        }
        for (index, number) in numbers.iter().enumerate() {
            let path = self.layout.active(*number);
            self.verified.files += 1;
            let is_newest = index + 1 == numbers.len();
            if let Err(error) = self.active(&path, *number, is_newest, &mut ends) {
                self.verified.note(error)?;
            }
        }
        Ok(())
    }

    fn sealed(
        &mut self,
        path: &Path,
        stream: StreamId,
        number: u64,
        bytes: u64,
        ends: &mut Ends,
    ) -> Result<()> {
        let file = store::open(self.disk, path, Open::Read)?;
        let mut found: BTreeMap<ShardId, Vec<Entry>> = BTreeMap::new();
        let read = read_batches(&*file, path, BLOCK as u64, u64::MAX, |at, header| {
            self.verified.batches += 1;
            if header.stream == stream {
                self.verified.rows += u64::from(header.rows);
                found.entry(header.shard).or_default().push(Entry::of(at, header));
            }
        });
        let footer = read_sealed(&*file, path, stream, number, bytes);
        let checked = read
            .and_then(|_| self.check_footer(&*file, footer.as_ref().map_err(Clone::clone)?, &found, ends));
        // Where the next file goes on is told by the footer or, without one, by the batches: one damage, one finding.
        for (shard, entries) in found {
            ends.extend(entries.last().map(|last| ((stream, shard), last.next())));
        }
        let parts = footer.map(|read| read.parts).unwrap_or_default();
        ends.extend(parts.into_iter().map(|part| ((stream, part.shard), part.summary.rows.end)));
        checked
    }

    /// A footer lists the batches as they are, and each shard goes on where it ended.
    fn check_footer(
        &self,
        file: &dyn DiskFile,
        footer: &Read,
        found: &BTreeMap<ShardId, Vec<Entry>>,
        ends: &Ends,
    ) -> Result<()> {
        let segment = &footer.segment;
        for (place, part) in footer.parts.iter().enumerate() {
            let listed = read_list(file, segment, place)?;
            if found.get(&part.shard) != Some(&listed) {
                let reason =
                    format!("the footer does not list the batches of shard {} as they are", part.shard);
                return Err(LogError::corrupt(&segment.path, segment.bytes, reason));
            }
            let shard = (segment.stream, part.shard);
            self.follows(&segment.path, 0, shard, part.summary.rows.start, ends)?;
        }
        Ok(())
    }

    fn active(&mut self, path: &Path, number: u64, is_newest: bool, ends: &mut Ends) -> Result<()> {
        let file = store::open(self.disk, path, Open::Read)?;
        let chain = read_header(&*file, path, number)?.1;
        let len = store::len(&*file, path)?;
        let mut gaps = Ok(());
        let scanned = scan(&*file, path, number, chain, Span::whole(len), |batches| {
            for (at, header) in batches {
                self.verified.batches += 1;
                self.verified.rows += u64::from(header.rows);
                let shard = (header.stream, header.shard);
                if self.state.streams.get(header.stream).is_ok() && gaps.is_ok() {
                    gaps = self.follows(path, *at, shard, header.first, ends);
                }
                ends.insert(shard, header.next());
            }
            Ok(())
        })?;
        gaps?;
        let is_short = scanned.end < self.state.durable_bytes(number);
        let short = is_short.then(|| "the file is cut off".to_owned());
        let Some(reason) = scanned.damage.or(short) else { return Ok(()) };
        let damage = Damage { file: path.to_owned(), offset: scanned.end, reason };
        if scanned.was_durable || is_short {
            self.verified.damage.push(damage);
        } else if is_newest {
            self.verified.torn.push(damage);
        }
        Ok(())
    }

    fn follows(
        &self,
        path: &Path,
        at: u64,
        (stream, shard): (StreamId, ShardId),
        start: Sequence,
        ends: &Ends,
    ) -> Result<()> {
        let end = ends.get(&(stream, shard)).copied().unwrap_or_else(|| self.state.first(stream, shard));
        if start <= self.state.first(stream, shard) || self.state.follows(stream, shard, end, start) {
            return Ok(());
        }
        let reason = format!("shard {shard} goes on at sequence {start}, expected {end}");
        Err(LogError::corrupt(path, at, reason))
    }
}

/// The numbers of the active files that the catalog does not say are sealed.
pub(crate) fn active_files(disk: &dyn Disk, layout: &Layout, state: &State) -> Result<Vec<u64>> {
    let names = store::list(disk, &layout.dir)?;
    let numbers = names.iter().filter_map(|entry| active_number(&entry.name));
    let mut numbers: Vec<u64> = numbers.filter(|number| !state.sealed.contains_key(number)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the header of one batch says, and where it lies.
#[derive(Clone, PartialEq, Debug)]
pub struct DumpedBatch {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// Bytes, header included.
    pub bytes: u64,
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The first row's sequence number.
    pub first: Sequence,
    /// Rows.
    pub rows: u32,
    /// The number of the schema that wrote it.
    pub schema: u32,
    /// Smallest and largest event time, if any.
    pub event_time: Option<(headwater_core::EventTime, headwater_core::EventTime)>,
    /// Smallest and largest arrival.
    pub arrival: (headwater_core::EventTime, headwater_core::EventTime),
    /// Who appended it, if that is remembered.
    pub producer: Option<crate::api::Producer>,
}

/// Shows the header of every batch of a log that nobody has open, file by file, up to the first damage in each; answers with
/// what was damaged.
pub fn dump(world: &World, dir: &Path, show: &mut dyn FnMut(DumpedBatch)) -> Result<Verified> {
    let layout = Layout::new(dir);
    let _lock = take_lock(world, dir, &layout)?;
    let disk = &*world.disk;
    let Catalog { state, .. } = Catalog::look(disk, &layout)?;
    let mut verified = Verified::default();
    let sealed = state.files.keys().map(|(stream, number)| layout.sealed(*stream, *number));
    let actives = active_files(disk, &layout, &state)?.into_iter().map(|number| layout.active(number));
    for path in sealed.chain(actives) {
        verified.files += 1;
        let file = match store::open(disk, &path, Open::Read) {
            Ok(file) => file,
            Err(error) => {
                verified.note(error)?;
                continue;
            }
        };
        if let Err(error) = dump_file(&*file, &path, &mut verified, show) {
            verified.note(error)?;
        }
    }
    Ok(verified)
}

fn dump_file(
    file: &dyn DiskFile,
    path: &Path,
    verified: &mut Verified,
    show: &mut dyn FnMut(DumpedBatch),
) -> Result<()> {
    // An active file ends without a footer.
    let len = store::len(file, path)?;
    read_batches(file, path, BLOCK as u64, len, |at, header| {
        verified.batches += 1;
        verified.rows += u64::from(header.rows);
        show(DumpedBatch {
            file: path.to_owned(),
            offset: at,
            bytes: header.lengths.total,
            stream: header.stream,
            shard: header.shard,
            first: header.first,
            rows: header.rows,
            schema: header.schema.0,
            event_time: header.event_time,
            arrival: header.arrival,
            producer: header.producer,
        });
    })?;
    Ok(())
}
