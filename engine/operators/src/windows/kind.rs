//! Where windows lie, and the slices that overlapping windows share.
//!
//! A slice is the longest stretch of time that no window begins or ends in. Rows are added up per slice, and a window
//! is the sum of its slices.
//!
//! ```text
//!  HOP(size 6, slide 4):   |0          6|
//!                                 |4         10|
//!                                         |8         14|
//!  slices of gcd(6, 4):    |0 |2 |4 |6 |8 |10|12|
//! ```
//!
//! Times are nanoseconds. Arithmetic saturates: what lies beyond the ends of time is at the ends of time.

use std::fmt;
use std::time::Duration;

use crate::error::{OperatorError, Result};

/// A kind of window whose bounds do not depend on the rows. Nanoseconds throughout; windows are `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowKind {
    /// Windows of one size, one after the other.
    Tumble {
        /// How long a window is.
        size: i64,
        /// A place where a window begins.
        offset: i64,
    },
    /// Windows of one size that begin every `slide`.
    Hop {
        /// How long a window is.
        size: i64,
        /// From the beginning of one to the beginning of the next.
        slide: i64,
        /// A place where a window begins.
        offset: i64,
    },
    /// Windows that begin together every `size` and end every `step`.
    Cumulate {
        /// How long the longest window is; a multiple of `step`.
        size: i64,
        /// By how much each window is longer than the one before.
        step: i64,
        /// A place where windows begin.
        offset: i64,
    },
}

impl WindowKind {
    /// Checks the sizes.
    pub fn check(&self) -> Result<()> {
        let bad = |reason: String| Err(OperatorError::unsupported(self.name(), reason));
        match *self {
            Self::Tumble { size, .. } if size <= 0 => bad(format!("size {size} ns is not positive")),
            Self::Hop { size, slide, .. } if size <= 0 || slide <= 0 => {
                bad(format!("size {size} ns and slide {slide} ns must be positive"))
            }
            Self::Cumulate { size, step, .. } if size <= 0 || step <= 0 => {
                bad(format!("size {size} ns and step {step} ns must be positive"))
            }
            Self::Cumulate { size, step, .. } if size % step != 0 => {
                bad(format!("size {size} ns is not a multiple of step {step} ns"))
            }
            _ => Ok(()),
        }
    }

    /// The SQL name of the table function.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tumble { .. } => "TUMBLE",
            Self::Hop { .. } => "HOP",
            Self::Cumulate { .. } => "CUMULATE",
        }
    }

    /// How long the longest window is.
    pub fn size(&self) -> i64 {
        match *self {
            Self::Tumble { size, .. } | Self::Hop { size, .. } | Self::Cumulate { size, .. } => size,
        }
    }

    /// How long a slice is.
    pub fn slice_size(&self) -> i64 {
        match *self {
            Self::Tumble { size, .. } => size,
            Self::Hop { size, slide, .. } => gcd(size, slide),
            Self::Cumulate { step, .. } => step,
        }
    }

    /// The beginning of the slice that a time lies in.
    pub fn slice_of(&self, time: i64) -> i64 {
        floor_to(time, self.slice_size(), self.offset())
    }

    /// The end of the first window of a slice that ends after `clock`, if there is one.
    pub fn next_end(&self, slice: i64, clock: i64) -> Option<i64> {
        let (first, last, step) = self.ends(slice)?;
        if first > clock {
            Some(first)
        } else if last <= clock {
            None
        } else {
            let steps = (i128::from(clock) - i128::from(first)) / i128::from(step) + 1;
            let end = i128::from(first) + steps * i128::from(step);
            Some(i64::try_from(end).map_or(last, |end| end.min(last)))
        }
    }

    /// The end of the last window of a slice; none if the slice lies between windows.
    pub fn last_end(&self, slice: i64) -> Option<i64> {
        self.ends(slice).map(|(_, last, _)| last)
    }

    /// The beginning of the window that ends at `end`.
    pub fn start_of(&self, end: i64) -> i64 {
        match *self {
            Self::Tumble { size, .. } | Self::Hop { size, .. } => end.saturating_sub(size),
            Self::Cumulate { size, offset, .. } => floor_to(end.saturating_sub(1), size, offset),
        }
    }

    /// First and last end of the windows that a slice belongs to, and how far they are apart.
    fn ends(&self, slice: i64) -> Option<(i64, i64, i64)> {
        match *self {
            Self::Tumble { size, .. } => {
                let end = slice.saturating_add(size);
                Some((end, end, size))
            }
            Self::Hop { size, slide, offset } => {
                let last = floor_to(slice, slide, offset);
                // The first window that still covers the whole slice.
                let earliest = slice.saturating_add(self.slice_size()).saturating_sub(size);
                let first = ceil_to(earliest, slide, offset);
                (first <= last).then(|| (first.saturating_add(size), last.saturating_add(size), slide))
            }
            Self::Cumulate { size, step, offset } => {
                let base = floor_to(slice, size, offset);
                Some((slice.saturating_add(step), base.saturating_add(size), step))
            }
        }
    }

    fn offset(&self) -> i64 {
        match *self {
            Self::Tumble { offset, .. } | Self::Hop { offset, .. } | Self::Cumulate { offset, .. } => offset,
        }
    }
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Tumble { size, .. } => write!(f, "size={:?}", nanos(size))?,
            Self::Hop { size, slide, .. } => write!(f, "size={:?}, slide={:?}", nanos(size), nanos(slide))?,
            Self::Cumulate { size, step, .. } => write!(f, "size={:?}, step={:?}", nanos(size), nanos(step))?,
        }
        match self.offset() {
            0 => Ok(()),
            offset if offset < 0 => write!(f, ", offset=-{:?}", Duration::from_nanos(offset.unsigned_abs())),
            offset => write!(f, ", offset={:?}", nanos(offset)),
        }
    }
}

fn nanos(size: i64) -> Duration {
    Duration::from_nanos(size.unsigned_abs())
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The greatest `offset + k * size` that is not after `time`.
pub(crate) fn floor_to(time: i64, size: i64, offset: i64) -> i64 {
    let into = (i128::from(time) - i128::from(offset)).rem_euclid(i128::from(size));
    time.saturating_sub(i64::try_from(into).expect("a remainder is less than the i64 it divides by"))
}

/// The least `offset + k * size` that is not before `time`.
fn ceil_to(time: i64, size: i64, offset: i64) -> i64 {
    let short = (i128::from(offset) - i128::from(time)).rem_euclid(i128::from(size));
    time.saturating_add(i64::try_from(short).expect("a remainder is less than the i64 it divides by"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: WindowKind = WindowKind::Hop { size: 7, slide: 3, offset: 1 };

    #[test]
    fn a_slice_knows_its_windows() {
        // [-5, 2) [-2, 5) [1, 8) [4, 11)
        assert_eq!((HOP.slice_size(), HOP.slice_of(4), HOP.slice_of(-1)), (1, 4, -1));
        assert_eq!((HOP.next_end(4, i64::MIN), HOP.last_end(4)), (Some(5), Some(11)));
        assert_eq!(
            (HOP.next_end(4, 4), HOP.next_end(4, 5), HOP.next_end(4, 8)),
            (Some(5), Some(8), Some(11))
        );
        assert_eq!((HOP.next_end(4, 11), HOP.start_of(8)), (None, 1));
        let cumulate = WindowKind::Cumulate { size: 6, step: 2, offset: 0 };
        assert_eq!(
            (cumulate.next_end(2, 0), cumulate.next_end(2, 4), cumulate.last_end(2)),
            (Some(4), Some(6), Some(6))
        );
        assert_eq!((cumulate.start_of(4), cumulate.start_of(6)), (0, 0));
        let gaps = WindowKind::Hop { size: 2, slide: 5, offset: 0 };
        assert_eq!((gaps.last_end(1), gaps.last_end(3)), (Some(2), None));
    }

    #[test]
    fn the_ends_of_time_are_no_trap() {
        let kinds = [
            WindowKind::Tumble { size: 10, offset: 3 },
            HOP,
            WindowKind::Hop { size: i64::MAX, slide: 1 << 40, offset: 0 },
            WindowKind::Cumulate { size: 10, step: 5, offset: -3 },
        ];
        for kind in kinds {
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
                let slice = kind.slice_of(time);
                assert!(slice <= time);
                let mut clock = i64::MIN;
                for _ in 0..5 {
                    let Some(end) = kind.next_end(slice, clock) else { break };
                    assert!(end > clock && kind.start_of(end) <= end);
                    clock = end;
                }
            }
        }
    }
}
