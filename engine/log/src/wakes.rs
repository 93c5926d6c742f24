//! Who wants to know of new rows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::api::CommitGuard;

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The version of the log and those who are woken when it grows.
#[derive(Default)]
pub(crate) struct Wakes {
    version: AtomicU64,
    /// Replaced as a whole, so that calling them holds no lock.
    subscribers: Mutex<Arc<Vec<(u64, Wake)>>>,
    next_id: AtomicU64,
}

struct Subscription {
    wakes: Weak<Wakes>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(wakes) = self.wakes.upgrade() {
            let mut subscribers = wakes.subscribers.lock();
            let rest = subscribers.iter().filter(|(id, _)| *id != self.id).cloned().collect();
            *subscribers = Arc::new(rest);
        }
    }
}

impl Wakes {
    /// The number of commits that made rows visible.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Notes a commit and wakes the subscribers.
    pub(crate) fn committed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
        let subscribers = Arc::clone(&self.subscribers.lock());
        for (_, wake) in subscribers.iter() {
            wake();
        }
    }

    /// Calls `wake` after each commit until the guard is dropped.
    pub(crate) fn subscribe(self: &Arc<Self>, wake: Wake) -> CommitGuard {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut subscribers = self.subscribers.lock();
        let more = subscribers.iter().cloned().chain([(id, wake)]).collect();
        *subscribers = Arc::new(more);
        CommitGuard::new(Subscription { wakes: Arc::downgrade(self), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_ends_with_its_guard() {
        let wakes = Arc::new(Wakes::default());
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let guard = wakes.subscribe(Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        wakes.committed();
        drop(guard);
        wakes.committed();
        assert_eq!((count.load(Ordering::Relaxed), wakes.version()), (1, 2));
    }
}
