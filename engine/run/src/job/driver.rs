//! Drives one job: when to take a step, what to do again after a restart, when to take a checkpoint.
//!
//! ```text
//!  start ── restore newest checkpoint ── redo the journal's steps behind it, appending nothing ── live
//!  live:    step ── submit group (results, late rows, journal) ── up to IN_FLIGHT_MAX groups at once ── …
//! ```
//!
//! A step is redone from the journal and not decided anew, because its results are in the log already: they were appended
//! in the same group as its line in the journal. The redo checks that it comes to the same watermark.

mod checkpoints;
mod opening;
mod plan;
mod redo;
mod status;
mod submit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, World, causes};
use headwater_log::{Log, Pending, Producer};
use headwater_operators::{OperatorError, StateSize};

pub(crate) use self::opening::producer_of;
pub(super) use self::opening::{cut_of, open_pipeline};
pub(crate) use self::plan::{JobPlan, JobSettings};
use super::checkpoint::Checkpointer;
use super::handle::{Said, Shared};
use super::histogram::Histogram;
use super::journal::JournalReader;
use super::pace::Pace;
use super::pipeline::{Pipeline, ShardCut};
use super::progress::Counters;
use super::quiet::Quiet;
use super::unsaid::Unsaid;
use crate::JobState;
use crate::error::{Result, RunError};

/// How soon it is looked whether the log has acknowledged a step, if nothing else happens.
const ACKNOWLEDGED_IN: Duration = Duration::from_millis(20);

/// How soon a turn is tried again that somebody stood in the way of.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// What does a job's work, one turn at a time.
pub(super) struct Driver {
    pub(super) world: World,
    pub(super) log: Arc<dyn Log>,
    pub(super) plan: JobPlan,
    shared: Arc<Shared>,
    pub(super) pipeline: Pipeline,
    pace: Pace,
    pub(super) checkpointer: Checkpointer,
    pub(super) producer: Producer,
    /// The journal's steps that are still to be done again.
    pub(super) redo: Option<JournalReader>,
    /// The last of them.
    pub(super) redo_until: u64,
    /// Groups that the log has not acknowledged yet.
    in_flight: VecDeque<Box<dyn Pending>>,
    /// The first row of the journal behind the line of the newest of them.
    journal_next: Sequence,
    /// Steps that are not in the journal, as they have said nothing.
    unsaid: Option<Unsaid>,
    /// The cut of the last step in the journal.
    pub(super) cut: Vec<Vec<ShardCut>>,
    pub(super) step: u64,
    last_checkpoint: Duration,
    checkpoint_began: Duration,
    quiet: Quiet,
    step_times: Histogram,
    checkpoint_times: Histogram,
    pub(super) counters: Counters,
    /// When the state was measured, and how large it was.
    pub(super) measured: Option<(Duration, StateSize)>,
    stopped: bool,
}

impl Driver {
    /// Takes a step, or says what it waits for.
    pub(super) fn turn(&mut self) -> Turn {
        let members = self.members();
        let between = members.as_ref().map(|members| members.begin_step());
        if between.as_ref().is_some_and(Option::is_none) {
            return Turn::Wait(Some(TRY_AGAIN));
        }
        if self.stopped {
            members.iter().for_each(|members| members.forget_retired());
            return self.rest();
        }
        // A panic is a defect of the engine, but it must not take other jobs with it, nor pass for a running job.
        let turn = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.try_turn()));
        let error = match turn {
            Ok(Ok(turn)) => return turn,
            // As after a crash, what was not finished is done again.
            Ok(Err(RunError::Operator { source: OperatorError::Stopped { .. }, .. })) => {
                self.stopped = true;
                return Turn::Again;
            }
            Ok(Err(error)) => match members.as_ref().map(|members| members.eject_blamed()).as_deref() {
                None | Some([]) => error,
                Some(gone) => match self.start_over().and_then(|()| self.note_gone(gone)) {
                    Ok(()) => return Turn::Again,
                    Err(error) => error,
                },
            },
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                RunError::Panicked { job: self.plan.name.clone(), message: text.unwrap_or_default() }
            }
        };
        tracing::error!(job = self.plan.name, code = %error.code(), %error, "the job has failed");
        self.set_state(JobState::Failed, Some(format!("{} {}", error.code(), causes(&error))));
        self.stopped = true;
        Turn::Again
    }

    /// A job that has finished or failed waits for its end.
    fn rest(&mut self) -> Turn {
        let mut control = self.shared.control.lock();
        if control.closing {
            control.closed = true;
            self.shared.closed.notify_all();
            return Turn::Done;
        }
        Turn::Wait(None)
    }

    fn try_turn(&mut self) -> Result<Turn> {
        let threads = self.world.tasks.free_threads();
        self.pipeline.executor().spread_over(threads);
        self.poll_checkpoint();
        if let Some(members) = self.members().filter(|members| members.has_retired()) {
            self.drain()?;
            members.forget_retired();
        }
        if self.redo.is_some() {
            if self.shared.control.lock().closing {
                // What was redone so far is in the log and in the last checkpoint already.
                self.stopped = true;
                return Ok(Turn::Again);
            }
            return self.redo_step();
        }
        let (closing, paused, workers) = {
            let mut control = self.shared.control.lock();
            for (stream, ends) in control.ends.drain(..) {
                self.pipeline.set_end(&stream, &ends);
                self.plan.ends.push((stream, ends));
            }
            (control.closing, control.paused, control.workers.take())
        };
        if closing {
            return self.close();
        }
        if let Some(workers) = workers {
            self.set_workers(workers)?;
        }
        if paused {
            // What it has said so far is in the log when it says that it has paused.
            self.drain()?;
            self.update_status()?;
            self.set_state(JobState::Paused, None);
            return Ok(Turn::Wait(None));
        }
        self.set_state(JobState::Running, self.pipeline.lost());
        if self.is_checkpoint_due() {
            self.say()?;
        }
        self.collect_acknowledged()?;
        if self.waits_for_log() {
            return Ok(Turn::Wait(Some(ACKNOWLEDGED_IN)));
        }
        if self.is_checkpoint_due() {
            self.start_checkpoint()?;
        }
        self.release_members()?;
        let said = self.shared.control.lock().orders.pop_front();
        if let Some(said) = said {
            self.obey(said)?;
            return Ok(Turn::Again);
        }
        self.go_on(threads)
    }

    /// Takes the step that can be taken now: with rows, with time that somebody moves on, or with time that passes. If there is none, the
    /// job waits.
    fn go_on(&mut self, threads: usize) -> Result<Turn> {
        let now = self.world.clock.monotonic();
        let ends = self.end_of_step();
        let limits = self.pipeline.modest(self.pace.limits(threads));
        let step = match self.pipeline.step_up_to(ends.as_deref(), limits, now)? {
            Some(step) => {
                self.quiet.rows_came(&self.world);
                Some(step)
            }
            None => match self.next_advance() {
                Some((stream, time)) => self.pipeline.step_advance(&stream, time, now)?,
                None => self.quiet.step(&mut self.pipeline, &self.world, now)?,
            },
        };
        let stepped = step.is_some();
        if let Some(step) = step {
            self.commit(step, now)?;
            self.step_times.record(self.world.clock.monotonic().saturating_sub(now));
        }
        if self.unsaid.as_ref().is_some_and(|unsaid| unsaid.patience(now).is_zero()) {
            self.say()?;
        }
        if !stepped {
            self.measured = None;
        }
        self.update_status()?;
        if self.pipeline.is_finished() {
            self.finish()?;
            return Ok(Turn::Again);
        }
        let more = stepped || !self.shared.control.lock().advances.is_empty();
        Ok(if more { Turn::Again } else { Turn::Wait(self.next_deadline(now)) })
    }

    /// Another number of workers, between two steps: as after a restart, the state goes by way of a checkpoint. The journal need not know
    /// of it, as what a step says does not depend on it.
    fn set_workers(&mut self, workers: usize) -> Result<()> {
        if workers != self.plan.settings.workers {
            self.save()?;
            let restored = opening::restore(&self.plan)?;
            if restored.as_ref().map_or(0, |restored| restored.manifest.step) != self.step {
                // Tried again by whoever wants it; without a checkpoint of now there is nothing to go on from.
                tracing::warn!(
                    job = self.plan.name,
                    workers,
                    "the number of workers stays: no checkpoint could be taken"
                );
                return Ok(());
            }
            self.plan.settings.workers = workers;
            let mut pipeline = open_pipeline(&*self.log, &self.plan, restored.as_ref())?;
            pipeline.look_up_like(&mut self.pipeline);
            self.pipeline = pipeline;
            self.pipeline.count_quiet_from(self.world.clock.monotonic());
            for (stream, ends) in &self.plan.ends {
                self.pipeline.set_end(stream, ends);
            }
            let (blobs, world) = (Arc::clone(&self.plan.blobs), self.world.clone());
            self.checkpointer = Checkpointer::new(blobs, world, &self.plan.name, restored.as_ref());
            self.measured = None;
        }
        self.shared.status.lock().workers = workers;
        Ok(())
    }

    fn next_advance(&self) -> Option<(String, EventTime)> {
        let mut control = self.shared.control.lock();
        (!control.advances.is_empty()).then(|| control.advances.remove(0))
    }

    /// When to look again although no commit woke the job: a shard may fall idle, time may have to be moved on.
    fn next_deadline(&mut self, now: Duration) -> Option<Duration> {
        let idle = Quiet::deadline(&mut self.pipeline, now);
        let unsaved = self.checkpointer.newest().unwrap_or(0) < self.step || self.checkpointer.is_writing();
        let checkpoint = unsaved.then(|| {
            (self.last_checkpoint + self.plan.settings.checkpoint_interval)
                .saturating_sub(now)
                .max(Duration::from_millis(10))
        });
        let in_flight = (!self.in_flight.is_empty()).then_some(ACKNOWLEDGED_IN);
        let unsaid = self.unsaid.as_ref().map(|unsaid| unsaid.patience(now));
        [idle, checkpoint, in_flight, unsaid].into_iter().flatten().min()
    }

    /// Does what somebody says, in a step of its own.
    fn obey(&mut self, said: Said) -> Result<()> {
        let now = self.world.clock.monotonic();
        if let Some(step) = self.pipeline.step_told(&said.to, &said.order)? {
            self.commit(step, now)?;
            self.drain()?;
            self.update_status()?;
            // Nobody may wait for it any more.
            let _ = said.done.send(());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.save()?;
        self.stopped = true;
        self.set_state(JobState::Finished, None);
        Ok(())
    }

    fn close(&mut self) -> Result<Turn> {
        self.save()?;
        self.shared.control.lock().closed = true;
        self.shared.closed.notify_all();
        Ok(Turn::Done)
    }
}
