//! Which rows go: whole messages, oldest first, by age, by size or when told.
//!
//! ```text
//!  a partition   begin                        producers         end
//!                | batch | batch | .. | batch | batch + P | batch |
//!                '- too old, or too much -'   '----- stays -------'
//! ```
//!
//! What opening the log needs stays: the newest message, and all since producers were said. So up to a MiB or so of a shard is kept
//! whatever retention says. Each stream's share of a limit in bytes is divided among its shards by what they hold.

use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::batch::{Batch, Place};
use super::inner::{Inner, is_in_topic};
use super::search::first_where;
use crate::api::{Retention, SegmentInfo, StreamInfo};
use crate::error::Result;

/// Up to which batch the rows of a shard go.
#[derive(Clone, Copy)]
enum Until {
    /// The one with this row.
    Row(Sequence),
    /// The first that arrived at or after this time and before which so many bytes of the shard lie, removed ones included.
    Limits { arrived: Option<EventTime>, bytes: Option<u64> },
}

impl Inner {
    /// One turn of the keeper.
    pub fn retention_turn(&self) -> Turn {
        if self.check_open().is_ok()
            && let Err(error) = self.retain()
        {
            tracing::error!(%error, "retention failed and is tried again");
        }
        Turn::Wait(Some(self.options.retention_interval))
    }

    fn retain(&self) -> Result<()> {
        let now = self.world.clock.now();
        let limited: Vec<_> = {
            let view = self.view.read();
            let limited = view.streams.iter().filter(|stream| {
                stream.info.spec.retention != Retention::default() && is_in_topic(&stream.info)
            });
            limited.map(|stream| std::sync::Arc::clone(&stream.info)).collect()
        };
        for info in limited {
            let keep = info.spec.retention;
            let held: Vec<(u64, u64)> = {
                let view = self.view.read();
                let rows = view.shards(info.id).iter().map(|shard| &shard.topic);
                rows.map(|rows| (rows.bytes(), rows.totals.bytes)).collect()
            };
            let all: u64 = held.iter().map(|(bytes, _)| bytes).sum();
            for (number, (bytes, written)) in (0..).zip(held) {
                let too_much = keep.bytes.filter(|most| all > *most).map(|most| {
                    // Counted from the shard's first batch on, as messages say it.
                    written - (u128::from(most) * u128::from(bytes) / u128::from(all)) as u64
                });
                let arrived = keep.age.map(|age| now.minus(age));
                if too_much.is_some() || arrived.is_some() {
                    let until = Until::Limits { arrived, bytes: too_much };
                    self.remove(&info, ShardId(number), until)?;
                }
            }
        }
        Ok(())
    }

    /// Removes rows before `before` as far as whole messages go.
    pub fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        let info = {
            let mut view = self.view.write();
            self.check_open()?;
            let (of, rows) = view.shard(stream, shard)?;
            let (info, before) = (std::sync::Arc::clone(&of.info), rows.removable(of.held, before));
            if !is_in_topic(&info) {
                if let Some(shard) = view.shard_mut(stream, shard) {
                    shard.first = shard.memory.trim(before).unwrap_or(shard.first);
                }
                return Ok(());
            }
            info
        };
        self.remove(&info, shard, Until::Row(before))
    }

    /// Removes the oldest messages of a shard, and lets it begin after them.
    fn remove(&self, info: &StreamInfo, shard: ShardId, until: Until) -> Result<()> {
        let place = self.place(info, shard);
        // Held throughout, so that nothing else moves the beginning, and the stream is not dropped meanwhile.
        let writer = self.writer.lock();
        self.check_open()?;
        let (offsets, within) = {
            let view = self.view.read();
            let (stream, rows) = view.shard(info.id, shard)?;
            (rows.topic.begin..rows.topic.end, rows.removable(stream.held, rows.next))
        };
        let end = writer.ends.get(&(info.id, shard)).copied().unwrap_or_default();
        let Some(needed) = end.producers_at.filter(|at| *at > offsets.start) else { return Ok(()) };
        let read = |range| self.read(&place, range);
        // The search ends with the message that is needed, which stays whatever is asked.
        let first = first_where(&read, offsets.start..needed + 1, |batch| {
            Ok(batch.offset >= needed || batch.next() > within || until.stays(batch, &place)?)
        })?;
        let Some(first) = first.filter(|first| first.offset > offsets.start) else { return Ok(()) };
        let mut removed = first.note(&place)?.totals;
        removed.batches -= 1;
        removed.bytes -= first.header.lengths.total;
        self.topics.remove_before(&place.topic, shard.0, first.offset)?;
        if let Some(rows) = self.view.write().shard_mut(info.id, shard) {
            rows.first = first.first();
            rows.topic.trim(first.offset, removed, first.header.arrival.0);
        }
        Ok(())
    }

    /// What is shown of a stream's partitions, each as one segment.
    pub fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        let view = self.view.read();
        let info = &view.streams.get(stream)?.info;
        let of = |(number, shard): (u32, &crate::view::Shard)| {
            let (place, rows) = (self.place(info, ShardId(number)), &shard.topic);
            match rows.arrival {
                Some(arrival) if is_in_topic(info) => Some(SegmentInfo {
                    stream,
                    shard: ShardId(number),
                    file: place.to_string(),
                    sealed: false,
                    rows: shard.first..shard.next,
                    batches: rows.totals.batches - rows.removed.batches,
                    bytes: rows.bytes(),
                    event_time: rows.totals.event_time,
                    arrival,
                }),
                _ => shard.memory.segment(stream, ShardId(number)),
            }
        };
        Ok((0..).zip(view.shards(stream)).filter_map(of).collect())
    }
}

impl Until {
    fn stays(self, batch: &Batch, place: &Place) -> Result<bool> {
        Ok(match self {
            Self::Row(row) => batch.next() > row,
            Self::Limits { arrived, bytes } => {
                let young = arrived.is_none_or(|arrived| batch.header.arrival.1 >= arrived);
                let before = batch.note(place)?.totals.bytes - batch.header.lengths.total;
                young && bytes.is_none_or(|bytes| before >= bytes)
            }
        })
    }
}
