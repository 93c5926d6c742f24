//! When rows end: the watermark at which no match for them can come any more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use headwater_core::EventTime;

/// Rows by their end.
#[derive(Default)]
pub(super) struct Expiry(BinaryHeap<Reverse<(i64, u64, u32)>>);

impl Expiry {
    /// A row ends when the watermark is past `end`; among rows of one end they go in the order of their sequence numbers.
    pub(super) fn push(&mut self, end: i64, sequence: u64, row: u32) {
        self.0.push(Reverse((end, sequence, row)));
    }

    /// The next row that has ended.
    pub(super) fn pop(&mut self, watermark: i64) -> Option<u32> {
        self.pop_entry(watermark).map(|(_, _, row)| row)
    }

    /// The same with the row's end and its sequence number, by which a row is told whose number has been used again.
    pub(super) fn pop_entry(&mut self, watermark: i64) -> Option<(i64, u64, u32)> {
        let Reverse(entry) = *self.0.peek()?;
        (watermark > entry.0).then(|| {
            self.0.pop();
            entry
        })
    }

    /// The watermark at which the next row has ended.
    pub(super) fn next(&self) -> Option<EventTime> {
        self.0.peek().map(|Reverse((end, ..))| EventTime(end.saturating_add(1)))
    }

    pub(super) fn size(&self) -> usize {
        self.0.capacity() * size_of::<(i64, u64, u32)>()
    }
}
