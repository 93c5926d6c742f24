//! Which rows of its partition a row's frame holds.

use std::fmt;
use std::time::Duration;

/// An end of a frame, from the current row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameBound {
    /// The first row of the partition; only as the start.
    Unbounded,
    /// So many rows behind the current one, or before it if negative.
    Rows(i64),
    /// So many nanoseconds behind the current row's time, or before it if negative.
    Range(i64),
    /// The rows that are equal to the current one in what they are ordered by.
    Peers,
}

/// A frame: from its start to its end, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Where it begins.
    pub start: FrameBound,
    /// Where it ends; never [`FrameBound::Unbounded`].
    pub end: FrameBound,
}

impl Frame {
    /// All rows up to the current one and its peers: what OVER means if it says nothing.
    pub const RUNNING: Self = Self { start: FrameBound::Unbounded, end: FrameBound::Peers };

    /// Whether rows ever leave it.
    pub(super) fn slides(self) -> bool {
        self.start != FrameBound::Unbounded
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

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match (self.start, self.end) {
            (FrameBound::Rows(_), _) | (_, FrameBound::Rows(_)) => "rows",
            _ => "range",
        };
        write!(f, "{unit} {}..{}", bound(self.start), bound(self.end))
    }
}

fn bound(bound: FrameBound) -> String {
    match bound {
        FrameBound::Unbounded => "unbounded".to_owned(),
        FrameBound::Peers | FrameBound::Rows(0) => "current".to_owned(),
        FrameBound::Rows(rows) => format!("{rows:+}"),
        FrameBound::Range(nanos) => {
            let sign = if nanos < 0 { '-' } else { '+' };
            format!("{sign}{:?}", Duration::from_nanos(nanos.unsigned_abs()))
        }
    }
}
