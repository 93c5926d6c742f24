//! One slice: its groups, and how they are found.
//!
//! Groups are found by hashing their slice and key. A slice that holds a good part of very many keys has an array from key to group
//! instead: a second hash table would cost as much again as the one in which the keys are found.

use super::place::Place;
use crate::groups::IntMap;

/// A slice with fewer groups has no array: hashed, they are in the nearest of the processor's caches.
const ARRAY_MIN: usize = 1 << 12;

/// A slice has an array if it holds at least one key in so many.
const ARRAY_KEYS: usize = 4;

/// No group, no row.
pub(super) const NONE: u32 = u32::MAX;

/// The groups of one place.
pub(super) struct Slice {
    /// Which.
    pub place: Place,
    /// Those that were ever there since it was made.
    pub groups: Vec<u32>,
    /// By key, its group, or [`NONE`]; empty while they are found by hashing.
    array: Vec<u32>,
}

impl Slice {
    /// With these groups.
    pub fn new(place: Place, groups: Vec<u32>) -> Self {
        Self { place, groups, array: Vec::new() }
    }

    /// Adds to `found` the groups of keys in this slice, whose ordinal this is. `all` has the groups of all slices, over so many `keys`;
    /// those that are new there must be added to [`Self::groups`] next, and live as long as the slice.
    pub fn find(
        &mut self,
        ordinal: u32,
        wanted: &[u32],
        all: &mut IntMap,
        keys: usize,
        found: &mut Vec<u32>,
    ) {
        if self.array.is_empty() {
            if self.groups.len() < ARRAY_MIN || self.groups.len() * ARRAY_KEYS < keys {
                return found.extend(wanted.iter().map(|key| all.intern(pack(ordinal, *key))));
            }
            self.array.resize(keys, NONE);
            for group in &self.groups {
                self.array[unpack(all.value(*group)).1 as usize] = *group;
            }
        }
        self.array.resize(keys, NONE);
        found.extend(wanted.iter().map(|key| {
            let group = &mut self.array[*key as usize];
            if *group == NONE {
                *group = all.push(pack(ordinal, *key));
            }
            *group
        }));
    }

    /// Its groups, which end with it.
    pub fn end(&mut self) -> Vec<u32> {
        self.array = Vec::new();
        std::mem::take(&mut self.groups)
    }

    /// Bytes of its array.
    pub fn size(&self) -> usize {
        self.array.capacity() * size_of::<u32>()
    }
}

/// Keys below this in the first slice are packed into a small number, which [`IntMap`] looks up without hashing.
const FIRST_KEYS: u32 = 1 << 15;

/// The same in the slices behind it, up to [`NEXT_SLICES`].
const NEXT_KEYS: u32 = 1 << 12;

const NEXT_SLICES: u32 = 8;

/// What a group is found by.
#[inline]
pub(super) fn pack(ordinal: u32, key: u32) -> i64 {
    match ordinal {
        0 if key < FIRST_KEYS => i64::from(key),
        1..=NEXT_SLICES if key < NEXT_KEYS => i64::from(FIRST_KEYS + (ordinal - 1) * NEXT_KEYS + key),
        _ => (i64::from(ordinal) + 1) << 32 | i64::from(key),
    }
}

/// The ordinal and the key of a group.
#[inline]
pub(super) fn unpack(pair: i64) -> (u32, u32) {
    let low = pair as u32;
    match pair >> 32 {
        0 if low < FIRST_KEYS => (0, low),
        0 => (1 + (low - FIRST_KEYS) / NEXT_KEYS, (low - FIRST_KEYS) % NEXT_KEYS),
        high => ((high - 1) as u32, low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_slices_and_keys_are_told_apart() {
        let ordinals = [0, 1, 2, 7, 8, 9, 10, 1000, u32::MAX - 1];
        let keys = [0, 1, 4095, 4096, 32_767, 32_768, 65_535, 65_536, u32::MAX];
        let pairs = || ordinals.iter().flat_map(|ordinal| keys.iter().map(move |key| (*ordinal, *key)));
        assert!(pairs().all(|(ordinal, key)| unpack(pack(ordinal, key)) == (ordinal, key)));
        let packed: std::collections::BTreeSet<i64> =
            pairs().map(|(ordinal, key)| pack(ordinal, key)).collect();
        assert_eq!(packed.len(), pairs().count());
    }
}
