//! Hash maps from integers and from bytes to dense numbers, with a fixed seed.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

const SEED: u64 = 0x4865_6164_7761_7465;

/// The hash by which byte strings are looked up, everywhere.
#[inline]
pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    FixedState::with_seed(SEED).hash_one(bytes)
}

/// Integers below this are looked up in an array: no hashing, one cache line.
const DIRECT: usize = 1 << 16;

/// Integers to dense numbers, in order of first appearance.
#[derive(Default)]
pub(crate) struct IntMap {
    /// For small integers: the number plus one, or 0.
    direct: Vec<u32>,
    table: HashTable<(i64, u32)>,
    values: Vec<i64>,
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

    pub(crate) fn value(&self, id: u32) -> i64 {
        self.values[id as usize]
    }

    #[inline]
    pub(crate) fn intern(&mut self, value: i64) -> u32 {
        match usize::try_from(value) {
            Ok(small) if small < DIRECT => self.intern_small(small),
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
        let state = FixedState::with_seed(SEED);
        match self.table.entry(
            state.hash_one(value),
            |(other, _)| *other == value,
            |(v, _)| state.hash_one(*v),
        ) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = number(self.values.len());
                self.values.push(value);
                entry.insert((value, id));
                id
            }
        }
    }

    /// Gives a number to a value that is not looked up, such as NULL.
    pub(crate) fn push_unmapped(&mut self) -> u32 {
        self.push(0)
    }

    /// Forgets all, keeps the memory.
    pub(crate) fn clear(&mut self) {
        for value in self.values.drain(..) {
            if let Some(slot) = usize::try_from(value).ok().and_then(|small| self.direct.get_mut(small)) {
                *slot = 0;
            }
        }
        self.table.clear();
    }

    pub(crate) fn size(&self) -> usize {
        self.direct.capacity() * 4 + self.table.allocation_size() + self.values.capacity() * 8
    }
}

/// Byte strings to dense numbers, in order of first appearance. The bytes lie one after the other in one arena.
#[derive(Default)]
pub(crate) struct BytesMap {
    table: HashTable<(u64, u32)>,
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
        let hash = hash_bytes(bytes);
        let Self { table, arena, ends } = self;
        let same = |(other, id): &(u64, u32)| *other == hash && is_same(value(arena, ends, *id), bytes);
        match table.entry(hash, same, |(hash, _)| *hash) {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let id = number(ends.len());
                arena.extend_from_slice(bytes);
                ends.push(arena.len());
                entry.insert((hash, id));
                id
            }
        }
    }

    /// Gives a number to a value that is not looked up, such as NULL.
    pub(crate) fn push_unmapped(&mut self) -> u32 {
        self.ends.push(self.arena.len());
        number(self.ends.len() - 1)
    }

    /// Forgets all, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.arena.clear();
        self.ends.clear();
    }

    pub(crate) fn size(&self) -> usize {
        self.table.allocation_size() + self.arena.capacity() + self.ends.capacity() * 8
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

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("an instance has less than four billion groups")
}

#[cfg(test)]
mod tests {
    use super::*;

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
