//! The rows that one side of a join keeps: bytes in one arena, and for each key a list in the order of arrival.
//!
//! A row that may be retracted is found by its bytes; rows that are only ever added are not looked up, and the same row twice is
//! two entries. A removed row stays in place until the end of the step, so that its number names it in the step's changes.

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow_row::{RowConverter, SortField};
use hashbrown::HashTable;

use super::lasting::UNDATED;
use crate::deltas::NONE;
use crate::error::Result;
use crate::groups::hash_bytes;

const GARBAGE_MIN: usize = 1 << 16;

const DIRTY_MIN: usize = 1 << 12;

/// A row.
pub(super) struct Entry {
    offset: usize,
    len: u32,
    pub(super) key: u32,
    next: u32,
    previous: u32,
    /// How often the row is there.
    pub(super) weight: i64,
    /// How many rows of the other side match, where that is counted by row.
    pub(super) matches: i64,
    /// Its place among the rows of its slot, in the order of arrival; names it in snapshots.
    pub(super) sequence: u64,
    hash: u64,
    /// The watermark behind the step that last changed it, where rows are forgotten by it.
    pub(super) at: i64,
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

/// Rows as bytes; without columns all rows are the same.
pub(super) struct Encoded(Option<arrow_row::Rows>);

impl Encoded {
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

/// Whether a note about a row still holds.
fn is_noted(entry: &Entry, sequence: u64) -> bool {
    !entry.free && entry.dirty && entry.sequence == sequence
}

/// The rows of one side.
pub(super) struct RowStore {
    types: Vec<DataType>,
    converter: RowConverter,
    null_row: Box<[u8]>,
    lookup: Option<HashTable<u32>>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    arena: Vec<u8>,
    garbage: usize,
    live: usize,
    lists: Vec<List>,
    /// The sum of the weights of each key.
    pub(super) totals: Vec<i64>,
    pub(super) next_sequence: u64,
    /// Rows that have changed since the last snapshot, by number and sequence number.
    dirty: Vec<(u32, u64)>,
    /// Rows of the last snapshot that are not there any more, by slot and sequence number.
    gone: Vec<(u32, u64)>,
}

impl RowStore {
    /// No rows. `retractions`: whether rows are looked up.
    pub(super) fn new(schema: &SchemaRef, retractions: bool) -> Result<Self> {
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let nulls: Vec<ArrayRef> = types.iter().map(|kind| new_null_array(kind, 1)).collect();
        let null_row = if nulls.is_empty() {
            Box::default()
        } else {
            converter.convert_columns(&nulls)?.row(0).data().into()
        };
        Ok(Self {
            types,
            converter,
            null_row,
            lookup: retractions.then(HashTable::new),
            entries: Vec::new(),
            free: Vec::new(),
            arena: Vec::new(),
            garbage: 0,
            live: 0,
            lists: Vec::new(),
            totals: Vec::new(),
            next_sequence: 0,
            dirty: Vec::new(),
            gone: Vec::new(),
        })
    }

    /// The rows of some columns as bytes.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        Ok(Encoded(if self.types.is_empty() { None } else { Some(self.converter.convert_columns(columns)?) }))
    }

    /// Makes room for keys below `keys`.
    pub(super) fn resize(&mut self, keys: usize) {
        self.lists.resize(keys, EMPTY);
        self.totals.resize(keys, 0);
    }

    pub(super) fn entry(&self, row: u32) -> &Entry {
        &self.entries[row as usize]
    }

    pub(super) fn entry_mut(&mut self, row: u32) -> &mut Entry {
        &mut self.entries[row as usize]
    }

    /// The row of these bytes, if rows are looked up and it is there.
    fn find(&self, hash: u64, bytes: &[u8]) -> Option<u32> {
        let same = |row: &u32| {
            let entry = &self.entries[*row as usize];
            entry.hash == hash && &self.arena[entry.offset..entry.offset + entry.len as usize] == bytes
        };
        self.lookup.as_ref()?.find(hash, same).copied()
    }

    /// How often a row is there.
    pub(super) fn weight_of(&self, bytes: &[u8]) -> i64 {
        self.find(self.hash(bytes), bytes).map_or(0, |row| self.entries[row as usize].weight)
    }

    /// Adds to a row's weight. Answers its number and whether it was not there before.
    pub(super) fn add(&mut self, key: u32, slot: u32, bytes: &[u8], weight: i64) -> (u32, bool) {
        let hash = self.hash(bytes);
        if let Some(row) = self.find(hash, bytes) {
            self.entries[row as usize].weight += weight;
            self.touch(row);
            return (row, false);
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let row = self.push(key, slot, bytes, hash, sequence);
        self.entries[row as usize].weight = weight;
        self.touch(row);
        (row, true)
    }

    /// Puts a row at the end of its key's list, with weight 0.
    pub(super) fn push(&mut self, key: u32, slot: u32, bytes: &[u8], hash: u64, sequence: u64) -> u32 {
        let list = &mut self.lists[key as usize];
        let entry = Entry {
            offset: self.arena.len(),
            len: u32::try_from(bytes.len()).expect("a row is shorter than four gigabytes"),
            key,
            next: NONE,
            previous: list.last,
            weight: 0,
            matches: 0,
            sequence,
            hash,
            at: UNDATED,
            slot,
            dirty: false,
            saved: false,
            free: false,
        };
        self.arena.extend_from_slice(bytes);
        self.live += 1;
        let row = match self.free.pop() {
            Some(row) => {
                self.entries[row as usize] = entry;
                row
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("an instance has less than four billion rows")
            }
        };
        match list.last {
            NONE => list.first = row,
            last => self.entries[last as usize].next = row,
        }
        list.last = row;
        if let Some(table) = &mut self.lookup {
            let entries = &self.entries;
            table.insert_unique(hash, row, |row| entries[*row as usize].hash);
        }
        row
    }

    /// Notes that a row has changed since the last snapshot.
    pub(super) fn touch(&mut self, row: u32) {
        let entry = &mut self.entries[row as usize];
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push((row, entry.sequence));
        }
        // Without snapshots nobody asks; rows that have come and gone must not be noted for ever.
        if self.dirty.len() > DIRTY_MIN + 2 * self.live {
            let entries = &self.entries;
            self.dirty.retain(|(row, sequence)| is_noted(&entries[*row as usize], *sequence));
        }
    }

    /// The rows that have changed since the last call, and the names of those that have gone.
    pub(super) fn take_changes(&mut self) -> (Vec<u32>, Vec<(u32, u64)>) {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        let dirty = dirty.filter(|(row, sequence)| is_noted(&self.entries[*row as usize], *sequence));
        let dirty: Vec<u32> = dirty.map(|(row, _)| row).collect();
        dirty.iter().for_each(|row| self.entries[*row as usize].dirty = false);
        (dirty, std::mem::take(&mut self.gone))
    }

    /// The rows of a key, in the order of arrival, those of weight 0 included.
    pub(super) fn rows_of(&self, key: u32) -> impl Iterator<Item = u32> {
        let mut next = self.lists[key as usize].first;
        std::iter::from_fn(move || {
            let row = next;
            (row != NONE).then(|| {
                next = self.entries[row as usize].next;
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
        let entry = &self.entries[row as usize];
        &self.arena[entry.offset..entry.offset + entry.len as usize]
    }

    /// Rows as columns; [`NONE`] is a row of nulls.
    pub(super) fn columns(&self, rows: impl Iterator<Item = u32>) -> Result<Vec<ArrayRef>> {
        if self.types.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(rows.map(|row| parser.parse(self.bytes(row))))?;
        // Dictionaries come back as their values.
        let typed = columns.into_iter().zip(&self.types);
        typed
            .map(
                |(column, kind)| {
                    if column.data_type() == kind { Ok(column) } else { Ok(cast(&column, kind)?) }
                },
            )
            .collect()
    }

    /// Forgets a row. Its number may be used again at once.
    pub(super) fn remove(&mut self, row: u32) {
        let Entry { next, previous, key, hash, len, slot, sequence, saved, .. } = self.entries[row as usize];
        let list = &mut self.lists[key as usize];
        match previous {
            NONE => list.first = next,
            before => self.entries[before as usize].next = next,
        }
        match next {
            NONE => list.last = previous,
            after => self.entries[after as usize].previous = previous,
        }
        if let Some(table) = &mut self.lookup
            && let Ok(found) = table.find_entry(hash, |other| *other == row)
        {
            found.remove();
        }
        if saved {
            self.gone.push((slot, sequence));
        }
        self.garbage += len as usize;
        self.live -= 1;
        self.entries[row as usize].free = true;
        self.free.push(row);
    }

    /// Whether a row has been removed and its number not been used again.
    pub(super) fn is_gone(&self, row: u32) -> bool {
        self.entries[row as usize].free
    }

    /// Gives back the memory of removed rows when there are more of them than others.
    pub(super) fn compact(&mut self) {
        if self.garbage < GARBAGE_MIN || self.garbage * 2 < self.arena.len() {
            return;
        }
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for entry in self.entries.iter_mut().filter(|entry| !entry.free) {
            let bytes = &self.arena[entry.offset..entry.offset + entry.len as usize];
            entry.offset = arena.len();
            arena.extend_from_slice(bytes);
        }
        self.arena = arena;
        self.garbage = 0;
    }

    /// Keeps these keys alone, renumbered from 0 in this order. The others have no rows.
    pub(super) fn retain_keys(&mut self, keys: &[u32]) {
        let lists: Vec<List> = keys.iter().map(|key| self.lists[*key as usize]).collect();
        self.totals = keys.iter().map(|key| self.totals[*key as usize]).collect();
        for (number, list) in lists.iter().enumerate() {
            let mut row = list.first;
            while row != NONE {
                let entry = &mut self.entries[row as usize];
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
            if rows.is_sorted_by_key(|row| self.entries[*row as usize].sequence) {
                continue;
            }
            rows.sort_by_key(|row| self.entries[*row as usize].sequence);
            let around = |nth: usize| rows.get(nth).copied().unwrap_or(NONE);
            for (nth, row) in rows.iter().enumerate() {
                self.entries[*row as usize].previous = if nth == 0 { NONE } else { around(nth - 1) };
                self.entries[*row as usize].next = around(nth + 1);
            }
            self.lists[key] = List { first: around(0), last: around(rows.len() - 1) };
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn size(&self) -> usize {
        self.arena.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.lists.capacity() * (size_of::<List>() + 8)
            + self.lookup.as_ref().map_or(0, HashTable::allocation_size)
    }

    /// The columns of a batch with these types.
    pub(super) fn batch_columns<'a>(&self, batch: &'a RecordBatch, from: usize) -> &'a [ArrayRef] {
        &batch.columns()[from..from + self.types.len()]
    }

    /// The hash by which a row is looked up.
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        if self.lookup.is_some() { hash_bytes(bytes) } else { 0 }
    }
}
