//! Which slice and key each group is of, and back.
//!
//! The first groups of the first slice have the numbers of their keys, and of these nothing is noted:
//!
//! ```text
//!  groups   0 … alike             alike …
//!           slice 0, keys alike   what `others` say
//! ```
//!
//! While there is one slice, as in a query of windows of a year, there are no other groups: so keys' numbers are all that is looked up.

use crate::groups::IntMap;

/// Groups by number, and numbers by group.
#[derive(Default)]
pub(super) struct GroupNumbers {
    alike: u32,
    others: IntMap,
}

impl GroupNumbers {
    pub fn len(&self) -> usize {
        self.alike as usize + self.others.len()
    }

    /// How many groups of a slice have the numbers of their keys.
    pub fn alike(&self, ordinal: u32) -> u32 {
        if ordinal == 0 { self.alike } else { 0 }
    }

    /// The ordinal and the key of a group.
    #[inline]
    pub fn of(&self, group: u32) -> (u32, u32) {
        match group.checked_sub(self.alike) {
            None => (0, group),
            Some(other) => unpack(self.others.value(other)),
        }
    }

    /// How many of these keys of the first slice have groups of their numbers, up to the first that has not. Those that are new are
    /// given one, as long as there are no others.
    pub fn find_alike(&mut self, wanted: &[u32]) -> usize {
        let may_grow = self.others.len() == 0;
        let mut alike = self.alike;
        let mut found = 0;
        for key in wanted {
            alike += u32::from(may_grow && *key == alike);
            if *key >= alike {
                break;
            }
            found += 1;
        }
        self.alike = alike;
        found
    }

    /// The group of a slice and a key, which is not one of those alike.
    #[inline]
    pub fn intern(&mut self, ordinal: u32, key: u32) -> u32 {
        self.alike + self.others.intern(pack(ordinal, key))
    }

    /// A group that is looked up elsewhere.
    #[inline]
    pub fn push(&mut self, ordinal: u32, key: u32) -> u32 {
        self.alike + self.others.push(pack(ordinal, key))
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.alike = 0;
        self.others.clear();
    }

    pub fn size(&self) -> usize {
        self.others.size()
    }
}

/// Keys below this in the first slice are packed into a small number, which [`IntMap`] looks up without hashing.
const FIRST_KEYS: u32 = 1 << 15;

/// The same in the slices behind it, up to [`NEXT_SLICES`].
const NEXT_KEYS: u32 = 1 << 12;

const NEXT_SLICES: u32 = 8;

/// What a group is found by.
#[inline]
fn pack(ordinal: u32, key: u32) -> i64 {
    match ordinal {
        0 if key < FIRST_KEYS => i64::from(key),
        1..=NEXT_SLICES if key < NEXT_KEYS => i64::from(FIRST_KEYS + (ordinal - 1) * NEXT_KEYS + key),
        _ => (i64::from(ordinal) + 1) << 32 | i64::from(key),
    }
}

/// The ordinal and the key of a group.
#[inline]
fn unpack(pair: i64) -> (u32, u32) {
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

    #[test]
    fn groups_have_the_numbers_of_their_keys_until_there_are_others() {
        let mut groups = GroupNumbers::default();
        assert_eq!(groups.find_alike(&[0, 1, 0, 2, 1]), 5);
        assert_eq!(groups.find_alike(&[2, 4, 3]), 1, "4 is not the next");
        assert_eq!((groups.len(), groups.alike(0), groups.alike(1)), (3, 3, 0));
        assert_eq!(groups.intern(1, 0), 3);
        assert_eq!(groups.find_alike(&[2, 3]), 1, "3 is of another group");
        assert_eq!((groups.push(0, 3), groups.intern(1, 7), groups.intern(1, 0)), (4, 5, 3));
        let all: Vec<(u32, u32)> = (0..6).map(|group| groups.of(group)).collect();
        assert_eq!(all, [(0, 0), (0, 1), (0, 2), (1, 0), (0, 3), (1, 7)]);
        groups.clear();
        assert_eq!((groups.len(), groups.find_alike(&[0, 1])), (0, 2));
    }
}
