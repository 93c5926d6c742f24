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

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, ShardId, World};
use headwater_log::{Append, Log, Pending, Producer};
use headwater_operators::{Failed, OperatorError, StateSize};

pub(crate) use self::opening::producer_of;
pub(super) use self::opening::{cut_of, open_pipeline};
pub(crate) use self::plan::JobPlan;
use super::checkpoint::{self, Checkpointer, Manifest};
use super::exec::StepOutput;
use super::handle::{Said, Shared, hold_back};
use super::histogram::Histogram;
use super::journal::{self, Entry, JournalReader};
use super::lookup::Answer;
use super::pace::Pace;
use super::pipeline::{Cut, Pipeline, ShardCut, Step, Taken};
use super::progress::{Counters, Progress};
use super::quiet::Quiet;
use super::sink::Results;
use super::unsaid::Unsaid;
use crate::JobState;
use crate::error::{Result, RunError};

/// How many steps may wait for the log's acknowledgement while the next is computed.
const IN_FLIGHT_MAX: usize = 4;

/// How soon it is looked whether the log has acknowledged a step, if nothing else happens.
const ACKNOWLEDGED_IN: Duration = Duration::from_millis(20);

/// How often the state is measured while steps follow one another: it costs as much as there is state.
const MEASURE_INTERVAL: Duration = Duration::from_millis(200);

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
    /// Restores a job to where its newest checkpoint left it.
    pub(super) fn open(
        world: World,
        log: Arc<dyn Log>,
        mut plan: JobPlan,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let (fingerprint, era) = (plan.dataflow.fingerprint(), plan.eras.began());
        let bad = |reason: String| RunError::Checkpoint { job: plan.name.clone(), reason };
        let (restored, passed_over) = checkpoint::restore(&*plan.blobs, &fingerprint, era).map_err(bad)?;
        for reason in passed_over {
            tracing::warn!(
                job = plan.name,
                reason,
                "a checkpoint was passed over; an older one or the journal makes up for it"
            );
        }
        if restored.is_none() {
            plan.check_history(&*log)?;
        }
        let mut pipeline = open_pipeline(&*log, &plan, restored.as_ref())?;
        let lookups = std::mem::take(&mut plan.lookups);
        pipeline.look_up(lookups, world.clone(), hold_back(Arc::clone(&shared)));
        let manifest = restored.as_ref().map_or_else(Manifest::default, |restored| restored.manifest.clone());
        let cut: Vec<Vec<ShardCut>> =
            manifest.places.iter().map(|shards| shards.iter().map(cut_of).collect()).collect();
        let redo =
            JournalReader::open(&*log, &plan.journal, &plan.name, manifest.step, cut.clone(), &plan.eras)?;
        let redo_until = plan.journal.last_step(&*log)?;
        let step = manifest.step.max(plan.journal.begins());
        let producer = producer_of(&*log, &plan.name, plan.journal.own(), step)?;
        let checkpointer =
            Checkpointer::new(Arc::clone(&plan.blobs), world.clone(), &plan.name, restored.as_ref());
        let now = world.clock.monotonic();
        pipeline.count_quiet_from(now);
        let mut driver = Self {
            pace: Pace::new(plan.limits),
            producer,
            redo: Some(redo),
            redo_until,
            in_flight: VecDeque::new(),
            journal_next: Sequence::ZERO,
            unsaid: None,
            cut,
            step,
            last_checkpoint: now,
            checkpoint_began: now,
            quiet: Quiet::begin(&world),
            step_times: Histogram::default(),
            checkpoint_times: Histogram::default(),
            counters: Counters::of(&manifest),
            measured: None,
            stopped: false,
            world,
            log,
            shared,
            pipeline,
            checkpointer,
            plan,
        };
        driver.note_place();
        driver.update_status()?;
        Ok(driver)
    }

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
        self.set_state(JobState::Failed, Some(format!("{} {error}", error.code())));
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
        if workers != self.plan.workers {
            self.save()?;
            let bad = |reason: String| RunError::Checkpoint { job: self.plan.name.clone(), reason };
            let (fingerprint, era) = (self.plan.dataflow.fingerprint(), self.plan.eras.began());
            let (restored, _) = checkpoint::restore(&*self.plan.blobs, &fingerprint, era).map_err(bad)?;
            if restored.as_ref().map_or(0, |restored| restored.manifest.step) != self.step {
                // Tried again by whoever wants it; without a checkpoint of now there is nothing to go on from.
                tracing::warn!(
                    job = self.plan.name,
                    workers,
                    "the number of workers stays: no checkpoint could be taken"
                );
                return Ok(());
            }
            self.plan.workers = workers;
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
            (self.last_checkpoint + self.plan.checkpoint_interval)
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

    fn commit(&mut self, step: Step, now: Duration) -> Result<()> {
        if self.unsaid.as_ref().is_some_and(|unsaid| !unsaid.goes_with(&step)) {
            self.say()?;
        }
        let before = self.unsaid.take();
        if self.says_nothing(&step)
            && let Some(unsaid) = Unsaid::after(before, &step, now)
        {
            self.note(step.rows_in, step.output.count(), 0);
            self.unsaid = Some(unsaid);
            return Ok(());
        }
        self.producer.sequence = self.step + 1;
        let (mut group, rows_out) = self.plan.results.appends(&step.output, self.producer)?;
        let (late, rows_late) = self.plan.late.appends(&self.plan.name, &step.output.late, self.producer)?;
        group.extend(late);
        let (dead, at) = (&step.output.failed, self.world.clock.now());
        let members = self.members();
        let name_of = |failed: &Failed| {
            let member = failed.member.and_then(|id| members.as_ref()?.name_of(id));
            member.unwrap_or_else(|| self.plan.name.clone())
        };
        group.extend(self.plan.dead.appends(name_of, dead, at, self.producer)?);
        self.note(step.rows_in, rows_out, rows_late);
        self.submit(group, step.cut, step.watermark, step.output.answers)
    }

    /// Whether nothing of a step goes to the log but its line in the journal, which need not be there to know where the job began.
    fn says_nothing(&self, step: &Step) -> bool {
        let StepOutput { rows, late, failed, answers } = &step.output;
        let is_counted = matches!(self.plan.results, Results::Counted(_));
        (is_counted || rows.is_empty())
            && late.is_empty()
            && failed.is_empty()
            && answers.is_empty()
            && self.step > self.plan.journal.begins()
            && !self.pipeline.keeps_state()
    }

    /// Writes down the steps that have said nothing.
    fn say(&mut self) -> Result<()> {
        match self.unsaid.take() {
            Some(Unsaid { cut, watermark, .. }) => self.submit(Vec::new(), cut, watermark, Vec::new()),
            None => Ok(()),
        }
    }

    fn note(&mut self, rows_in: u64, rows_out: u64, rows_late: u64) {
        self.pace.note(rows_in, rows_out + rows_late);
        self.counters.rows_in += rows_in;
        self.counters.rows_out += rows_out;
        self.counters.rows_late += rows_late;
    }

    /// Submits what a step says, and its line in the journal.
    fn submit(
        &mut self,
        mut group: Vec<Append>,
        cut: Cut,
        watermark: EventTime,
        answers: Vec<Answer>,
    ) -> Result<()> {
        self.step += 1;
        self.producer.sequence = self.step;
        let entry = Entry { step: self.step, cut, watermark, answers };
        let begins = self.plan.journal.begins_stream_with(self.step);
        let base = if begins { &[] } else { journal::base_of(self.step, &self.cut) };
        let line = journal::encode(&entry, base)?;
        let (journal, producer) = (self.plan.journal.own().id, Some(self.producer));
        while self.in_flight.len() >= IN_FLIGHT_MAX {
            self.wait_oldest()?;
        }
        // Others add lines, too, when a trigger joins a set: at the latest when nothing is on its way they are counted.
        let there = self.log.bounds(journal)?[0].next;
        let next = if self.in_flight.is_empty() { there } else { there.max(self.journal_next) };
        self.journal_next = next.plus(line.num_rows() as u64);
        group.push(Append { producer, ..Append::new(journal, ShardId(0), line) });
        let taken = self.pipeline.taken_at(&entry.cut);
        self.shared.steps.lock().submit(self.progress(watermark, taken), IN_FLIGHT_MAX);
        self.cut = entry.cut.shards;
        self.in_flight.push_back(self.log.submit(group));
        self.note_place();
        Ok(())
    }

    fn redo_step(&mut self) -> Result<Turn> {
        let Some(redo) = &mut self.redo else { return Ok(Turn::Again) };
        let Some(entry) = redo.next()? else {
            self.redo = None;
            let ends = self.plan.ends.clone();
            for (stream, ends) in &ends {
                self.pipeline.set_end(stream, ends);
            }
            return Ok(Turn::Again);
        };
        let now = self.world.clock.monotonic();
        let step = if self.plan.eras.is_former(entry.step) {
            // With the replacement itself the definition of now was told something; what was before was told to others.
            if entry.step == self.plan.eras.began() {
                self.pipeline.obey_answers(entry.answers);
            }
            self.pipeline.step_at(&entry.cut, entry.watermark, now)?
        } else {
            self.pipeline.obey_answers(entry.answers);
            self.pipeline.step_again(&entry.cut, entry.watermark, now)?
        };
        if step.watermark != entry.watermark {
            let reason = format!(
                "came to watermark {} when it was first done and to {} now: the job does not give the same rows again; \
                 drop it and create it anew",
                entry.watermark, step.watermark
            );
            return Err(RunError::Journal { job: self.plan.name.clone(), step: entry.step, reason });
        }
        self.step = entry.step;
        self.producer.sequence = entry.step;
        self.cut = entry.cut.shards;
        self.counters.rows_in += step.rows_in;
        self.counters.rows_out += step.output.count();
        self.counters.rows_late +=
            step.output.late.iter().map(|late| late.batch.num_rows() as u64).sum::<u64>();
        self.note_place();
        self.update_status()?;
        Ok(Turn::Again)
    }

    fn wait_oldest(&mut self) -> Result<()> {
        if let Some(oldest) = self.in_flight.pop_front() {
            oldest.wait()?;
        }
        Ok(())
    }

    /// Waits until all that was done is in the log.
    fn drain(&mut self) -> Result<()> {
        self.say()?;
        while !self.in_flight.is_empty() {
            self.wait_oldest()?;
        }
        Ok(())
    }

    /// Whether no step may be taken before the log has acknowledged another: there are many, or a checkpoint is to be taken, which must
    /// not be ahead of the journal.
    fn waits_for_log(&self) -> bool {
        let waiting = self.in_flight.len();
        waiting >= IN_FLIGHT_MAX || (waiting > 0 && self.is_checkpoint_due())
    }

    /// Takes the answers that have come, without waiting. If no step may be taken before the next, that wakes the job.
    fn collect_acknowledged(&mut self) -> Result<()> {
        loop {
            let waits = self.waits_for_log();
            let waker = self.shared.waker.get().filter(|_| waits).unwrap_or(Waker::noop());
            let mut context = Context::from_waker(waker);
            let Some(oldest) = self.in_flight.front_mut() else { break };
            match Pin::new(&mut **oldest).poll(&mut context) {
                Poll::Ready(result) => {
                    self.in_flight.pop_front();
                    result?;
                }
                Poll::Pending => break,
            }
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

    fn set_state(&self, state: JobState, error: Option<String>) {
        {
            let mut status = self.shared.status.lock();
            status.state = state;
            status.error = error;
        }
        self.shared.changed.send_if_modified(|now| std::mem::replace(now, state) != state);
    }

    /// How far the job is with the last step, whose line in the journal is the newest on its way there.
    fn progress(&self, watermark: EventTime, taken: Vec<Taken>) -> Progress {
        let (step, counters) = (self.step, self.counters);
        Progress { behind: self.journal_next, step, watermark, counters, taken }
    }

    /// Tells how the job does. The state that it was asked for, an error and the lag are not told here.
    pub(super) fn update_status(&mut self) -> Result<()> {
        let now = self.world.clock.monotonic();
        let size = match self.measured {
            Some((at, size)) if now.saturating_sub(at) < MEASURE_INTERVAL => size,
            _ => {
                let size = self.pipeline.measure()?;
                self.measured = Some((now, size));
                size
            }
        };
        let spilled = self.pipeline.executor().spilled_bytes();
        let mut status = self.shared.status.lock();
        let progress = self.progress(self.pipeline.watermark(), self.pipeline.taken());
        self.shared.steps.lock().note(progress, self.in_flight.is_empty());
        status.is_restoring = self.redo.is_some() && self.step < self.redo_until;
        status.state_entries = size.entries;
        status.state_bytes = size.bytes;
        status.state_spilled_bytes = spilled;
        status.checkpoint = self.checkpointer.newest();
        status.step_micros = self.step_times.cumulative();
        status.step_micros_sum = self.step_times.sum_micros();
        status.checkpoint_micros = self.checkpoint_times.cumulative();
        status.checkpoint_micros_sum = self.checkpoint_times.sum_micros();
        Ok(())
    }
}
