//! Rows that have no end of their own and are forgotten when they have not changed for a while.
//!
//! A row's time is the watermark behind the step that last changed it. So a step's rows are never forgotten within it, however far they
//! lie apart, and when a row goes follows from the steps alone. What was said of a row stays said: the count of matches of the rows that
//! it met is not changed, and its retraction, should it still come, is not heard.

use hashbrown::HashMap;
use headwater_core::EventTime;

use super::expiry::Expiry;
use super::rows::RowStore;

/// The time of a row that came before any watermark; the first one gives it another.
pub(super) const UNDATED: i64 = i64::MIN;

/// What is known of when rows are forgotten.
pub(super) struct Lasting {
    /// Of each side; `None`: its rows stay.
    ttl: [Option<i64>; 2],
    ends: [Expiry; 2],
    /// Rows that this step has changed, and whether they are new.
    changed: [Vec<(u32, bool)>; 2],
    /// Retractions that have found no row in this step; an addition may follow within it.
    owed: [HashMap<Box<[u8]>, i64>; 2],
}

impl Lasting {
    pub(super) fn new(ttl: [Option<i64>; 2]) -> Self {
        Self { ttl, ends: Default::default(), changed: Default::default(), owed: Default::default() }
    }

    /// How much of a change is to be made to a row that is there so often.
    pub(super) fn settle(&mut self, side: usize, bytes: &[u8], weight: i64, there: i64) -> i64 {
        let owed = &mut self.owed[side];
        if weight < 0 {
            let made = weight.max(-there.max(0));
            if made > weight {
                *owed.entry(bytes.into()).or_default() += made - weight;
            }
            return made;
        }
        match owed.get_mut(bytes) {
            Some(open) => {
                let paid = weight.min(*open);
                *open -= paid;
                weight - paid
            }
            None => weight,
        }
    }

    /// A row has changed.
    pub(super) fn change(&mut self, side: usize, row: u32, fresh: bool) {
        self.changed[side].push((row, fresh));
    }

    /// Takes a row of a snapshot.
    pub(super) fn restore(&mut self, side: usize, row: u32, store: &RowStore) {
        let Some(ttl) = self.ttl[side] else { return };
        let entry = store.entry(row);
        self.ends[side].push(store.date(row).saturating_add(ttl), entry.sequence, row);
    }

    /// At the end of a step: dates what it has changed, and lets go of what has not changed for long.
    pub(super) fn pass(&mut self, watermark: i64, sides: &mut [RowStore; 2]) {
        for (side, store) in sides.iter_mut().enumerate() {
            self.owed[side].clear();
            let Some(ttl) = self.ttl[side] else {
                self.changed[side].clear();
                continue;
            };
            for (row, fresh) in std::mem::take(&mut self.changed[side]) {
                if store.is_gone(row) {
                    continue;
                }
                store.set_date(row, watermark);
                if fresh {
                    let sequence = store.entry(row).sequence;
                    self.ends[side].push(watermark.saturating_add(ttl), sequence, row);
                }
            }
            while let Some((end, sequence, row)) = self.ends[side].pop_entry(watermark) {
                if store.is_gone(row) || store.entry(row).sequence != sequence {
                    continue;
                }
                if store.date(row) == UNDATED {
                    store.set_date(row, watermark);
                    store.touch(row);
                }
                let until = store.date(row).saturating_add(ttl);
                if until > end {
                    self.ends[side].push(until, sequence, row);
                } else {
                    let entry = store.entry(row);
                    let (key, weight) = (entry.key, entry.weight);
                    store.totals[key as usize] -= weight;
                    store.remove(row);
                }
            }
        }
    }

    /// The watermark at which the next row may have to go.
    pub(super) fn next(&self) -> Option<EventTime> {
        self.ends.iter().filter_map(Expiry::next).min()
    }

    pub(super) fn size(&self) -> usize {
        self.ends.iter().map(Expiry::size).sum()
    }
}
