//! What was answered, by key, and no more of it than may be kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;

/// What a key's answer was.
#[derive(Clone)]
pub(super) struct Entry {
    /// The rows of all keys that were asked together, and which of them are this key's.
    pub(super) rows: Arc<RecordBatch>,
    pub(super) range: Range<usize>,
    /// The key's own columns: a row of the batch of keys that were asked together.
    pub(super) keys: Arc<RecordBatch>,
    pub(super) key: usize,
    /// When it was asked, in nanoseconds since the epoch.
    pub(super) at: i64,
    /// Its place in the order in which keys were asked.
    pub(super) order: u64,
}

/// The entries, oldest first, and which of them changed since they were last written down.
#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<Box<[u8]>, Entry>,
    by_order: BTreeMap<u64, Box<[u8]>>,
    next_order: u64,
    changed: BTreeSet<u64>,
    /// Those that have gone: their key's columns.
    gone: Vec<(Arc<RecordBatch>, usize)>,
}

impl Cache {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of the next that is asked.
    pub(super) fn next_order(&self) -> u64 {
        self.next_order
    }

    /// Puts an entry; one that is restored counts as unchanged.
    pub(super) fn put(&mut self, key: Box<[u8]>, entry: Entry, is_change: bool) {
        let order = entry.order;
        self.next_order = self.next_order.max(order + 1);
        self.by_order.insert(order, key.clone());
        if is_change {
            self.changed.insert(order);
        }
        if let Some(before) = self.entries.insert(key, entry) {
            self.by_order.remove(&before.order);
            self.changed.remove(&before.order);
        }
    }

    /// Removes an entry; when restored, without noting it.
    pub(super) fn remove(&mut self, key: &[u8], is_change: bool) {
        let Some(entry) = self.entries.remove(key) else { return };
        self.by_order.remove(&entry.order);
        self.changed.remove(&entry.order);
        if is_change {
            self.gone.push((entry.keys, entry.key));
        }
    }

    /// Keeps no more than so many keys: the ones that were asked last. Those without rows go first if they are not to be kept.
    pub(super) fn shrink(&mut self, keys_max: usize, keeps_missing: bool, asked_since: u64) {
        if !keeps_missing {
            let missing = self.by_order.range(asked_since..).map(|(_, key)| key);
            let missing =
                missing.filter(|key| self.entries.get(*key).is_some_and(|entry| entry.range.is_empty()));
            for key in missing.cloned().collect::<Vec<_>>() {
                self.remove(&key, true);
            }
        }
        while self.entries.len() > keys_max {
            let Some((_, key)) = self.by_order.first_key_value() else { return };
            self.remove(&key.clone(), true);
        }
    }

    /// What has changed since the last call, or everything, in order; and the keys that have gone.
    pub(super) fn drain(&mut self, full: bool) -> (Vec<Entry>, Vec<(Arc<RecordBatch>, usize)>) {
        let changed = std::mem::take(&mut self.changed);
        let gone = std::mem::take(&mut self.gone);
        let written = self.by_order.iter().filter(|(order, _)| full || changed.contains(order));
        let entries = written.filter_map(|(_, key)| self.entries.get(key).cloned()).collect();
        (entries, if full { Vec::new() } else { gone })
    }
}
