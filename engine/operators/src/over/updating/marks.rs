//! States of running aggregates at some positions of a partition, so that a change is followed from a place before it and not from
//! the partition's first row.
//!
//! Towards the end they lie close: at multiples of 16, 32, 64, ..., each as long as the end is no further away than twice that number. So
//! what is read before a change is about as much as what follows it, and there are few of them. They are in no snapshot: a state that was
//! put down here is, bit by bit, the one that adding all rows before it leads to.

use arrow::array::ArrayRef;

const CLOSEST: u32 = 16;

/// An aggregate's state over the rows before a position.
#[derive(Clone)]
pub(super) struct Mark {
    pub(super) position: u64,
    pub(super) state: Vec<ArrayRef>,
}

/// Those of one frame in one partition, in order.
#[derive(Clone, Default)]
pub(super) struct Marks(Vec<Mark>);

/// Whether there is to be one at a position of a partition of `len` rows.
pub(super) fn is_wanted(position: u64, len: usize) -> bool {
    position > 0
        && position.is_multiple_of(u64::from(CLOSEST))
        && (len as u64).saturating_sub(position) >> position.trailing_zeros() <= 2
        && len as u64 > u64::from(CLOSEST) * 2
}

impl Marks {
    /// Rows from `first` on have changed.
    pub(super) fn cut(&mut self, first: usize) {
        self.0.retain(|mark| mark.position <= first as u64);
    }

    /// The last one at or before a position.
    pub(super) fn before(&self, position: u64) -> Option<&Mark> {
        self.0.iter().rev().find(|mark| mark.position <= position)
    }

    pub(super) fn add(&mut self, mark: Mark) {
        let place = self.0.partition_point(|other| other.position < mark.position);
        if self.0.get(place).is_none_or(|other| other.position != mark.position) {
            self.0.insert(place, mark);
        }
    }

    /// Drops those that are not wanted any more.
    pub(super) fn thin(&mut self, len: usize) {
        self.0.retain(|mark| is_wanted(mark.position, len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_few_and_one_is_always_near() {
        for len in [10_usize, 33, 100, 1_000, 10_000, 123_457] {
            let wanted: Vec<u64> = (0..=len as u64).filter(|position| is_wanted(*position, len)).collect();
            assert!(wanted.len() as u32 <= 3 * (usize::BITS - len.leading_zeros()), "{len}: {wanted:?}");
            for behind in 0..len as u64 {
                let place = len as u64 - behind;
                let before = wanted.iter().rev().find(|position| **position <= place).copied().unwrap_or(0);
                assert!(place - before <= behind + 32, "{len}: {before} is far before {place}");
            }
        }
    }

    /// Those that are wanted later were wanted when they were passed.
    #[test]
    fn none_is_missed_as_rows_come_at_the_end() {
        for position in (1..4_000_u64).filter(|position| is_wanted(*position, 4_000)) {
            assert!((position as usize..4_000).all(|len| len <= 32 || is_wanted(position, len)));
        }
    }
}
