//! What a step says goes to the log: its results, late rows, bad records and its line in the journal, as one group.
//!
//! The next step is computed while the log has not yet acknowledged the ones before, up to [`IN_FLIGHT_MAX`] of them.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headwater_core::{EventTime, ShardId};
use headwater_log::Append;
use headwater_operators::Failed;

use super::Driver;
use crate::error::Result;
use crate::job::exec::StepOutput;
use crate::job::journal::{self, Entry};
use crate::job::lookup::Answer;
use crate::job::pipeline::{Cut, Step, Taken};
use crate::job::sink::Results;
use crate::job::unsaid::Unsaid;

/// How many steps may wait for the log's acknowledgement while the next is computed.
const IN_FLIGHT_MAX: usize = 4;

impl Driver {
    /// Hands on what a step says. A step that says nothing is remembered, and written down with a later one.
    pub(super) fn commit(&mut self, step: Step, now: Duration) -> Result<()> {
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
        self.submit(group, step.cut, step.taken, step.watermark, step.output.answers)
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
    pub(super) fn say(&mut self) -> Result<()> {
        match self.unsaid.take() {
            Some(Unsaid { cut, taken, watermark, .. }) => {
                self.submit(Vec::new(), cut, taken, watermark, Vec::new())
            }
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
        taken: Vec<Taken>,
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
        self.shared.steps.lock().submit(self.progress(watermark, taken), IN_FLIGHT_MAX);
        self.cut = entry.cut.shards;
        self.in_flight.push_back(self.log.submit(group));
        self.note_place();
        Ok(())
    }

    fn wait_oldest(&mut self) -> Result<()> {
        if let Some(oldest) = self.in_flight.pop_front() {
            oldest.wait()?;
        }
        Ok(())
    }

    /// Waits until all that was done is in the log.
    pub(super) fn drain(&mut self) -> Result<()> {
        self.say()?;
        while !self.in_flight.is_empty() {
            self.wait_oldest()?;
        }
        Ok(())
    }

    /// Whether no step may be taken before the log has acknowledged another: there are many, or a checkpoint is to be taken, which must
    /// not be ahead of the journal.
    pub(super) fn waits_for_log(&self) -> bool {
        let waiting = self.in_flight.len();
        waiting >= IN_FLIGHT_MAX || (waiting > 0 && self.is_checkpoint_due())
    }

    /// Takes the answers that have come, without waiting. If no step may be taken before the next, that wakes the job.
    pub(super) fn collect_acknowledged(&mut self) -> Result<()> {
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
}
