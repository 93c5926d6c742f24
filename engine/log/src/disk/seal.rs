//! Sealing: an active file that is full becomes one sealed file per stream, in the background.
//!
//! ```text
//!  active file n            rewritten                              adopted
//!  | A0 B0 A1 A1 C0 .. |    A/n.hws | A0 | A1 |   (merged)         | A0 B0 A1 .. | footer: A's batches |
//!                           B/n.hws | B0 |                          renamed to A/n.hws; B/n.hws as on the left
//!                           C/n.hws | C0 |
//! ```
//!
//! A file that is almost all one stream's, in batches of a useful size, is adopted instead of rewritten: a footer is all
//! that it gets.
//!
//! At any crash each row is there exactly once. Until the catalog says `Sealed`, the active file is the truth and what was made of
//! it is deleted when the log is opened. From then on the sealed files are, and the active file is deleted, or gets its new name.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::world::{DiskFile, Open, Turn};
use headwater_core::{EventTime, ShardId, StreamId};

use super::active::Active;
use super::commit::Writer;
use super::event::{Event, Sealed, SealedFile};
use super::index::{Entry, Part};
use super::inner::Inner;
use super::layout::{BLOCK, FileHeader, Kind};
use super::scrub::Damage;
use super::segment::{Segment, ShardEntries, encode_footer, read_footer};
use super::store;
use crate::batch::{Arrivals, Decoded, Fetch, Header, Limits, Placement, Source, Wanted, decode, merge};
use crate::batch::{plan_merges, prepare};
use crate::error::{LogError, Result};
use crate::producers::{Producers, Snapshot};
use crate::sequencer::Sequencer;
use crate::streams::Stream;
use crate::view::View;

/// A stream adopts an active file when so much of it is the stream's.
const ADOPT_PERCENT_MIN: u64 = 90;

/// A stream adopts an active file when its batches are on average this large: merging would gain little.
const ADOPT_BATCH_BYTES_MIN: u64 = 32 << 10;

/// How many batches are considered for merging at a time, so that not all headers of a file are in memory.
const MERGE_WINDOW: usize = 1024;

/// How long the sealer waits after a failure, such as a full disk. Nothing depends on it but the space to be won.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// An active file that is full.
#[derive(Clone)]
pub(crate) struct SealJob {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// The file.
    pub file: Arc<dyn DiskFile>,
    /// How long it is.
    pub len: u64,
    /// Who had appended what when it was full, of the shards that it has rows of.
    pub producers: BTreeMap<(StreamId, ShardId), Vec<Snapshot>>,
}

/// The batches of one stream in an active file, by shard.
type Shards = Vec<(ShardId, Vec<Entry>)>;

/// A sealed file that was made.
struct Made {
    segment: Arc<Segment>,
    rows: u64,
    parts: Vec<(ShardId, Part)>,
}

/// Who had appended what, of the shards whose newest rows are in an active file.
pub(crate) fn snapshot(
    view: &View,
    sequencer: &Sequencer,
    number: u64,
) -> BTreeMap<(StreamId, ShardId), Vec<Snapshot>> {
    let mut all = BTreeMap::new();
    for stream in view.streams.iter() {
        let id = stream.info.id;
        for (shard, rows) in (0..).map(ShardId).zip(view.shards(id)) {
            if rows.files.active.back().is_some_and(|newest| newest.file == number) {
                let producers = sequencer.head(id, shard).map(|head| &head.producers);
                all.insert((id, shard), producers.map(Producers::snapshot).unwrap_or_default());
            }
        }
    }
    all
}

impl Inner {
    /// Leaves a full file to the sealer.
    pub(crate) fn hand_to_sealer(&self, writer: &Writer, full: Active) {
        let producers = snapshot(&self.view.read(), &writer.sequencer, full.number);
        let Active { number, path, file, len, .. } = full;
        self.seals.lock().push_back(SealJob { number, path, file, len, producers });
        if let Some(sealer) = self.sealer.get() {
            sealer.wake();
        }
    }

    /// One turn of the sealer: the oldest full file.
    pub(crate) fn seal_turn(&self) -> Turn {
        let Some(job) = self.seals.lock().front().cloned() else { return Turn::Wait(None) };
        if self.check_open().is_err() {
            return Turn::Wait(None);
        }
        match self.seal(&job) {
            Ok(()) => {
                self.seals.lock().pop_front();
                Turn::Again
            }
            // Opening the log goes on where closing it has interrupted.
            Err(LogError::Closed) => Turn::Wait(None),
            Err(error) => {
                tracing::error!(%error, file = %job.path.display(), "sealing failed and is tried again");
                self.note_damage(Damage::from_error(&error));
                Turn::Wait(Some(RETRY_AFTER))
            }
        }
    }

    fn seal(&self, job: &SealJob) -> Result<()> {
        let streams = self.streams_in(job.number);
        let adopter = adopter(job, &streams);
        let mut made = Vec::with_capacity(streams.len());
        for (stream, shards) in &streams {
            let sealed = if Some(stream.info.id) == adopter {
                self.adopt(job, stream, shards)?
            } else {
                self.rewrite(job, stream, shards)?
            };
            made.push(sealed);
        }
        self.switch_to(job, adopter, made)
    }

    /// The streams that have rows in an active file.
    fn streams_in(&self, number: u64) -> Vec<(Stream, Shards)> {
        let view = self.view.read();
        let mut all = Vec::new();
        for stream in view.streams.iter() {
            let shards = (0..).map(ShardId).zip(view.shards(stream.info.id));
            let entries =
                shards.map(|(shard, rows)| (shard, rows.files.of_active(number).copied().collect()));
            let shards: Shards =
                entries.filter(|(_, entries): &(_, Vec<Entry>)| !entries.is_empty()).collect();
            if !shards.is_empty() {
                all.push((stream.clone(), shards));
            }
        }
        all
    }

    /// Gives the active file a footer, in place. It gets its new name when the catalog knows of it.
    fn adopt(&self, job: &SealJob, stream: &Stream, shards: &Shards) -> Result<Made> {
        let id = stream.info.id;
        let shards: Vec<ShardEntries> = shards
            .iter()
            .map(|(shard, entries)| ShardEntries {
                shard: *shard,
                entries: entries.clone(),
                producers: job.producers.get(&(id, *shard)).cloned().unwrap_or_default(),
            })
            .collect();
        let (footer, bytes) = encode_footer(id, job.number, job.len, &shards);
        store::write(&*job.file, &job.path, &footer, job.len)?;
        store::sync(&*job.file, &job.path)?;
        self.made(&*job.file, &job.path, id, job.number, bytes)
    }

    /// Writes a stream's rows into a file of their own, small batches merged.
    fn rewrite(&self, job: &SealJob, stream: &Stream, shards: &Shards) -> Result<Made> {
        let id = stream.info.id;
        let dir = self.layout.stream_dir(id);
        store::create_durable_dir(&*self.world.disk, &dir)?;
        let path = self.layout.sealed(id, job.number);
        let header = FileHeader {
            kind: Kind::Sealed,
            number: job.number,
            stream: Some(id),
            created: self.world.clock.now(),
            previous: 0,
        };
        let mut bytes = 0;
        store::create_whole(&*self.world.disk, &path, |file, path| {
            let (block, chain) = header.encode();
            store::write(file, path, &block, 0)?;
            let mut out = Rewriting { job, stream, file, path, at: BLOCK as u64, chain };
            let shards = shards.iter().map(|(shard, entries)| out.shard(*shard, entries));
            let shards = shards.collect::<Result<Vec<_>>>()?;
            let (footer, len) = encode_footer(id, job.number, out.at, &shards);
            bytes = len;
            store::write(file, path, &footer, out.at)
        })?;
        let file = store::open(&*self.world.disk, &path, Open::Read)?;
        self.made(&*file, &path, id, job.number, bytes)
    }

    /// What a footer says, read back as any later reader will.
    fn made(
        &self,
        file: &dyn DiskFile,
        path: &std::path::Path,
        stream: StreamId,
        number: u64,
        bytes: u64,
    ) -> Result<Made> {
        let (_, lists, shards) = read_footer(file, path, bytes)?;
        let path = self.layout.sealed(stream, number);
        let segment = Arc::new(Segment { path, stream, number, bytes, lists });
        let rows = shards.iter().map(|one| one.summary.rows.end.0 - one.summary.rows.start.0).sum();
        let part = |(place, one): (usize, super::segment::ShardPart)| {
            (one.shard, Part { segment: Arc::clone(&segment), place, summary: one.summary })
        };
        let parts = shards.into_iter().enumerate().map(part).collect();
        Ok(Made { segment: Arc::clone(&segment), rows, parts })
    }

    /// Makes the sealed files the truth: first in the catalog, then under their names, then for readers.
    fn switch_to(&self, job: &SealJob, adopter: Option<StreamId>, made: Vec<Made>) -> Result<()> {
        let mut catalog = self.catalog.lock();
        self.check_open()?;
        let (made, dropped): (Vec<Made>, Vec<Made>) =
            made.into_iter().partition(|one| catalog.state.streams.get(one.segment.stream).is_ok());
        let adopter = adopter.filter(|adopter| made.iter().any(|one| one.segment.stream == *adopter));
        let file = |one: &Made| SealedFile {
            stream: one.segment.stream.0,
            bytes: one.segment.bytes,
            rows: one.rows,
        };
        let sealed = Sealed {
            active: job.number,
            adopted: adopter.map(|stream| stream.0),
            files: made.iter().map(file).collect(),
        };
        self.keep(&mut catalog, Event::Sealed(sealed), None)?;
        if let Some(adopter) = adopter {
            let renamed = self.rename_adopted(job, adopter);
            renamed.map_err(|error| self.poison_with(error))?;
        }
        publish(&mut self.view.write(), job.number, made);
        self.actives.lock().remove(&job.number);
        drop(catalog);
        for one in dropped {
            self.remove_sealed(one.segment.stream, &[job.number]);
        }
        if adopter.is_none() {
            store::remove(&*self.world.disk, &job.path)?;
        }
        Ok(())
    }

    fn rename_adopted(&self, job: &SealJob, stream: StreamId) -> Result<()> {
        let disk = &*self.world.disk;
        let dir = self.layout.stream_dir(stream);
        store::create_durable_dir(disk, &dir)?;
        store::rename(disk, &job.path, &self.layout.sealed(stream, job.number))?;
        store::sync_dir(disk, &dir)?;
        store::sync_dir(disk, &self.layout.dir)
    }
}

/// Replaces an active file's entries by the sealed parts, for all streams at once.
fn publish(view: &mut View, number: u64, made: Vec<Made>) {
    for one in made {
        for (shard, part) in one.parts {
            if let Some(shard) = view.shard_mut(one.segment.stream, shard) {
                shard.files.seal(number, Some(part));
            }
        }
    }
}

/// The stream that takes over the active file itself, if it is worth it.
fn adopter(job: &SealJob, streams: &[(Stream, Shards)]) -> Option<StreamId> {
    streams.iter().find_map(|(stream, shards)| {
        let entries = || shards.iter().flat_map(|(_, entries)| entries);
        let bytes: u64 = entries().map(|entry| u64::from(entry.bytes)).sum();
        let count = entries().count() as u64;
        let is_most = bytes * 100 >= job.len * ADOPT_PERCENT_MIN;
        let is_coarse = bytes >= count * ADOPT_BATCH_BYTES_MIN;
        (is_most && is_coarse).then_some(stream.info.id)
    })
}

/// A sealed file that is being written.
struct Rewriting<'a> {
    job: &'a SealJob,
    stream: &'a Stream,
    file: &'a dyn DiskFile,
    path: &'a std::path::Path,
    at: u64,
    chain: u32,
}

impl Rewriting<'_> {
    fn shard(&mut self, shard: ShardId, entries: &[Entry]) -> Result<ShardEntries> {
        let mut written = Vec::new();
        for window in entries.chunks(MERGE_WINDOW) {
            let headers = window.iter().map(|entry| self.header(entry)).collect::<Result<Vec<_>>>()?;
            for run in plan_merges(&headers) {
                written.push(self.merged(&window[run.clone()], &headers[run])?);
            }
        }
        let producers = self.job.producers.get(&(self.stream.info.id, shard)).cloned().unwrap_or_default();
        Ok(ShardEntries { shard, entries: written, producers })
    }

    fn header(&self, entry: &Entry) -> Result<Header> {
        let bytes = store::read(&*self.job.file, &self.job.path, entry.at, entry.header as usize)?;
        Header::parse(&bytes, &Limits::FORMAT).map_err(|error| error.in_file(&self.job.path, entry.at))
    }

    /// Writes consecutive batches of one shard as one, under the stream's newest schema.
    fn merged(&mut self, entries: &[Entry], headers: &[Header]) -> Result<Entry> {
        let decoded: Vec<Decoded> = entries
            .iter()
            .zip(headers)
            .map(|(entry, header)| self.decode(entry, header))
            .collect::<Result<_>>()?;
        let (rows, arrivals) = merge(&decoded)?;
        let first = &headers[0];
        let source = Source {
            stream: first.stream,
            shard: first.shard,
            schema: self.stream.info.schema_id,
            event_time: self.stream.event_time,
            compression: self.stream.info.spec.compression,
            producer: first.producer.filter(|_| headers.len() == 1),
        };
        let arrival = match &arrivals {
            Arrivals::Same(time) => *time,
            Arrivals::Each(_) => EventTime(0),
        };
        let prepared = prepare(&source, &rows, &arrivals, &Limits::FORMAT)?;
        let place = Placement { first: first.first, arrival, chain: self.chain, group_continues: false };
        let encoded = prepared.finish(place);
        let mut slices: Vec<IoSlice<'_>> = encoded.slices().map(IoSlice::new).collect();
        store::write_slices(self.file, self.path, &mut slices, self.at)?;
        let header = Header::parse(encoded.header(), &Limits::FORMAT)
            .map_err(|error| error.in_file(self.path, self.at))?;
        let entry = Entry::of(self.at, &header);
        self.at += encoded.total_bytes();
        self.chain = encoded.crc();
        Ok(entry)
    }

    fn decode(&self, entry: &Entry, header: &Header) -> Result<Decoded> {
        let Some(written) = self.stream.schemas.get(header.schema.0 as usize) else {
            let reason = format!("schema {} is not known", header.schema);
            return Err(LogError::corrupt(&self.job.path, entry.at, reason));
        };
        let wanted = Wanted {
            written,
            target: self.stream.schema(),
            projection: None,
            output: self.stream.schema(),
            arrivals: true,
        };
        let bytes = store::read(&*self.job.file, &self.job.path, entry.at, entry.bytes as usize)?;
        let fetch: &dyn Fetch = &bytes;
        decode(header, &wanted, fetch).map_err(|error| error.in_file(&self.job.path, entry.at))
    }
}
