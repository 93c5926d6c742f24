//! Writes files that are named by the rows in them.
//!
//! A file is written under a name that begins with a dot, synced, and renamed. So a name without a dot is a promise: all rows from
//! FIRST to NEXT are in it. When the sink is opened it goes on after the greatest NEXT of each shard.
//!
//! With partitions the rows of a stretch lie in several files. These get their names as a manifest says ([`super::manifest`]), all or none
//! of them. Then those that are due are committed ([`super::commit`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use headwater_core::world::{Disk, DiskFile, Open, create_durable_dir};
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{Encoder, Format};

use super::commit::{Commits, LOOK_AGAIN, Rules};
use super::config::Rolling;
use super::manifest::{self, Manifest};
use super::partitions::Partitions;
use crate::connector::{Context, Cursor, Delivery, Sink};
use crate::error::{ConnectorError, Result};

/// How many encoded bytes of a file are gathered before they are written.
const WRITE_AT: usize = 1 << 20;

/// How many of all files: there may be hundreds, most of which get no more rows.
pub(super) const GATHERED_MAX: usize = 8 << 20;

/// How many rows are encoded at once: a delivery may have so many that their text would be large.
const ENCODED_ROWS: usize = 4096;

/// How many files are written at once before they are ended.
const PARTS_MAX: usize = 512;

/// Writes files that are named by the rows in them.
pub(super) struct RolledSink {
    context: Context,
    dir: PathBuf,
    format: Format,
    rolling: Rolling,
    partitions: Option<Partitions>,
    /// What is being written, by shard and folder.
    parts: BTreeMap<(ShardId, String), Part>,
    /// The newest manifest of each shard.
    manifests: BTreeMap<ShardId, Manifest>,
    /// The partitions that wait to be committed, where that is wanted.
    commits: Option<Commits>,
}

/// A file that is being written.
struct Part {
    hidden: PathBuf,
    first: Sequence,
    next: Sequence,
    encoder: Encoder,
    encoded: Encoded,
}

/// What was encoded for a file: most of it is in there.
struct Encoded {
    file: Arc<dyn DiskFile>,
    written: u64,
    gathered: Vec<u8>,
}

impl Encoded {
    /// Writes what is gathered.
    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&mut [IoSlice::new(&self.gathered)], self.written)?;
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }
}

impl RolledSink {
    pub(super) fn new(
        context: Context,
        dir: PathBuf,
        format: Format,
        rolling: Rolling,
        partitions: Option<Partitions>,
    ) -> Result<Self> {
        let (parts, manifests) = (BTreeMap::new(), BTreeMap::new());
        let sink = Self { context, dir, format, rolling, partitions, parts, manifests, commits: None };
        sink.encoder()?;
        Ok(sink)
    }

    /// The same with partitions that are committed by these rules.
    pub(super) fn committing(mut self, rules: Option<Rules>) -> Self {
        self.commits = rules.map(|rules| Commits::new(rules, self.context.watermarks.clone()));
        self
    }

    fn encoder(&self) -> Result<Encoder> {
        let schema = self.partitions.as_ref().map_or_else(|| self.context.schema.clone(), Partitions::schema);
        Ok(Encoder::new(self.format, schema, &self.context.format_options)?)
    }

    fn disk(&self) -> &dyn Disk {
        self.context.world.disk.as_ref()
    }

    fn failed(&self, error: io::Error) -> ConnectorError {
        ConnectorError::outage(format!("write to {}", self.dir.display()), error)
    }

    /// How the names of this sink's files begin.
    fn stem(&self) -> String {
        format!("{}-{}-", self.context.stream, self.context.stream_id)
    }

    /// Goes through the directory: does what was promised, removes what was never finished, and finds how far each shard is.
    fn look(&mut self) -> io::Result<BTreeMap<ShardId, Sequence>> {
        create_durable_dir(self.disk(), &self.dir)?;
        let stem = self.stem();
        self.manifests = manifest::take_up(self.disk(), &self.dir, &stem)?;
        let mut reached: BTreeMap<ShardId, Sequence> = BTreeMap::new();
        let mut reaches = |shard, next| {
            let reached = reached.entry(shard).or_default();
            *reached = (*reached).max(next);
        };
        for (shard, manifest) in &self.manifests {
            reaches(*shard, manifest.next);
        }
        for entry in self.disk().list(&self.dir)? {
            if entry.name.strip_prefix('.').is_some_and(|name| name.starts_with(&stem)) {
                if !manifest::is_one(&entry.name) {
                    self.disk().remove(&self.dir.join(&entry.name))?;
                }
            } else if let Some((shard, next)) = entry.name.strip_prefix(&stem).and_then(read_name) {
                reaches(shard, next);
            }
        }
        Ok(reached)
    }

    /// Finds the partitions that wait to be committed: those that the manifests say, and those that got files by them.
    fn look_for_commits(&mut self, next: &BTreeMap<ShardId, Sequence>) {
        let Some(commits) = &mut self.commits else { return };
        commits.begin(next);
        let now = self.context.world.clock.now();
        for manifest in self.manifests.values() {
            let folders = manifest.files.iter().filter_map(|(_, path)| path.rsplit_once('/'));
            let waiting = manifest.waiting.iter().map(|(folder, since)| (folder.as_str(), *since));
            for (folder, since) in waiting.chain(folders.map(|(folder, _)| (folder, now))) {
                commits.came(folder, since).iter().for_each(|wrong| self.context.parking.complain(wrong));
            }
        }
    }

    /// Commits the partitions that are due and have no rows that are in no file yet.
    fn commit(&mut self) -> Result<()> {
        let Some(commits) = &mut self.commits else { return Ok(()) };
        if self.parts.is_empty() {
            commits.written();
        }
        let open: BTreeSet<&str> = self.parts.keys().map(|(_, folder)| folder.as_str()).collect();
        let due = commits.due(self.context.world.clock.now());
        let disk = self.context.world.disk.as_ref();
        let mut due = due.iter().filter(|folder| !open.contains(folder.as_str()));
        let committed = due.try_for_each(|folder| commits.commit(disk, &self.dir, folder));
        committed.map_err(|error| self.failed(error))
    }

    fn begin(&self, shard: ShardId, first: Sequence) -> Result<Part> {
        let nth = self.parts.keys().filter(|(of, _)| *of == shard).count();
        let nth = if self.partitions.is_some() { format!("-{nth}") } else { String::new() };
        let hidden = self.dir.join(format!(".{}{:05}-{:020}{nth}", self.stem(), shard.0, first.0));
        let opened = match self.disk().open(&hidden, Open::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk().open(&hidden, Open::Write).and_then(|file| file.set_len(0).map(|()| file))
            }
            opened => opened,
        };
        Ok(Part {
            encoded: Encoded {
                file: opened.map_err(|error| self.failed(error))?,
                written: 0,
                gathered: Vec::new(),
            },
            hidden,
            first,
            next: first,
            encoder: self.encoder()?,
        })
    }

    /// Takes rows into the file of a folder.
    fn write(
        &mut self,
        shard: ShardId,
        folder: String,
        rows: &RecordBatch,
        delivery: &Delivery,
    ) -> Result<()> {
        let mut part = match self.parts.remove(&(shard, folder.clone())) {
            Some(part) => part,
            None => self.begin(shard, delivery.first)?,
        };
        for from in (0..rows.num_rows()).step_by(ENCODED_ROWS) {
            let some = rows.slice(from, ENCODED_ROWS.min(rows.num_rows() - from));
            part.encoder.encode(&some, &mut part.encoded.gathered)?;
            if part.encoded.gathered.len() >= WRITE_AT {
                part.encoded.write().map_err(|error| self.failed(error))?;
            }
        }
        part.next = delivery.next();
        self.parts.insert((shard, folder), part);
        Ok(())
    }

    /// Bytes of memory of what is not written yet.
    pub(super) fn gathered(&self) -> usize {
        self.parts.values().map(|part| part.encoded.gathered.capacity()).sum()
    }

    /// Writes what is gathered of all files, if that is much.
    fn relieve(&mut self) -> Result<()> {
        if self.gathered() <= GATHERED_MAX {
            return Ok(());
        }
        let written: io::Result<()> = self.parts.values_mut().try_for_each(|part| {
            part.encoded.write()?;
            part.encoded.gathered = Vec::new();
            Ok(())
        });
        written.map_err(|error| self.failed(error))
    }

    /// Ends a file, and says what its name is to be.
    fn end(&self, shard: ShardId, mut part: Part) -> Result<String> {
        part.encoder.finish(&mut part.encoded.gathered)?;
        let ended = part.encoded.write().and_then(|()| part.encoded.file.sync());
        ended.map_err(|error| self.failed(error))?;
        let (stem, extension) = (self.stem(), self.format.extension());
        Ok(format!("{stem}{:05}-{:020}-{:020}.{extension}", shard.0, part.first.0, part.next.0))
    }

    /// Gives the files of a shard their names, together.
    fn name_together(&mut self, shard: ShardId, files: Vec<(String, String)>, next: Sequence) -> Result<()> {
        let waiting = self.commits.as_ref().map(Commits::waiting).unwrap_or_default();
        let manifest = Manifest { files, waiting, next };
        let before = self.manifests.get(&shard);
        let named = manifest.carry_out(self.disk(), &self.dir, &self.stem(), shard, before);
        named.map_err(|error| self.failed(error))?;
        self.manifests.insert(shard, manifest);
        Ok(())
    }
}

/// Reads `SHARD-FIRST-NEXT.EXT`.
fn read_name(name: &str) -> Option<(ShardId, Sequence)> {
    let mut numbers = name.split_once('.')?.0.split('-');
    let (shard, _first, next) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some((ShardId(shard.parse().ok()?), Sequence(next.parse().ok()?)))
}

#[async_trait]
impl Sink for RolledSink {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let mut next = stored.next;
        for (shard, reached) in self.look().map_err(|error| self.failed(error))? {
            // Files may have been taken away since, so that the stored cursor is the newer one.
            let at = next.entry(shard).or_default();
            *at = reached.max(*at);
        }
        self.look_for_commits(&next);
        Ok(Cursor { next, note: String::new() })
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let shard = delivery.shard;
        let Some(partitions) = &self.partitions else {
            self.write(shard, String::new(), &delivery.rows, &delivery)?;
            return self.relieve();
        };
        let split = partitions.split(&delivery.rows);
        if let Some(commits) = &mut self.commits {
            // Whatever becomes of them, they do not come again before the sink is opened anew.
            commits.delivered(shard, delivery.next());
        }
        for (folder, rows) in split.map_err(|error| ConnectorError::unfit("part rows by folder", error))? {
            if let Some(commits) = &mut self.commits {
                let wrong = commits.came(&folder, self.context.world.clock.now());
                wrong.iter().for_each(|wrong| self.context.parking.complain(wrong));
            }
            self.write(shard, folder, &rows, &delivery)?;
        }
        // Also of a file into which none of these rows went: all that is flushed together ends together.
        self.parts
            .range_mut((shard, String::new())..)
            .take_while(|((of, _), _)| *of == shard)
            .for_each(|(_, part)| part.next = delivery.next());
        self.relieve()
    }

    async fn flush(&mut self) -> Result<String> {
        if let Some(commits) = &mut self.commits {
            commits.look()?;
        }
        let mut together: BTreeMap<ShardId, Vec<(String, String)>> = BTreeMap::new();
        let mut reached: BTreeMap<ShardId, Sequence> = BTreeMap::new();
        for ((shard, folder), part) in std::mem::take(&mut self.parts) {
            let (hidden, next) = (part.hidden.clone(), part.next);
            let name = self.end(shard, part)?;
            if self.partitions.is_none() {
                let named = self.disk().rename(&hidden, &self.dir.join(name));
                named.map_err(|error| self.failed(error))?;
                continue;
            }
            let hidden = hidden.file_name().unwrap_or_default().to_string_lossy().into_owned();
            together.entry(shard).or_default().push((hidden, format!("{folder}/{name}")));
            reached.insert(shard, next);
        }
        for (shard, files) in together {
            let next = reached.get(&shard).copied().unwrap_or_default();
            self.name_together(shard, files, next)?;
        }
        self.disk().sync_dir(&self.dir).map_err(|error| self.failed(error))?;
        self.commit()?;
        Ok(String::new())
    }

    async fn on_tick(&mut self) -> Result<Option<Duration>> {
        let Some(commits) = &mut self.commits else { return Ok(None) };
        commits.look()?;
        self.commit()?;
        Ok(Some(LOOK_AGAIN))
    }

    fn is_full(&self) -> bool {
        let size = |part: &Part| {
            part.encoded.written + (part.encoded.gathered.len() + part.encoder.buffered()) as u64
        };
        self.parts.len() >= PARTS_MAX || self.parts.values().any(|part| size(part) >= self.rolling.bytes_max)
    }

    fn linger(&self) -> Duration {
        self.rolling.age_max
    }
}
