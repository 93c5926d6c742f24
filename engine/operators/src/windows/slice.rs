//! One slice: its groups, and how they are found.
//!
//! Groups that have not the numbers of their keys ([`GroupNumbers`]) are found by hashing their slice and key. A slice that holds a good
//! part of very many keys has an array from key to group instead: a second hash table would cost as much again as the one in which the
//! keys are found.

use super::numbers::GroupNumbers;
use super::place::Place;

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
    /// Those that were ever there since it was made, but for those that have the numbers of their keys.
    pub groups: Vec<u32>,
    /// By key, its group, or [`NONE`]; empty while they are found by hashing.
    array: Vec<u32>,
}

impl Slice {
    /// Without groups.
    pub fn new(place: Place) -> Self {
        Self { place, groups: Vec::new(), array: Vec::new() }
    }

    /// Adds to `found` the groups of keys in this slice, whose ordinal this is. `all` has the groups of all slices, over so many `keys`;
    /// those that are new there and not alike must be added to [`Self::groups`] next, and live as long as the slice.
    pub fn find(
        &mut self,
        ordinal: u32,
        wanted: &[u32],
        all: &mut GroupNumbers,
        keys: usize,
        found: &mut Vec<u32>,
    ) {
        let alike = if ordinal == 0 { all.find_alike(wanted) } else { 0 };
        let (own, wanted) = wanted.split_at(alike);
        found.extend_from_slice(own);
        if wanted.is_empty() {
            return;
        }
        let alike = all.alike(ordinal);
        if self.array.is_empty() {
            if self.groups.len() < ARRAY_MIN || self.groups.len() * ARRAY_KEYS < keys {
                let group = |key: &u32| if *key < alike { *key } else { all.intern(ordinal, *key) };
                return found.extend(wanted.iter().map(group));
            }
            self.array.resize(keys, NONE);
            for group in &self.groups {
                self.array[all.of(*group).1 as usize] = *group;
            }
        }
        self.array.resize(keys, NONE);
        found.extend(wanted.iter().map(|key| {
            if *key < alike {
                return *key;
            }
            let group = &mut self.array[*key as usize];
            if *group == NONE {
                *group = all.push(ordinal, *key);
            }
            *group
        }));
    }

    /// Its groups, which end with it.
    pub fn end(&mut self) -> Vec<u32> {
        self.array = Vec::new();
        std::mem::take(&mut self.groups)
    }

    /// Bytes of its array, and of its groups.
    pub fn size(&self) -> usize {
        (self.array.capacity() + self.groups.capacity()) * size_of::<u32>()
    }
}
