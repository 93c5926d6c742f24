//! Batches that were decoded a moment ago: those who read a shard at the same place decode each of them once.
//!
//! ```text
//!  one reader of a shard      file ── decode ── rows                  nothing is kept
//!  several                    file ── decode ── rows ── kept          the first one decodes
//!                                                  └──── the others   as long as it is among the newest
//! ```
//!
//! What is kept is bounded in bytes, oldest out first: a reader that is far behind the others decodes for itself, and so costs what it
//! would alone. A batch is what it is for ever, so nothing here is ever out of date.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use headwater_core::{Sequence, ShardId, StreamId};
use parking_lot::Mutex;

use super::index::Entry;
use crate::api::ReadSpec;

/// A batch that would take more than this share of all that is kept at most is not kept.
const SHARE_MAX: usize = 8;

/// Which batch, and what of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    stream: StreamId,
    shard: ShardId,
    first: Sequence,
    rows: u32,
    /// How many schemas the stream has: rows are adapted to the newest.
    schemas: usize,
    columns: Option<Arc<[usize]>>,
    arrivals: bool,
}

/// A reader's part in it. As long as a shard has one alone, nothing is kept of the shard.
pub(crate) struct Seat {
    together: Arc<()>,
    stream: StreamId,
    shard: ShardId,
    columns: Option<Arc<[usize]>>,
    arrivals: bool,
}

impl Seat {
    /// What this reader wants of a batch; `None` if it reads alone.
    pub(crate) fn key(&self, entry: &Entry, schemas: usize) -> Option<Key> {
        (Arc::strong_count(&self.together) > 1).then(|| Key {
            stream: self.stream,
            shard: self.shard,
            first: entry.first,
            rows: entry.rows,
            schemas,
            columns: self.columns.clone(),
            arrivals: self.arrivals,
        })
    }
}

/// What was decoded last.
pub(crate) struct Recent<T> {
    /// How many bytes are kept at most.
    bytes_max: usize,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    readers: HashMap<(StreamId, ShardId), Weak<()>>,
    reads: HashMap<Key, Arc<T>>,
    /// Oldest first, with their bytes.
    order: VecDeque<(Key, usize)>,
    bytes: usize,
}

impl<T> Recent<T> {
    /// Keeps so many bytes at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (readers, reads, order) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { bytes_max, kept: Mutex::new(Kept { readers, reads, order, bytes: 0 }) }
    }

    /// A seat for a reader.
    pub(crate) fn sit_down(&self, spec: &ReadSpec) -> Seat {
        let mut kept = self.kept.lock();
        let place = kept.readers.entry((spec.stream, spec.shard)).or_default();
        let together = place.upgrade().unwrap_or_default();
        *place = Arc::downgrade(&together);
        let columns = spec.projection.as_deref().map(Arc::from);
        Seat { together, stream: spec.stream, shard: spec.shard, columns, arrivals: spec.arrivals }
    }

    /// A batch that is kept.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.kept.lock().reads.get(key).cloned()
    }

    /// Keeps a batch that takes so many bytes.
    pub(crate) fn put(&self, key: Key, read: Arc<T>, bytes: usize) {
        if bytes > self.bytes_max / SHARE_MAX {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.reads.insert(key.clone(), read).is_some() {
            return;
        }
        kept.bytes += bytes;
        kept.order.push_back((key, bytes));
        while kept.bytes > self.bytes_max {
            let Some((oldest, bytes)) = kept.order.pop_front() else { break };
            kept.reads.remove(&oldest);
            kept.bytes -= bytes;
        }
    }

    /// Forgets a stream that is dropped.
    pub(crate) fn forget(&self, stream: StreamId) {
        let mut kept = self.kept.lock();
        kept.readers.retain(|(of, _), _| *of != stream);
        kept.reads.retain(|key, _| key.stream != stream);
        let Kept { order, bytes, .. } = &mut *kept;
        order.retain(|(key, own)| {
            let stays = key.stream != stream;
            *bytes -= if stays { 0 } else { *own };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::EventTime;

    use super::*;

    const BYTES_MAX: usize = 1 << 20;

    fn spec(shard: u32) -> ReadSpec {
        ReadSpec::all(StreamId(7), ShardId(shard))
    }

    fn entry(first: u64) -> Entry {
        let arrival = (EventTime(0), EventTime(0));
        Entry { at: 0, bytes: 10, header: 0, first: Sequence(first), rows: 1, event_time: None, arrival }
    }

    #[test]
    fn a_reader_alone_keeps_nothing() {
        let recent = Recent::<u64>::new(BYTES_MAX);
        let one = recent.sit_down(&spec(0));
        let other_shard = recent.sit_down(&spec(1));
        assert!(one.key(&entry(0), 1).is_none() && other_shard.key(&entry(0), 1).is_none());
        let two = recent.sit_down(&spec(0));
        assert!(one.key(&entry(0), 1).is_some());
        drop(two);
        assert!(one.key(&entry(0), 1).is_none());
    }

    #[test]
    fn the_oldest_make_room_and_large_ones_do_not_push_them_out() {
        let recent = Recent::new(BYTES_MAX);
        let (one, _two) = (recent.sit_down(&spec(0)), recent.sit_down(&spec(0)));
        let key = |first| one.key(&entry(first), 1).unwrap();
        let share = BYTES_MAX / SHARE_MAX;
        for first in 0..2 * SHARE_MAX as u64 {
            recent.put(key(first), Arc::new(first), share);
        }
        recent.put(key(99), Arc::new(99), share + 1);
        assert!(recent.get(&key(99)).is_none());
        for first in 0..2 * SHARE_MAX as u64 {
            let expect = (first >= SHARE_MAX as u64).then_some(first);
            assert_eq!(recent.get(&key(first)).map(|read| *read), expect);
        }
        recent.forget(StreamId(7));
        assert!(recent.get(&key(9)).is_none());
        assert_eq!(recent.kept.lock().bytes, 0);
    }

    #[test]
    fn another_projection_is_another_read() {
        let recent = Recent::new(BYTES_MAX);
        let narrow = ReadSpec { projection: Some(vec![1]), ..spec(0) };
        let (one, two) = (recent.sit_down(&spec(0)), recent.sit_down(&narrow));
        recent.put(one.key(&entry(0), 1).unwrap(), Arc::new(1), 1);
        assert!(recent.get(&two.key(&entry(0), 1).unwrap()).is_none());
        assert!(recent.get(&one.key(&entry(0), 2).unwrap()).is_none(), "the stream has another schema since");
    }
}
