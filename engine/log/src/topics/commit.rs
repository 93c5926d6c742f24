//! The committer: one task that gives places, commits a transaction, publishes and answers, again and again.
//!
//! While one transaction is under way, further groups queue up and become the next one: a broker takes some milliseconds to commit, however
//! much there is in it. After an error that is not an outage the log is poisoned, and rows of the failed commit are never published.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::broker::Message;
use super::inner::{End, Inner, Writer, topic_of};
use super::note::{Note, Totals};
use super::write::Outgoing;
use crate::api::Appended;
use crate::batch::{Encoded, Placement};
use crate::error::{LogError, Result};
use crate::memory::MemoryBatch;
use crate::pending::Promise;
use crate::queue::{Group, Rows};
use crate::view::View;

/// After how many bytes of a shard its producers are said again, at the least: so much is read of it when the log is opened, at the most.
const PRODUCERS_EVERY: u64 = 1 << 20;

/// And how many times the bytes of the producers themselves: so that they are a small part of what is written.
const PRODUCERS_SHARE: u64 = 16;

/// A batch that has its place.
struct Placed {
    stream: StreamId,
    shard: ShardId,
    first: Sequence,
    next: Sequence,
    event_time: Option<(EventTime, EventTime)>,
    bytes: Bytes,
    /// The shard's totals with it.
    totals: Totals,
}

/// A batch for memory that has its place.
struct PlacedInMemory {
    stream: StreamId,
    shard: ShardId,
    batch: MemoryBatch,
}

/// Everything that one commit does.
struct Commit {
    arrival: EventTime,
    batches: Vec<Placed>,
    in_memory: Vec<PlacedInMemory>,
    rows: u64,
    repeats: u64,
    answers: Vec<(Promise, Result<Vec<Appended>>)>,
}

impl Commit {
    fn at(arrival: EventTime) -> Self {
        Self { arrival, batches: Vec::new(), in_memory: Vec::new(), rows: 0, repeats: 0, answers: Vec::new() }
    }
}

impl Inner {
    /// One turn of the committer.
    pub fn commit_turn(&self) -> Turn {
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
        let arrival = writer.last_arrival.max(self.world.clock.now());
        writer.last_arrival = arrival;
        let mut commit = Commit::at(arrival);
        place(&mut writer, groups, &mut commit);
        match self.write_batches(&mut writer, &mut commit) {
            Ok(offsets) => {
                let fresh = commit.rows > 0;
                self.metrics.repeated(commit.repeats);
                let answers = self.publish(commit, &offsets);
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
                let mut lost = self.queue.fail(&poison);
                lost.rows += commit.rows;
                for (promise, answer) in commit.answers {
                    lost.groups += usize::from(answer.as_ref().is_ok_and(|placed| !placed.is_empty()));
                    promise.answer(answer.and(Err(poison.clone())));
                }
                tracing::error!(
                    log = self.name,
                    appends = lost.groups,
                    rows = lost.rows,
                    "these appends were not written, and were answered with an error; all rows that were acknowledged are at the broker"
                );
            }
        }
    }

    /// Commits the batches; the answer is the offset of each.
    fn write_batches(&self, writer: &mut Writer, commit: &mut Commit) -> Result<Vec<i64>> {
        if commit.batches.is_empty() {
            if commit.rows > 0 {
                self.metrics.committed(commit.rows, 0);
            }
            return Ok(Vec::new());
        }
        let (outgoing, with_producers) = self.messages(writer, commit);
        let bytes = commit.batches.iter().map(|placed| placed.bytes.len() as u64).sum();
        let start = self.world.clock.monotonic();
        let offsets = self.write(&outgoing, writer.catalog_end)?;
        self.metrics.synced(self.world.clock.monotonic().saturating_sub(start));
        self.metrics.committed(commit.rows, bytes);
        for (placed, offset) in commit.batches.iter().zip(&offsets) {
            writer.ends.entry((placed.stream, placed.shard)).or_default().offset = offset + 1;
        }
        for index in with_producers {
            let placed = &commit.batches[index];
            let end = writer.ends.entry((placed.stream, placed.shard)).or_default();
            end.producers_at = Some(offsets[index]);
        }
        Ok(offsets)
    }

    /// The messages of a commit, and which of them say producers.
    fn messages(&self, writer: &mut Writer, commit: &mut Commit) -> (Vec<Outgoing>, Vec<usize>) {
        let view = self.view.read();
        let mut topics: HashMap<StreamId, Arc<str>> = HashMap::new();
        let (mut outgoing, mut with_producers) = (Vec::with_capacity(commit.batches.len()), Vec::new());
        for (index, placed) in commit.batches.iter_mut().enumerate() {
            let Writer { sequencer, ends, .. } = &mut *writer;
            let end = ends.entry((placed.stream, placed.shard)).or_default();
            let bytes = placed.bytes.len() as u64;
            end.totals = end.totals.and(bytes, placed.event_time);
            end.since += bytes;
            placed.totals = end.totals;
            let is_due = end.since >= end.due.max(PRODUCERS_EVERY);
            let head = sequencer.head(placed.stream, placed.shard).filter(|_| is_due);
            let note = Note {
                totals: end.totals,
                producers_at: end.producers_at,
                producers: head.map(|head| head.producers.snapshot()),
            };
            let note = note.encode();
            if is_due {
                with_producers.push(index);
                *end = End { since: 0, due: note.len() as u64 * PRODUCERS_SHARE, ..*end };
            }
            let topic = topics.entry(placed.stream).or_insert_with(|| {
                let info = view.streams.get(placed.stream).map(|stream| &stream.info);
                info.map_or_else(|_| "".into(), |info| topic_of(&self.name, info))
            });
            let message = Message {
                topic: Arc::clone(topic),
                partition: placed.shard.0,
                value: placed.bytes.clone(),
                note,
                timestamp_millis: commit.arrival.millis(),
            };
            outgoing.push(Outgoing { message, after: end.offset });
        }
        (outgoing, with_producers)
    }

    /// Shows the rows of a commit to readers, all at once. What is left are the answers.
    fn publish(&self, commit: Commit, offsets: &[i64]) -> Vec<(Promise, Result<Vec<Appended>>)> {
        // Before they are seen, so that whoever sees them finds them.
        for (placed, offset) in commit.batches.iter().zip(offsets) {
            self.tail.put(placed.stream, placed.shard, placed.first, *offset, placed.bytes.clone());
        }
        let mut view = self.view.write();
        for (placed, offset) in commit.batches.iter().zip(offsets) {
            if let Some(shard) = view.shard_mut(placed.stream, placed.shard) {
                shard.topic.push(placed.first, *offset, placed.totals, commit.arrival);
                shard.next = placed.next;
            }
        }
        publish_in_memory(&mut view, commit.in_memory);
        commit.answers
    }
}

fn publish_in_memory(view: &mut View, batches: Vec<PlacedInMemory>) {
    for PlacedInMemory { stream, shard, batch } in batches {
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
}

/// Should a commit panic, which is a bug, then nobody waits for ever.
struct Watch<'a>(&'a Inner);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = std::io::Error::other("the committer panicked");
            let poison = self.0.poison_with(LogError::io("commit to", &*self.0.catalog_topic(), cause));
            self.0.queue.fail(&poison);
        }
    }
}

/// Gives the groups their places, in order. A group whose conditions are not met is answered with why, and leaves no trace.
fn place(writer: &mut Writer, groups: Vec<Group>, commit: &mut Commit) {
    for group in groups {
        let placed = match writer.sequencer.place(&group.asks) {
            Ok(placed) => placed,
            Err(error) => {
                commit.answers.push((group.promise, Err(error)));
                continue;
            }
        };
        commit.repeats += placed.iter().filter(|one| one.duplicate).count() as u64;
        for part in group.parts.into_iter().filter(|part| !placed[part.ask].duplicate) {
            let (stream, shard) = (group.asks[part.ask].stream, group.asks[part.ask].shard);
            let first = part.first(placed[part.ask].first);
            match part.rows {
                Rows::Memory { rows, event_time } => {
                    commit.rows += rows.num_rows() as u64;
                    let batch = MemoryBatch::new(first, rows, commit.arrival, event_time);
                    commit.in_memory.push(PlacedInMemory { stream, shard, batch });
                }
                Rows::File(prepared) => {
                    let (rows, event_time) = (u64::from(prepared.rows()), prepared.event_time());
                    let arrival = commit.arrival;
                    let place = Placement { first, arrival, chain: 0, group_continues: false };
                    commit.rows += rows;
                    commit.batches.push(Placed {
                        stream,
                        shard,
                        first,
                        next: first.plus(rows),
                        event_time,
                        bytes: joined(&prepared.finish(place)),
                        totals: Totals::default(),
                    });
                }
            }
        }
        commit.answers.push((group.promise, Ok(placed)));
    }
}

fn joined(encoded: &Encoded) -> Bytes {
    let mut bytes = Vec::with_capacity(encoded.total_bytes() as usize);
    encoded.slices().for_each(|slice| bytes.extend_from_slice(slice));
    bytes.into()
}
