//! How far a step goes.

use headwater_core::{EventTime, Sequence, StreamId};
use headwater_log::{Log, ShardBounds};

use crate::error::Result;

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
