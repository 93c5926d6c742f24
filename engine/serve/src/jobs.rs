//! `/v1/jobs`: what runs, and its switch.

use axum::Json;
use axum::extract::State;
use headwater_core::EventTime;
use headwater_plan::error::did_you_mean;
use headwater_run::{Figure, JobStatus, RunError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::extract::InPath;
use crate::state::App;

/// A job.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobView {
    /// Its name.
    name: String,
    /// The stream it writes to.
    target: String,
    /// pending until its first step, running, restoring while its journal's steps are done again, paused, completed or failed.
    state: &'static str,
    /// Why it failed.
    error: Option<String>,
    /// Rows taken; null where nobody knows, as of a job that could not start.
    rows_in: Option<u64>,
    /// Rows written; null likewise.
    rows_out: Option<u64>,
    /// Rows that came too late; null likewise.
    rows_late: Option<u64>,
    /// Rows not taken yet; null likewise.
    lag: Option<u64>,
    /// Up to which event time it has seen everything; null: nothing yet, or everything that there will be.
    watermark: Option<String>,
    /// Steps done; null likewise.
    steps: Option<u64>,
    /// Entries of state.
    state_entries: u64,
    /// Bytes of state in memory, estimated.
    state_bytes: u64,
    /// Bytes of state in files.
    state_spilled_bytes: u64,
    /// The step of the newest checkpoint.
    checkpoint: Option<u64>,
}

impl From<JobStatus> for JobView {
    fn from(job: JobStatus) -> Self {
        let told = |watermark: EventTime| watermark != EventTime::MIN && watermark != EventTime::MAX;
        Self {
            state: job.shown_state(),
            watermark: told(job.watermark).then(|| job.watermark.to_string()),
            rows_in: job.known(Figure::RowsIn, job.rows_in),
            rows_out: job.known(Figure::RowsOut, job.rows_out),
            rows_late: job.known(Figure::RowsLate, job.rows_late),
            lag: job.known(Figure::Lag, job.lag),
            steps: job.known(Figure::Steps, job.steps),
            name: job.name,
            target: job.target,
            error: job.error,
            state_entries: job.state_entries,
            state_bytes: job.state_bytes,
            state_spilled_bytes: job.state_spilled_bytes,
            checkpoint: job.checkpoint,
        }
    }
}

/// Lists the jobs.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs",
    responses((status = 200, description = "all jobs, by name, MapReduce jobs behind the others", body = Vec<JobView>)),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Vec<JobView>> {
    Json(app.engine.job_statuses().into_iter().map(JobView::from).collect())
}

/// Shows a job.
#[utoipa::path(
    get, path = "/v1/jobs/{name}", tag = "jobs",
    params(("name" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "the job", body = JobView),
        (status = 404, description = "there is no such job", body = ErrorBody),
    ),
)]
pub(crate) async fn show(
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<Json<JobView>, ApiError> {
    find(&app, &name).map(Json)
}

/// Pauses a job after the step that is under way, and answers when it has. It keeps its state.
#[utoipa::path(
    post, path = "/v1/jobs/{name}/pause", tag = "jobs",
    params(("name" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "the job, which has paused", body = JobView),
        (status = 404, description = "there is no such job", body = ErrorBody),
    ),
)]
pub(crate) async fn pause(
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<Json<JobView>, ApiError> {
    switch(&app, "PAUSE", &name).await
}

/// Resumes a job from where it was paused.
#[utoipa::path(
    post, path = "/v1/jobs/{name}/resume", tag = "jobs",
    params(("name" = String, Path, description = "the job")),
    responses(
        (status = 200, description = "the job, which goes on", body = JobView),
        (status = 404, description = "there is no such job", body = ErrorBody),
    ),
)]
pub(crate) async fn resume(
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<Json<JobView>, ApiError> {
    switch(&app, "RESUME", &name).await
}

/// Through the statement, so that it is checked and recorded as any other.
async fn switch(app: &App, verb: &str, name: &str) -> Result<Json<JobView>, ApiError> {
    find(app, name)?;
    let quoted = name.replace('"', "\"\"");
    Box::pin(app.engine.execute(&format!("{verb} JOB \"{quoted}\""))).await?;
    find(app, name).map(Json)
}

fn find(app: &App, name: &str) -> Result<JobView, ApiError> {
    let jobs = app.engine.job_statuses();
    let hint = did_you_mean(name, jobs.iter().map(|job| job.name.as_str()));
    match jobs.into_iter().find(|job| job.name == name) {
        Some(job) => Ok(job.into()),
        None => Err(ApiError::from(RunError::NoJob { name: name.to_owned() }).hint(hint)),
    }
}
