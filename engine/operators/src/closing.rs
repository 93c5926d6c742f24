//! Groups that end with the watermark, because a column that they are grouped by is a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use headwater_core::EventTime;

use crate::api::{Output, Rows};
use crate::error::Result;
use crate::windows::Sorting;

/// When a group ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// The input column that holds the time; one of those that rows are grouped by.
    pub column: usize,
    /// The group ends when the watermark is more than this many nanoseconds past the time, and a row is late when its clock is.
    /// -1 for the end of a window, which no longer belongs to it.
    pub after: i64,
}

impl Closing {
    /// The rows whose group has not ended by their own clock.
    pub(crate) fn in_time(self, rows: Rows, operator: &Arc<str>, out: &mut Output) -> Result<Rows> {
        Sorting::in_time(rows, self.column, self.after, i64::MIN, operator, out)
    }

    /// The last moment of a group of this time.
    pub(crate) fn end(self, time: i64) -> i64 {
        time.saturating_add(self.after)
    }
}

/// Groups by their ends.
#[derive(Default)]
pub(crate) struct Ends(BinaryHeap<Reverse<(i64, u32)>>);

impl Ends {
    pub(crate) fn push(&mut self, end: i64, group: u32) {
        self.0.push(Reverse((end, group)));
    }

    /// The groups that have ended, the first to end first.
    pub(crate) fn due(&mut self, watermark: i64) -> Vec<(i64, u32)> {
        let mut due = Vec::new();
        while let Some(Reverse((end, group))) = self.0.peek().copied() {
            if watermark <= end {
                break;
            }
            self.0.pop();
            due.push((end, group));
        }
        due
    }

    /// The watermark at which the next group has ended.
    pub(crate) fn next(&self) -> Option<EventTime> {
        self.0.peek().map(|Reverse((end, _))| EventTime(end.saturating_add(1)))
    }

    /// Groups have new numbers: `of` gives that of each, or none if it is not there any more.
    pub(crate) fn renumber(&mut self, of: impl Fn(u32) -> Option<u32>) {
        let ends = std::mem::take(&mut self.0).into_iter();
        self.0 = ends.filter_map(|Reverse((end, group))| Some(Reverse((end, of(group)?)))).collect();
    }

    /// Whether there is a group that has not ended.
    pub(crate) fn is_pending(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn size(&self) -> usize {
        self.0.capacity() * size_of::<(i64, u32)>()
    }
}
