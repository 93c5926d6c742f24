//! Which rows of its partition a row's frame holds.

use std::fmt;
use std::time::Duration;

/// An end of a frame, from the current row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameBound {
    /// The first row of the partition as the start, the last one as the end.
    Unbounded,
    /// So many rows behind the current one, or before it if negative.
    Rows(i64),
    /// So many nanoseconds behind the current row's time, or before it if negative. Over another order than that of time it is
    /// so much further along it.
    Range(i64),
    /// The rows that are equal to the current one in what they are ordered by.
    Peers,
}

/// A frame: from its start to its end, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Where it begins.
    pub start: FrameBound,
    /// Where it ends; in the order of event time never [`FrameBound::Unbounded`].
    pub end: FrameBound,
}

impl Frame {
    /// All rows up to the current one and its peers: what OVER means if it says nothing.
    pub const RUNNING: Self = Self { start: FrameBound::Unbounded, end: FrameBound::Peers };

    /// Whether rows ever leave it.
    pub(super) fn slides(self) -> bool {
        self.start != FrameBound::Unbounded
    }

    /// Whether its ends are told by how many rows there are.
    pub(super) fn counts_rows(self) -> bool {
        [self.start, self.end].iter().any(|bound| matches!(bound, FrameBound::Rows(_)))
    }

    /// How many rows behind the current one must be known before the frame is.
    pub(super) fn rows_behind(self) -> i64 {
        match self.end {
            FrameBound::Rows(rows) => rows.max(0),
            _ => 0,
        }
    }

    /// How far behind the current row's time the watermark must be before the frame is known.
    pub(super) fn time_behind(self) -> i64 {
        match self.end {
            FrameBound::Range(nanos) => nanos.max(0),
            _ => 0,
        }
    }
}

impl Frame {
    /// Its ends, lengths being those of time or of numbers.
    pub(super) fn describe(self, of_time: bool) -> String {
        let unit = if self.counts_rows() { "rows" } else { "range" };
        format!("{unit} {}..{}", bound(self.start, of_time), bound(self.end, of_time))
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(true))
    }
}

fn bound(bound: FrameBound, of_time: bool) -> String {
    match bound {
        FrameBound::Unbounded => "unbounded".to_owned(),
        FrameBound::Peers | FrameBound::Rows(0) => "current".to_owned(),
        FrameBound::Rows(rows) => format!("{rows:+}"),
        FrameBound::Range(number) if !of_time => format!("{number:+}"),
        FrameBound::Range(nanos) => {
            let sign = if nanos < 0 { '-' } else { '+' };
            format!("{sign}{:?}", Duration::from_nanos(nanos.unsigned_abs()))
        }
    }
}
