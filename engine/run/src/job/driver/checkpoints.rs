//! When a job's checkpoints are taken, what is in them, and what comes of them.

use headwater_core::Sequence;

use super::Driver;
use crate::error::{Result, RunError};
use crate::job::checkpoint::{self, Checkpoint, Manifest};
use crate::job::clock::ShardClock;
use crate::job::spill::StatePart;

impl Driver {
    pub(super) fn is_checkpoint_due(&self) -> bool {
        let unsaved = self.checkpointer.newest().unwrap_or(0) < self.step || self.unsaid.is_some();
        let since = || self.world.clock.monotonic().saturating_sub(self.last_checkpoint);
        unsaved && !self.checkpointer.is_writing() && since() >= self.plan.settings.checkpoint_interval
    }

    pub(super) fn start_checkpoint(&mut self) -> Result<()> {
        // A checkpoint must not be ahead of the journal.
        self.drain()?;
        self.note_checkpoint_begins();
        let full = self.checkpointer.wants_full();
        let saving = self.checkpointer.begin(self.manifest(), full);
        let executor = self.pipeline.executor();
        let taken = executor.snapshot_to(full, &mut |stage, part| saving.add(stage, part));
        taken.map_err(|source| RunError::Operator { what: format!("job {}", self.plan.name), source })?;
        self.checkpointer.finish(saving);
        Ok(())
    }

    /// Begins to write a checkpoint of what was taken just now.
    pub(in crate::job) fn begin_checkpoint(&mut self, checkpoint: Checkpoint, full: bool) {
        self.note_checkpoint_begins();
        self.checkpointer.start(checkpoint, full);
    }

    fn note_checkpoint_begins(&mut self) {
        self.checkpoint_began = self.world.clock.monotonic();
        self.last_checkpoint = self.checkpoint_began;
    }

    /// What has changed in the state since it was last taken, or all of it.
    pub(in crate::job) fn take_state(&mut self, full: bool) -> Result<Vec<(usize, StatePart)>> {
        let state = self.pipeline.executor().snapshot(full);
        state.map_err(|source| RunError::Operator { what: format!("job {}", self.plan.name), source })
    }

    /// Where the job is, for a checkpoint.
    pub(in crate::job) fn manifest(&self) -> Manifest {
        let places = self.pipeline.places();
        let of_shards = |shards: Vec<(Sequence, ShardClock)>| {
            shards.into_iter().map(|(next, clock)| checkpoint::Place::new(next, clock)).collect()
        };
        let plan = self.plan.dataflow.fingerprint();
        Manifest {
            watermark: self.pipeline.watermark().0,
            places: places.into_iter().map(of_shards).collect(),
            rows_in: self.counters.rows_in,
            rows_out: self.counters.rows_out,
            rows_late: self.counters.rows_late,
            ..Manifest::after(self.step, &self.plan.name, plan, self.plan.eras.began())
        }
    }

    pub(super) fn poll_checkpoint(&mut self) {
        if let Some(result) = self.checkpointer.poll() {
            self.note_checkpoint(result);
        }
    }

    fn note_checkpoint(&mut self, result: std::result::Result<u64, String>) {
        match result {
            Ok(_) => {
                let took = self.world.clock.monotonic().saturating_sub(self.checkpoint_began);
                self.checkpoint_times.record(took);
                if let Some(oldest) = self.checkpointer.take_oldest()
                    && let Err(error) = self.trim_journal(oldest)
                {
                    let (job, code) = (&self.plan.name, error.code());
                    tracing::warn!(job, %code, %error, "old lines of the journal stay until the next time");
                }
            }
            Err(reason) => tracing::warn!(
                job = self.plan.name,
                reason,
                "a checkpoint failed; the next one will hold everything"
            ),
        }
    }

    /// Waits until what was said is in the log, and until no checkpoint is being written.
    pub(in crate::job) fn settle(&mut self) -> Result<()> {
        self.drain()?;
        if let Some(result) = self.checkpointer.wait() {
            self.note_checkpoint(result);
        }
        Ok(())
    }

    /// The last checkpoint: waits for everything.
    pub(super) fn save(&mut self) -> Result<()> {
        self.settle()?;
        if self.checkpointer.newest().unwrap_or(0) < self.step {
            self.start_checkpoint()?;
            if let Some(result) = self.checkpointer.wait() {
                self.note_checkpoint(result);
            }
        }
        self.measured = None;
        self.update_status()?;
        Ok(())
    }
}
