//! What is known of each partition: the rows that are still looked at, by position, and how far each frame has come.

use std::collections::VecDeque;

use super::frame::{Frame, FrameBound};
use super::spec::Over;
use crate::held;

/// A row that waits has no position yet.
pub(super) const WAITING: i64 = -1;

/// Where a row is in its partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its position, from 0, or [`WAITING`].
    pub(super) position: i64,
    /// The position of the first row that is equal to it in order.
    pub(super) peers_from: i64,
    /// How many different values of the order there are up to it.
    pub(super) dense: i64,
}

impl Default for Place {
    fn default() -> Self {
        Self { position: WAITING, peers_from: WAITING, dense: 0 }
    }
}

/// The rows of all partitions.
pub(super) type Store = held::Store<Place>;

/// Half-open stretch of positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A partition. Positions count its rows from 0, in their final order.
#[derive(Clone, Default)]
pub(super) struct Partition {
    /// The rows from `base` on, without a gap.
    pub(super) rows: VecDeque<u32>,
    pub(super) base: u64,
    /// The first rows that functions look at for ever, as far as they are no longer among `rows`.
    pub(super) head: Vec<u32>,
    /// The position of the next row to come out.
    pub(super) told: u64,
    /// How many different values of the order there have been.
    pub(super) dense: i64,
    /// How far each frame has come.
    pub(super) frames: Vec<Stretch>,
    /// How many rows wait for the watermark.
    pub(super) waiting: u32,
    pub(super) changed: bool,
    /// Whether a snapshot has it.
    pub(super) saved: bool,
}

impl Partition {
    /// One past the position of the last row.
    pub(super) fn end(&self) -> u64 {
        self.base + self.rows.len() as u64
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.rows.is_empty() && self.head.is_empty() && self.waiting == 0
    }

    /// The row at a position, if it is there.
    pub(super) fn at(&self, position: i64) -> Option<u32> {
        let position = u64::try_from(position).ok()?;
        match position.checked_sub(self.base) {
            Some(place) => self.rows.get(place as usize).copied(),
            None => self.head.get(position as usize).copied(),
        }
    }

    /// Whether all is known of the next row to come out.
    pub(super) fn is_ready(&self, what: &Over, store: &Store, watermark: i64) -> bool {
        let Some(row) = self.at(self.told as i64) else { return false };
        if watermark == i64::MAX {
            return true;
        }
        let time = store.row(row).time.saturating_add(what.after).saturating_add(what.time_behind());
        self.told + (what.rows_behind() as u64) < self.end() && watermark > time
    }

    /// The stretch of positions that a frame of the row at `position` holds. `from` is that of the row before it,
    /// behind which it cannot lie.
    pub(super) fn stretch(&self, frame: Frame, position: u64, from: Stretch, store: &Store) -> Stretch {
        let row = self.at(position as i64).map(|row| *store.row(row));
        let (time, peers_from) =
            row.map_or((i64::MAX, position), |row| (row.time, row.note.peers_from as u64));
        let clamp = |position: i128| position.clamp(0, i128::from(self.end())) as u64;
        let by_rows = |rows: i64| clamp(i128::from(position) + i128::from(rows));
        // The first position whose row holds, from one before which none does.
        let first = |from: u64, holds: &dyn Fn(u32) -> bool| {
            let place = |position: &u64| self.at(*position as i64).is_none_or(holds);
            (from.max(self.base)..self.end()).find(|position| place(position)).unwrap_or(self.end())
        };
        let start = match frame.start {
            FrameBound::Unbounded => 0,
            FrameBound::Rows(rows) => by_rows(rows),
            FrameBound::Range(nanos) => {
                first(from.start, &|row| store.row(row).time >= time.saturating_add(nanos))
            }
            FrameBound::Peers => peers_from,
        };
        let end = match frame.end {
            FrameBound::Unbounded => self.end(),
            FrameBound::Rows(rows) => by_rows(rows.saturating_add(1)),
            FrameBound::Range(nanos) => {
                first(from.end, &|row| store.row(row).time > time.saturating_add(nanos))
            }
            FrameBound::Peers => {
                first(position.max(from.end), &|row| store.row(row).note.peers_from as u64 > peers_from)
            }
        };
        Stretch { start, end: end.max(start) }
    }

    /// Before which position no row is looked at any more, those at the head aside.
    pub(super) fn used_from(&self, what: &Over, store: &Store) -> u64 {
        let next = self.at(self.told as i64).map(|row| store.row(row).note.peers_from as u64);
        let before = self.told.saturating_sub(what.rows_before() as u64);
        let frames = self.frames.iter().zip(&what.frames);
        let frames = frames.map(|(stretch, frame)| if frame.slides() { stretch.start } else { stretch.end });
        frames.chain([before, self.told]).chain(next).min().unwrap_or(0)
    }
}
