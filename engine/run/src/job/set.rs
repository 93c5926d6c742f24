//! What the driver of a set of triggers does besides: it ends steps where a trigger begins, lets triggers leave, and goes on without those
//! that fail.
//!
//! ```text
//!   set       … step 43 │ checkpoint of the trigger alone: durable │ "t has gone", in the set's journal
//!   trigger                                                        │ a job that restores step 43 ── step 44 in its own journal ── …
//! ```
//!
//! Killed before that line, the trigger is still in the set and what was written of it is written anew; killed after it, the trigger is
//! a job that goes on from its checkpoint, or does the set's steps again for itself.

use std::sync::Arc;

use headwater_core::{Sequence, ShardId};
use headwater_log::Append;
use headwater_operators::{OperatorError, entries_of_one};

use super::checkpoint::{self, Checkpoint, Checkpointer, Manifest};
use super::driver::{Driver, cut_of, open_pipeline};
use super::journal::JournalReader;
use super::members::{Leaving, Members, Place};
use super::membership::encode_going;
use super::progress::Counters;
use super::sink::Results;
use super::spill::StatePart;
use crate::error::{Result, RunError};

impl Driver {
    /// The triggers of a set.
    pub(super) fn members(&self) -> Option<Arc<Members>> {
        match &self.plan.results {
            Results::Members(members) => Some(Arc::clone(members)),
            Results::Stream { .. } | Results::Counted(_) => None,
        }
    }

    /// How far the next step may go, of one source: to where the next trigger of a set begins.
    pub(super) fn end_of_step(&self) -> Option<Vec<Vec<Sequence>>> {
        let end = self.members()?.end_of_step(self.pipeline.places().first()?)?;
        Some(vec![end])
    }

    /// Tells a set where the last step ended.
    pub(super) fn note_place(&self) {
        if let Results::Members(members) = &self.plan.results {
            let shards = self.pipeline.places().into_iter().next().unwrap_or_default();
            members.note_place(Place { step: self.step, shards });
        }
    }

    /// As after a crash, in the middle of a step that nothing has come of.
    pub(super) fn start_over(&mut self) -> Result<()> {
        self.settle()?;
        let bad = |reason: String| RunError::Checkpoint { job: self.plan.name.clone(), reason };
        let (fingerprint, era) = (self.plan.dataflow.fingerprint(), self.plan.eras.began());
        let (restored, _) = checkpoint::restore(&*self.plan.blobs, &fingerprint, era).map_err(bad)?;
        if restored.is_none() {
            self.plan.check_history(&*self.log)?;
        }
        self.pipeline = open_pipeline(&*self.log, &self.plan, restored.as_ref())?;
        self.pipeline.count_quiet_from(self.world.clock.monotonic());
        let (blobs, world) = (Arc::clone(&self.plan.blobs), self.world.clone());
        self.checkpointer = Checkpointer::new(blobs, world, &self.plan.name, restored.as_ref());
        let manifest = restored.map_or_else(Manifest::default, |restored| restored.manifest);
        let of_shards = |shards: &Vec<checkpoint::Place>| shards.iter().map(cut_of).collect();
        self.cut = manifest.places.iter().map(of_shards).collect();
        let (plan, cut) = (&self.plan, self.cut.clone());
        let steps =
            JournalReader::open(&*self.log, &plan.journal, &plan.name, manifest.step, cut, &plan.eras)?;
        self.redo = Some(steps);
        self.redo_until = plan.journal.last_step(&*self.log)?;
        (self.step, self.producer.sequence) = (manifest.step, manifest.step);
        self.counters = Counters::of(&manifest);
        self.measured = None;
        self.note_place();
        self.update_status()
    }

    /// Writes down that triggers which failed are gone, after the last step that the set has taken. Killed before that, the set fails on
    /// them again.
    pub(super) fn note_gone(&self, ids: &[i64]) -> Result<()> {
        let journal = self.plan.journal.own().id;
        let going = |id: &i64| Ok(Append::new(journal, ShardId(0), encode_going(*id, self.redo_until)?));
        self.log.append(ids.iter().map(going).collect::<Result<_>>()?)?;
        Ok(())
    }

    /// Lets those leave who were asked to.
    pub(super) fn release_members(&mut self) -> Result<()> {
        let Some(members) = self.members() else { return Ok(()) };
        while let Some(leaving) = members.next_leaving() {
            self.release(&members, &leaving)?;
        }
        Ok(())
    }

    fn release(&mut self, members: &Members, leaving: &Leaving) -> Result<()> {
        let (Some(rank), Some(progress)) = (members.rank(leaving.id), members.progress(leaving.id)) else {
            members.left(leaving.id);
            return Ok(());
        };
        self.settle()?;
        let bad = |reason: String| RunError::Checkpoint { job: leaving.name.clone(), reason };
        // What an attempt before a crash may have left.
        for blob in leaving.blobs.list().map_err(bad)? {
            leaving.blobs.remove(&blob).map_err(bad)?;
        }
        // Of one that has failed there is no state, and the journal has it that it is gone; as a job it does its steps again, up to where
        // it fails.
        let state = match progress.failure {
            None => Some(self.save_alone(leaving, rank, progress.rows_in)?),
            Some(_) => {
                members.set_apart(leaving);
                None
            }
        };
        if state.is_some() {
            let going = encode_going(leaving.id, self.step)?;
            self.log.append(vec![Append::new(self.plan.journal.own().id, ShardId(0), going)])?;
        }
        members.left(leaving.id);
        if let Some(state) = state {
            // What had changed is no longer marked in the operators: the set's next checkpoint has all of it.
            self.begin_checkpoint(Checkpoint { manifest: self.manifest(), state }, true);
        }
        Ok(())
    }

    /// Writes a checkpoint for a trigger that leaves, of its part of the state. Answers all of the state.
    fn save_alone(&mut self, leaving: &Leaving, rank: u32, rows_in: u64) -> Result<Vec<(usize, StatePart)>> {
        let state = self.take_state(true)?;
        let bad = |reason: String| RunError::Checkpoint { job: leaving.name.clone(), reason };
        let failed =
            |source: OperatorError| RunError::Operator { what: format!("job {}", leaving.name), source };
        let mut own = Vec::new();
        for (stage, part) in &state {
            let entries = part.entries().map_err(bad)?;
            let entries = entries_of_one(&entries, leaving.id, rank).map_err(failed)?;
            own.extend(entries.map(|entries| (*stage, StatePart::Here(entries))));
        }
        let (job, plan) = (leaving.name.clone(), leaving.plan.clone());
        let manifest =
            Manifest { job, plan, rows_in, rows_out: leaving.rows_out, rows_late: 0, ..self.manifest() };
        let mut alone =
            Checkpointer::new(Arc::clone(&leaving.blobs), self.world.clone(), &leaving.name, None);
        alone.start(Checkpoint { manifest, state: own }, true);
        alone.wait().unwrap_or(Ok(0)).map_err(bad)?;
        Ok(state)
    }
}
