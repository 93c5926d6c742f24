//! Forgets what has died, by renumbering what lives.

use std::collections::BTreeMap;

use super::Slices;
use crate::groups::Bits;
use crate::windows::numbers::GroupNumbers;
use crate::windows::slice::{NONE, Slice};

/// Fewer dead groups than this are not worth renumbering for.
const GARBAGE_MIN: usize = 1024;

impl Slices {
    /// Renumbers everything if there is more garbage than life. Keys without groups go, unless `pinned`. Returns the keys
    /// that are left by their old numbers, if they have been renumbered.
    pub(in crate::windows) fn collect_garbage(&mut self, pinned: impl Fn(u32) -> bool) -> Option<Vec<u32>> {
        let live = self.groups.len() - self.dead;
        if self.dead <= live || (self.dead < GARBAGE_MIN && live > 0) {
            return None;
        }
        // The keys of the first slice come first, in the order of its groups: so these have the numbers of their keys.
        let known = if live > 0 || self.by_key.is_some() { self.keys.len() } else { 0 };
        let mut renumbered = vec![NONE; known];
        let mut keys = Vec::new();
        let pinned = (0..known as u32).filter(|key| pinned(*key));
        for key in self.live().map(|group| self.groups.of(group).1).chain(pinned) {
            let new = &mut renumbered[key as usize];
            if *new == NONE {
                *new = keys.len() as u32;
                keys.push(key);
            }
        }
        self.keys.retain(&keys);
        self.renumber(&renumbered);
        Some(keys)
    }

    fn renumber(&mut self, keys: &[u32]) {
        let kept: Vec<u32> = self.live().collect();
        let dirty = (0..).zip(&kept).filter(|(_, old)| self.dirty.has(**old)).map(|(group, _)| group);
        let dirty = Bits::of(dirty);
        let (mut places, mut slices) = (BTreeMap::new(), Vec::new());
        let (mut numbers, mut groups) = (GroupNumbers::default(), Vec::new());
        let mut by_key = self.by_key.is_some().then(|| vec![Vec::new(); self.keys.len()]);
        for (place, ordinal) in &self.places {
            let old = self.groups_in(*ordinal).filter(|group| !self.gone.has(*group));
            let own: Vec<u32> = old.map(|group| keys[self.groups.of(group).1 as usize]).collect();
            if own.is_empty() {
                continue;
            }
            let ordinal = slices.len() as u32;
            let mut slice = Slice::new(*place);
            groups.clear();
            slice.find(ordinal, &own, &mut numbers, self.keys.len(), &mut groups);
            let alike = numbers.alike(ordinal);
            slice.groups.extend(groups.iter().filter(|group| ordinal > 0 || **group >= alike));
            if let Some(by_key) = &mut by_key {
                own.iter().zip(&groups).for_each(|(key, group)| by_key[*key as usize].push(*group));
            }
            places.insert(*place, ordinal);
            slices.push(slice);
        }
        self.aggregates.retain(&kept);
        (self.groups, self.places, self.slices, self.by_key) = (numbers, places, slices, by_key);
        (self.dirty, self.gone, self.dead) = (dirty, Bits::default(), 0);
        (self.rows, self.last) = (Vec::new(), None);
    }
}
