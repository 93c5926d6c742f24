//! What the committer does on topics: it gives batches their places, and commits them as one transaction.
//!
//! A broker takes some milliseconds to commit, however much there is in it.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::broker::Message;
use super::inner::{End, Inner, Writer, topic_of};
use super::note::{Note, Totals};
use super::write::Outgoing;
use crate::batch::{Encoded, Placement};
use crate::error::Result;
use crate::queue::Group;
use crate::stored::{Commit, Placing};
use crate::view::View;

/// After how many bytes of a shard its producers are said again, at the least: so much is read of it when the log is opened, at the most.
const PRODUCERS_EVERY: u64 = 1 << 20;

/// And how many times the bytes of the producers themselves: so that they are a small part of what is written.
const PRODUCERS_SHARE: u64 = 16;

/// A batch that has its place.
pub(crate) struct Placed {
    stream: StreamId,
    shard: ShardId,
    first: Sequence,
    next: Sequence,
    event_time: Option<(EventTime, EventTime)>,
    bytes: Bytes,
    /// The shard's totals with it.
    totals: Totals,
}

/// Where the batches of a commit are.
pub(crate) struct Written {
    arrival: EventTime,
    /// The offset of each.
    offsets: Vec<i64>,
}

impl Inner {
    /// Gives groups their places, and commits what they hold. An error that is not an outage is for good.
    pub fn commit(
        &self,
        writer: &mut Writer,
        groups: Vec<Group>,
        commit: &mut Commit<Placed>,
    ) -> Result<Written> {
        let arrival = self.arrival(&mut writer.last_arrival);
        commit.place(&mut writer.sequencer, groups, arrival, |placing| {
            let Placing { stream, shard, first, prepared, .. } = placing;
            let (rows, event_time) = (u64::from(prepared.rows()), prepared.event_time());
            // A transaction keeps a group together, not a chain.
            let place = Placement { first, arrival, chain: 0, group_continues: false };
            let (bytes, totals) = (joined(&prepared.finish(place)), Totals::default());
            Placed { stream, shard, first, next: first.plus(rows), event_time, bytes, totals }
        });
        let offsets = self.write_batches(writer, commit, arrival)?;
        // Before they are seen, so that whoever sees them finds them.
        for (placed, offset) in commit.batches.iter().zip(&offsets) {
            self.tail.put(placed.stream, placed.shard, placed.first, *offset, placed.bytes.clone());
        }
        Ok(Written { arrival, offsets })
    }

    /// Commits the batches; the answer is the offset of each.
    fn write_batches(
        &self,
        writer: &mut Writer,
        commit: &mut Commit<Placed>,
        arrival: EventTime,
    ) -> Result<Vec<i64>> {
        if commit.batches.is_empty() {
            if commit.rows > 0 {
                self.metrics.committed(commit.rows, 0);
            }
            return Ok(Vec::new());
        }
        let (outgoing, with_producers) = self.messages(writer, &mut commit.batches, arrival);
        let bytes = commit.batches.iter().map(|placed| placed.bytes.len() as u64).sum();
        let start = self.world.clock.monotonic();
        let offsets = self.transact(&outgoing, writer.catalog_end)?;
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
    fn messages(
        &self,
        writer: &mut Writer,
        batches: &mut [Placed],
        arrival: EventTime,
    ) -> (Vec<Outgoing>, Vec<usize>) {
        let view = self.view.read();
        let mut topics: HashMap<StreamId, Arc<str>> = HashMap::new();
        let (mut outgoing, mut with_producers) = (Vec::with_capacity(batches.len()), Vec::new());
        for (index, placed) in batches.iter_mut().enumerate() {
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
                timestamp_millis: arrival.millis(),
            };
            outgoing.push(Outgoing { message, after: end.offset });
        }
        (outgoing, with_producers)
    }
}

/// Shows batches to readers.
pub(crate) fn publish(view: &mut View, batches: Vec<Placed>, written: Written) {
    for (placed, offset) in batches.iter().zip(written.offsets) {
        if let Some(shard) = view.shard_mut(placed.stream, placed.shard) {
            shard.topic.push(placed.first, offset, placed.totals, written.arrival);
            shard.next = placed.next;
        }
    }
}

fn joined(encoded: &Encoded) -> Bytes {
    let mut bytes = Vec::with_capacity(encoded.total_bytes() as usize);
    encoded.slices().for_each(|slice| bytes.extend_from_slice(slice));
    bytes.into()
}
