//! Measures jobs for `system.job_metrics`, as long as something reads that; and sets how many workers a job has.

use std::sync::{Arc, Weak};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use headwater_core::ShardId;
use headwater_core::hash::SLOTS;
use headwater_core::world::Turn;
use headwater_log::Append;
use headwater_plan::{Catalog, JOB_METRICS, JOB_METRICS_INTERVAL, job_metrics_schema};

use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::SetWorkers;
use crate::{JobState, JobStatus};

impl Inner {
    /// Begins to measure, if the catalog has the stream and nobody measures yet. The stream is there afterwards.
    pub fn measure_jobs(self: &Arc<Self>, catalog: &Catalog) -> Result<()> {
        let is_settled = {
            let state = self.state.lock();
            state.at_rest || state.measuring.is_some()
        };
        if catalog.get(JOB_METRICS).is_none() || is_settled {
            return Ok(());
        }
        self.own_stream(catalog, JOB_METRICS)?;
        let inner = Arc::downgrade(self);
        let task = self.world.tasks.spawn("job-metrics", Box::new(move || look(&inner)));
        self.state.lock().measuring = Some(task);
        Ok(())
    }

    /// Ends the measuring that began with a statement which was refused in the end.
    pub fn measure_no_more_in_vain(&self) {
        if self.catalog().get(JOB_METRICS).is_none() {
            // Not under the lock: dropping the task waits for a look that is under way, which takes it.
            let measuring = self.state.lock().measuring.take();
            drop(measuring);
        }
    }

    fn measure_once(&self) -> Result<()> {
        let all: Vec<JobStatus> = self.state.lock().statuses(&*self.log);
        if all.is_empty() {
            return Ok(());
        }
        let stream = self.log.stream_named(JOB_METRICS)?.id;
        let rows = measurements(&all, self.world.clock.now().0)?;
        self.log.append(vec![Append::new(stream, ShardId(0), rows)])?;
        Ok(())
    }

    /// Sets how many workers compute a job's steps; answers how many do. `None` only asks.
    pub fn set_workers(&self, job: &str, workers: Option<usize>) -> Result<usize> {
        let state = self.state.lock();
        let handle = state.job(job).ok_or_else(|| RunError::NoJob { name: job.to_owned() })?;
        let status = handle.status();
        if matches!(status.state, JobState::Failed | JobState::Finished) {
            return Err(RunError::Invalid(format!("job {job} is {}", status.state.as_str())));
        }
        if let Some(workers) = workers {
            if !(1..=SLOTS as usize).contains(&workers) {
                return Err(RunError::Invalid(format!("a job has 1 to {SLOTS} workers, not {workers}")));
            }
            handle.set_workers(workers);
        }
        Ok(status.workers)
    }

    /// [`Inner::set_workers`] for somebody who must not keep the engine alive.
    pub fn workers_setter(self: &Arc<Self>) -> SetWorkers {
        let inner: Weak<Self> = Arc::downgrade(self);
        Arc::new(move |job, workers| {
            let inner = inner.upgrade().ok_or_else(|| RunError::Closed.to_string())?;
            inner.set_workers(job, workers).map_err(|error| error.to_string())
        })
    }
}

/// Looks at all jobs, and again after a while.
fn look(inner: &Weak<Inner>) -> Turn {
    let Some(inner) = inner.upgrade() else { return Turn::Done };
    if inner.state.lock().closed {
        return Turn::Done;
    }
    if let Err(error) = inner.measure_once() {
        tracing::warn!(code = %error.code(), %error, "jobs could not be measured");
    }
    Turn::Wait(Some(JOB_METRICS_INTERVAL))
}

fn measurements(all: &[JobStatus], at: i64) -> Result<RecordBatch> {
    let number = |value: fn(&JobStatus) -> u64| -> ArrayRef {
        let signed = all.iter().map(|job| i64::try_from(value(job)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(signed))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from_value(at, all.len()).with_timezone("UTC")),
        Arc::new(StringArray::from_iter_values(all.iter().map(|job| &job.name))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|job| job.state.as_str()))),
        number(|job| job.lag),
        number(|job| job.rows_in),
        number(|job| job.rows_out),
        number(|job| job.rows_late),
        number(|job| job.steps),
        number(|job| job.workers as u64),
        number(|job| job.state_bytes),
    ];
    Ok(RecordBatch::try_new(job_metrics_schema(), columns)?)
}
