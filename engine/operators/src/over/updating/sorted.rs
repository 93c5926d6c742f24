//! The rows of a partition in order.
//!
//! They lie in blocks of some hundred, so that a row is put in or taken out by moving few others, and is found by its position.

const BLOCK_MAX: usize = 512;

/// Numbers of rows, in order.
#[derive(Default)]
pub(super) struct Sorted {
    /// None is empty.
    blocks: Vec<Vec<u32>>,
    /// The position of each block's first row.
    starts: Vec<usize>,
    len: usize,
}

impl Sorted {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The block of a position, and the place there; the last block also for the position behind it.
    fn place(&self, position: usize) -> (usize, usize) {
        let block = self.starts.partition_point(|start| *start <= position).saturating_sub(1);
        (block, position - self.starts.get(block).copied().unwrap_or(0))
    }

    pub(super) fn at(&self, position: usize) -> Option<u32> {
        let (block, place) = self.place(position);
        self.blocks.get(block)?.get(place).copied()
    }

    /// How many rows `holds` is true for, which are all before those that it is not true for.
    pub(super) fn partition_point(&self, holds: impl Fn(u32) -> bool) -> usize {
        let after = self.blocks.partition_point(|block| holds(block[0]));
        let Some(block) = after.checked_sub(1) else { return 0 };
        self.starts[block] + self.blocks[block].partition_point(|row| holds(*row))
    }

    pub(super) fn insert(&mut self, position: usize, row: u32) {
        assert!(position <= self.len, "a row is put before or right behind others");
        self.len += 1;
        if self.blocks.is_empty() {
            self.blocks.push(vec![row]);
            self.starts.push(0);
            return;
        }
        let (block, place) = self.place(position);
        self.blocks[block].insert(place, row);
        self.starts[block + 1..].iter_mut().for_each(|start| *start += 1);
        if self.blocks[block].len() > BLOCK_MAX {
            // Rows that come in order leave full blocks behind.
            let kept = if position + 1 == self.len { BLOCK_MAX } else { BLOCK_MAX / 2 };
            let rest = self.blocks[block].split_off(kept);
            self.blocks.insert(block + 1, rest);
            self.starts.insert(block + 1, self.starts[block] + kept);
        }
    }

    pub(super) fn remove(&mut self, position: usize) -> u32 {
        assert!(position < self.len, "only a row that is there is taken out");
        let (block, place) = self.place(position);
        let row = self.blocks[block].remove(place);
        self.len -= 1;
        self.starts[block + 1..].iter_mut().for_each(|start| *start -= 1);
        let next = self.blocks.get(block + 1).map_or(BLOCK_MAX, Vec::len);
        if self.blocks[block].is_empty() {
            self.blocks.remove(block);
            self.starts.remove(block);
        } else if self.blocks[block].len() + next <= BLOCK_MAX / 2 {
            let next = self.blocks.remove(block + 1);
            self.starts.remove(block + 1);
            self.blocks[block].extend(next);
        }
        row
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn it_is_as_a_list() {
        for seed in 0..8 {
            let mut random = SmallRng::seed_from_u64(seed);
            let (mut sorted, mut list) = (Sorted::default(), Vec::new());
            for round in 0..12_000 {
                // It grows, shrinks to nothing, and grows again.
                let grows = if round % 6_000 < 3_000 { 0.8 } else { 0.15 };
                if list.is_empty() || random.random_bool(grows) {
                    let at_end = seed % 2 == 0;
                    let position = if at_end { list.len() } else { random.random_range(0..=list.len()) };
                    sorted.insert(position, round);
                    list.insert(position, round);
                } else {
                    let position = random.random_range(0..list.len());
                    assert_eq!(sorted.remove(position), list.remove(position));
                }
                assert_eq!((sorted.len(), sorted.is_empty()), (list.len(), list.is_empty()));
                let position = random.random_range(0..=list.len());
                assert_eq!(sorted.at(position), list.get(position).copied());
            }
            assert!(sorted.rows().eq(list.iter().copied()));
            assert!(sorted.blocks.len() < list.len() / 32 + 2, "{} blocks", sorted.blocks.len());
        }
    }

    #[test]
    fn rows_are_found_by_what_they_are_ordered_by() {
        let mut sorted = Sorted::default();
        assert_eq!(sorted.partition_point(|_| true), 0);
        for row in 0..3_000 {
            let position = sorted.partition_point(|other| other < row * 7 % 3_000);
            sorted.insert(position, row * 7 % 3_000);
        }
        assert!(sorted.rows().is_sorted());
        for bound in [0, 1, 511, 512, 513, 2_999, 3_000] {
            assert_eq!(sorted.partition_point(|row| row < bound), bound as usize);
        }
    }
}
