//! The rows of one partition, in order, and the attempt that runs over them.
//!
//! ```text
//!   number     first            start         next              judged          end
//!              │ rows before    │ taken by     │ to be taken     │ neighbours     │ not yet passed by
//!              │ for PREV       │ the attempt  │                 │ missing        │ the watermark: elsewhere
//! ```

use std::collections::VecDeque;

use super::attempt::Attempt;
use super::buffer::Place;

/// A row that the watermark has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) time: i64,
    /// Which row of the partition it was, in the order in which they came. With the key it names the row in snapshots.
    pub(super) sequence: i64,
    pub(super) place: Place,
    /// The variables that the row can be one of, as bits; as far as its neighbours tell once it is judged.
    pub(super) may_be: u64,
    /// In a snapshot.
    pub(super) saved: bool,
}

/// A partition's rows. Rows are numbered from 0 in order.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) slot: u32,
    pub(super) rows: VecDeque<Row>,
    /// The number of the first of them.
    pub(super) first: u64,
    /// The number of the first row whose neighbours are not all known.
    pub(super) judged: u64,
    /// Where the attempt starts, or, if there is none, the next one.
    pub(super) start: u64,
    pub(super) attempt: Attempt,
    /// How many rows have come.
    pub(super) arrived: i64,
    /// How many rows wait for the watermark.
    pub(super) waiting: usize,
    /// How many matches there have been.
    pub(super) matches: i64,
    /// Whether the end of the attempt's time is on the list of ends.
    pub(super) scheduled: bool,
    /// Whether it is among those that are to be looked at.
    pub(super) touched: bool,
    /// Changed since the last snapshot.
    pub(super) dirty: bool,
    /// In a snapshot.
    pub(super) saved: bool,
    /// How many rows the next snapshot has to take out.
    pub(super) leaving: usize,
    /// Its memory when it was last looked at.
    pub(super) bytes: usize,
}

impl Partition {
    pub(super) fn new(slot: u32) -> Self {
        Self {
            slot,
            rows: VecDeque::new(),
            first: 0,
            judged: 0,
            start: 0,
            attempt: Attempt::default(),
            arrived: 0,
            waiting: 0,
            matches: 0,
            scheduled: false,
            touched: false,
            dirty: false,
            saved: false,
            leaving: 0,
            bytes: 0,
        }
    }

    /// The number of the row that comes next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    pub(super) fn row(&self, number: u64) -> &Row {
        &self.rows[(number - self.first) as usize]
    }

    pub(super) fn row_mut(&mut self, number: u64) -> &mut Row {
        &mut self.rows[(number - self.first) as usize]
    }

    /// Where the row lies that is so many rows after this one, if it is there.
    pub(super) fn neighbour(&self, number: u64, step: i32) -> Option<Place> {
        let number = number.checked_add_signed(i64::from(step))?;
        let nth = number.checked_sub(self.first)?;
        self.rows.get(usize::try_from(nth).ok()?).map(|row| row.place)
    }

    /// Takes out the rows that nothing needs any more: those that lie more than `before` rows before the start.
    pub(super) fn release(&mut self, before: u64, mut gone: impl FnMut(Row)) {
        let keep = self.start.min(self.judged).saturating_sub(before);
        while self.first < keep {
            let Some(row) = self.rows.pop_front() else { break };
            self.first += 1;
            gone(row);
        }
        self.attempt.forget_before(self.start);
    }

    /// The memory of its rows' places and of its attempt.
    pub(super) fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.attempt.size()
    }

    /// Whether nothing of it has to be kept.
    pub(super) fn is_vacant(&self) -> bool {
        self.rows.is_empty() && self.waiting == 0 && !self.saved && self.leaving == 0
    }
}
