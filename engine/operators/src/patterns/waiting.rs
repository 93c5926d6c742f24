//! Rows that wait for the watermark.
//!
//! They mostly come in order: what is new is sorted when the watermark moves, and merged with what had to wait longer.

use std::collections::VecDeque;

use super::buffer::Place;

/// A row that waits, in the order of its partition.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Waiting {
    pub(super) time: i64,
    /// What rows of the same time are ordered by.
    pub(super) order: Box<[u8]>,
    /// Which row it was of all that this instance has had.
    pub(super) arrival: u64,
    pub(super) partition: u32,
    pub(super) sequence: i64,
    pub(super) place: Place,
    /// The variables that the row can be one of, as bits.
    pub(super) may_be: u64,
    /// In a snapshot.
    pub(super) saved: bool,
}

/// The rows that wait.
#[derive(Default)]
pub(super) struct Queue {
    /// In order.
    sorted: VecDeque<Waiting>,
    /// Since the watermark last moved.
    fresh: Vec<Waiting>,
}

impl Queue {
    pub(super) fn push(&mut self, row: Waiting) {
        self.fresh.push(row);
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len() + self.fresh.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The least time of a row.
    pub(super) fn first_time(&self) -> Option<i64> {
        self.sorted.front().into_iter().chain(&self.fresh).map(|row| row.time).min()
    }

    /// Puts all rows in order.
    pub(super) fn sort(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort();
        let Some(first) = fresh.first() else { return };
        // Only those that lie behind the first new one have to be merged.
        let from = self.sorted.partition_point(|row| row < first);
        let mut tail = self.sorted.split_off(from);
        if tail.is_empty() {
            self.sorted.extend(fresh);
            return;
        }
        for row in fresh {
            while tail.front().is_some_and(|before| *before < row) {
                self.sorted.extend(tail.pop_front());
            }
            self.sorted.push_back(row);
        }
        self.sorted.append(&mut tail);
    }

    /// The next row, if its time lies before this; `None` for any time. All rows must be in order.
    pub(super) fn pop_before(&mut self, time: Option<i64>) -> Option<Waiting> {
        debug_assert!(self.fresh.is_empty(), "new rows are put in order first");
        let is_due = self.sorted.front().is_some_and(|row| time.is_none_or(|time| row.time < time));
        if is_due { self.sorted.pop_front() } else { None }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.sorted.iter_mut().chain(&mut self.fresh)
    }

    pub(super) fn size(&self) -> usize {
        (self.sorted.capacity() + self.fresh.capacity()) * size_of::<Waiting>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_leave_in_order_whenever_they_come() {
        let mut queue = Queue::default();
        let mut arrival = 0;
        let mut push = |queue: &mut Queue, times: &[i64]| {
            for time in times {
                arrival += 1;
                queue.push(Waiting {
                    time: *time,
                    order: Box::default(),
                    arrival,
                    partition: 0,
                    sequence: 0,
                    place: Place { batch: 0, row: 0 },
                    may_be: 0,
                    saved: false,
                });
            }
        };
        let drain = |queue: &mut Queue, time: Option<i64>| -> Vec<(i64, u64)> {
            queue.sort();
            std::iter::from_fn(|| queue.pop_before(time)).map(|row| (row.time, row.arrival)).collect()
        };
        push(&mut queue, &[5, 3, 9, 3]);
        assert_eq!(drain(&mut queue, Some(5)), [(3, 2), (3, 4)]);
        push(&mut queue, &[6, 9, 4]);
        assert_eq!(drain(&mut queue, Some(9)), [(4, 7), (5, 1), (6, 5)]);
        assert_eq!(queue.len(), 2);
        push(&mut queue, &[9, 8]);
        assert_eq!(drain(&mut queue, None), [(8, 9), (9, 3), (9, 6), (9, 8)]);
        assert!(queue.is_empty());
    }
}
