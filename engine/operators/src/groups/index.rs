//! A hash table from what is kept elsewhere to its number: eight bytes for an entry, and at best one cache line for a look-up.
//!
//! ```text
//!  slot     32 bits of the hash │ the number plus one        0: nobody is there
//! ```
//!
//! A place follows from the upper bits of those 32, and who finds it taken goes on to the next. So entries lie in the order of their
//! hashes, but for neighbours, and a table that grows is read and written from one end to the other, without a look at what its numbers
//! stand for. (The other side of that: entries that are put into a table in their order must be put into one that is large enough for all
//! of them. The first of many lie at its start, and would all be in each other's way in a small one.)

/// The table grows when so many slots of [`OF`] are taken.
const TAKEN: usize = 3;
const OF: usize = 4;

/// How many slots the first table has.
const SLOTS_MIN: usize = 16;

/// When it is emptied, a table keeps its memory if one slot in so many was taken.
const KEPT: usize = 32;

/// How many numbers there may be at most.
pub(super) const NUMBERS_MAX: usize = 3 << 30;

/// Numbers by hash.
#[derive(Default)]
pub(super) struct Index {
    /// A power of two, or none.
    slots: Vec<u64>,
    taken: usize,
    /// How far a hash's 32 bits are shifted to give its place.
    shift: u32,
}

impl Index {
    /// The number with this hash for which `is` holds; if there is none, `next` is put there.
    #[inline]
    pub fn intern(&mut self, hash: u64, next: u32, is: impl Fn(u32) -> bool) -> u32 {
        if self.taken * OF >= self.slots.len() * TAKEN {
            self.grow();
        }
        let tag = hash >> 32;
        let mut place = self.place(tag);
        loop {
            let slot = self.slots[place];
            if slot == 0 {
                self.slots[place] = tag << 32 | (u64::from(next) + 1);
                self.taken += 1;
                return next;
            }
            let number = number_in(slot);
            if slot >> 32 == tag && is(number) {
                return number;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn place(&self, tag: u64) -> usize {
        (tag >> self.shift) as usize
    }

    #[cold]
    fn grow(&mut self) {
        let before = std::mem::take(&mut self.slots);
        self.fill((before.len() * 2).max(SLOTS_MIN), before.into_iter().filter(|slot| *slot != 0));
    }

    /// A new table with these entries.
    fn fill(&mut self, slots: usize, entries: impl Iterator<Item = u64>) {
        self.slots = vec![0; slots];
        self.shift = u32::BITS - slots.ilog2();
        entries.for_each(|slot| self.put(slot));
    }

    /// Puts a slot of another table here.
    fn put(&mut self, slot: u64) {
        let mut place = self.place(slot >> 32);
        while self.slots[place] != 0 {
            place = (place + 1) & (self.slots.len() - 1);
        }
        self.slots[place] = slot;
    }

    /// The numbers in it.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().filter(|slot| **slot != 0).map(|slot| number_in(*slot))
    }

    /// Keeps those numbers alone for which `is` holds.
    pub fn retain(&mut self, is: impl Fn(u32) -> bool) {
        let mut kept = std::mem::take(self).slots;
        kept.retain(|slot| *slot != 0 && is(number_in(*slot)));
        if !kept.is_empty() {
            self.taken = kept.len();
            self.fill((kept.len() * OF / TAKEN + 1).next_power_of_two().max(SLOTS_MIN), kept.into_iter());
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.taken
    }

    /// Forgets all; keeps the memory, unless that is much more than there was in it.
    pub fn clear(&mut self) {
        if self.slots.len() > SLOTS_MIN && self.taken * KEPT < self.slots.len() {
            *self = Self::default();
        } else if self.taken > 0 {
            self.slots.fill(0);
            self.taken = 0;
        }
    }

    pub fn size(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }
}

#[inline]
fn number_in(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Values whose hashes are what `hash` says.
    fn check(values: u64, hash: impl Fn(u64) -> u64) {
        let (mut index, mut kept, mut expected) = (Index::default(), Vec::new(), HashMap::new());
        for value in (0..values).chain((0..values).rev()) {
            let next = kept.len() as u32;
            let number = index.intern(hash(value), next, |number| kept[number as usize] == value);
            if number == next {
                kept.push(value);
            }
            assert_eq!(number, *expected.entry(value).or_insert(next), "value {value} of {values}");
        }
        let mut numbers: Vec<u32> = index.numbers().collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..values as u32));
        index.retain(|number| number % 3 == 0);
        for value in (0..values).filter(|value| expected[value] % 3 == 0) {
            let found = index.intern(hash(value), u32::MAX - 1, |number| kept[number as usize] == value);
            assert_eq!(found, expected[&value]);
        }
        index.clear();
        assert!(index.len() == 0 && index.numbers().next().is_none());
        assert_eq!(index.intern(hash(1), 7, |_| true), 7);
    }

    #[test]
    fn numbers_are_found_again_whatever_their_hashes_are() {
        let mixed = |value: u64| value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for values in [2, 12, 13, 1_000, 200_000] {
            check(values, mixed);
        }
        check(300, |_| 0);
        check(300, |_| u64::MAX);
        // The same 32 bits in pairs, and all at the table's end, from where they go on to its start.
        check(3_000, |value| u64::MAX - ((value / 2) << 33));
    }

    #[test]
    fn an_emptied_table_does_not_stay_large_for_little() {
        let mut index = Index::default();
        let mixed = |value: u32| u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let fill = |index: &mut Index, values: u32| {
            for value in 0..values {
                index.intern(mixed(value), value, |number| number == value);
            }
        };
        fill(&mut index, 10_000);
        let large = index.size();
        index.clear();
        assert_eq!(index.size(), large);
        fill(&mut index, 10);
        index.clear();
        assert!(index.size() < large / 100);
    }
}
