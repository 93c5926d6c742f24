//! Hash maps from integers and from bytes to dense numbers, with a fixed seed.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::bits::Bits;
use super::index::{Index, NUMBERS_MAX};
use crate::paged::PagedVec;

pub(super) const SEED: u64 = 0x4865_6164_7761_7465;

/// The hash by which byte strings are looked up, everywhere.
#[inline]
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    FixedState::with_seed(SEED).hash_one(bytes)
}

/// Integers below this are looked up in an array: no hashing, one cache line.
const DIRECT: usize = 1 << 16;

/// The array grows to a power of two if of the integers below that at least one in so many is there: then it takes about as much memory as
/// hashing them.
const DENSE_ONE_IN: usize = 8;

/// With fewer integers that are hashed the array stays as it is.
const HASHED_MIN: usize = DIRECT / DENSE_ONE_IN;

/// The most bits of an integer in the array.
const DENSE_BITS_MAX: u32 = 28;

/// So many entries of the array are looked at for a number of which the place is wanted: more, and sorting is faster.
const SCAN_MAX: usize = 16;

/// Integers to dense numbers, in order of first appearance.
pub(crate) struct IntMap {
    /// For integers below [`Self::dense`]: the number plus one, or 0.
    direct: Vec<u32>,
    dense: usize,
    /// The others.
    hashed: Index,
    values: PagedVec<i64>,
}

impl Default for IntMap {
    fn default() -> Self {
        Self { direct: Vec::new(), dense: DIRECT, hashed: Index::default(), values: PagedVec::new() }
    }
}

impl IntMap {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Gives a number to a value that is looked up elsewhere.
    pub(crate) fn push(&mut self, value: i64) -> u32 {
        self.values.push(value);
        number(self.values.len() - 1)
    }

    #[inline]
    pub(crate) fn value(&self, id: u32) -> i64 {
        self.values[id]
    }

    #[inline]
    pub(crate) fn intern(&mut self, value: i64) -> u32 {
        match usize::try_from(value) {
            Ok(small) if small < self.dense => self.intern_small(small),
            _ => self.intern_hashed(value),
        }
    }

    #[inline]
    fn intern_small(&mut self, value: usize) -> u32 {
        if value >= self.direct.len() {
            self.direct.resize((value + 1).next_power_of_two(), 0);
        }
        let slot = &mut self.direct[value];
        if *slot == 0 {
            self.values.push(value as i64);
            *slot = number(self.values.len());
        }
        *slot - 1
    }

    #[inline]
    fn intern_hashed(&mut self, value: i64) -> u32 {
        let hash = FixedState::with_seed(SEED).hash_one(value);
        let next = self.values.len();
        let values = &self.values;
        let id = self.hashed.intern(hash, number(next), |id| values[id] == value);
        if id as usize == next {
            self.values.push(value);
            let hashed = self.hashed.len();
            if hashed >= HASHED_MIN && hashed.is_power_of_two() {
                self.grow_direct();
            }
        }
        id
    }

    /// Looks integers up in a larger array from now on, if there are many that are small.
    #[cold]
    fn grow_direct(&mut self) {
        let mut of_bits = [0_usize; DENSE_BITS_MAX as usize + 1];
        for value in self.values.iter() {
            let bits = u64::BITS - value.leading_zeros();
            if let Some(count) = of_bits.get_mut(bits as usize) {
                *count += 1;
            }
        }
        let (mut below, mut dense) = (0, self.dense);
        for (bits, count) in of_bits.into_iter().enumerate() {
            below += count;
            if below * DENSE_ONE_IN >= 1 << bits {
                dense = dense.max(1 << bits);
            }
        }
        if dense == self.dense {
            return;
        }
        self.dense = dense;
        // Memory that is new is cleared where it is first used.
        let before = std::mem::replace(&mut self.direct, vec![0; dense]);
        self.direct[..before.len()].copy_from_slice(&before);
        let is_small = |value: i64| usize::try_from(value).is_ok_and(|value| value < dense);
        for id in self.hashed.numbers() {
            let value = self.values[id];
            if is_small(value) {
                self.direct[value as usize] = id + 1;
            }
        }
        let values = &self.values;
        self.hashed.retain(|id| !is_small(values[id]));
    }

    /// Whether numbers of so many integers are put in the order of those by no more than a look at the array.
    pub(super) fn has_in_order(&self, count: usize) -> bool {
        self.hashed.len() == 0 && count.saturating_mul(SCAN_MAX) >= self.direct.len()
    }

    /// Adds numbers to `found` in the order of their integers, at most so many, from an entry of the array on; all, or those that are
    /// wanted. The answer is the entry behind them.
    pub(super) fn scan(
        &self,
        from: usize,
        count: usize,
        wanted: Option<&Bits>,
        found: &mut Vec<u32>,
    ) -> usize {
        let full = found.len().saturating_add(count);
        let mut next = from;
        while next < self.direct.len() && found.len() < full {
            if let Some(id) = self.direct[next].checked_sub(1)
                && wanted.is_none_or(|wanted| wanted.has(id))
            {
                found.push(id);
            }
            next += 1;
        }
        next
    }

    /// Puts numbers of integers, each of which is there once, in the order of those, if that takes no more than a look at the array. The
    /// answer is whether it has.
    pub(crate) fn sort_by_array(&self, ids: &mut [u32]) -> bool {
        if !self.has_in_order(ids.len()) {
            return false;
        }
        let wanted = Bits::of(ids.iter().copied());
        let found =
            self.direct.iter().filter_map(|number| number.checked_sub(1)).filter(|id| wanted.has(*id));
        ids.iter_mut().zip(found).for_each(|(place, id)| *place = id);
        true
    }

    /// Gives a number to a value that is not looked up, such as NULL.
    pub(crate) fn push_unmapped(&mut self) -> u32 {
        self.push(0)
    }

    /// Forgets all, keeps the memory.
    pub(crate) fn clear(&mut self) {
        for value in self.values.iter() {
            if let Some(slot) = usize::try_from(*value).ok().and_then(|small| self.direct.get_mut(small)) {
                *slot = 0;
            }
        }
        self.values.clear();
        self.hashed.clear();
    }

    pub(crate) fn size(&self) -> usize {
        self.direct.capacity() * 4 + self.hashed.size() + self.values.size()
    }
}

/// Byte strings to dense numbers, in order of first appearance. The bytes lie one after the other in one arena.
#[derive(Default)]
pub(crate) struct BytesMap {
    hashed: Index,
    arena: Vec<u8>,
    ends: Vec<usize>,
}

impl BytesMap {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn value(&self, id: u32) -> &[u8] {
        value(&self.arena, &self.ends, id)
    }

    #[inline]
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> u32 {
        let next = self.ends.len();
        let Self { hashed, arena, ends } = self;
        let id = hashed.intern(hash_bytes(bytes), number(next), |id| is_same(value(arena, ends, id), bytes));
        if id as usize == next {
            arena.extend_from_slice(bytes);
            ends.push(arena.len());
        }
        id
    }

    /// Gives a number to a value that is not looked up, such as NULL.
    pub(crate) fn push_unmapped(&mut self) -> u32 {
        self.ends.push(self.arena.len());
        number(self.ends.len() - 1)
    }

    /// Forgets all, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.hashed.clear();
        self.arena.clear();
        self.ends.clear();
    }

    pub(crate) fn size(&self) -> usize {
        self.hashed.size() + self.arena.capacity() + self.ends.capacity() * 8
    }
}

/// Whether byte strings are equal. Keys are mostly short, and a call of `memcmp` costs more than to compare them in place.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let len = one.len();
    if len != other.len() {
        return false;
    }
    match len {
        // Both halves, which may overlap.
        8..=16 => {
            one.first_chunk::<8>() == other.first_chunk::<8>()
                && one.last_chunk::<8>() == other.last_chunk::<8>()
        }
        4..8 => {
            one.first_chunk::<4>() == other.first_chunk::<4>()
                && one.last_chunk::<4>() == other.last_chunk::<4>()
        }
        _ => one == other,
    }
}

fn value<'a>(arena: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &arena[start..ends[id]]
}

pub(super) fn number(index: usize) -> u32 {
    assert!(index < NUMBERS_MAX, "an instance has less than three billion groups");
    index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of values are in the order in which they first come, wherever they are looked up.
    fn check(values: &[i64]) -> IntMap {
        let (mut map, mut expected) = (IntMap::default(), std::collections::HashMap::new());
        for value in values.iter().chain(values) {
            let next = expected.len() as u32;
            assert_eq!(map.intern(*value), *expected.entry(*value).or_insert(next), "{value}");
        }
        assert_eq!(map.len(), expected.len());
        assert!(expected.iter().all(|(value, id)| map.value(*id) == *value));
        let mut ids: Vec<u32> = (0..map.len() as u32).rev().filter(|id| id % 7 != 3).collect();
        let mut sorted = ids.clone();
        sorted.sort_by_key(|id| map.value(*id));
        if map.sort_by_array(&mut ids) {
            assert_eq!(ids, sorted);
        }
        map
    }

    #[test]
    fn small_integers_come_to_be_looked_up_in_an_array() {
        let many = 1 << 17;
        let scattered = |factor: i64| -> Vec<i64> { (0..many).map(|n| n * 7_919 % many * factor).collect() };
        let dense = check(&scattered(3));
        assert_eq!((dense.hashed.len(), dense.dense), (0, 1 << 19));
        let mut ids = vec![dense.len() as u32 - 1, 0];
        assert!(!dense.sort_by_array(&mut ids), "two numbers are not worth a look at all of the array");
        assert_eq!(check(&scattered(1 << 20)).dense, DIRECT);
        assert_eq!(check(&scattered(-1)).dense, DIRECT);
        // Some that are large, and some that are less than nothing, among the others.
        let mixed: Vec<i64> =
            scattered(2).into_iter().map(|n| if n % 5 == 0 { n << 40 } else { n }).collect();
        assert!(check(&mixed).hashed.len() > many as usize / 10);
        let mixed: Vec<i64> = scattered(2).into_iter().map(|n| if n % 10 == 0 { -n } else { n }).collect();
        let map = check(&mixed);
        assert!(map.dense > DIRECT && map.hashed.len() > many as usize / 10);
    }

    #[test]
    fn a_map_that_was_cleared_is_as_new() {
        let mut map = check(&(0..200_000).map(|n| n * 2).collect::<Vec<_>>());
        map.clear();
        for value in [7, 1 << 50, 300_000, -1, 7] {
            map.intern(value);
        }
        assert_eq!((map.len(), map.value(0), map.value(2)), (4, 7, 300_000));
    }

    #[test]
    fn strings_of_every_length_are_told_apart_at_every_byte() {
        for len in 0..40 {
            let one: Vec<u8> = (0..len).collect();
            assert!(is_same(&one, &one.clone()), "{len} bytes");
            assert!(!is_same(&one, &[&one[..], &[7]].concat()), "{len} bytes");
            for place in 0..one.len() {
                let mut other = one.clone();
                other[place] ^= 0x80;
                assert!(!is_same(&one, &other), "{len} bytes, at {place}");
            }
        }
    }
}
