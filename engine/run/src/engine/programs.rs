//! MapReduce jobs: started when they are created, and again when the engine opens unless they have come to an end, be it a bad one.

use std::sync::Arc;

use headwater_core::causes;
use headwater_plan::MapReduceDef;

use super::events::{self, Event};
use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::RunningPrograms;
use crate::{JobState, JobStatus};

impl Inner {
    /// Starts the programs of a MapReduce job. `again` if the job was there before the process was.
    pub fn start_programs(
        self: &Arc<Self>,
        job: &Arc<MapReduceDef>,
        again: bool,
    ) -> Result<Box<dyn RunningPrograms>> {
        let work = self.options.data.clone().unwrap_or_else(std::env::temp_dir).join("mapreduce");
        let (engine, runtime, name) = (Arc::downgrade(self), self.runtime.clone(), job.name.clone());
        let failed = Box::new(move |reason: String| {
            // It is called from within the runtime, where nothing may block.
            runtime.spawn_blocking(move || {
                if let Some(engine) = engine.upgrade()
                    && let Err(error) = engine.note_failure(&name, reason)
                {
                    tracing::error!(job = name, code = %error.code(), %error, "a job's failure could not be noted");
                }
            });
        });
        self.connectors.start_programs(job, work, again, failed).map_err(RunError::Invalid)
    }

    /// Starts a job that was there before the process was, unless it has failed: then it shows why.
    pub(super) fn restart_programs(self: &Arc<Self>, job: &Arc<MapReduceDef>) -> Result<()> {
        let failure = self.state.lock().failures.get(&job.name).cloned();
        let programs: Box<dyn RunningPrograms> = match failure {
            Some(reason) => Box::new(Failed { def: Arc::clone(job), reason }),
            None => self.start_programs(job, true)?,
        };
        self.state.lock().programs.insert(job.name.clone(), programs);
        Ok(())
    }

    /// Shows a job as failed that could not start. It is tried again when the engine opens the next time.
    pub(super) fn show_failed(&self, job: &Arc<MapReduceDef>, error: &RunError) {
        let failed = Failed { def: Arc::clone(job), reason: format!("{} {}", error.code(), causes(error)) };
        self.state.lock().programs.insert(job.name.clone(), Box::new(failed));
    }

    /// Notes that a job has failed, unless it was dropped meanwhile. Blocks.
    fn note_failure(&self, name: &str, reason: String) -> Result<()> {
        let _one_at_a_time = self.defining.blocking_lock();
        self.check_open()?;
        let state = self.state.lock().programs.get(name).map(|programs| programs.status().state);
        if state != Some(JobState::Failed) {
            return Ok(());
        }
        let event = Event::Failed { name: name.to_owned(), reason: reason.clone() };
        events::append(&self.world, &*self.log, &event)?;
        self.state.lock().failures.insert(name.to_owned(), reason);
        Ok(())
    }
}

/// A job that has failed in an earlier life of the process.
struct Failed {
    def: Arc<MapReduceDef>,
    reason: String,
}

impl RunningPrograms for Failed {
    fn status(&self) -> JobStatus {
        JobStatus {
            state: JobState::Failed,
            error: Some(self.reason.clone()),
            ..JobStatus::new(self.def.name.clone(), self.def.output.clone())
        }
    }
}
