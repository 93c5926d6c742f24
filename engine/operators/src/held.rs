//! Rows that an operator holds: those that wait for the watermark, and those that others still look at.
//!
//! A row has a number of its own for as long as it is held; its columns lie in a chunk, which is a batch as it came
//! in or several merged. Chunks of which little is left, and the smaller half of too many, are merged, so that a
//! row is copied only a few times.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, UInt64Array, new_empty_array,
};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use headwater_core::size::bytes_of_rows;

use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::Result;
use crate::parts::{PART_BYTES, parts};
use crate::windows::push_entries;

/// So many chunks are kept apart.
const CHUNKS_MAX: usize = 64;

/// Fewer rows that have come and gone since the last snapshot are not worth being looked for.
const STALE_MIN: usize = 1024;

/// Chunks of fewer rows are not worth a look while most of their rows are gone.
const SPARSE_MIN: usize = 1024;

/// A row that is held, and what its operator notes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<T> {
    chunk: u32,
    place: u32,
    /// Event time, nanoseconds.
    pub(crate) time: i64,
    /// Its slot and its number of arrival there name it in snapshots.
    pub(crate) slot: u32,
    pub(crate) sequence: u64,
    /// The number of its key.
    pub(crate) key: u32,
    pub(crate) note: T,
    changed: bool,
    saved: bool,
    there: bool,
}

struct Chunk {
    batch: RecordBatch,
    rows: Vec<u32>,
    live: usize,
}

/// Rows by number.
pub(crate) struct Store<T> {
    input: SchemaRef,
    rows: Vec<Row<T>>,
    free: Vec<u32>,
    chunks: Vec<Option<Chunk>>,
    changed: Vec<u32>,
    /// How many of these are not there any more.
    stale: usize,
    gone: Vec<(u32, u64)>,
    /// No more bytes are copied together.
    part_bytes: usize,
}

impl<T: Copy + Default> Store<T> {
    pub(crate) fn new(input: &SchemaRef) -> Self {
        Self {
            input: input.clone(),
            rows: Vec::new(),
            free: Vec::new(),
            chunks: Vec::new(),
            changed: Vec::new(),
            stale: 0,
            gone: Vec::new(),
            part_bytes: PART_BYTES,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len() - self.stale
    }

    pub(crate) fn row(&self, row: u32) -> &Row<T> {
        &self.rows[row as usize]
    }

    /// A row that is about to change.
    pub(crate) fn row_mut(&mut self, row: u32) -> &mut Row<T> {
        let entry = &mut self.rows[row as usize];
        if !entry.changed {
            entry.changed = true;
            self.changed.push(row);
        }
        entry
    }

    /// Holds a batch's rows: time, slot, number there and key of each. Gives their numbers.
    pub(crate) fn add(
        &mut self,
        batch: RecordBatch,
        each: impl Iterator<Item = (i64, u32, u64, u32)>,
        saved: bool,
    ) -> Vec<u32> {
        let chunk = self.chunks.iter().position(Option::is_none).unwrap_or_else(|| {
            self.chunks.push(None);
            self.chunks.len() - 1
        });
        let rows: Vec<u32> = each
            .enumerate()
            .map(|(place, (time, slot, sequence, key))| {
                let row = Row {
                    chunk: chunk as u32,
                    place: place as u32,
                    time,
                    slot,
                    sequence,
                    key,
                    note: T::default(),
                    changed: !saved,
                    saved,
                    there: true,
                };
                match self.free.pop() {
                    Some(number) => {
                        self.rows[number as usize] = row;
                        number
                    }
                    None => {
                        self.rows.push(row);
                        self.rows.len() as u32 - 1
                    }
                }
            })
            .collect();
        if !saved {
            self.changed.extend(&rows);
        }
        self.chunks[chunk] = Some(Chunk { batch, live: rows.len(), rows: rows.clone() });
        rows
    }

    /// Lets go of a row.
    pub(crate) fn remove(&mut self, row: u32) {
        let entry = &mut self.rows[row as usize];
        debug_assert!(entry.there, "a row goes once");
        entry.there = false;
        if entry.saved {
            self.gone.push((entry.slot, entry.sequence));
        }
        let chunk = entry.chunk as usize;
        if let Some(held) = &mut self.chunks[chunk] {
            held.live -= 1;
            if held.live == 0 {
                self.chunks[chunk] = None;
            }
        }
        if !entry.changed {
            self.free.push(row);
            return;
        }
        self.stale += 1;
        // Without snapshots nobody asks; rows that have come and gone must not be noted for ever.
        if self.stale > STALE_MIN && self.stale * 2 > self.changed.len() {
            self.forget_stale();
        }
    }

    /// The numbers of rows that have come and gone since the last snapshot may be used again.
    fn forget_stale(&mut self) {
        let (rows, free) = (&mut self.rows, &mut self.free);
        self.changed.retain(|row| {
            let entry = &mut rows[*row as usize];
            if !entry.there {
                entry.changed = false;
                free.push(*row);
            }
            entry.there
        });
        self.stale = 0;
    }

    /// A column's values in some rows; `None` is NULL, or the default if there is one.
    pub(crate) fn column(
        &self,
        column: usize,
        rows: impl Iterator<Item = Option<u32>>,
        default: &ArrayRef,
    ) -> Result<ArrayRef> {
        let empty = new_empty_array(self.input.field(column).data_type());
        let mut arrays: Vec<&dyn Array> = self
            .chunks
            .iter()
            .map(|chunk| chunk.as_ref().map_or(empty.as_ref(), |chunk| chunk.batch.column(column).as_ref()))
            .collect();
        arrays.push(default.as_ref());
        let places: Vec<(usize, usize)> = rows
            .map(|row| match row {
                Some(row) => {
                    let row = self.row(row);
                    (row.chunk as usize, row.place as usize)
                }
                None => (self.chunks.len(), 0),
            })
            .collect();
        Ok(interleave(&arrays, &places)?)
    }

    /// All columns of some rows.
    pub(crate) fn columns(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let each = |column: usize| {
            let empty = new_empty_array(self.input.field(column).data_type());
            self.column(column, rows.iter().map(|row| Some(*row)), &empty)
        };
        (0..self.input.fields().len()).map(each).collect()
    }

    /// Merges chunks of which little is left, and the smaller half of too many.
    pub(crate) fn compact(&mut self) -> Result<()> {
        let there = || self.chunks.iter().enumerate().filter_map(|(nth, chunk)| Some((nth, chunk.as_ref()?)));
        let mut merged: Vec<usize> = there()
            .filter(|(_, chunk)| chunk.rows.len() >= SPARSE_MIN && chunk.live * 4 < chunk.rows.len())
            .map(|(nth, _)| nth)
            .collect();
        if there().count() > CHUNKS_MAX {
            let mut all: Vec<(usize, usize)> = there().map(|(nth, chunk)| (chunk.live, nth)).collect();
            all.sort_unstable();
            merged.extend(all[..all.len() / 2].iter().map(|(_, nth)| *nth));
        }
        merged.sort_unstable();
        merged.dedup();
        for part in parts(&merged, usize::MAX, self.part_bytes, |nth| self.chunk_bytes(*nth)) {
            self.merge(&merged[part])?;
        }
        Ok(())
    }

    /// At most so many bytes are in the rows of a chunk.
    fn chunk_bytes(&self, nth: usize) -> usize {
        self.chunks[nth].as_ref().map_or(0, |chunk| bytes_of_rows(&chunk.batch))
    }

    /// Makes one chunk of some.
    fn merge(&mut self, merged: &[usize]) -> Result<()> {
        let mut rows: Vec<u32> = Vec::new();
        for nth in merged {
            let chunk = self.chunks[*nth].as_ref();
            // The number of a row that is gone may be another's by now.
            rows.extend(chunk.into_iter().flat_map(|chunk| &chunk.rows).copied().filter(|row| {
                let entry = &self.rows[*row as usize];
                entry.there && entry.chunk as usize == *nth
            }));
        }
        let batch = RecordBatch::try_new(self.input.clone(), self.columns(&rows)?)?;
        merged.iter().for_each(|nth| self.chunks[*nth] = None);
        let chunk = merged[0];
        for (place, row) in rows.iter().enumerate() {
            let entry = &mut self.rows[*row as usize];
            (entry.chunk, entry.place) = (chunk as u32, place as u32);
        }
        self.chunks[chunk] = Some(Chunk { batch, live: rows.len(), rows });
        Ok(())
    }

    /// What has changed since the last call, or all rows, and the names of those that are gone.
    fn take_changes(&mut self, full: bool) -> (Vec<u32>, Vec<(u32, u64)>) {
        self.forget_stale();
        let mut changed = std::mem::take(&mut self.changed);
        changed.iter().for_each(|row| self.rows[*row as usize].changed = false);
        let mut gone = std::mem::take(&mut self.gone);
        if full {
            gone.clear();
            changed = (0..self.rows.len() as u32).filter(|row| self.rows[*row as usize].there).collect();
        }
        changed.iter().for_each(|row| self.rows[*row as usize].saved = true);
        (changed, gone)
    }

    /// The columns of the store's table in a snapshot: `$slot`, `$sequence`, the notes', the input's.
    pub(crate) fn schema(&self, notes: &[&str]) -> SchemaRef {
        let own = [("$slot", DataType::UInt32), ("$sequence", DataType::UInt64)].into_iter();
        let own = own.chain(notes.iter().map(|name| (*name, DataType::Int64)));
        let own = own.map(|(name, kind)| Arc::new(Field::new(name, kind, false)));
        Arc::new(Schema::new(own.chain(self.input.fields().iter().cloned()).collect::<Vec<_>>()))
    }

    /// Writes what has changed since the last call, or all rows. `notes`: the names of the notes' columns, and what
    /// is in them.
    pub(crate) fn write<const N: usize>(
        &mut self,
        table: &str,
        notes: [&str; N],
        note: impl Fn(&T) -> [i64; N],
        full: bool,
        out: &mut Snapshot,
    ) -> Result<()> {
        let (changed, gone) = self.take_changes(full);
        let schema = self.schema(&notes);
        if !gone.is_empty() {
            let (slots, sequences): (Vec<u32>, Vec<u64>) = gone.into_iter().unzip();
            let columns: Vec<ArrayRef> =
                vec![Arc::new(UInt32Array::from(slots.clone())), Arc::new(UInt64Array::from(sequences))];
            let named = Arc::new(Schema::new(schema.fields()[..2].to_vec()));
            let rows = RecordBatch::try_new(named, columns)?;
            let change = StateChange::Delete;
            out.push(StateEntries { table: table.to_owned(), change, rows, slots });
        }
        for part in self.parts_of(changed) {
            self.write_part(table, &schema, &note, &part, out)?;
        }
        Ok(())
    }

    /// Rows in parts that can be one batch each: a chunk is one already, so that as much as some chunks have together is safe.
    fn parts_of(&self, mut rows: Vec<u32>) -> Vec<Vec<u32>> {
        let all: usize = (0..self.chunks.len()).map(|nth| self.chunk_bytes(nth)).sum();
        if all <= self.part_bytes || rows.is_empty() {
            return vec![rows];
        }
        rows.sort_by_key(|row| self.row(*row).chunk);
        let of_chunks: Vec<&[u32]> = rows.chunk_by(|a, b| self.row(*a).chunk == self.row(*b).chunk).collect();
        let bytes =
            |rows: &&[u32]| rows.first().map_or(0, |row| self.chunk_bytes(self.row(*row).chunk as usize));
        let cut = parts(&of_chunks, usize::MAX, self.part_bytes, bytes);
        cut.into_iter().map(|part| of_chunks[part].concat()).collect()
    }

    fn write_part<const N: usize>(
        &self,
        table: &str,
        schema: &SchemaRef,
        note: &impl Fn(&T) -> [i64; N],
        part: &[u32],
        out: &mut Snapshot,
    ) -> Result<()> {
        let rows: Vec<&Row<T>> = part.iter().map(|row| self.row(*row)).collect();
        let slots: Vec<u32> = rows.iter().map(|row| row.slot).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(slots.clone())),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.sequence))),
        ];
        for nth in 0..N {
            let values = rows.iter().map(|row| note(&row.note)[nth]);
            columns.push(Arc::new(Int64Array::from_iter_values(values)));
        }
        columns.extend(self.columns(part)?);
        push_entries(table, RecordBatch::try_new(Arc::clone(schema), columns)?, slots, out);
        Ok(())
    }

    /// Restored rows count as saved.
    pub(crate) fn forget_changes(&mut self) {
        self.take_changes(false);
    }

    /// Keys have new numbers.
    pub(crate) fn renumber(&mut self, of: impl Fn(u32) -> Option<u32>) {
        for row in self.rows.iter_mut().filter(|row| row.there) {
            row.key = of(row.key).unwrap_or(row.key);
        }
    }

    pub(crate) fn size(&self) -> usize {
        let chunks = self.chunks.iter().flatten();
        let chunks: usize = chunks.map(|chunk| bytes_of_rows(&chunk.batch) + chunk.rows.len() * 4).sum();
        chunks + self.rows.capacity() * size_of::<Row<T>>()
    }
}

/// What rows of a store's table are named by: slot and number of arrival.
pub(crate) fn names(rows: &RecordBatch) -> Vec<(u32, u64)> {
    let slots = rows.column(0).as_primitive::<UInt32Type>().values();
    let sequences = rows.column(1).as_primitive::<UInt64Type>().values();
    slots.iter().copied().zip(sequences.iter().copied()).collect()
}

/// The next number of arrival in each slot.
#[derive(Default)]
pub(crate) struct Arrivals(hashbrown::HashMap<u32, u64>);

impl Arrivals {
    /// The number of a row that arrives now.
    pub(crate) fn next(&mut self, slot: u32) -> u64 {
        let next = self.0.entry(slot).or_default();
        *next += 1;
        *next - 1
    }

    /// Goes on behind a number that was given before.
    pub(crate) fn pass(&mut self, slot: u32, sequence: u64) {
        let next = self.0.entry(slot).or_default();
        *next = (*next).max(sequence + 1);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    /// A row: its slot, its number there, and how long its text is.
    type Kept = (u32, u64, usize);

    fn input() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, false)]))
    }

    /// A store with batches of texts of these lengths.
    fn store(part_bytes: usize, batches: &[&[usize]]) -> Store<()> {
        let mut store = Store { part_bytes, ..Store::new(&input()) };
        let mut sequence = 0;
        for lengths in batches {
            let texts: StringArray = lengths.iter().map(|length| Some("x".repeat(*length))).collect();
            let batch = RecordBatch::try_new(input(), vec![Arc::new(texts)]).unwrap();
            let each: Vec<_> =
                (0..lengths.len() as u64).map(|nth| (0, nth as u32 % 3, sequence + nth, 0)).collect();
            sequence += lengths.len() as u64;
            store.add(batch, each.into_iter(), false);
        }
        store
    }

    /// The entries of a full snapshot.
    fn written(store: &mut Store<()>) -> Vec<StateEntries> {
        let mut snapshot = Snapshot::default();
        store.write("rows", [], |()| [], true, &mut snapshot).unwrap();
        snapshot.entries
    }

    fn rows_of(entries: &[StateEntries]) -> Vec<Kept> {
        let of = |entries: &StateEntries| -> Vec<Kept> {
            let texts = entries.rows.column(2).as_string::<i32>();
            let lengths = texts.iter().map(|text| text.unwrap().len());
            names(&entries.rows)
                .into_iter()
                .zip(lengths)
                .map(|((slot, nth), length)| (slot, nth, length))
                .collect()
        };
        let mut all: Vec<Kept> = entries.iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn a_large_state_is_written_and_copied_in_parts() {
        let batches: [&[usize]; 5] = [&[400, 300, 1], &[900], &[10, 20, 30], &[5000, 1], &[7; 40]];
        let (mut whole, mut cut) = (store(usize::MAX, &batches), store(1_000, &batches));
        let (one, many) = (written(&mut whole), written(&mut cut));
        assert_eq!(one.len(), 1);
        assert!((3..=5).contains(&many.len()), "{} parts", many.len());
        assert_eq!(rows_of(&many), rows_of(&one));
        // What is taken out of many chunks is merged, but not to more than a part.
        let gone: Vec<u32> = (0..cut.rows.len() as u32).filter(|row| row % 2 == 0).collect();
        gone.iter().for_each(|row| cut.remove(*row));
        let left = rows_of(&written(&mut cut));
        assert_eq!(left.len(), cut.rows.len() - gone.len());
        for part in parts(&[0_usize, 1, 2, 4], usize::MAX, 1_000, |nth| cut.chunk_bytes(*nth)) {
            cut.merge(&[0_usize, 1, 2, 4][part]).unwrap();
        }
        assert_eq!(rows_of(&written(&mut cut)), left);
        let sizes: Vec<usize> =
            cut.chunks.iter().flatten().map(|chunk| bytes_of_rows(&chunk.batch)).collect();
        assert!((3..=5).contains(&sizes.len()), "{sizes:?}");
        assert_eq!(sizes.iter().filter(|size| **size > 1_200).count(), 1, "one row is larger: {sizes:?}");
    }

    /// More than a column of one batch can have. The texts are gigabytes for as long as this takes, which is seconds.
    #[test]
    fn texts_of_more_than_two_gigabytes_are_snapshotted_and_restored() {
        const LENGTH: usize = 300 << 20;
        let mut held = store(PART_BYTES, &[&[LENGTH; 3], &[LENGTH; 3], &[LENGTH, LENGTH, 1]]);
        let entries = written(&mut held);
        let kept = rows_of(&entries);
        assert!(kept.iter().map(|(.., length)| length).sum::<usize>() > i32::MAX as usize);
        assert!(entries.len() > 1 && kept.len() == 9);
        drop(held);
        let mut restored = Store::<()>::new(&input());
        for entries in entries {
            let texts = RecordBatch::try_new(input(), entries.rows.columns()[2..].to_vec()).unwrap();
            let each = names(&entries.rows).into_iter().map(|(slot, sequence)| (0, slot, sequence, 0));
            restored.add(texts, each, true);
        }
        assert_eq!(restored.len(), 9);
        restored.compact().unwrap();
        restored.merge(&[0]).unwrap();
        let chunks = restored.chunks.iter().flatten().map(|chunk| chunk.rows.len()).sum::<usize>();
        assert_eq!(chunks, 9);
    }
}
