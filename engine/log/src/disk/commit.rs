//! The committer: one task that gives places, writes, syncs, publishes and answers, commit after commit.
//!
//! ```text
//!  submit ──► queue ──► place ──► write ──► sync ──► publish ──► answer
//!  (many threads)       '------------- one commit at a time --------------'
//! ```
//!
//! Nothing here is done per row. After a write or a sync that failed, the log is poisoned: nothing is tried again, since nobody
//! knows what the disk has. Rows of the failed commit were never published, so that readers go on with what is durable.

use std::sync::Arc;

use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::active::Active;
use super::event::Event;
use super::index::{ActiveEntry, Entry};
use super::inner::Inner;
use crate::api::Appended;
use crate::batch::{Encoded, Placement};
use crate::error::{LogError, Result};
use crate::memory::MemoryBatch;
use crate::pending::Promise;
use crate::queue::{Group, Rows};
use crate::sequencer::Sequencer;
use crate::view::View;

/// What only the committer, and changes of streams, may touch.
pub(crate) struct Writer {
    /// Gives places.
    pub sequencer: Sequencer,
    /// The file that is written to, once there is something to write.
    pub active: Option<Active>,
    /// The number of the next active file.
    pub next_number: u64,
    /// No row arrives before the one before it, whatever the wall clock says.
    pub last_arrival: EventTime,
}

/// A batch that has its place.
struct Placed {
    stream: StreamId,
    shard: ShardId,
    entry: Entry,
    encoded: Encoded,
}

/// A batch for memory that has its place.
struct PlacedInMemory {
    stream: StreamId,
    shard: ShardId,
    batch: MemoryBatch,
}

/// Everything that one commit does.
#[derive(Default)]
struct Commit {
    batches: Vec<Placed>,
    in_memory: Vec<PlacedInMemory>,
    needs_sync: bool,
    rows: u64,
    repeats: u64,
    answers: Vec<(Promise, Result<Vec<Appended>>)>,
}

impl Inner {
    /// One turn of the committer.
    pub(crate) fn commit_turn(&self) -> Turn {
        let groups = self.queue.take();
        if groups.is_empty() {
            return Turn::Wait(None);
        }
        self.commit(groups);
        Turn::Again
    }

    fn commit(&self, groups: Vec<Group>) {
        let _watch = Watch(self);
        let mut writer = self.writer.lock();
        if let Some(poison) = self.poison() {
            drop(writer);
            for group in groups {
                group.promise.answer(Err(poison.clone()));
            }
            return;
        }
        let bytes = groups.iter().map(|group| group.bytes).sum();
        let mut commit = Commit::default();
        let mut done = self.make_room(&mut writer, bytes);
        let now = writer.last_arrival.max(self.world.clock.now());
        writer.last_arrival = now;
        place(&mut writer, groups, now, &mut commit);
        if done.is_ok() {
            done = self.write(&mut writer, &commit);
        }
        match done {
            Ok(()) => {
                let fresh = commit.rows > 0;
                let number = writer.active.as_ref().map_or(0, |active| active.number);
                self.metrics.repeated(commit.repeats);
                let answers = publish(&mut self.view.write(), commit, number);
                drop(writer);
                if fresh {
                    self.wakes.committed();
                }
                for (promise, answer) in answers {
                    promise.answer(answer);
                }
            }
            Err(error) => {
                let poison = self.poison_with(error);
                drop(writer);
                for (promise, answer) in commit.answers {
                    promise.answer(answer.and(Err(poison.clone())));
                }
                self.queue.fail(&poison);
            }
        }
    }

    /// Starts another active file if this one would become too large, or is too old; makes the first one if need be.
    fn make_room(&self, writer: &mut Writer, bytes: u64) -> Result<()> {
        let full = writer
            .active
            .as_ref()
            .is_some_and(|active| !active.is_empty() && active.len + bytes > self.options.segment_bytes);
        if full {
            self.roll(writer)?;
        }
        if writer.active.is_none() && bytes > 0 {
            self.start_active(writer, 0)?;
        }
        Ok(())
    }

    /// Ends the active file and starts another. All of the old one is durable before the new one exists, so that
    /// only the newest can have a torn tail.
    pub(crate) fn roll(&self, writer: &mut Writer) -> Result<()> {
        let Some(mut old) = writer.active.take() else { return Ok(()) };
        if old.synced_to < old.len {
            old.sync()?;
        }
        self.start_active(writer, old.len)?;
        self.hand_to_sealer(writer, old);
        Ok(())
    }

    fn start_active(&self, writer: &mut Writer, previous: u64) -> Result<()> {
        let number = writer.next_number;
        let (now, since) = (self.world.clock.now(), self.world.clock.monotonic());
        let active = Active::create(&*self.world.disk, &self.layout, number, previous, now, since)?;
        writer.next_number += 1;
        // From now on it is missed if it is not there.
        let begun = Event::Durable { active: number, bytes: active.len };
        self.keep(&mut self.catalog.lock(), begun, None)?;
        self.actives.lock().insert(number, Arc::clone(&active.file));
        writer.active = Some(active);
        Ok(())
    }

    fn write(&self, writer: &mut Writer, commit: &Commit) -> Result<()> {
        if commit.batches.is_empty() {
            if commit.rows > 0 {
                self.metrics.committed(commit.rows, 0);
            }
            return Ok(());
        }
        let Some(active) = &mut writer.active else { return Err(LogError::Closed) };
        let before = active.len;
        active.write(commit.batches.iter().map(|placed| &placed.encoded))?;
        if commit.needs_sync {
            let start = self.world.clock.monotonic();
            active.sync()?;
            self.metrics.synced(self.world.clock.monotonic().saturating_sub(start));
        }
        self.metrics.committed(commit.rows, active.len - before);
        Ok(())
    }
}

/// Should a commit panic, which is a bug, then nobody waits for ever.
struct Watch<'a>(&'a Inner);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = std::io::Error::other("the committer panicked");
            let poison = self.0.poison_with(LogError::io("commit to", &self.0.layout.dir, cause));
            self.0.queue.fail(&poison);
        }
    }
}

/// Gives the groups their places, in order. A group whose conditions are not met is answered with why, and leaves no trace.
fn place(writer: &mut Writer, groups: Vec<Group>, arrival: EventTime, commit: &mut Commit) {
    let (mut at, mut chain) = writer.active.as_ref().map_or((0, 0), |one| (one.next_batch(), one.chain));
    for group in groups {
        let placed = match writer.sequencer.place(&group.asks) {
            Ok(placed) => placed,
            Err(error) => {
                commit.answers.push((group.promise, Err(error)));
                continue;
            }
        };
        commit.repeats += placed.iter().filter(|one| one.duplicate).count() as u64;
        let is_fresh = |ask: usize| !placed[ask].duplicate;
        let last = group.parts.iter().rposition(|part| is_fresh(part.ask) && part.is_in_file());
        for (index, part) in group.parts.into_iter().enumerate().filter(|(_, part)| is_fresh(part.ask)) {
            let (stream, shard) = (group.asks[part.ask].stream, group.asks[part.ask].shard);
            let first = part.first(placed[part.ask].first);
            match part.rows {
                Rows::Memory { rows, event_time } => {
                    commit.rows += rows.num_rows() as u64;
                    let batch = MemoryBatch::new(first, rows, arrival, event_time);
                    commit.in_memory.push(PlacedInMemory { stream, shard, batch });
                }
                Rows::File(prepared) => {
                    let (rows, event_time) = (prepared.rows(), prepared.event_time());
                    let group_continues = last.is_some_and(|last| index < last);
                    let encoded = prepared.finish(Placement { first, arrival, chain, group_continues });
                    let entry = entry_of(at, &encoded, first, rows, event_time, arrival);
                    (at, chain) = (at + encoded.total_bytes(), encoded.crc());
                    commit.rows += u64::from(rows);
                    commit.needs_sync |= group.needs_sync;
                    commit.batches.push(Placed { stream, shard, entry, encoded });
                }
            }
        }
        commit.answers.push((group.promise, Ok(placed)));
    }
}

fn entry_of(
    at: u64,
    encoded: &Encoded,
    first: Sequence,
    rows: u32,
    event_time: Option<(EventTime, EventTime)>,
    arrival: EventTime,
) -> Entry {
    Entry {
        at,
        bytes: encoded.total_bytes() as u32,
        header: encoded.header().len() as u32,
        first,
        rows,
        event_time,
        arrival: (arrival, arrival),
    }
}

/// Shows the rows of a commit to readers, all at once. What is left are the answers.
fn publish(view: &mut View, commit: Commit, file: u64) -> Vec<(Promise, Result<Vec<Appended>>)> {
    for Placed { stream, shard, entry, .. } in commit.batches {
        if let Some(shard) = view.shard_mut(stream, shard) {
            shard.files.active.push_back(ActiveEntry { file, entry });
            shard.next = entry.next();
        }
    }
    for PlacedInMemory { stream, shard, batch } in commit.in_memory {
        let Ok(of) = view.streams.get(stream) else { continue };
        let (retention, held) = (of.info.spec.retention, of.held);
        if let Some(shard) = view.shard_mut(stream, shard) {
            let arrival = batch.arrival;
            shard.next = batch.next();
            shard.memory.push(batch);
            let within = shard.removable(held, shard.next);
            shard.first = shard.memory.retain(&retention, arrival, within).unwrap_or(shard.first);
        }
    }
    commit.answers
}
