//! Which rows go: sealed files, oldest first, by age, by size or when told.
//!
//! ```text
//!  a stream's files   |  1  |  2  |  3  |  4  | active
//!                     '- too old -'
//!                     '--- more than its share of the disk ---'   the longer stretch goes
//! ```
//!
//! Of a stream that is held, a file goes only when all of its rows were released: they are kept elsewhere.
//! A shard's trim point moves first, durably; a file goes when no shard has rows in it any more.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::catalog::keep_copy;
use super::event::{Event, Trimmed};
use super::index::{FileRows, Summary};
use super::inner::Inner;
use crate::api::{Retention, SegmentInfo};
use crate::error::{LogError, Result};
use crate::memory::is_in_memory;
use crate::view::{Shard, View};

impl Inner {
    /// One turn of the keeper: ends an active file that is old, then removes what may go.
    pub(crate) fn retention_turn(&self) -> Turn {
        if self.check_open().is_ok() {
            let done = self.roll_if_old().and_then(|()| self.retain());
            if let Err(error) = done {
                tracing::error!(%error, "retention failed and is tried again");
            }
            let durable = self.catalog.lock().durable_len();
            if let Err(error) = keep_copy(&*self.world.disk, &self.layout, durable) {
                tracing::warn!(%error, "the catalog could not be copied; that is tried again");
            }
        }
        Turn::Wait(Some(self.options.retention_interval))
    }

    fn roll_if_old(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let now = self.world.clock.monotonic();
        let old = writer.active.as_ref().is_some_and(|active| {
            !active.is_empty() && now.saturating_sub(active.since) >= self.options.segment_age
        });
        if !old {
            return Ok(());
        }
        self.check_open()?;
        self.roll(&mut writer).map_err(|error| self.poison_with(error))
    }

    fn retain(&self) -> Result<()> {
        let now = self.world.clock.now();
        let limited: Vec<(StreamId, Retention)> = {
            let view = self.view.read();
            let limit = |stream: &crate::streams::Stream| (stream.info.id, stream.info.spec.retention);
            view.streams.iter().map(limit).filter(|(_, keep)| *keep != Retention::default()).collect()
        };
        for (stream, keep) in limited {
            self.retain_in_memory(stream, &keep, now);
            let points = outlived(&self.view.read(), stream, &keep, now);
            self.move_trim_points(stream, points)?;
        }
        Ok(())
    }

    /// The same of a stream that is kept in memory, and that nothing may be appended to any more.
    fn retain_in_memory(&self, stream: StreamId, keep: &Retention, now: EventTime) {
        let held_in_memory = |view: &View| {
            let of = view.streams.get(stream).ok()?;
            is_in_memory(&of.info).then_some((of.held, of.info.spec.shards))
        };
        let Some((held, shards)) = held_in_memory(&self.view.read()) else { return };
        let mut view = self.view.write();
        for shard in (0..shards).map(ShardId) {
            if let Some(rows) = view.shard_mut(stream, shard) {
                let within = rows.removable(held, rows.next);
                rows.first = rows.memory.retain(keep, now, within).unwrap_or(rows.first);
            }
        }
    }

    /// Removes rows before `before` as far as whole files go.
    pub(crate) fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        let mut in_memory = false;
        let point = {
            let mut view = self.view.write();
            self.check_open()?;
            let (of, rows) = view.shard(stream, shard)?;
            in_memory |= of.info.spec.durability == crate::api::Durability::Memory;
            let before = rows.removable(of.held, before);
            match view.shard_mut(stream, shard) {
                Some(shard) if in_memory => {
                    shard.first = shard.memory.trim(before).unwrap_or(shard.first);
                    None
                }
                Some(shard) => shard.files.trim_point(before),
                None => None,
            }
        };
        self.move_trim_points(stream, point.map(|point| (shard, point)).into_iter().collect())
    }

    /// Lets a shard that has had no rows begin at a later one than 0: as if those before it had been trimmed.
    pub(crate) fn begin_at(&self, stream: StreamId, shard: ShardId, first: Sequence) -> Result<()> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        let mut catalog = self.catalog.lock();
        {
            let view = self.view.read();
            let (of, rows) = view.shard(stream, shard)?;
            // Rows that have their numbers may not be visible yet.
            let is_quiet = writer.sequencer.head(stream, shard).is_none_or(|head| head.next == rows.next);
            if of.info.spec.durability == crate::api::Durability::Memory || !is_quiet {
                let reason =
                    "a shard can begin later only while nothing is appended to it, and not in memory";
                return Err(LogError::BadSpec {
                    stream: of.info.spec.name.clone(),
                    reason: reason.to_owned(),
                });
            }
            if !rows.is_to_begin_at(&of.info, shard, first)? {
                return Ok(());
            }
        }
        let (of, number) = (stream.0, shard.0);
        let begun = Trimmed { stream: of, shard: number, first: first.0, producers: Vec::new() };
        self.keep(&mut catalog, Event::Trimmed(begun), None)?;
        self.view.write().shard_mut(stream, shard).into_iter().for_each(|rows| rows.begin_at(first));
        writer.sequencer.head_mut(stream, shard).into_iter().for_each(|head| head.next = first);
        Ok(())
    }

    /// Moves trim points, then removes the files that no shard has rows in any more.
    fn move_trim_points(&self, stream: StreamId, mut points: BTreeMap<ShardId, Sequence>) -> Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        let writer = self.writer.lock();
        self.check_open()?;
        let mut catalog = self.catalog.lock();
        let (trimmed, unused) = {
            let view = self.view.read();
            view.streams.get(stream)?;
            // Somebody else may have trimmed it further since the points were found, and they never move back.
            let shards = view.shards(stream);
            points
                .retain(|shard, first| shards.get(shard.0 as usize).is_some_and(|rows| rows.first < *first));
            if points.is_empty() {
                return Ok(());
            }
            let trimmed: Vec<Trimmed> = points
                .iter()
                .filter_map(|(shard, first)| {
                    let rows = view.shards(stream).get(shard.0 as usize)?;
                    let nothing_sealed_left =
                        rows.files.sealed.back().is_none_or(|part| part.summary.rows.end <= *first);
                    let producers = writer.sequencer.head(stream, *shard).map(|head| &head.producers);
                    // Later rows are in active files, which say themselves who appended them.
                    let producers = producers.filter(|_| nothing_sealed_left);
                    let producers = producers.map(|producers| producers.snapshot_to(*first));
                    Some(Trimmed {
                        stream: stream.0,
                        shard: shard.0,
                        first: first.0,
                        producers: producers.unwrap_or_default(),
                    })
                })
                .collect();
            (trimmed, unused_files(view.shards(stream), &points))
        };
        let mut events: Vec<_> = trimmed.into_iter().map(Event::Trimmed).collect();
        if !unused.is_empty() {
            events.push(Event::Removed { stream: stream.0, files: unused.clone() });
        }
        self.keep(&mut catalog, Event::Together(events), None)?;
        {
            let mut view = self.view.write();
            for (shard, first) in points {
                if let Some(shard) = view.shard_mut(stream, shard) {
                    shard.first = shard.first.max(first);
                    shard.files.trim(first);
                }
            }
        }
        drop((writer, catalog));
        self.remove_sealed(stream, &unused);
        Ok(())
    }

    /// All segments of a stream.
    pub(crate) fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        let view = self.view.read();
        view.streams.get(stream)?;
        let mut segments = Vec::new();
        for (number, shard) in (0..).map(ShardId).zip(view.shards(stream)) {
            segments.extend(shard.memory.segment(stream, number));
            self.segments_of(stream, number, &shard.files, &mut segments);
        }
        Ok(segments)
    }

    fn segments_of(&self, stream: StreamId, shard: ShardId, files: &FileRows, out: &mut Vec<SegmentInfo>) {
        let info = |file: String, sealed: bool, summary: &Summary| SegmentInfo {
            stream,
            shard,
            file,
            sealed,
            rows: summary.rows.clone(),
            batches: summary.batches,
            bytes: summary.bytes,
            event_time: summary.event_time,
            arrival: summary.arrival,
        };
        for part in &files.sealed {
            out.push(info(self.layout.name_of(&part.segment.path), true, &part.summary));
        }
        let numbers: BTreeSet<u64> = files.active.iter().map(|one| one.file).collect();
        for number in numbers {
            let entries = files.active.iter().filter(|one| one.file == number).map(|one| &one.entry);
            let name = self.layout.name_of(&self.layout.active(number));
            out.extend(Summary::of(entries).map(|summary| info(name, false, &summary)));
        }
    }
}

/// Where each shard of a stream may begin, by age and size.
fn outlived(view: &View, stream: StreamId, keep: &Retention, now: EventTime) -> BTreeMap<ShardId, Sequence> {
    let shards = view.shards(stream);
    let held = view.streams.get(stream).is_ok_and(|stream| stream.held);
    // By file: its length, its newest arrival, and where its part of each shard ends.
    let mut files: BTreeMap<u64, (u64, EventTime, Vec<(ShardId, Sequence)>)> = BTreeMap::new();
    for (shard, rows) in (0..).map(ShardId).zip(shards) {
        for part in &rows.files.sealed {
            let (bytes, newest, ends) =
                files.entry(part.segment.number).or_insert((0, EventTime::MIN, Vec::new()));
            *bytes = part.segment.bytes;
            *newest = part.summary.arrival.1.max(*newest);
            ends.push((shard, part.summary.rows.end));
        }
    }
    let active = shards.iter().flat_map(|shard| &shard.files.active);
    let mut total: u64 = files.values().map(|(bytes, _, _)| bytes).sum();
    total += active.map(|one| u64::from(one.entry.bytes)).sum::<u64>();
    let oldest = keep.age.map(|age| now.minus(age));
    let mut points = BTreeMap::new();
    for (bytes, newest, ends) in files.into_values() {
        let too_old = oldest.is_some_and(|oldest| newest < oldest);
        let too_much = keep.bytes.is_some_and(|most| total > most);
        let kept = |(shard, end): &(ShardId, Sequence)| {
            shards.get(shard.0 as usize).is_some_and(|rows| rows.removable(held, *end) < *end)
        };
        if (!too_old && !too_much) || ends.iter().any(kept) {
            break;
        }
        total -= bytes;
        points.extend(ends);
    }
    points
}

/// The files in which no shard has rows once trim points have moved.
fn unused_files(shards: &[Shard], points: &BTreeMap<ShardId, Sequence>) -> Vec<u64> {
    let (mut all, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (shard, rows) in (0..).map(ShardId).zip(shards) {
        let first = points.get(&shard).copied().unwrap_or(rows.first);
        for part in &rows.files.sealed {
            all.insert(part.segment.number);
            if part.summary.rows.end > first {
                used.insert(part.segment.number);
            }
        }
    }
    all.difference(&used).copied().collect()
}
