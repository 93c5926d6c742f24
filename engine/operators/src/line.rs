//! Rows that wait until the watermark has passed them: only then is their order final.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Rows of an operator by their numbers, in the order of time.
pub(crate) struct Line {
    rows: BinaryHeap<Reverse<(i64, u32)>>,
    /// A row has been passed when the watermark is more than this many nanoseconds past its time.
    after: i64,
}

impl Line {
    pub(crate) fn new(after: i64) -> Self {
        Self { rows: BinaryHeap::new(), after }
    }

    /// Puts a row of this time in line.
    pub(crate) fn push(&mut self, time: i64, row: u32) {
        self.rows.push(Reverse((time, row)));
    }

    /// Takes the rows that the watermark has passed, with their times; all of them when no row will follow.
    pub(crate) fn passed(&mut self, watermark: i64) -> Vec<(i64, u32)> {
        let mut passed = Vec::new();
        while let Some(Reverse((time, row))) = self.rows.peek().copied() {
            if watermark != i64::MAX && watermark <= time.saturating_add(self.after) {
                break;
            }
            self.rows.pop();
            passed.push((time, row));
        }
        passed
    }

    /// The greatest watermark that passes no row; `None` if none waits.
    pub(crate) fn holds_until(&self) -> Option<i64> {
        self.rows.peek().map(|Reverse((time, _))| time.saturating_add(self.after))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// In bytes.
    pub(crate) fn size(&self) -> usize {
        self.rows.capacity() * size_of::<(i64, u32)>()
    }
}
