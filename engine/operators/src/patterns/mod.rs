//! Row patterns: `MATCH_RECOGNIZE` of SQL, over the rows of each partition in order of time.
//!
//! ```text
//!  rows ── sorted up to the watermark ── conditions of the row, vectorised ── an attempt per partition ── matches ── measures
//! ```
//!
//! - A match is what the standard (ISO/IEC 9075-2, row pattern recognition) prefers: the leftmost start, and of that start
//!   the way that comes first in the order of the pattern. WITHIN leaves out ways that take longer.
//! - At any time one attempt runs in a partition: all ways from one start, side by side, in the order of preference. What follows the
//!   start is kept until the attempt has ended, and is taken again from the next start.
//! - If no condition looks at the rows matched so far, ways that wait at the same place of the pattern have one future: only
//!   the preferred one is kept, and an attempt that comes to where an earlier one has been goes on where that one is now. So
//!   time is linear in the rows, whatever the pattern.
//! - Otherwise two ways are one if what the conditions can see of them is equal; there is a limit to how many there may be.
//! - Rows that are as old are taken in the order in which they came.

mod accumulator;
mod attempt;
mod buffer;
mod conditions;
mod emitted;
mod lists;
mod operator;
mod partition;
mod pattern;
mod program;
mod registers;
mod run;
mod spec;
mod state;
mod threads;
mod waiting;

pub use accumulator::Fold;
pub use conditions::{Condition, Definition};
pub use emitted::{Measure, Semantics};
pub use pattern::Pattern;
pub use registers::{Look, Side};
pub use spec::{MatchRecognize, MatchRecognizeSpec, RowsPerMatch, Skip};
