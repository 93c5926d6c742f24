//! Batches that were decoded a moment ago: those who read the same columns of a shard decode each of them once.
//!
//! ```text
//!  one reader         file ── decode ── rows                  nothing is kept
//!  several            file ── decode ── rows ── kept          the first one decodes
//!                                          └──── the others   until all have had it
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

/// What is read of a shard.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Scan {
    stream: StreamId,
    shard: ShardId,
    columns: Option<Arc<[usize]>>,
    arrivals: bool,
}

/// Which batch, and what of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    scan: Scan,
    first: Sequence,
    rows: u32,
    /// How many schemas the stream has: rows are adapted to the newest.
    schemas: usize,
}

/// A reader's part in it. As long as nobody else reads the same, nothing is kept.
pub(crate) struct Seat {
    together: Arc<()>,
    scan: Scan,
}

impl Seat {
    /// What this reader wants of a batch; `None` if it reads alone.
    pub(crate) fn key(&self, entry: &Entry, schemas: usize) -> Option<Key> {
        let key = || Key { scan: self.scan.clone(), first: entry.first, rows: entry.rows, schemas };
        (Arc::strong_count(&self.together) > 1).then(key)
    }
}

/// What was decoded last.
pub(crate) struct Recent<T> {
    /// How many bytes are kept at most.
    bytes_max: usize,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    readers: HashMap<Scan, Weak<()>>,
    reads: HashMap<Key, Read<T>>,
    /// Oldest first; some of them have been dropped since.
    order: VecDeque<Key>,
    bytes: usize,
}

struct Read<T> {
    read: Arc<T>,
    bytes: usize,
    /// How many readers have it, with the one that decoded it.
    had: usize,
}

impl<T> Recent<T> {
    /// Keeps so many bytes at most.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (readers, reads, order) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { bytes_max, kept: Mutex::new(Kept { readers, reads, order, bytes: 0 }) }
    }

    /// A seat for a reader.
    pub(crate) fn sit_down(&self, spec: &ReadSpec) -> Seat {
        let columns = spec.projection.as_deref().map(Arc::from);
        let scan = Scan { stream: spec.stream, shard: spec.shard, columns, arrivals: spec.arrivals };
        let readers = &mut self.kept.lock().readers;
        readers.retain(|_, together| together.strong_count() > 0);
        let place = readers.entry(scan.clone()).or_default();
        let together = place.upgrade().unwrap_or_default();
        *place = Arc::downgrade(&together);
        Seat { together, scan }
    }

    /// A batch that is kept. The last of the readers takes it away.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<T>> {
        let mut kept = self.kept.lock();
        let readers = kept.readers.get(&key.scan).map_or(0, Weak::strong_count);
        let own = kept.reads.get_mut(key)?;
        own.had += 1;
        let read = Arc::clone(&own.read);
        if own.had >= readers {
            kept.let_go(key);
        }
        Some(read)
    }

    /// Keeps a batch that takes so many bytes.
    pub(crate) fn put(&self, key: Key, read: Arc<T>, bytes: usize) {
        if bytes > self.bytes_max / SHARE_MAX {
            return;
        }
        let mut kept = self.kept.lock();
        kept.let_go(&key);
        kept.reads.insert(key.clone(), Read { read, bytes, had: 1 });
        kept.bytes += bytes;
        kept.order.push_back(key);
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.let_go(&oldest);
        }
        if kept.order.len() > 2 * kept.reads.len() + SHARE_MAX {
            let Kept { order, reads, .. } = &mut *kept;
            order.retain(|key| reads.contains_key(key));
        }
    }

    /// Forgets a stream that is dropped.
    pub(crate) fn forget(&self, stream: StreamId) {
        let mut kept = self.kept.lock();
        kept.readers.retain(|scan, _| scan.stream != stream);
        let Kept { reads, order, bytes, .. } = &mut *kept;
        order.retain(|key| key.scan.stream != stream);
        reads.retain(|key, own| {
            let stays = key.scan.stream != stream;
            *bytes -= if stays { 0 } else { own.bytes };
            stays
        });
    }
}

impl<T> Kept<T> {
    fn let_go(&mut self, key: &Key) {
        if let Some(read) = self.reads.remove(key) {
            self.bytes -= read.bytes;
        }
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
        let (one, _others) = (recent.sit_down(&spec(0)), [0; 9].map(|_| recent.sit_down(&spec(0))));
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
    fn what_all_have_had_is_kept_no_longer() {
        let recent = Recent::new(BYTES_MAX);
        let seats = [0; 3].map(|_| recent.sit_down(&spec(0)));
        let key = |first| seats[0].key(&entry(first), 1).unwrap();
        for first in 0..1_000 {
            recent.put(key(first), Arc::new(first), 10);
            assert_eq!(recent.get(&key(first)).as_deref(), Some(&first), "the second");
            assert_eq!(recent.get(&key(first)).as_deref(), Some(&first), "the third");
            assert!(recent.get(&key(first)).is_none());
        }
        let kept = recent.kept.lock();
        assert_eq!((kept.bytes, kept.reads.len()), (0, 0));
        assert!(kept.order.len() <= 2 * SHARE_MAX, "{}", kept.order.len());
    }

    #[test]
    fn another_projection_is_another_read() {
        let recent = Recent::new(BYTES_MAX);
        let narrow = ReadSpec { projection: Some(vec![1]), ..spec(0) };
        let (one, _two) = (recent.sit_down(&spec(0)), recent.sit_down(&spec(0)));
        let (three, four) = (recent.sit_down(&narrow), recent.sit_down(&narrow));
        recent.put(one.key(&entry(0), 1).unwrap(), Arc::new(1), 1);
        assert!(recent.get(&three.key(&entry(0), 1).unwrap()).is_none());
        assert!(recent.get(&one.key(&entry(0), 2).unwrap()).is_none(), "the stream has another schema since");
        drop(four);
        assert!(three.key(&entry(0), 1).is_none(), "the only one of these columns");
    }
}
