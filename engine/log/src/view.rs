//! What readers see: streams, and of each shard the rows that are acknowledged.
//!
//! ```text
//!  writer:  place ──► write ──► sync ──► publish (one write lock for a whole commit)
//!                                           │
//!  view:    streams, shards: first ═══════ next     read locks, never held during I/O
//! ```
//!
//! A commit is published as a whole, so that no group is ever seen in part.

use hashbrown::HashMap;
use headwater_core::{Sequence, ShardId, StreamId};

use crate::api::{ShardBounds, StreamInfo};
use crate::disk::FileRows;
use crate::error::{LogError, Result};
use crate::memory::MemoryRows;
use crate::streams::{Stream, Streams};
use crate::topics::TopicRows;

/// One shard.
#[derive(Default)]
pub(crate) struct Shard {
    /// The oldest row kept.
    pub first: Sequence,
    /// The sequence number after the newest row.
    pub next: Sequence,
    /// Rows before this may be removed though the stream is held.
    pub released: Sequence,
    /// The rows kept in memory, of a stream with durability `memory`.
    pub memory: MemoryRows,
    /// The rows kept in files, of any other stream of a log on disk.
    pub files: FileRows,
    /// The rows kept in a partition, of any other stream of a log on topics.
    pub topic: TopicRows,
}

impl Shard {
    /// Where it begins and ends.
    pub(crate) fn bounds(&self) -> ShardBounds {
        ShardBounds { first: self.first, next: self.next }
    }

    /// It is empty, and begins here.
    pub(crate) fn begin_at(&mut self, first: Sequence) {
        (self.first, self.next) = (first, first);
    }

    /// Whether it is to be moved to begin here; one that has had rows cannot.
    pub(crate) fn is_to_begin_at(&self, info: &StreamInfo, shard: ShardId, first: Sequence) -> Result<bool> {
        if self.first == first {
            return Ok(false);
        }
        if self.next == Sequence::ZERO {
            return Ok(true);
        }
        let reason = format!("shard {shard} has had rows up to {}, so it cannot begin at {first}", self.next);
        Err(LogError::BadSpec { stream: info.spec.name.clone(), reason })
    }

    /// Up to where rows may be removed: as far as is asked, but of a held stream only what was released.
    pub(crate) fn removable(&self, held: bool, before: Sequence) -> Sequence {
        if held { before.min(self.released) } else { before }
    }

    /// Refuses a position before the oldest row kept.
    pub(crate) fn check_kept(&self, info: &StreamInfo, shard: ShardId, asked: Sequence) -> Result<()> {
        if asked >= self.first {
            return Ok(());
        }
        Err(LogError::Trimmed { stream: info.spec.name.clone(), shard, asked, oldest: self.first })
    }
}

/// All that readers see.
#[derive(Default)]
pub(crate) struct View {
    /// The streams.
    pub streams: Streams,
    shards: HashMap<StreamId, Vec<Shard>>,
}

impl View {
    /// Starts a stream with empty shards.
    pub(crate) fn add(&mut self, id: StreamId, shards: u32) {
        self.shards.insert(id, (0..shards).map(|_| Shard::default()).collect());
    }

    /// Forgets the rows of a stream.
    pub(crate) fn remove(&mut self, id: StreamId) -> Vec<Shard> {
        self.shards.remove(&id).unwrap_or_default()
    }

    /// Where a stream's shards begin and end, in order.
    pub(crate) fn bounds(&self, id: StreamId) -> Result<Vec<ShardBounds>> {
        self.streams.get(id)?;
        Ok(self.shards(id).iter().map(Shard::bounds).collect())
    }

    /// A stream's shards, in order.
    pub(crate) fn shards(&self, id: StreamId) -> &[Shard] {
        self.shards.get(&id).map_or(&[], Vec::as_slice)
    }

    /// A stream's shards, to change them.
    pub(crate) fn shards_mut(&mut self, id: StreamId) -> &mut [Shard] {
        self.shards.get_mut(&id).map_or(&mut [], Vec::as_mut_slice)
    }

    /// A shard, to change it.
    pub(crate) fn shard_mut(&mut self, id: StreamId, shard: ShardId) -> Option<&mut Shard> {
        self.shards.get_mut(&id)?.get_mut(shard.0 as usize)
    }

    /// Lets rows of a held shard be removed; what was released stays so.
    pub(crate) fn release(&mut self, id: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.shard(id, shard)?;
        if let Some(shard) = self.shard_mut(id, shard) {
            shard.released = shard.released.max(before);
        }
        Ok(())
    }

    /// A stream and one of its shards.
    pub(crate) fn shard(&self, id: StreamId, shard: ShardId) -> Result<(&Stream, &Shard)> {
        let stream = self.streams.get(id)?;
        stream.check_shard(shard)?;
        match self.shards(id).get(shard.0 as usize) {
            Some(found) => Ok((stream, found)),
            None => Err(LogError::NoStream { name: stream.info.spec.name.to_string() }),
        }
    }
}
