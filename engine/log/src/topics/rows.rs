//! Where the rows of a shard are in its partition: sparse, and derived from the messages.
//!
//! ```text
//!  a partition   begin                                                     end
//!                | batch | batch | batch | batch | batch | batch | batch |
//!                  mark                    mark            mark              at least MARK_BYTES apart
//! ```
//!
//! A row is found by the mark before it and a search between that and the next one. Marks are made of what is written; of what was written
//! before the log was opened there are none, and the search takes some more probes.

use std::ops::Range;

use headwater_core::{EventTime, Sequence};

use super::note::Totals;

/// How many bytes lie between two marks.
const MARK_BYTES: u64 = 256 << 10;

/// The rows of one shard that are in a partition.
#[derive(Default, Debug)]
pub(crate) struct TopicRows {
    /// Where the oldest message kept is.
    pub begin: i64,
    /// The offset after the newest message.
    pub end: i64,
    /// What the batches come to that were removed.
    pub removed: Totals,
    /// What all batches come to, removed ones included.
    pub totals: Totals,
    /// When the oldest batch kept and the newest one arrived.
    pub arrival: Option<(EventTime, EventTime)>,
    marks: Vec<(Sequence, i64)>,
    unmarked: u64,
}

impl TopicRows {
    /// The rows that a partition holds when the log is opened: the oldest row and where its batch is, the offset after the newest batch,
    /// totals of what was removed and of all, and when the oldest and the newest arrived.
    pub fn opened(
        oldest: (Sequence, i64),
        end: i64,
        (removed, totals): (Totals, Totals),
        arrival: (EventTime, EventTime),
    ) -> Self {
        Self {
            begin: oldest.1,
            end,
            removed,
            totals,
            arrival: Some(arrival),
            marks: vec![oldest],
            unmarked: MARK_BYTES,
        }
    }

    /// Adds a batch after the last; `totals` are those with it.
    pub fn push(&mut self, first: Sequence, offset: i64, totals: Totals, arrival: EventTime) {
        if self.totals.batches == self.removed.batches {
            self.begin = offset;
        }
        self.unmarked += totals.bytes - self.totals.bytes;
        if self.marks.is_empty() || self.unmarked >= MARK_BYTES {
            self.marks.push((first, offset));
            self.unmarked = 0;
        }
        self.totals = totals;
        self.end = offset + 1;
        self.arrival = Some((self.arrival.map_or(arrival, |(first, _)| first), arrival));
    }

    /// Between which offsets the batch with a row is.
    pub fn around(&self, at: Sequence) -> Range<i64> {
        let after = self.marks.partition_point(|(first, _)| *first <= at);
        let begin = after.checked_sub(1).map_or(self.begin, |before| self.marks[before].1);
        begin..self.marks.get(after).map_or(self.end, |(_, offset)| *offset)
    }

    /// Lets the shard begin at a message; `removed` is what those before it come to.
    pub fn trim(&mut self, offset: i64, removed: Totals, arrival: EventTime) {
        self.begin = offset;
        self.removed = removed;
        self.arrival = self.arrival.map(|(_, last)| (arrival, last));
        self.marks.retain(|(_, at)| *at >= offset);
    }

    /// Bytes of the batches that are kept.
    pub fn bytes(&self) -> u64 {
        self.totals.bytes - self.removed.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_lies_between_two_marks() {
        let mut rows = TopicRows::default();
        let mut totals = Totals::default();
        for n in 0..10_u64 {
            totals = totals.and(MARK_BYTES / 2, None);
            rows.push(Sequence(10 * n), 3 * n as i64, totals, EventTime(n as i64));
        }
        assert_eq!((rows.begin, rows.end), (0, 28));
        assert_eq!(rows.around(Sequence(0)), 0..6);
        assert_eq!(rows.around(Sequence(45)), 12..18);
        assert_eq!(rows.around(Sequence(99)), 24..28);
        rows.trim(9, Totals { batches: 3, bytes: 3 * MARK_BYTES / 2, event_time: None }, EventTime(3));
        assert_eq!(rows.around(Sequence(31)), 9..12);
        assert_eq!((rows.bytes(), rows.arrival), (7 * MARK_BYTES / 2, Some((EventTime(3), EventTime(9)))));
    }
}
