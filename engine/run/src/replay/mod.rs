//! Replay: what a job, or another definition of it, would have said over a stretch of history.
//!
//! - The job's own definition obeys the journal from its beginning: the same steps, so the same rows in the same order, including
//!   what came too late and what a floating-point sum was rounded to.
//!   Of a trigger that holds without a stretch only: over one, it is asked what it would have said.
//! - Another definition has no journal. It takes the rows at full speed, from as far before the stretch as its windows
//!   reach (from the beginning, if they have no bound), to as far behind it; where the log ends, its windows close.
//! - What the journal or the log has no longer cannot be done again: results that follow from it are refused ([`kept`]). Rows that an
//!   archive has are there.
//! - A stretch is one of results: those whose time lies in it. What they are made of may lie around it, so that no
//!   window is cut at an edge. The time of a result is its event time or, where the query gives none (a job that keeps only
//!   the start of its windows, say), its first timestamp.
//! - With a speed there are small steps of its own, whatever the definition: each waits for its time. Only what asks tables outside keeps
//!   the steps of the journal, which has the answers.
//! - Both sides of a difference have the columns of what the job writes into. The job's own definition is compared with what was said,
//!   another one with the job's own, both replayed over the same stretch by steps of their own.
//! - Nothing is asked or delivered outside that is not named ([`asked`]).
//! - No more of the results is in memory than a step's, unless they are to be compared or reported.

mod asked;
mod compare;
mod definition;
mod front;
mod into;
mod kept;
mod pace;
mod run;
mod watch;

pub use front::ReplaySteps;
pub(crate) use run::place_at;
pub(crate) use watch::Replays;
