//! Who wants to know of new rows of which streams.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use headwater_core::StreamId;
use parking_lot::Mutex;

use crate::api::CommitGuard;

type Wake = Arc<dyn Fn() + Send + Sync>;

/// Those who are woken when a stream grows.
type Subscribers = Arc<Vec<(u64, Wake)>>;

/// The version of the log and those who are woken when it grows.
#[derive(Default)]
pub(crate) struct Wakes {
    version: AtomicU64,
    /// Changed in place, or in a copy while they are being called: so calling them holds no lock.
    subscribers: Mutex<HashMap<StreamId, Subscribers>>,
    next_id: AtomicU64,
}

struct Subscription {
    wakes: Weak<Wakes>,
    streams: Vec<StreamId>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(wakes) = self.wakes.upgrade() else { return };
        let mut subscribers = wakes.subscribers.lock();
        for stream in &self.streams {
            let Some(own) = subscribers.get_mut(stream) else { continue };
            Arc::make_mut(own).retain(|(id, _)| *id != self.id);
            if own.is_empty() {
                subscribers.remove(stream);
            }
        }
    }
}

impl Wakes {
    /// The number of commits that made rows visible.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Notes a commit that made rows of these streams visible, and wakes who waits for one of them; none: nothing has happened. A stream
    /// may be there more than once.
    pub(crate) fn committed(&self, mut streams: Vec<StreamId>) {
        if streams.is_empty() {
            return;
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        streams.sort_unstable();
        streams.dedup();
        self.wake(&streams);
    }

    /// Wakes who waits for a stream that is gone: its readers are told so when they look.
    pub(crate) fn dropped(&self, stream: StreamId) {
        self.wake(&[stream]);
    }

    fn wake(&self, streams: &[StreamId]) {
        let woken: Vec<Subscribers> = {
            let subscribers = self.subscribers.lock();
            streams.iter().filter_map(|stream| subscribers.get(stream).cloned()).collect()
        };
        for (_, wake) in woken.iter().flat_map(|subscribers| subscribers.iter()) {
            wake();
        }
    }

    /// Calls `wake` after each commit to one of the streams until the guard is dropped.
    pub(crate) fn subscribe(self: &Arc<Self>, streams: &[StreamId], wake: Wake) -> CommitGuard {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut streams = streams.to_vec();
        streams.sort_unstable();
        streams.dedup();
        let mut subscribers = self.subscribers.lock();
        for stream in &streams {
            let own = subscribers.entry(*stream).or_default();
            Arc::make_mut(own).push((id, Arc::clone(&wake)));
        }
        CommitGuard::new(Subscription { wakes: Arc::downgrade(self), streams, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: StreamId = StreamId(1);
    const OTHER: StreamId = StreamId(2);

    fn counting(wakes: &Arc<Wakes>, streams: &[StreamId]) -> (Arc<AtomicU64>, CommitGuard) {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let guard = wakes.subscribe(
            streams,
            Arc::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
            }),
        );
        (count, guard)
    }

    #[test]
    fn a_subscription_ends_with_its_guard() {
        let wakes = Arc::new(Wakes::default());
        let (count, guard) = counting(&wakes, &[ONE]);
        wakes.committed(vec![ONE]);
        drop(guard);
        wakes.committed(vec![ONE]);
        assert_eq!((count.load(Ordering::Relaxed), wakes.version()), (1, 2));
        assert!(wakes.subscribers.lock().is_empty());
    }

    #[test]
    fn a_commit_wakes_those_of_its_streams_alone() {
        let wakes = Arc::new(Wakes::default());
        let (one, _guard_one) = counting(&wakes, &[ONE]);
        let (other, _guard_other) = counting(&wakes, &[OTHER]);
        let (both, guard_both) = counting(&wakes, &[ONE, OTHER, ONE]);
        wakes.committed(vec![ONE, ONE]);
        wakes.committed(vec![StreamId(3)]);
        wakes.committed(vec![]);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        assert_eq!((read(&one), read(&other), read(&both)), (1, 0, 1));
        drop(guard_both);
        wakes.committed(vec![OTHER]);
        assert_eq!((read(&one), read(&other), read(&both), wakes.version()), (1, 1, 1, 3));
    }
}
