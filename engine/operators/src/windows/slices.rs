//! The state of windows: aggregates per place (see [`super::place`]) and key.
//!
//! ```text
//!  places   (slice, from) -> ordinal
//!  keys     key columns   -> key
//!  groups   (ordinal, key) -> group  -> aggregates' states      (see [`super::numbers`])
//! ```
//!
//! A slice dies when its last window closes. Its groups stay behind as garbage, and once there is more garbage than
//! life everything is renumbered; so death costs as much as what dies, and memory follows what lives.

mod entries;
mod garbage;

use std::collections::BTreeMap;

pub(super) use self::entries::runs;
use super::emit::Closed;
use super::kind::WindowKind;
use super::numbers::GroupNumbers;
use super::place::Place;
use super::slice::{NONE, Slice};
use crate::aggregates::AggregateSet;
use crate::error::Result;
use crate::groups::{Bits, InOrder, KeyTable};

/// What is of at most one key in so many is undone key by key.
const SCATTERED: usize = 8;

/// So many groups without a list of them end at a time.
const KILLED: usize = 1 << 12;

/// Aggregates per place and key.
pub(super) struct Slices {
    kind: WindowKind,
    pub(super) keys: KeyTable,
    pub(super) aggregates: AggregateSet,
    places: BTreeMap<Place, u32>,
    /// By ordinal.
    slices: Vec<Slice>,
    groups: GroupNumbers,
    /// Groups that have ended and not been forgotten.
    gone: Bits,
    /// With timelines per key: by key, its groups that live.
    by_key: Option<Vec<Vec<u32>>>,
    dirty: Bits,
    dead: usize,
    last: Option<(Place, u32)>,
    /// Scratch: by key, its row in the window at hand.
    rows: Vec<u32>,
}

/// What closed windows are made of: group `sources[i]` goes into row `targets[i]`.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) closed: Closed,
    pub(super) sources: Vec<u32>,
    pub(super) targets: Vec<u32>,
}

/// A window of one key that closes.
pub(super) struct Due {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) key: u32,
    /// Its groups, by place.
    pub(super) parts: Vec<u32>,
}

impl Slices {
    pub(super) fn new(kind: WindowKind, keys: KeyTable, aggregates: AggregateSet, per_key: bool) -> Self {
        Self {
            kind,
            keys,
            aggregates,
            places: BTreeMap::new(),
            slices: Vec::new(),
            groups: GroupNumbers::default(),
            gone: Bits::default(),
            by_key: per_key.then(Vec::new),
            dirty: Bits::default(),
            dead: 0,
            last: None,
            rows: Vec::new(),
        }
    }

    /// The ordinal of a place.
    #[inline]
    pub(super) fn ordinal(&mut self, place: Place) -> u32 {
        match self.last {
            Some((last, ordinal)) if last == place => ordinal,
            _ => {
                let slices = &mut self.slices;
                let ordinal = *self.places.entry(place).or_insert_with(|| {
                    slices.push(Slice::new(place));
                    slices.len() as u32 - 1
                });
                self.last = Some((place, ordinal));
                ordinal
            }
        }
    }

    /// The groups of rows, and room for them; they count as changed.
    pub(super) fn touch(&mut self, ordinals: &[u32], keys: &[u32], groups: &mut Vec<u32>) {
        self.find(ordinals, keys, groups);
        self.dirty.reserve(self.groups.len());
        groups.iter().for_each(|group| self.dirty.insert(*group));
    }

    /// The groups of rows, and room for them.
    pub(super) fn find(&mut self, ordinals: &[u32], keys: &[u32], groups: &mut Vec<u32>) {
        let known = self.groups.len() as u32;
        groups.clear();
        let mut keys = keys;
        for run in ordinals.chunk_by(|one, other| one == other) {
            let (own, rest) = keys.split_at(run.len());
            let slice = &mut self.slices[run[0] as usize];
            slice.find(run[0], own, &mut self.groups, self.keys.len(), groups);
            keys = rest;
        }
        for group in known.max(self.groups.alike(0))..self.groups.len() as u32 {
            self.slices[self.groups.of(group).0 as usize].groups.push(group);
        }
        if let Some(by_key) = &mut self.by_key {
            by_key.resize_with(self.keys.len(), Vec::new);
            for group in known..self.groups.len() as u32 {
                by_key[self.groups.of(group).1 as usize].push(group);
            }
        }
        self.aggregates.resize(self.groups.len());
    }

    /// The groups of a slice.
    fn groups_in(&self, ordinal: u32) -> impl Iterator<Item = u32> {
        (0..self.groups.alike(ordinal)).chain(self.slices[ordinal as usize].groups.iter().copied())
    }

    /// Calls `close` with the parts of every window that ends after `after` and not after `until`, in order of window
    /// end, start and key, about `batch` rows at a time.
    pub(super) fn windows(
        &mut self,
        after: i64,
        until: i64,
        batch: usize,
        mut close: impl FnMut(&mut Self, &Parts) -> Result<()>,
    ) -> Result<()> {
        let mut parts = Parts::default();
        let mut earliest = Place { slice: i64::MIN, from: i64::MIN };
        let mut cursor = after;
        while let Some((place, end)) = self.next_window(earliest, cursor).filter(|(_, end)| *end <= until) {
            self.add_window(end, batch, &mut parts, &mut close)?;
            (earliest, cursor) = (place, end);
            if parts.closed.len() >= batch {
                close(self, &std::mem::take(&mut parts))?;
            }
        }
        if parts.closed.len() > 0 { close(self, &parts) } else { Ok(()) }
    }

    /// The end of the next window after `cursor` that has a slice, and its earliest slice. All slices from `earliest` on
    /// have one after `cursor`, or none ever after; and of those that have, the earliest slice has the earliest.
    fn next_window(&self, earliest: Place, cursor: i64) -> Option<(Place, i64)> {
        let mut places = self.places.range(earliest..).map(|(place, _)| *place);
        places.find_map(|place| Some((place, self.kind.next_end(place.slice, cursor)?)))
    }

    /// The end of the next window after `cursor`.
    pub(super) fn next_end(&self, cursor: i64) -> Option<i64> {
        self.next_window(Place { slice: i64::MIN, from: i64::MIN }, cursor).map(|(_, end)| end)
    }

    fn add_window(
        &mut self,
        end: i64,
        batch: usize,
        parts: &mut Parts,
        close: &mut impl FnMut(&mut Self, &Parts) -> Result<()>,
    ) -> Result<()> {
        let start = self.kind.start_of(end);
        let first = Place { slice: start, from: i64::MIN };
        let limit = Place { slice: end, from: i64::MIN };
        let slices: Vec<u32> = self
            .places
            .range(first..limit)
            .filter(|(place, _)| place.from <= end)
            .map(|(_, ordinal)| *ordinal)
            .collect();
        if let [slice] = *slices {
            return self.add_slice((start, end), slice, batch, parts, close);
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.resize(self.keys.len(), NONE);
        let groups = || slices.iter().flat_map(|ordinal| self.groups_in(*ordinal));
        let mut keys = Vec::new();
        for group in groups() {
            let (_, key) = self.groups.of(group);
            if rows[key as usize] == NONE {
                rows[key as usize] = 0;
                keys.push(key);
            }
        }
        self.keys.sort(&mut keys);
        for key in &keys {
            rows[*key as usize] = parts.closed.len() as u32;
            parts.closed.push(start, end, *key);
        }
        for group in groups() {
            parts.sources.push(group);
            parts.targets.push(rows[self.groups.of(group).1 as usize]);
        }
        keys.iter().for_each(|key| rows[*key as usize] = NONE);
        self.rows = rows;
        Ok(())
    }

    /// Adds a window that has one slice, in which each group has a key of its own; calls `close` whenever there are rows for a batch.
    fn add_slice(
        &mut self,
        (start, end): (i64, i64),
        slice: u32,
        batch: usize,
        parts: &mut Parts,
        close: &mut impl FnMut(&mut Self, &Parts) -> Result<()>,
    ) -> Result<()> {
        let (alike, others) = (self.groups.alike(slice), self.slices[slice as usize].groups.len());
        if others > 0 {
            self.rows.resize(self.keys.len(), NONE);
            for group in &self.slices[slice as usize].groups {
                self.rows[self.groups.of(*group).1 as usize] = *group;
            }
        }
        let keys = self.groups_in(slice).map(|group| self.groups.of(group).1);
        let mut order = InOrder::new(&self.keys, keys, alike as usize + others);
        let mut keys = Vec::new();
        loop {
            order.next(&self.keys, batch - parts.closed.len(), &mut keys);
            if keys.is_empty() {
                break;
            }
            let group = |key: &u32| if *key < alike { *key } else { self.rows[*key as usize] };
            parts.sources.extend(keys.iter().map(group));
            parts.targets.extend((parts.closed.len() as u32..).take(keys.len()));
            parts.closed.extend(start, end, &keys);
            if parts.closed.len() >= batch {
                close(self, &std::mem::take(parts))?;
            }
        }
        // One after the other, unless few of the keys are there.
        if others > self.rows.len() / SCATTERED {
            self.rows.fill(NONE);
        } else {
            for group in &self.slices[slice as usize].groups {
                self.rows[self.groups.of(*group).1 as usize] = NONE;
            }
        }
        Ok(())
    }

    /// Forgets the slices whose last window has closed.
    pub(super) fn expire(&mut self, watermark: i64) {
        while let Some(entry) = self.places.first_entry() {
            let place = *entry.key();
            if self.kind.last_end(place.slice).is_some_and(|end| end > watermark) {
                break;
            }
            let ordinal = entry.remove();
            let mut alike = 0..self.groups.alike(ordinal);
            while !alike.is_empty() {
                let groups: Vec<u32> = alike.by_ref().take(KILLED).collect();
                self.kill(&groups);
            }
            let groups = self.slices[ordinal as usize].end();
            self.kill(&groups);
        }
        self.last = None;
    }

    fn kill(&mut self, groups: &[u32]) {
        self.dead += groups.len();
        self.aggregates.clear(groups);
        for group in groups {
            self.gone.insert(*group);
            self.dirty.remove(*group);
        }
    }

    /// Adds to `due` the windows of one key that end after `after` and not after `until`, each with its groups in order
    /// of place, and forgets the groups that belong to no later window once [`Self::expire_key`] is called.
    pub(super) fn key_windows(&self, key: u32, after: i64, until: i64, due: &mut Vec<Due>) {
        let groups = self.groups_of(key);
        let mut cursor = after;
        let mut rest = groups.as_slice();
        loop {
            let next = rest
                .iter()
                .enumerate()
                .find_map(|(index, (place, _))| Some((index, self.kind.next_end(place.slice, cursor)?)));
            let Some((index, end)) = next.filter(|(_, end)| *end <= until) else { break };
            rest = &rest[index..];
            let start = self.kind.start_of(end);
            let inside = rest.iter().skip_while(|(place, _)| place.slice < start);
            let inside = inside.take_while(|(place, _)| place.slice < end);
            let parts: Vec<u32> =
                inside.filter(|(place, _)| place.from <= end).map(|(_, group)| *group).collect();
            if !parts.is_empty() {
                due.push(Due { start, end, key, parts });
            }
            cursor = end;
        }
    }

    /// Forgets the groups of one key whose last window has closed.
    pub(super) fn expire_key(&mut self, key: u32, watermark: i64) {
        let (dead, live): (Vec<_>, Vec<_>) = self
            .groups_of(key)
            .into_iter()
            .partition(|(place, _)| self.kind.last_end(place.slice).is_none_or(|end| end <= watermark));
        if let Some(groups) = self.by_key.as_mut().and_then(|by_key| by_key.get_mut(key as usize)) {
            *groups = live.into_iter().map(|(_, group)| group).collect();
        }
        let dead: Vec<u32> = dead.into_iter().map(|(_, group)| group).collect();
        self.kill(&dead);
    }

    /// The groups of one key, by place.
    fn groups_of(&self, key: u32) -> Vec<(Place, u32)> {
        let groups = self.by_key.as_ref().and_then(|by_key| by_key.get(key as usize));
        let place = |group: &u32| {
            let (ordinal, _) = self.groups.of(*group);
            (self.slices[ordinal as usize].place, *group)
        };
        let mut groups: Vec<_> = groups.into_iter().flatten().map(place).collect();
        groups.sort_unstable();
        groups
    }

    /// The groups that live, by place.
    fn live(&self) -> impl Iterator<Item = u32> {
        let groups = self.places.values().flat_map(|ordinal| self.groups_in(*ordinal));
        groups.filter(|group| !self.gone.has(*group))
    }

    /// How many groups live.
    pub(super) fn len(&self) -> usize {
        self.groups.len() - self.dead
    }

    pub(super) fn size(&self) -> usize {
        self.keys.size()
            + self.aggregates.size()
            + self.groups.size()
            + self.dirty.size()
            + self.gone.size()
            + self.slices.capacity() * size_of::<Slice>()
            + self.slices.iter().map(Slice::size).sum::<usize>()
    }
}
