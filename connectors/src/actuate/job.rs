//! `actuator = 'job'`: the engine scales itself. The group's size is the number of workers of a job, which changes between two steps.
//!
//! | option | meaning |
//! |---|---|
//! | `job` | the job |
//!
//! A job has one worker at least, whatever the size is. The number does not outlive the process; it is set anew after a restart.

use std::time::Duration;

use async_trait::async_trait;
use headwater_ingest::Options;

use super::actuator::{Activity, Actuator, ActuatorContext, SetWorkers};
use super::kinds::ActuatorKind;
use crate::error::{ConnectorError, Result};

/// The registry's entry.
pub(super) const ACTUATOR: ActuatorKind =
    ActuatorKind { name: "job", summary: "sets how many workers a job of this engine has", make };

/// How often a job is looked at that is in the middle of a step.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

struct JobActuator {
    job: String,
    set_workers: SetWorkers,
}

fn make(context: ActuatorContext, options: &mut Options) -> Result<Box<dyn Actuator>> {
    Ok(Box::new(JobActuator { job: options.require("job")?, set_workers: context.set_workers }))
}

impl JobActuator {
    async fn set(&self, size: u64) -> Result<String> {
        let workers = usize::try_from(size).unwrap_or(usize::MAX).max(1);
        // A job that has failed may be made anew under its name.
        let failed = |reason| ConnectorError::outage(format!("job {}", self.job), reason);
        let before = (self.set_workers)(&self.job, Some(workers)).map_err(failed)?;
        while (self.set_workers)(&self.job, None).map_err(failed)? != workers {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(format!("{before} workers before, {workers} now"))
    }
}

#[async_trait]
impl Actuator for JobActuator {
    async fn scale(&mut self, activity: &Activity) -> Result<String> {
        self.set(activity.size).await
    }

    async fn resume(&mut self, size: u64) -> Result<()> {
        self.set(size).await.map(drop)
    }
}
