//! Sorted lists of rows.
//!
//! A row is one byte string: what it is ordered by, in `arrow-row` encoding, which is compared as it is, then all its columns
//! ([`crate::packed`]), which break ties. Bytes lie in one arena; a list holds numbers of rows in order.

use std::cmp::Ordering;

use crate::packed::RowFormat;
use crate::paged::{Arena, PagedVec, Span};

const DIRTY_MIN: usize = 1 << 12;

/// The time of a row that came before any watermark; the first one gives it another.
pub(super) const UNDATED: i64 = i64::MIN;

/// A row.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    span: Span,
    /// How many bytes there are before the columns.
    head: u32,
    pub(super) weight: i64,
    /// The watermark behind the step in which it came, where lists are forgotten by it.
    pub(super) at: i64,
    /// The slot of its list.
    pub(super) slot: u32,
    /// Changed since the last snapshot.
    dirty: bool,
    /// In a snapshot.
    pub(super) saved: bool,
    /// On no list, but still to be told to the next snapshot.
    leaving: bool,
    free: bool,
}

/// The rows of a partition.
#[derive(Default)]
pub(super) struct List {
    /// In order.
    pub(super) rows: Vec<u32>,
    /// The sum of their weights.
    pub(super) total: i64,
    /// What could be seen of it before this step, as a stretch of the operator's notes.
    pub(super) before: Option<(u32, u32)>,
    /// Whether it is noted when it may be forgotten.
    pub(super) scheduled: bool,
}

/// A row that comes: what it is ordered by, and its columns.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    pub(super) order: &'a [u8],
    pub(super) columns: &'a [u8],
}

/// All lists of an instance.
pub(super) struct Lists {
    pub(super) format: RowFormat,
    entries: PagedVec<Entry>,
    free: Vec<u32>,
    arena: Arena,
    live: usize,
    dirty: Vec<u32>,
    /// Rows of the last snapshot that are on no list any more; their bytes are kept to name them.
    gone: Vec<u32>,
    pub(super) lists: Vec<List>,
}

impl Lists {
    /// No lists; rows have columns of this format.
    pub(super) fn new(format: RowFormat) -> Self {
        Self {
            format,
            entries: PagedVec::default(),
            free: Vec::new(),
            arena: Arena::default(),
            live: 0,
            dirty: Vec::new(),
            gone: Vec::new(),
            lists: Vec::new(),
        }
    }

    pub(super) fn entry(&self, row: u32) -> &Entry {
        &self.entries[row]
    }

    pub(super) fn entry_mut(&mut self, row: u32) -> &mut Entry {
        &mut self.entries[row]
    }

    pub(super) fn bytes(&self, row: u32) -> &[u8] {
        self.arena.get(self.entries[row].span)
    }

    /// What a row is ordered by.
    pub(super) fn order(&self, row: u32) -> &[u8] {
        let entry = &self.entries[row];
        self.arena.get(entry.span.split_at(entry.head).0)
    }

    /// A row's columns.
    pub(super) fn columns(&self, row: u32) -> &[u8] {
        let entry = &self.entries[row];
        self.arena.get(entry.span.split_at(entry.head).1)
    }

    /// How a row of a list and one that comes are ordered.
    fn compare(&self, row: u32, bytes: Bytes<'_>) -> Ordering {
        let entry = &self.entries[row];
        let (order, columns) = self.arena.get(entry.span).split_at(entry.head as usize);
        order.cmp(bytes.order).then_with(|| self.format.compare(columns, bytes.columns))
    }

    /// How two rows are ordered.
    pub(super) fn compare_rows(&self, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        self.compare(a, Bytes { order: self.order(b), columns: self.columns(b) })
    }

    /// Where a row is in its list, or where it would be.
    pub(super) fn find(&self, list: u32, bytes: Bytes<'_>) -> Result<usize, usize> {
        let rows = &self.lists[list as usize].rows;
        // Rows come mostly in order, one way or the other.
        match (rows.first(), rows.last()) {
            (_, Some(last)) if self.compare(*last, bytes).is_lt() => Err(rows.len()),
            (Some(first), _) if self.compare(*first, bytes).is_gt() => Err(0),
            _ => rows.binary_search_by(|row| self.compare(*row, bytes)),
        }
    }

    /// Adds to a row's weight and answers its number. A row of weight 0 is taken off its list, but its bytes stay until
    /// [`Self::release`].
    pub(super) fn add(&mut self, list: u32, slot: u32, bytes: Bytes<'_>, weight: i64) -> u32 {
        let found = self.find(list, bytes);
        self.lists[list as usize].total += weight;
        match found {
            Ok(place) => {
                let row = self.lists[list as usize].rows[place];
                let entry = &mut self.entries[row];
                entry.weight += weight;
                if entry.weight == 0 {
                    self.lists[list as usize].rows.remove(place);
                }
                row
            }
            Err(place) => {
                let number = self.push(slot, bytes, weight);
                self.lists[list as usize].rows.insert(place, number);
                number
            }
        }
    }

    fn push(&mut self, slot: u32, bytes: Bytes<'_>, weight: i64) -> u32 {
        let entry = Entry {
            span: self.arena.push_two(bytes.order, bytes.columns),
            head: u32::try_from(bytes.order.len()).expect("a row is shorter than four gigabytes"),
            weight,
            at: UNDATED,
            slot,
            dirty: false,
            saved: false,
            leaving: false,
            free: false,
        };
        self.live += 1;
        if let Some(row) = self.free.pop() {
            self.entries[row] = entry;
            return row;
        }
        self.entries.push(entry);
        u32::try_from(self.entries.len() - 1).expect("an instance has less than four billion rows")
    }

    /// Takes off the rows that lie wholly behind the first `limit`, and answers them.
    pub(super) fn cut(&mut self, list: u32, limit: i64, mut gone: impl FnMut(u32)) {
        let list = &mut self.lists[list as usize];
        while let Some(last) = list.rows.last().copied() {
            let weight = self.entries[last].weight;
            if list.total - weight < limit {
                break;
            }
            list.total -= weight;
            list.rows.pop();
            self.entries[last].weight = 0;
            gone(last);
        }
    }

    /// Takes a row off its list.
    pub(super) fn leave(&mut self, list: u32, row: u32) {
        let weight = std::mem::take(&mut self.entries[row].weight);
        let list = &mut self.lists[list as usize];
        list.rows.retain(|other| *other != row);
        list.total -= weight;
    }

    /// Takes off all rows, and answers them.
    pub(super) fn empty(&mut self, list: u32) -> Vec<u32> {
        let list = &mut self.lists[list as usize];
        list.total = 0;
        let rows = std::mem::take(&mut list.rows);
        rows.iter().for_each(|row| self.entries[*row].weight = 0);
        rows
    }

    /// The rows that can be seen of a list, each with how often, in order.
    pub(super) fn seen(&self, list: u32, skip: i64, take: i64, into: &mut Vec<(u32, i64)>) {
        let (mut skip, mut left) = (skip, take);
        for row in &self.lists[list as usize].rows {
            let mut times = self.entries[*row].weight.max(0);
            let skipped = times.min(skip);
            skip -= skipped;
            times = (times - skipped).min(left);
            if times > 0 {
                into.push((*row, times));
                left -= times;
            }
            if left == 0 {
                break;
            }
        }
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

    /// The rows that have changed since the last call.
    pub(super) fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.retain(|row| {
            // A number that was used again may be noted twice.
            let entry = &mut self.entries[*row];
            std::mem::take(&mut entry.dirty) && !entry.free
        });
        dirty
    }

    /// The rows of the last snapshot that have gone since; they are to be released.
    pub(super) fn take_gone(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gone)
    }

    /// Forgets a row that is on no list; its bytes are kept as long as a snapshot needs them.
    pub(super) fn forget(&mut self, row: u32) {
        let entry = &mut self.entries[row];
        if entry.free || entry.leaving || entry.weight != 0 {
            return;
        }
        if std::mem::take(&mut entry.saved) {
            (entry.dirty, entry.leaving) = (false, true);
            self.gone.push(row);
        } else {
            self.release(row);
        }
    }

    /// Gives back a row's number and memory.
    pub(super) fn release(&mut self, row: u32) {
        let entry = &mut self.entries[row];
        if !entry.free {
            entry.free = true;
            self.arena.release(entry.span);
            self.live -= 1;
            self.free.push(row);
        }
    }

    /// All rows on lists.
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        self.lists.iter().flat_map(|list| list.rows.iter().copied())
    }

    /// Gives back the memory of released rows when there are more of them than others.
    pub(super) fn compact(&mut self) {
        if self.arena.is_mostly_garbage() {
            let live = self.entries.iter_mut().filter(|entry| !entry.free);
            self.arena.compact(live.map(|entry| &mut entry.span));
        }
    }

    /// Keeps these lists alone, renumbered from 0 in this order. The others are empty.
    pub(super) fn retain(&mut self, kept: &[u32]) {
        self.lists = kept.iter().map(|list| std::mem::take(&mut self.lists[*list as usize])).collect();
    }

    pub(super) fn len(&self) -> usize {
        self.live - self.gone.len()
    }

    pub(super) fn size(&self) -> usize {
        let rows = self.arena.size() + self.entries.size() + self.format.size();
        rows + self.lists.capacity() * size_of::<List>() + self.live * 4
    }
}
