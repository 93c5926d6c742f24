//! MapReduce programs as they are, by the contract of Hadoop's streaming: lines on standard input, lines on standard output.
//!
//! ```text
//!  input ── splits ──> mapper ── key TAB value ──> buffer ── sorted runs, by partition ──┐
//!                                      (combiner over each run)                         │
//!  output/part-00000 <── reducer <── lines in the order of their keys <── merge of all runs of the partition
//! ```
//!
//! Invariants:
//! - All lines of a key go to one reducer, one after another. Lines are ordered by key, then by what follows it, as bytes.
//! - Memory is bounded: what does not fit in a task's buffer lies in sorted runs on disk, and at most [`FAN_IN`] of them are merged
//!   at a time. So are open files: runs of tasks that are done are merged as soon as there are so many.
//! - A part file is there whole or not at all, and `_SUCCESS` is written last. A task that fails is tried again from its start; what
//!   it wrote before is forgotten.
//! - What a task says on its standard error is kept in `_logs`, one object for each attempt that said something.

mod error;
mod job;
mod merge;
mod progress;
mod run_file;
mod sorter;
mod spec;
mod spills;
mod task;
mod watch;

pub use error::{JobError, Result};
pub use job::run;
pub use merge::FAN_IN;
pub use progress::{Counters, Phase, Progress};
pub use spec::{JobSpec, Program};
