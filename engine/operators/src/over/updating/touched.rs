//! Which rows a change can have another result for: those whose frame it lies in, or whose number it moves.

use std::ops::Range;

use super::rows::Held;
use super::sorted::Sorted;
use super::spec::UpdatingOver;
use crate::over::frame::{Frame, FrameBound};
use crate::over::spec::OverFunction;

/// Equal rows that have come into a partition, or gone from it, in a step.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// One of them.
    pub(super) row: u32,
    /// How many have come; negative: gone.
    pub(super) delta: i64,
    /// The positions of those that have come. It is empty where rows have gone.
    pub(super) at: Range<usize>,
}

/// The partition after the step, and what has moved in it, in order.
pub(super) struct Change<'a> {
    pub(super) what: &'a UpdatingOver,
    pub(super) held: &'a Held,
    pub(super) sorted: &'a Sorted,
    pub(super) moved: &'a [Moved],
}

impl Change<'_> {
    /// The stretches of rows that are to be evaluated, in order and apart from each other.
    pub(super) fn touched(&self) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = self.moved.iter().map(|moved| moved.at.clone()).collect();
        for call in &self.what.calls {
            match &call.function {
                OverFunction::RowNumber => self.renumbered(&mut ranges),
                OverFunction::Rank => self.ranked_anew(&mut ranges),
                // Whether a value of the order is new says something of all behind it.
                OverFunction::DenseRank => {
                    ranges.extend(self.moved.first().map(|moved| moved.at.start..self.len()))
                }
                OverFunction::Shift { by, .. } => {
                    self.by_rows(Some((*by).min(0)), Some((*by).max(0)), &mut ranges);
                }
                OverFunction::Value { .. } | OverFunction::Aggregate { .. } => {}
            }
        }
        for frame in &self.what.frames {
            self.of_frame(*frame, &mut ranges);
        }
        merge(ranges, self.len())
    }

    fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Rows whose position is another one: between rows that have come and as many that have gone.
    fn renumbered(&self, ranges: &mut Vec<Range<usize>>) {
        let mut net = 0;
        for (nth, moved) in self.moved.iter().enumerate() {
            net += moved.delta;
            if net != 0 {
                let next = self.moved.get(nth + 1).map_or(self.len(), |next| next.at.start);
                ranges.push(moved.at.end..next);
            }
        }
    }

    /// The same for ranks, which count the rows before a row's peers.
    fn ranked_anew(&self, ranges: &mut Vec<Range<usize>>) {
        let behind = |row: u32| {
            let head = self.held.line(row).head();
            self.sorted.partition_point(|other| self.held.line(other).head() <= head)
        };
        let mut net = 0;
        for (nth, moved) in self.moved.iter().enumerate() {
            net += moved.delta;
            if net != 0 {
                let next = self.moved.get(nth + 1).map_or(self.len(), |next| behind(next.row));
                ranges.push(behind(moved.row)..next);
            }
        }
    }

    /// Rows that look at others from `from` to `to` rows behind them; `None`: at all on that side. What lies between a row and
    /// what it looks at counts, too, as it says which that is.
    fn by_rows(&self, from: Option<i64>, to: Option<i64>, ranges: &mut Vec<Range<usize>>) {
        let rows = |rows: i64| usize::try_from(rows.unsigned_abs()).unwrap_or(usize::MAX);
        for moved in self.moved {
            let start = to.map_or(0, |to| moved.at.start.saturating_sub(rows(to)));
            let end = from.map_or(self.len(), |from| moved.at.end.saturating_add(rows(from)));
            ranges.push(start..end);
        }
    }

    fn of_frame(&self, frame: Frame, ranges: &mut Vec<Range<usize>>) {
        let rows = |bound: FrameBound| match bound {
            FrameBound::Rows(rows) => Some(rows),
            _ => None,
        };
        if frame.counts_rows() {
            self.by_rows(
                rows(frame.start).map(|rows| rows.min(0)),
                rows(frame.end).map(|rows| rows.max(0)),
                ranges,
            );
            return;
        }
        for moved in self.moved {
            let line = self.held.line(moved.row);
            let start = match frame.end {
                FrameBound::Range(by) => {
                    let first = line.measure.shifted(by.saturating_neg());
                    self.sorted.partition_point(|other| self.held.line(other).measure < first)
                }
                FrameBound::Peers => {
                    self.sorted.partition_point(|other| self.held.line(other).head() < line.head())
                }
                FrameBound::Unbounded | FrameBound::Rows(_) => 0,
            };
            let end = match frame.start {
                FrameBound::Range(by) => {
                    let last = line.measure.shifted(by.saturating_neg());
                    self.sorted.partition_point(|other| self.held.line(other).measure <= last)
                }
                FrameBound::Peers => {
                    self.sorted.partition_point(|other| self.held.line(other).head() <= line.head())
                }
                FrameBound::Unbounded | FrameBound::Rows(_) => self.len(),
            };
            ranges.push(start..end);
        }
    }
}

/// In order, each row once.
fn merge(mut ranges: Vec<Range<usize>>, len: usize) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let range = range.start..range.end.min(len);
        match merged.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_apart_and_end_with_the_partition() {
        assert_eq!(merge(vec![7..9, 0..2, 2..4, 5..5, 8..30], 12), [0..4, 7..12]);
        assert_eq!(merge(vec![12..20, Range { start: 3, end: 1 }], 12), Vec::<Range<usize>>::new());
    }
}
