//! How far a step goes.

use headwater_core::{EventTime, Sequence, ShardId, StreamId};
use headwater_log::{Log, ShardBounds};

use crate::error::Result;
use crate::job::clock::ShardClock;

/// How far a step goes, and what the runtime decided in it: what the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    /// For each source, for each shard.
    pub shards: Vec<Vec<ShardCut>>,
    /// Where time was put, when all shards were idle.
    pub advance: Option<EventTime>,
}

impl Cut {
    /// The first row of each shard that is not taken.
    pub fn ends(&self) -> Vec<Vec<Sequence>> {
        let of = |shards: &Vec<ShardCut>| shards.iter().map(|shard| shard.next).collect();
        self.shards.iter().map(of).collect()
    }
}

/// How far a step goes in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardCut {
    /// The first row that the step does not take.
    pub next: Sequence,
    /// The shard was declared idle before this step, and had no rows in it.
    pub idle: bool,
    /// The shard has ended.
    pub ended: bool,
}

/// How far a source has been taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// Its stream.
    pub stream: StreamId,
    /// The first row of each shard that has not been taken.
    pub next: Vec<Sequence>,
    /// How far event time is in each shard with the rows before that one.
    pub clocks: Vec<ShardClock>,
}

impl Taken {
    /// How many rows of the log have not been taken.
    pub fn lag(&self, log: &dyn Log) -> Result<u64> {
        let bounds = log.bounds(self.stream)?;
        // What is gone is not to be taken any more.
        let behind = |(bounds, next): (&ShardBounds, &Sequence)| {
            bounds.next.0.saturating_sub(next.max(&bounds.first).0)
        };
        Ok(bounds.iter().zip(&self.next).map(behind).sum())
    }
}

/// How far event time is in one shard of a source.
#[derive(Clone, Debug)]
pub(crate) struct ShardTime {
    /// Which of the job's sources, from 0 on: a stream may be read twice.
    pub source: u32,
    /// Its stream.
    pub stream: StreamId,
    /// Which shard of it.
    pub shard: ShardId,
    /// What the shard's own rows have come to; `None`: nobody knows.
    pub watermark: Option<EventTime>,
    /// Time does not wait for it.
    pub idle: bool,
    /// No more rows will come.
    pub ended: bool,
}

impl ShardTime {
    /// Those of all sources that were taken so far.
    pub fn of(taken: &[Taken]) -> Vec<Self> {
        let of_source = |(source, taken): (u32, &Taken)| {
            let of_shard = |(shard, clock): (u32, &ShardClock)| Self {
                source,
                stream: taken.stream,
                shard: ShardId(shard),
                watermark: Some(clock.watermark),
                idle: clock.idle,
                ended: clock.ended,
            };
            (0..).zip(&taken.clocks).map(of_shard).collect::<Vec<_>>()
        };
        (0..).zip(taken).flat_map(of_source).collect()
    }
}
