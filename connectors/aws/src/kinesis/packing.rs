//! Rows by the shard that they will find, so that many of them go as one aggregated record.
//!
//! ```text
//!  hash keys   0 ......... | ............ | ......... 2^128-1
//!              shard A     | shard B      | shard C
//!  rows        r1 r4 r5    | r2           | r3 r6
//!              '- record -'  '- record -'   '- record -'       one of each shard in a request
//! ```
//!
//! An aggregated record lands in one shard, and readers drop what is in it of another. So a record holds rows of one shard, and each shard
//! has one record under way: rows of a key stay in order, as they are all of one shard.

use std::collections::VecDeque;

/// The least and greatest hash key of a shard.
pub(super) type HashRange = (u128, u128);

/// Rows that wait, by shard. An item comes with its hash key.
pub(super) struct ByShard<T> {
    shards: Vec<Queue<T>>,
    len: usize,
}

struct Queue<T> {
    id: String,
    range: HashRange,
    items: VecDeque<(u128, T)>,
}

/// Items that go as one record, and to which shard.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Packed<T> {
    /// The shard that they should find.
    pub shard: String,
    /// They, in order.
    pub items: Vec<(u128, T)>,
}

/// How much goes together.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// How many items a record has at most.
    pub count: usize,
    /// And what they may measure; one item always goes.
    pub size: usize,
    /// How many records go at most.
    pub records: usize,
    /// And what they may measure; one always goes.
    pub size_of_all: usize,
}

impl<T> ByShard<T> {
    /// Nothing yet, for a stream with these open shards.
    pub(super) fn new(shards: Vec<(String, HashRange)>) -> Self {
        let queue = |(id, range)| Queue { id, range, items: VecDeque::new() };
        let mut shards: Vec<_> = shards.into_iter().map(queue).collect();
        shards.sort_by_key(|queue| queue.range);
        Self { shards, len: 0 }
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds an item behind the others of its shard.
    pub(super) fn push(&mut self, hash: u128, item: T) {
        if let Some(queue) = self.queue_of(hash) {
            queue.items.push_back((hash, item));
            self.len += 1;
        }
    }

    fn queue_of(&mut self, hash: u128) -> Option<&mut Queue<T>> {
        // The ranges of open shards cover all keys without gaps.
        let after = self.shards.partition_point(|queue| queue.range.0 <= hash);
        self.shards.get_mut(after.saturating_sub(1))
    }

    /// The first items of shards, each shard's as one. All of them come back through [`ByShard::put_back`] or have arrived before any are
    /// taken again.
    pub(super) fn take(&mut self, bounds: Bounds, size: impl Fn(&T) -> usize) -> Vec<Packed<T>> {
        let (mut all, mut total) = (Vec::new(), 0);
        // The shard for which most waits goes first.
        let mut order: Vec<usize> = (0..self.shards.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(self.shards[*index].items.len()));
        for index in order.into_iter().take(bounds.records) {
            let queue = &mut self.shards[index];
            let (mut items, mut own) = (Vec::new(), 0);
            while items.len() < bounds.count
                && let Some((_, item)) = queue.items.front()
            {
                let one = size(item);
                let fits = own + one <= bounds.size && total + own + one <= bounds.size_of_all;
                if !fits && !(items.is_empty() && (all.is_empty() || total + one <= bounds.size_of_all)) {
                    break;
                }
                own += one;
                items.extend(queue.items.pop_front());
            }
            total += own;
            self.len -= items.len();
            if !items.is_empty() {
                all.push(Packed { shard: queue.id.clone(), items });
            }
        }
        all
    }

    /// Items that have not arrived: they go again, before all others of their shard, in this order.
    pub(super) fn put_back(&mut self, items: impl DoubleEndedIterator<Item = (u128, T)>) {
        for (hash, item) in items.rev() {
            if let Some(queue) = self.queue_of(hash) {
                queue.items.push_front((hash, item));
                self.len += 1;
            }
        }
    }

    /// The hash keys of a shard, if it is known.
    pub(super) fn range_of(&self, shard: &str) -> Option<HashRange> {
        self.shards.iter().find(|queue| queue.id == shard).map(|queue| queue.range)
    }

    /// The stream has other shards now. Items of one key stay in order, as they were in one queue.
    pub(super) fn reshard(&mut self, shards: Vec<(String, HashRange)>) {
        let before = std::mem::replace(self, Self::new(shards));
        for (hash, item) in before.shards.into_iter().flat_map(|queue| queue.items) {
            self.push(hash, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { count: 3, size: 100, records: 10, size_of_all: 1_000 };

    fn two() -> ByShard<u32> {
        let mut rows = ByShard::new(vec![("b".to_owned(), (50, u128::MAX)), ("a".to_owned(), (0, 49))]);
        for (hash, item) in [(0, 1), (60, 2), (49, 3), (50, 4), (7, 5), (7, 6)] {
            rows.push(hash, item);
        }
        rows
    }

    fn shown(taken: &[Packed<u32>]) -> Vec<(&str, Vec<u32>)> {
        taken
            .iter()
            .map(|one| (one.shard.as_str(), one.items.iter().map(|(_, item)| *item).collect()))
            .collect()
    }

    #[test]
    fn a_record_holds_rows_of_one_shard_and_what_comes_back_goes_first() {
        let mut rows = two();
        let mut taken = rows.take(BOUNDS, |_| 1);
        assert_eq!(shown(&taken), [("a", vec![1, 3, 5]), ("b", vec![2, 4])]);
        assert_eq!(rows.len(), 1);
        rows.put_back(taken.remove(0).items.into_iter());
        assert_eq!(shown(&rows.take(BOUNDS, |_| 1)), [("a", vec![1, 3, 5])]);
        assert_eq!(shown(&rows.take(BOUNDS, |_| 1)), [("a", vec![6])]);
        assert!(rows.take(BOUNDS, |_| 1).is_empty() && rows.len() == 0);
    }

    #[test]
    fn records_and_requests_are_bounded_but_one_row_always_goes() {
        let mut rows = two();
        assert_eq!(shown(&rows.take(Bounds { size: 1, records: 1, ..BOUNDS }, |_| 2)), [("a", vec![1])]);
        let taken = rows.take(Bounds { size_of_all: 3, ..BOUNDS }, |_| 1);
        assert_eq!(shown(&taken), [("a", vec![3, 5, 6])]);
        let taken = rows.take(Bounds { size_of_all: 1, ..BOUNDS }, |_| 5);
        assert_eq!(shown(&taken), [("b", vec![2])]);
    }

    #[test]
    fn a_split_shard_shares_out_what_waits() {
        let mut rows = two();
        rows.reshard(vec![
            ("c".to_owned(), (0, 6)),
            ("d".to_owned(), (7, 49)),
            ("b".to_owned(), (50, u128::MAX)),
        ]);
        assert_eq!((rows.range_of("d"), rows.range_of("a")), (Some((7, 49)), None));
        assert_eq!(
            shown(&rows.take(BOUNDS, |_| 1)),
            [("d", vec![3, 5, 6]), ("b", vec![2, 4]), ("c", vec![1])]
        );
    }
}
