//! The state of windows: aggregates per place (see [`super::place`]) and key.
//!
//! ```text
//!  places   (slice, from) -> ordinal
//!  keys     key columns   -> key
//!  groups   (ordinal, key) -> group  -> aggregates' states
//! ```
//!
//! A slice dies when its last window closes. Its groups stay behind as garbage, and once there is more garbage than
//! life everything is renumbered; so death costs as much as what dies, and memory follows what lives.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use super::emit::Closed;
use super::kind::WindowKind;
use super::place::Place;
use super::slice::{NONE, Slice, pack, unpack};
use super::tables::slots;
use crate::aggregates::AggregateSet;
use crate::error::Result;
use crate::groups::{IntMap, KeyTable};

/// Fewer dead groups than this are not worth renumbering for.
const GARBAGE_MIN: usize = 1024;

/// What is of at most one key in so many is undone key by key.
const SCATTERED: usize = 8;

/// Aggregates per place and key.
pub(super) struct Slices {
    kind: WindowKind,
    pub(super) keys: KeyTable,
    pub(super) aggregates: AggregateSet,
    places: BTreeMap<Place, u32>,
    /// By ordinal.
    slices: Vec<Slice>,
    groups: IntMap,
    alive: Vec<bool>,
    /// With timelines per key: by key, its groups that live.
    by_key: Option<Vec<Vec<u32>>>,
    dirty: Vec<bool>,
    dirty_groups: Vec<u32>,
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
            groups: IntMap::default(),
            alive: Vec::new(),
            by_key: per_key.then(Vec::new),
            dirty: Vec::new(),
            dirty_groups: Vec::new(),
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
                    slices.push(Slice::new(place, Vec::new()));
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
        for group in groups.iter() {
            let dirty = &mut self.dirty[*group as usize];
            if !*dirty {
                *dirty = true;
                self.dirty_groups.push(*group);
            }
        }
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
        for group in known..self.groups.len() as u32 {
            let (ordinal, key) = unpack(self.groups.value(group));
            self.slices[ordinal as usize].groups.push(group);
            if let Some(by_key) = &mut self.by_key {
                by_key.resize_with(self.keys.len(), Vec::new);
                by_key[key as usize].push(group);
            }
        }
        self.alive.resize(self.groups.len(), true);
        self.dirty.resize(self.groups.len(), false);
        self.aggregates.resize(self.groups.len());
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
            self.add_window(end, &mut parts);
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

    fn add_window(&mut self, end: i64, parts: &mut Parts) {
        let start = self.kind.start_of(end);
        let first = Place { slice: start, from: i64::MIN };
        let limit = Place { slice: end, from: i64::MIN };
        let slices: Vec<u32> = self
            .places
            .range(first..limit)
            .filter(|(place, _)| place.from <= end)
            .map(|(_, ordinal)| *ordinal)
            .collect();
        self.rows.resize(self.keys.len(), NONE);
        if let [slice] = *slices {
            return self.add_slice(start, end, slice, parts);
        }
        let mut keys = Vec::new();
        for group in slices.iter().flat_map(|ordinal| &self.slices[*ordinal as usize].groups) {
            let (_, key) = unpack(self.groups.value(*group));
            if self.rows[key as usize] == NONE {
                self.rows[key as usize] = 0;
                keys.push(key);
            }
        }
        self.keys.sort(&mut keys);
        for key in &keys {
            self.rows[*key as usize] = parts.closed.len() as u32;
            parts.closed.push(start, end, *key);
        }
        for group in slices.iter().flat_map(|ordinal| &self.slices[*ordinal as usize].groups) {
            let (_, key) = unpack(self.groups.value(*group));
            parts.sources.push(*group);
            parts.targets.push(self.rows[key as usize]);
        }
        keys.iter().for_each(|key| self.rows[*key as usize] = NONE);
    }

    /// Adds a window that has one slice, in which each group has a key of its own.
    fn add_slice(&mut self, start: i64, end: i64, slice: u32, parts: &mut Parts) {
        let groups = &self.slices[slice as usize].groups;
        let keys = groups.iter().map(|group| unpack(self.groups.value(*group)).1);
        let mut keys: Vec<u32> = keys.collect();
        keys.iter().zip(groups).for_each(|(key, group)| self.rows[*key as usize] = *group);
        self.keys.sort(&mut keys);
        parts.targets.extend((parts.closed.len() as u32..).take(keys.len()));
        parts.sources.extend(keys.iter().map(|key| self.rows[*key as usize]));
        // One after the other, unless few of the keys are there.
        if keys.len() > self.rows.len() / SCATTERED {
            self.rows.fill(NONE);
        } else {
            keys.iter().for_each(|key| self.rows[*key as usize] = NONE);
        }
        parts.closed.extend(start, end, keys);
    }

    /// Forgets the slices whose last window has closed.
    pub(super) fn expire(&mut self, watermark: i64) {
        while let Some(entry) = self.places.first_entry() {
            let place = *entry.key();
            if self.kind.last_end(place.slice).is_some_and(|end| end > watermark) {
                break;
            }
            let ordinal = entry.remove();
            let groups = self.slices[ordinal as usize].end();
            self.kill(&groups);
        }
        self.last = None;
    }

    fn kill(&mut self, groups: &[u32]) {
        self.dead += groups.len();
        self.aggregates.clear(groups);
        for group in groups {
            self.alive[*group as usize] = false;
            self.dirty[*group as usize] = false;
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
            let (ordinal, _) = unpack(self.groups.value(*group));
            (self.slices[ordinal as usize].place, *group)
        };
        let mut groups: Vec<_> = groups.into_iter().flatten().map(place).collect();
        groups.sort_unstable();
        groups
    }

    /// Renumbers everything if there is more garbage than life. Keys without groups go, unless `pinned`. Returns the keys
    /// that are left by their old numbers, if they have been renumbered.
    pub(super) fn collect_garbage(&mut self, pinned: impl Fn(u32) -> bool) -> Option<Vec<u32>> {
        let live = self.groups.len() - self.dead;
        if self.dead <= live || (self.dead < GARBAGE_MIN && live > 0) {
            return None;
        }
        let mut renumbered: Vec<u32> =
            (0..self.keys.len() as u32).map(|key| if pinned(key) { 0 } else { NONE }).collect();
        for group in self.live() {
            renumbered[unpack(self.groups.value(group)).1 as usize] = 0;
        }
        let keys: Vec<u32> =
            (0..renumbered.len() as u32).filter(|key| renumbered[*key as usize] != NONE).collect();
        (0..).zip(&keys).for_each(|(new, old)| renumbered[*old as usize] = new);
        self.keys.retain(&keys);
        self.renumber(&renumbered);
        Some(keys)
    }

    fn renumber(&mut self, keys: &[u32]) {
        let kept: Vec<u32> = self.live().collect();
        let mut groups = IntMap::default();
        let mut slices = Vec::new();
        let mut by_key = self.by_key.is_some().then(|| vec![Vec::new(); self.keys.len()]);
        let alive = &self.alive;
        self.places.retain(|place, ordinal| {
            let old = &self.slices[*ordinal as usize].groups;
            let mut own = Vec::new();
            for group in old.iter().filter(|group| alive[**group as usize]) {
                let key = keys[unpack(self.groups.value(*group)).1 as usize];
                let group = groups.intern(pack(slices.len() as u32, key));
                own.push(group);
                if let Some(by_key) = &mut by_key {
                    by_key[key as usize].push(group);
                }
            }
            if own.is_empty() {
                return false;
            }
            *ordinal = slices.len() as u32;
            slices.push(Slice::new(*place, own));
            true
        });
        self.aggregates.retain(&kept);
        self.dirty = kept.iter().map(|group| self.dirty[*group as usize]).collect();
        self.dirty_groups =
            (0..).zip(&self.dirty).filter(|(_, dirty)| **dirty).map(|(group, _)| group).collect();
        self.alive = vec![true; kept.len()];
        (self.groups, self.slices, self.by_key, self.dead) = (groups, slices, by_key, 0);
        (self.rows, self.last) = (Vec::new(), None);
    }

    /// The groups that live, by place.
    fn live(&self) -> impl Iterator<Item = u32> {
        let groups = self.places.values().flat_map(|ordinal| &self.slices[*ordinal as usize].groups);
        groups.copied().filter(|group| self.alive[*group as usize])
    }

    /// How many groups live.
    pub(super) fn len(&self) -> usize {
        self.groups.len() - self.dead
    }

    pub(super) fn size(&self) -> usize {
        self.keys.size()
            + self.aggregates.size()
            + self.groups.size()
            + self.dirty.capacity()
            + self.groups.len() * size_of::<u32>()
            + self.slices.capacity() * size_of::<Slice>()
            + self.slices.iter().map(Slice::size).sum::<usize>()
    }

    /// The groups that have changed since the last call, or all.
    pub(super) fn take_changed(&mut self, full: bool) -> Vec<u32> {
        let is_dirty = |group: &u32| self.dirty[*group as usize];
        let groups: Vec<u32> = if full {
            self.live().collect()
        } else if self.dirty_groups.len() > self.dirty.len() / SCATTERED {
            // In the order in which they lie.
            (0..self.dirty.len() as u32).filter(is_dirty).collect()
        } else {
            self.dirty_groups.iter().copied().filter(is_dirty).collect()
        };
        for group in self.dirty_groups.drain(..) {
            self.dirty[group as usize] = false;
        }
        groups
    }

    /// Keys, `$slice`, `$from` and states of groups; and their slots.
    pub(super) fn entries(&mut self, groups: &[u32]) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
        let columns = self.columns(groups)?;
        let slots = slots(&columns[..self.keys.types().len()], groups.len())?;
        Ok((columns, slots))
    }

    fn columns(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (ordinals, keys): (Vec<_>, Vec<_>) =
            groups.iter().map(|group| unpack(self.groups.value(*group))).unzip();
        let mut columns = self.keys.columns(&keys)?;
        columns.extend(self.place_columns(&ordinals));
        columns.extend(self.aggregates.state(groups)?);
        Ok(columns)
    }

    fn place_columns(&self, ordinals: &[u32]) -> [ArrayRef; 2] {
        let each = |of: fn(&Place) -> i64| {
            let places = ordinals.iter().map(|ordinal| of(&self.slices[*ordinal as usize].place));
            Arc::new(Int64Array::from_iter_values(places)) as ArrayRef
        };
        [each(|place| place.slice), each(|place| place.from)]
    }

    /// As [`Self::drain`] gives them, rows that are each a group of their own, with these ordinals and key columns; nothing else is there.
    pub(super) fn each_alone(
        &mut self,
        rows: &RecordBatch,
        keys: Vec<ArrayRef>,
        ordinals: &[u32],
        weights: Option<&[i64]>,
    ) -> Result<Vec<ArrayRef>> {
        let each: Vec<u32> = (0..rows.num_rows() as u32).collect();
        self.aggregates.resize(each.len());
        self.aggregates.update(rows, &each, weights)?;
        let mut columns = keys;
        columns.extend(self.place_columns(ordinals));
        columns.extend(self.aggregates.state(&each)?);
        self.forget(&each);
        Ok(columns)
    }

    /// All there is, as [`Self::entries`] gives it, and then nothing is left.
    pub(super) fn drain(&mut self) -> Result<Vec<ArrayRef>> {
        let groups: Vec<u32> = (0..self.groups.len() as u32).collect();
        let columns = self.columns(&groups)?;
        self.forget(&groups);
        Ok(columns)
    }

    /// Forgets all, which is these groups; keeps the memory.
    fn forget(&mut self, groups: &[u32]) {
        self.aggregates.clear(groups);
        self.keys.clear();
        self.groups.clear();
        self.places.clear();
        self.slices.clear();
        self.alive.clear();
        self.dirty.clear();
        self.dirty_groups.clear();
        self.last = None;
    }

    /// Replaces groups by what [`Self::entries`] gave.
    pub(super) fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self.keys.types().len();
        let (mut key_numbers, mut groups) = (Vec::new(), Vec::new());
        self.keys.intern(&rows.columns()[..keys], rows.num_rows(), &mut key_numbers)?;
        let mut ordinals: Vec<u32> = Vec::with_capacity(rows.num_rows());
        for (place, own) in runs(rows, keys) {
            ordinals.extend(std::iter::repeat_n(self.ordinal(place), own.len()));
        }
        self.find(&ordinals, &key_numbers, &mut groups);
        self.aggregates.clear(&groups);
        self.aggregates.merge(&rows.columns()[keys + 2..], &groups)
    }
}

/// The places of rows as [`Slices::entries`] gives them, behind `keys` key columns, each with the rows in it that follow one another.
pub(super) fn runs(rows: &RecordBatch, keys: usize) -> impl Iterator<Item = (Place, Range<usize>)> {
    let of = |column: usize| rows.column(column).as_primitive::<Int64Type>().values();
    let (slices, froms) = (of(keys), of(keys + 1));
    let mut row = 0;
    std::iter::from_fn(move || {
        let first = row;
        let place = Place { slice: *slices.get(first)?, from: *froms.get(first)? };
        let mut others = slices[first..].iter().zip(&froms[first..]);
        let ends = others.position(|(slice, from)| (*slice, *from) != (place.slice, place.from));
        row = ends.map_or(slices.len(), |run| first + run);
        Some((place, first..row))
    })
}
