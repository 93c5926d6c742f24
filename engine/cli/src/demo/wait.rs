//! Waits for jobs: nothing comes any more, and time goes on, so that their last windows close.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use arrow::array::RecordBatch;
use headwater_core::{EventTime, ShardId};
use headwater_log::Append;
use headwater_run::{Engine, JobState, JobStatus};

use crate::commands::run::fail_if_a_job_did;

/// How often the jobs are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Says that time has come to `over` on a stream, and waits until the jobs that read it have come there, too, and what they have said is in
/// the log. One that fails is an error.
pub(crate) async fn wait_until(engine: &Engine, stream: &str, over: EventTime, jobs: &[&str]) -> Result<()> {
    engine.advance_stream(stream, over)?;
    let is_behind = |job: &JobStatus| {
        jobs.contains(&job.name.as_str()) && job.state == JobState::Running && job.watermark < over
    };
    while engine.jobs().iter().any(is_behind) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    fail_if_a_job_did(engine)?;
    // What the last steps have said may still be on its way into the log, which commits in the order in which it is asked to.
    let info = engine.log().stream_named(stream)?;
    let nothing = RecordBatch::new_empty(Arc::clone(&info.spec.schema));
    engine.log().submit(vec![Append::new(info.id, ShardId(0), nothing)]).await?;
    Ok(())
}
