//! How a job does, as it is told to whoever asks.

use std::time::Duration;

use headwater_core::EventTime;

use super::Driver;
use crate::JobState;
use crate::error::Result;
use crate::job::pipeline::Taken;
use crate::job::progress::Progress;

/// How often the state is measured while steps follow one another: it costs as much as there is state.
const MEASURE_INTERVAL: Duration = Duration::from_millis(200);

impl Driver {
    pub(super) fn set_state(&self, state: JobState, error: Option<String>) {
        {
            let mut status = self.shared.status.lock();
            status.state = state;
            status.error = error;
        }
        self.shared.changed.send_if_modified(|now| std::mem::replace(now, state) != state);
    }

    /// How far the job is with the last step, whose line in the journal is the newest on its way there.
    pub(super) fn progress(&self, watermark: EventTime, taken: Vec<Taken>) -> Progress {
        let (step, counters) = (self.step, self.counters);
        Progress { behind: self.journal_next, step, watermark, counters, taken }
    }

    /// Tells how the job does. The state that it was asked for, an error and the lag are not told here.
    pub(in crate::job) fn update_status(&mut self) -> Result<()> {
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
