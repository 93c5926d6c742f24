//! The batches of one shard in memory, in order, without gaps.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use headwater_core::size::bytes_of_rows;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use crate::admit::event_time_range;
use crate::api::{Retention, SegmentInfo};

/// One append's rows.
#[derive(Clone, Debug)]
pub(crate) struct MemoryBatch {
    /// The first row's sequence number.
    pub first: Sequence,
    /// The rows, under the schema with which they were appended.
    pub rows: RecordBatch,
    /// When they arrived.
    pub arrival: EventTime,
    /// Their earliest and latest event time.
    pub event_time: Option<(EventTime, EventTime)>,
    bytes: u64,
}

impl MemoryBatch {
    /// Rows that got their place.
    pub(crate) fn new(
        first: Sequence,
        rows: RecordBatch,
        arrival: EventTime,
        event_time: Option<usize>,
    ) -> Self {
        let event_time = event_time.and_then(|column| event_time_range(rows.column(column)));
        let bytes = bytes_of_rows(&rows) as u64;
        Self { first, rows, arrival, event_time, bytes }
    }

    /// The sequence number after the last row's.
    pub(crate) fn next(&self) -> Sequence {
        self.first.plus(self.rows.num_rows() as u64)
    }
}

/// The batches of one shard.
#[derive(Default, Debug)]
pub(crate) struct MemoryRows {
    batches: VecDeque<MemoryBatch>,
    bytes: u64,
}

impl MemoryRows {
    /// Adds a batch after the last.
    pub(crate) fn push(&mut self, batch: MemoryBatch) {
        debug_assert!(self.batches.back().is_none_or(|last| last.next() == batch.first), "batches are dense");
        self.bytes += batch.bytes;
        self.batches.push_back(batch);
    }

    /// The batch that holds a row.
    pub(crate) fn find(&self, at: Sequence) -> Option<&MemoryBatch> {
        let index = self.batches.partition_point(|batch| batch.next() <= at);
        self.batches.get(index)
    }

    /// The first batch that may hold a row with an event time at or after `time`, if the stream has one at all.
    pub(crate) fn seek_event_time(&self, time: EventTime) -> Option<Sequence> {
        let holds = |batch: &&MemoryBatch| batch.event_time.is_some_and(|(_, max)| max >= time);
        self.batches.iter().find(holds).map(|batch| batch.first)
    }

    /// The first batch with a row that arrived at or after `time`.
    pub(crate) fn seek_arrival(&self, time: EventTime) -> Option<Sequence> {
        let index = self.batches.partition_point(|batch| batch.arrival < time);
        self.batches.get(index).map(|batch| batch.first)
    }

    /// Removes whole batches before `before`; answers with the oldest row that is left.
    pub(crate) fn trim(&mut self, before: Sequence) -> Option<Sequence> {
        self.pop_while(|batch, _| batch.next() <= before)
    }

    /// Removes what is too old or too much before `within`, but never the newest batch; answers with the oldest row that is left.
    pub(crate) fn retain(
        &mut self,
        retention: &Retention,
        now: EventTime,
        within: Sequence,
    ) -> Option<Sequence> {
        let oldest = retention.age.map(|age| now.minus(age));
        let newest = self.batches.back()?.first;
        self.pop_while(|batch, bytes| {
            let too_old = oldest.is_some_and(|oldest| batch.arrival < oldest);
            let too_much = retention.bytes.is_some_and(|most| bytes > most);
            batch.first != newest && batch.next() <= within && (too_old || too_much)
        })
    }

    fn pop_while(&mut self, goes: impl Fn(&MemoryBatch, u64) -> bool) -> Option<Sequence> {
        let mut left = None;
        while let Some(batch) = self.batches.front()
            && goes(batch, self.bytes)
        {
            left = Some(batch.next());
            self.bytes -= batch.bytes;
            self.batches.pop_front();
        }
        left
    }

    /// All of it as one segment, if there is any.
    pub(crate) fn segment(&self, stream: StreamId, shard: ShardId) -> Option<SegmentInfo> {
        let (front, back) = (self.batches.front()?, self.batches.back()?);
        let times = self.batches.iter().filter_map(|batch| batch.event_time);
        Some(SegmentInfo {
            stream,
            shard,
            file: String::new(),
            sealed: false,
            rows: front.first..back.next(),
            batches: self.batches.len() as u64,
            bytes: self.bytes,
            event_time: times.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))),
            arrival: (front.arrival, back.arrival),
        })
    }
}
