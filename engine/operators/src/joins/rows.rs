//! The rows that one side of a join keeps: bytes in one arena, and for each key a list in the order of arrival.
//!
//! A join may hold nothing but such rows, millions of them, so a row carries only what its join asks of it.
//!
//! A row that may be retracted is found by its bytes; rows that are only ever added are not looked up, and the same row twice is
//! two entries. A removed row stays in place until the end of the step, so that its number names it in the step's changes.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;

use super::lasting::UNDATED;
use crate::deltas::NONE;
use crate::error::Result;
use crate::groups::hash_bytes;
use crate::packed::{RowBytes, RowFormat};
use crate::paged::{Arena, PagedVec, Span};

const DIRTY_MIN: usize = 1 << 12;

/// A row.
pub(super) struct Entry {
    span: Span,
    pub(super) key: u32,
    next: u32,
    previous: u32,
    /// How often the row is there.
    pub(super) weight: i64,
    /// Its place among the rows of its slot, in the order of arrival; names it in snapshots.
    pub(super) sequence: u64,
    /// The slot of its key.
    pub(super) slot: u32,
    /// Noted in `dirty`.
    dirty: bool,
    /// In a snapshot.
    pub(super) saved: bool,
    free: bool,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

const EMPTY: List = List { first: NONE, last: NONE };

/// What a join asks of the rows of a side.
pub(super) struct Asks {
    /// Rows may be retracted, so they are looked up.
    pub(super) retractions: bool,
    /// Whether they have a match matters, and matches are counted by row.
    pub(super) matches: bool,
    /// Rows are forgotten by when they last changed.
    pub(super) dates: bool,
}

/// Rows by the hash of their bytes.
#[derive(Default)]
struct Lookup {
    table: HashTable<u32>,
    hashes: PagedVec<u64>,
}

impl Lookup {
    fn insert(&mut self, row: u32, hash: u64) {
        put(&mut self.hashes, row, hash);
        let hashes = &self.hashes;
        self.table.insert_unique(hash, row, |row| hashes[*row]);
    }

    fn remove(&mut self, row: u32) {
        if let Ok(found) = self.table.find_entry(self.hashes[row], |other| *other == row) {
            found.remove();
        }
    }

    fn size(&self) -> usize {
        self.table.allocation_size() + self.hashes.size()
    }
}

/// A new row's value, which is behind all others, or in the place of a row that has gone.
fn put<T>(values: &mut PagedVec<T>, row: u32, value: T) {
    if row as usize == values.len() {
        values.push(value);
    } else {
        values[row] = value;
    }
}

/// The rows of one side.
pub(super) struct RowStore {
    format: RowFormat,
    /// How many columns they have.
    width: usize,
    null_row: Box<[u8]>,
    lookup: Option<Lookup>,
    entries: PagedVec<Entry>,
    /// How many rows of the other side match each row.
    matches: Option<PagedVec<i64>>,
    /// The watermark behind the step that last changed each row.
    dates: Option<PagedVec<i64>>,
    free: Vec<u32>,
    arena: Arena,
    live: usize,
    lists: Vec<List>,
    /// The sum of the weights of each key.
    pub(super) totals: Vec<i64>,
    pub(super) next_sequence: u64,
    /// Rows that have changed since the last snapshot.
    dirty: Vec<u32>,
    /// Rows of the last snapshot that are not there any more, by slot and sequence number.
    gone: Vec<(u32, u64)>,
}

impl RowStore {
    /// No rows.
    pub(super) fn new(schema: &SchemaRef, asks: &Asks) -> Result<Self> {
        let types = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let mut format = RowFormat::new(types)?;
        Ok(Self {
            null_row: format.nulls()?,
            format,
            width: schema.fields().len(),
            lookup: asks.retractions.then(Lookup::default),
            entries: PagedVec::default(),
            matches: asks.matches.then(PagedVec::default),
            dates: asks.dates.then(PagedVec::default),
            free: Vec::new(),
            arena: Arena::default(),
            live: 0,
            lists: Vec::new(),
            totals: Vec::new(),
            next_sequence: 0,
            dirty: Vec::new(),
            gone: Vec::new(),
        })
    }

    /// The rows of some columns as bytes.
    pub(super) fn encode(&mut self, batch: &RecordBatch) -> Result<RowBytes> {
        self.format.encode(batch.columns(), batch.num_rows())
    }

    /// Makes room for keys below `keys`.
    pub(super) fn resize(&mut self, keys: usize) {
        self.lists.resize(keys, EMPTY);
        self.totals.resize(keys, 0);
    }

    pub(super) fn entry(&self, row: u32) -> &Entry {
        &self.entries[row]
    }

    pub(super) fn entry_mut(&mut self, row: u32) -> &mut Entry {
        &mut self.entries[row]
    }

    /// How many rows of the other side match; 0 where that is not counted by row.
    pub(super) fn matches(&self, row: u32) -> i64 {
        self.matches.as_ref().map_or(0, |matches| matches[row])
    }

    pub(super) fn set_matches(&mut self, row: u32, count: i64) {
        if let Some(matches) = &mut self.matches {
            matches[row] = count;
        }
    }

    /// The watermark behind the step that last changed a row; [`UNDATED`] where rows are not forgotten by it.
    pub(super) fn date(&self, row: u32) -> i64 {
        self.dates.as_ref().map_or(UNDATED, |dates| dates[row])
    }

    pub(super) fn set_date(&mut self, row: u32, at: i64) {
        if let Some(dates) = &mut self.dates {
            dates[row] = at;
        }
    }

    /// The row of these bytes, if rows are looked up and it is there.
    fn find(&self, hash: u64, bytes: &[u8]) -> Option<u32> {
        let lookup = self.lookup.as_ref()?;
        let same = |row: &u32| lookup.hashes[*row] == hash && self.bytes(*row) == bytes;
        lookup.table.find(hash, same).copied()
    }

    /// How often a row is there.
    pub(super) fn weight_of(&self, bytes: &[u8]) -> i64 {
        self.find(self.hash(bytes), bytes).map_or(0, |row| self.entries[row].weight)
    }

    /// Adds to a row's weight. Answers its number and whether it was not there before.
    pub(super) fn add(&mut self, key: u32, slot: u32, bytes: &[u8], weight: i64) -> (u32, bool) {
        let hash = self.hash(bytes);
        if let Some(row) = self.find(hash, bytes) {
            self.entries[row].weight += weight;
            self.touch(row);
            return (row, false);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let row = self.push(key, slot, bytes, hash, sequence);
        self.entries[row].weight = weight;
        self.touch(row);
        (row, true)
    }

    /// Puts a row at the end of its key's list, with weight 0.
    pub(super) fn push(&mut self, key: u32, slot: u32, bytes: &[u8], hash: u64, sequence: u64) -> u32 {
        let list = &mut self.lists[key as usize];
        let entry = Entry {
            span: self.arena.push(bytes),
            key,
            next: NONE,
            previous: list.last,
            weight: 0,
            sequence,
            slot,
            dirty: false,
            saved: false,
            free: false,
        };
        self.live += 1;
        let row = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.entries.len()).expect("an instance has less than four billion rows")
        });
        put(&mut self.entries, row, entry);
        if let Some(matches) = &mut self.matches {
            put(matches, row, 0);
        }
        if let Some(dates) = &mut self.dates {
            put(dates, row, UNDATED);
        }
        match list.last {
            NONE => list.first = row,
            last => self.entries[last].next = row,
        }
        list.last = row;
        if let Some(lookup) = &mut self.lookup {
            lookup.insert(row, hash);
        }
        row
    }

    /// Notes that a row has changed since the last snapshot.
    pub(super) fn touch(&mut self, row: u32) {
        let entry = &mut self.entries[row];
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(row);
        }
        // Without snapshots nobody asks; rows that have come and gone must not be noted for ever.
        if self.dirty.len() > DIRTY_MIN + 2 * self.live {
            self.dirty = self.take_dirty();
            self.dirty.iter().for_each(|row| self.entries[*row].dirty = true);
        }
    }

    fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|row| {
            // A number that was used again may be noted twice.
            let entry = &mut self.entries[*row];
            std::mem::take(&mut entry.dirty) && !entry.free
        });
        dirty
    }

    /// The rows that have changed since the last call, and the names of those that have gone.
    pub(super) fn take_changes(&mut self) -> (Vec<u32>, Vec<(u32, u64)>) {
        (self.take_dirty(), std::mem::take(&mut self.gone))
    }

    /// The rows of a key, in the order of arrival, those of weight 0 included.
    pub(super) fn rows_of(&self, key: u32) -> impl Iterator<Item = u32> {
        let mut next = self.lists[key as usize].first;
        std::iter::from_fn(move || {
            let row = next;
            (row != NONE).then(|| {
                next = self.entries[row].next;
                row
            })
        })
    }

    pub(super) fn has_rows(&self, key: u32) -> bool {
        self.lists[key as usize].first != NONE
    }

    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        let live = self.entries.iter().enumerate().filter(|(_, entry)| !entry.free);
        live.map(|(row, _)| row as u32)
    }

    pub(super) fn bytes(&self, row: u32) -> &[u8] {
        if row == NONE {
            return &self.null_row;
        }
        self.arena.get(self.entries[row].span)
    }

    /// Rows as columns; [`NONE`] is a row of nulls.
    pub(super) fn columns(&self, rows: impl Iterator<Item = u32>) -> Result<Vec<ArrayRef>> {
        self.format.columns(rows.map(|row| self.bytes(row)))
    }

    /// Some columns of rows.
    pub(super) fn some_columns(
        &self,
        wanted: &[usize],
        rows: impl Iterator<Item = u32>,
    ) -> Result<Vec<ArrayRef>> {
        self.format.some(wanted, rows.map(|row| self.bytes(row)))
    }

    /// Forgets a row. Its number may be used again at once.
    pub(super) fn remove(&mut self, row: u32) {
        let Entry { next, previous, key, span, slot, sequence, saved, .. } = self.entries[row];
        let list = &mut self.lists[key as usize];
        match previous {
            NONE => list.first = next,
            before => self.entries[before].next = next,
        }
        match next {
            NONE => list.last = previous,
            after => self.entries[after].previous = previous,
        }
        if let Some(lookup) = &mut self.lookup {
            lookup.remove(row);
        }
        if saved {
            self.gone.push((slot, sequence));
        }
        self.arena.release(span);
        self.live -= 1;
        self.entries[row].free = true;
        self.free.push(row);
    }

    /// Whether a row has been removed and its number not been used again.
    pub(super) fn is_gone(&self, row: u32) -> bool {
        self.entries[row].free
    }

    /// Gives back the memory of removed rows when there are more of them than others.
    pub(super) fn compact(&mut self) {
        if self.arena.is_mostly_garbage() {
            let live = self.entries.iter_mut().filter(|entry| !entry.free);
            self.arena.compact(live.map(|entry| &mut entry.span));
        }
    }

    /// Keeps these keys alone, renumbered from 0 in this order. The others have no rows.
    pub(super) fn retain_keys(&mut self, keys: &[u32]) {
        let lists: Vec<List> = keys.iter().map(|key| self.lists[*key as usize]).collect();
        self.totals = keys.iter().map(|key| self.totals[*key as usize]).collect();
        for (number, list) in lists.iter().enumerate() {
            let mut row = list.first;
            while row != NONE {
                let entry = &mut self.entries[row];
                entry.key = number as u32;
                row = entry.next;
            }
        }
        self.lists = lists;
    }

    /// Puts each key's rows in the order of their sequence numbers, as they arrived.
    pub(super) fn sort_lists(&mut self) {
        for key in 0..self.lists.len() {
            let mut rows: Vec<u32> = self.rows_of(key as u32).collect();
            if rows.is_sorted_by_key(|row| self.entries[*row].sequence) {
                continue;
            }
            rows.sort_by_key(|row| self.entries[*row].sequence);
            let around = |nth: usize| rows.get(nth).copied().unwrap_or(NONE);
            for (nth, row) in rows.iter().enumerate() {
                self.entries[*row].previous = if nth == 0 { NONE } else { around(nth - 1) };
                self.entries[*row].next = around(nth + 1);
            }
            self.lists[key] = List { first: around(0), last: around(rows.len() - 1) };
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn size(&self) -> usize {
        let counts = [&self.matches, &self.dates].into_iter().flatten();
        self.arena.size()
            + self.format.size()
            + self.entries.size()
            + counts.map(PagedVec::size).sum::<usize>()
            + self.lists.capacity() * (size_of::<List>() + 8)
            + self.lookup.as_ref().map_or(0, Lookup::size)
    }

    /// The columns of a batch with these types.
    pub(super) fn batch_columns<'a>(&self, batch: &'a RecordBatch, from: usize) -> &'a [ArrayRef] {
        &batch.columns()[from..from + self.width]
    }

    /// The hash by which a row is looked up.
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        if self.lookup.is_some() { hash_bytes(bytes) } else { 0 }
    }
}
