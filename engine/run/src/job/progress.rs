//! How far a job has come, as it tells.
//!
//! A step is told of from when its line in its journal is in the log: with it the results are there, and they cannot be lost any more.
//! Before that its rows still wait for the job. Whoever asks looks at the log himself, so that a job has come as far as its results show,
//! at any moment.
//!
//! ```text
//!  journal    ──┤ line of step 7 ├──┤ 8 ├──┤ 9 ├── next (now)     on its way: 10, 11
//!  progress      (7)                 (8)    (9)  <─ told          (10)  (11)
//! ```

use std::collections::VecDeque;

use headwater_core::{EventTime, Sequence, StreamId};
use headwater_log::Log;

use super::checkpoint::Manifest;
use super::pipeline::Taken;
use crate::JobStatus;

/// The rows of a job.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) rows_late: u64,
}

impl Counters {
    /// Those of a checkpoint.
    pub(super) fn of(manifest: &Manifest) -> Self {
        let Manifest { rows_in, rows_out, rows_late, .. } = *manifest;
        Self { rows_in, rows_out, rows_late }
    }
}

/// How far a job has come with a step.
pub(super) struct Progress {
    /// The first row of the journal behind the step's line; all before it must be there.
    pub(super) behind: Sequence,
    pub(super) step: u64,
    pub(super) watermark: EventTime,
    pub(super) counters: Counters,
    pub(super) taken: Vec<Taken>,
}

/// Steps that are in the log, or on their way there, oldest first. The first is in the log.
#[derive(Default)]
pub(super) struct Steps(VecDeque<Progress>);

impl Steps {
    /// Notes a step that is on its way to the log as one of so many at most.
    pub(super) fn submit(&mut self, progress: Progress, most: usize) {
        self.0.push_back(progress);
        while self.0.len() > most + 1 {
            self.0.pop_front();
        }
    }

    /// Notes how far the job is. Nothing of it has a line of its own, unless `is_all_there`: then nothing is on its way.
    pub(super) fn note(&mut self, progress: Progress, is_all_there: bool) {
        if is_all_there {
            self.0.clear();
        } else if self.0.back().is_some_and(|last| last.behind == progress.behind) {
            self.0.pop_back();
        }
        self.0.push_back(progress);
    }

    /// The last step that is in the log.
    fn told(&self, log: &dyn Log, journal: StreamId) -> Option<&Progress> {
        let next = log.bounds(journal).ok().and_then(|bounds| Some(bounds.first()?.next));
        let is_there = |one: &&Progress| next.is_some_and(|next| one.behind <= next);
        self.0.iter().rev().find(is_there).or(self.0.front())
    }

    /// How far the last step that is in the log took the sources.
    pub(super) fn taken(&self, log: &dyn Log, journal: StreamId) -> &[Taken] {
        self.told(log, journal).map_or(&[], |told| &told.taken)
    }

    /// Tells of the last step that is in the log, and answers how far it took the sources.
    pub(super) fn tell(&self, log: &dyn Log, journal: StreamId, status: &mut JobStatus) -> &[Taken] {
        let Some(told) = self.told(log, journal) else { return &[] };
        (status.steps, status.watermark) = (told.step, told.watermark);
        let Counters { rows_in, rows_out, rows_late } = told.counters;
        (status.rows_in, status.rows_out, status.rows_late) = (rows_in, rows_out, rows_late);
        &told.taken
    }
}
