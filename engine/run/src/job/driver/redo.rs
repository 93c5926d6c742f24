//! Does the journal's steps again that the checkpoint does not have.

use headwater_core::world::Turn;

use super::Driver;
use crate::error::{Result, RunError};

impl Driver {
    /// Does the next step of the journal again; after the last one the job lives on.
    pub(super) fn redo_step(&mut self) -> Result<Turn> {
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
}
