//! Keys of several columns of integers or times to dense numbers, without encoding them.
//!
//! ```text
//!  key      │ first column │ second column │ … │ which of them are NULL, by bits │
//! ```

use std::cmp::Ordering;
use std::hash::BuildHasher;

use arrow::array::{Array, Int64Array};
use foldhash::fast::FixedState;

use super::index::Index;
use super::maps::{SEED, number};

/// A key has fewer columns than this: one bit each says whether it is NULL.
pub(super) const COLUMNS: usize = 64;

/// Rows of integers to dense numbers, in order of first appearance.
pub(super) struct IntRowsMap {
    columns: usize,
    index: Index,
    /// The keys, one behind the other.
    words: Vec<i64>,
    keys: usize,
    /// Whether any column of any key is NULL.
    has_nulls: bool,
}

impl IntRowsMap {
    pub fn new(columns: usize) -> Self {
        assert!(columns < COLUMNS, "a key of so many columns is encoded");
        Self { columns, index: Index::default(), words: Vec::new(), keys: 0, has_nulls: false }
    }

    pub fn len(&self) -> usize {
        self.keys
    }

    fn width(&self) -> usize {
        self.columns + 1
    }

    fn key(&self, id: u32) -> &[i64] {
        key(&self.words, self.width(), id)
    }

    /// Adds the numbers of rows' keys to `ids`.
    pub fn intern(&mut self, columns: &[Int64Array], ids: &mut Vec<u32>) {
        let (width, nulls) = (self.width(), self.columns);
        let rows = columns.first().map_or(0, Array::len);
        let mut words = vec![0; rows * width];
        for (nth, column) in columns.iter().enumerate() {
            let values = words.iter_mut().skip(nth).step_by(width).zip(column.values().iter());
            values.for_each(|(word, value)| *word = *value);
            if column.null_count() > 0 {
                self.has_nulls = true;
                let keys = words.chunks_exact_mut(width).enumerate();
                for (_, key) in keys.filter(|(row, _)| column.is_null(*row)) {
                    // What lies under a NULL says nothing.
                    key[nth] = 0;
                    key[nulls] |= 1 << nth;
                }
            }
        }
        ids.extend(words.chunks_exact(width).map(|key| self.intern_key(key)));
    }

    #[inline]
    fn intern_key(&mut self, wanted: &[i64]) -> u32 {
        let (width, words) = (wanted.len(), &self.words);
        let hash = FixedState::with_seed(SEED).hash_one(wanted);
        let id = self.index.intern(hash, number(self.keys), |id| key(words, width, id) == wanted);
        if id as usize == self.keys {
            self.words.extend_from_slice(wanted);
            self.keys += 1;
        }
        id
    }

    /// A column of some keys.
    pub fn column(&self, nth: usize, ids: &[u32]) -> Int64Array {
        if self.has_nulls {
            ids.iter().map(|id| self.place(*id, nth)).collect()
        } else {
            Int64Array::from_iter_values(ids.iter().map(|id| self.key(*id)[nth]))
        }
    }

    /// A column of a key; NULL comes before all else.
    fn place(&self, id: u32, nth: usize) -> Option<i64> {
        let key = self.key(id);
        (key[self.columns] >> nth & 1 == 0).then_some(key[nth])
    }

    /// By their columns, nulls first.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        if self.has_nulls {
            let places = |id| (0..self.columns).map(move |nth| self.place(id, nth));
            places(a).cmp(places(b))
        } else {
            self.key(a).cmp(self.key(b))
        }
    }

    /// Keeps these keys alone, renumbered from 0 in this order.
    pub fn retain(&mut self, ids: &[u32]) {
        let mut kept = Self { has_nulls: self.has_nulls, ..Self::new(self.columns) };
        ids.iter().for_each(|id| {
            kept.intern_key(self.key(*id));
        });
        *self = kept;
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.index.clear();
        self.words.clear();
        (self.keys, self.has_nulls) = (0, false);
    }

    pub fn size(&self) -> usize {
        self.index.size() + self.words.capacity() * size_of::<i64>()
    }
}

#[inline]
fn key(words: &[i64], width: usize, id: u32) -> &[i64] {
    let start = id as usize * width;
    &words[start..start + width]
}
