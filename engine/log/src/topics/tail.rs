//! The newest batches of all shards, as they were written: whoever follows the log reads them here and asks no broker.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use headwater_core::{Sequence, ShardId, StreamId};
use parking_lot::Mutex;

type Key = (StreamId, ShardId, Sequence);

/// A bounded number of bytes of batches, oldest out first.
pub(crate) struct Tail {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Default)]
struct Kept {
    batches: BTreeMap<Key, (i64, Bytes)>,
    order: VecDeque<Key>,
    bytes: usize,
}

impl Tail {
    /// Nothing yet, and at most so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), bytes_max }
    }

    /// Keeps a batch, by its first row, with its offset.
    pub fn put(&self, stream: StreamId, shard: ShardId, first: Sequence, offset: i64, batch: Bytes) {
        let mut kept = self.kept.lock();
        kept.bytes += batch.len();
        kept.batches.insert((stream, shard, first), (offset, batch));
        kept.order.push_back((stream, shard, first));
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.order.pop_front() else { break };
            let gone = kept.batches.remove(&oldest);
            kept.bytes -= gone.map_or(0, |(_, batch)| batch.len());
        }
    }

    /// The last batch of a shard that does not begin after a row, with its offset. Whether it holds that row is for the caller to see.
    pub fn get(&self, stream: StreamId, shard: ShardId, at: Sequence) -> Option<(i64, Bytes)> {
        let kept = self.kept.lock();
        let (key, batch) = kept.batches.range(..=(stream, shard, at)).next_back()?;
        ((key.0, key.1) == (stream, shard)).then(|| batch.clone())
    }

    /// Forgets a stream that is dropped.
    pub fn forget(&self, stream: StreamId) {
        let mut kept = self.kept.lock();
        let Kept { batches, order, bytes } = &mut *kept;
        order.retain(|key| key.0 != stream);
        batches.retain(|key, (_, batch)| {
            let stays = key.0 != stream;
            *bytes -= if stays { 0 } else { batch.len() };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_shards_are_told_apart() {
        let tail = Tail::new(100);
        let batch = |byte: u8| Bytes::from(vec![byte; 40]);
        let (stream, one, two) = (StreamId(1), ShardId(0), ShardId(1));
        tail.put(stream, one, Sequence(0), 0, batch(1));
        tail.put(stream, two, Sequence(5), 1, batch(2));
        assert_eq!(tail.get(stream, one, Sequence(7)), Some((0, batch(1))));
        assert_eq!(tail.get(stream, two, Sequence(4)), None);
        tail.put(stream, one, Sequence(10), 2, batch(3));
        assert_eq!(tail.get(stream, one, Sequence(7)), None, "the oldest made room");
        assert_eq!(tail.get(stream, one, Sequence(12)), Some((2, batch(3))));
        tail.forget(stream);
        assert_eq!(tail.get(stream, two, Sequence(5)), None);
        assert_eq!(tail.kept.lock().bytes, 0);
    }
}
