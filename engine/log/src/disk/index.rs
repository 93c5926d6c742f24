//! Where the rows of a shard are: sparse, derived, and never on the path of an acknowledgement.
//!
//! ```text
//!  a shard      first                                                        next
//!               |== part ==|==== part ====|= part =| entry | entry | entry |
//!               '-- sealed files, one part each ---'-- active files, one entry per batch --'
//! ```
//!
//! For active files the index is in memory, made when a batch is written or scanned. For sealed files it is the
//! footer, and only its summary is in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use headwater_core::{EventTime, Sequence};

use super::segment::Segment;
use crate::batch::Header;

/// One batch in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Where it starts.
    pub at: u64,
    /// Bytes, header included.
    pub bytes: u32,
    /// Bytes of its header.
    pub header: u32,
    /// The first row's sequence number.
    pub first: Sequence,
    /// Rows.
    pub rows: u32,
    /// Smallest and largest event time, if any.
    pub event_time: Option<(EventTime, EventTime)>,
    /// Smallest and largest arrival.
    pub arrival: (EventTime, EventTime),
}

impl Entry {
    /// The entry of a batch whose header was read.
    pub(crate) fn of(at: u64, header: &Header) -> Self {
        Self {
            at,
            bytes: header.lengths.total as u32,
            header: header.lengths.header as u32,
            first: header.first,
            rows: header.rows,
            event_time: header.event_time,
            arrival: header.arrival,
        }
    }

    /// The sequence number after the last row's.
    pub(crate) fn next(&self) -> Sequence {
        self.first.plus(u64::from(self.rows))
    }
}

/// What a sealed file, or an active one, holds of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    /// The rows.
    pub rows: Range<Sequence>,
    /// How many batches.
    pub batches: u64,
    /// Bytes of the batches.
    pub bytes: u64,
    /// Smallest and largest event time, if any.
    pub event_time: Option<(EventTime, EventTime)>,
    /// Smallest and largest arrival.
    pub arrival: (EventTime, EventTime),
}

impl Summary {
    /// The summary of consecutive batches, if there are any.
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Option<Self> {
        let mut all: Option<Self> = None;
        for entry in entries {
            let all = all.get_or_insert(Self {
                rows: entry.first..entry.first,
                batches: 0,
                bytes: 0,
                event_time: None,
                arrival: entry.arrival,
            });
            all.rows.end = entry.next();
            all.batches += 1;
            all.bytes += u64::from(entry.bytes);
            all.arrival = (all.arrival.0.min(entry.arrival.0), all.arrival.1.max(entry.arrival.1));
            all.event_time = match (all.event_time, entry.event_time) {
                (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
                (one, other) => one.or(other),
            };
        }
        all
    }
}

/// What a sealed file holds of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The file.
    pub segment: Arc<Segment>,
    /// The shard's place in the file's footer.
    pub place: usize,
    /// What it holds.
    pub summary: Summary,
}

/// A batch in an active file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveEntry {
    /// The number of the file.
    pub file: u64,
    /// The batch.
    pub entry: Entry,
}

/// The rows of one shard that are in files, in order.
#[derive(Default, Debug)]
pub(crate) struct FileRows {
    /// In sealed files, oldest first.
    pub sealed: VecDeque<Part>,
    /// In active files, oldest first.
    pub active: VecDeque<ActiveEntry>,
}

impl FileRows {
    /// The part that holds a row, if it is sealed.
    pub(crate) fn part_at(&self, at: Sequence) -> Option<&Part> {
        self.sealed.get(self.sealed.partition_point(|part| part.summary.rows.end <= at))
    }

    /// The place of the active batch that holds a row.
    pub(crate) fn active_at(&self, at: Sequence) -> usize {
        self.active.partition_point(|one| one.entry.next() <= at)
    }

    /// The entries of one active file, which must be the oldest.
    pub(crate) fn of_active(&self, file: u64) -> impl Iterator<Item = &Entry> {
        self.active.iter().take_while(move |one| one.file == file).map(|one| &one.entry)
    }

    /// Replaces the batches of the oldest active file by a part.
    pub(crate) fn seal(&mut self, file: u64, part: Option<Part>) {
        let count = self.of_active(file).count();
        self.active.drain(..count);
        self.sealed.extend(part);
    }

    /// How far the rows before `before` can be removed in whole parts, if at all.
    pub(crate) fn trim_point(&self, before: Sequence) -> Option<Sequence> {
        let count = self.sealed.partition_point(|part| part.summary.rows.end <= before);
        count.checked_sub(1).map(|last| self.sealed[last].summary.rows.end)
    }

    /// Removes the parts before a trim point.
    pub(crate) fn trim(&mut self, first: Sequence) {
        while self.sealed.front().is_some_and(|part| part.summary.rows.end <= first) {
            self.sealed.pop_front();
        }
    }
}
