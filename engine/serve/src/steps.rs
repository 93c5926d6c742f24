//! A replay step by step: `POST /v1/jobs/NAME/replay` with `"step": true` begins one, each `POST /v1/replays/ID/step` takes a step.
//! One that nobody has asked for a while is cancelled, as is one that `CANCEL REPLAY` names.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use headwater_ingest::{Encoder, Format, FormatOptions};
use headwater_run::{ReplayStep, ReplaySteps};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::extract::InPath;
use crate::state::App;

/// How long a replay waits for somebody to ask for its next step.
const PATIENCE: Duration = Duration::from_secs(600);

/// The replays that wait to be asked, by number.
pub(crate) type Sessions = Arc<Mutex<HashMap<u64, Arc<Session>>>>;

/// One of them.
pub(crate) struct Session {
    steps: tokio::sync::Mutex<ReplaySteps>,
    /// When it was asked last.
    asked: Mutex<Duration>,
}

/// A replay that has begun and waits to be asked for steps.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SteppedReplay {
    /// Its number.
    pub replay: u64,
}

/// A step of a replay.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SteppedView {
    /// Its number; none once there are no more.
    pub step: Option<u64>,
    /// Rows taken.
    pub rows_in: u64,
    /// Rows that could not be computed.
    pub uncomputed: u64,
    /// The watermark after it; none before the first.
    pub watermark: Option<String>,
    /// How far it went.
    pub position: Vec<SourcePlace>,
    /// The results.
    pub rows: Vec<serde_json::Value>,
}

/// How far a step went in a source.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SourcePlace {
    /// The stream.
    pub stream: String,
    /// The next sequence number of each shard.
    pub next: Vec<u64>,
}

impl SteppedView {
    /// As people and programs see it.
    pub fn of(step: &ReplayStep) -> Result<Self, headwater_ingest::IngestError> {
        let mut rows = Vec::new();
        for batch in &step.rows {
            let mut text = Vec::new();
            let mut encoder = Encoder::new(Format::JsonLines, batch.schema(), &FormatOptions::default())?;
            encoder.encode(batch, &mut text)?;
            encoder.finish(&mut text)?;
            let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let parsed = |line| {
                let text = || serde_json::Value::String(String::from_utf8_lossy(line).into_owned());
                serde_json::from_slice(line).unwrap_or_else(|_| text())
            };
            rows.extend(lines.map(parsed));
        }
        let known = step.watermark != headwater_core::EventTime::MIN;
        Ok(Self {
            step: Some(step.step),
            rows_in: step.rows_in,
            uncomputed: step.uncomputed,
            watermark: known.then(|| step.watermark.to_string()),
            position: step
                .position
                .iter()
                .map(|(stream, next)| SourcePlace {
                    stream: stream.clone(),
                    next: next.iter().map(|next| next.0).collect(),
                })
                .collect(),
            rows,
        })
    }

    fn end() -> Self {
        let (position, rows) = (Vec::new(), Vec::new());
        Self { step: None, rows_in: 0, uncomputed: 0, watermark: None, position, rows }
    }
}

/// Keeps a replay until it ends, or nobody asks for its steps.
pub(crate) fn keep(app: &App, steps: ReplaySteps) -> SteppedReplay {
    let id = steps.id();
    let clock = Arc::clone(&app.world().clock);
    let session = Arc::new(Session { steps: steps.into(), asked: clock.monotonic().into() });
    app.replays.lock().insert(id, session);
    let sessions = Arc::downgrade(&app.replays);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PATIENCE / 10).await;
            let Some(sessions) = sessions.upgrade() else { return };
            let mut sessions = sessions.lock();
            let Some(session) = sessions.get(&id) else { return };
            let quiet = clock.monotonic().saturating_sub(*session.asked.lock());
            if quiet >= PATIENCE && session.steps.try_lock().is_ok() {
                sessions.remove(&id);
                return;
            }
        }
    });
    SteppedReplay { replay: id }
}

/// Takes the next step of a replay that goes step by step.
#[utoipa::path(
    post, path = "/v1/replays/{id}/step", tag = "jobs",
    params(("id" = u64, Path, description = "the replay")),
    responses(
        (status = 200, description = "what the step did; without a number: there are no more", body = SteppedView),
        (status = 404, description = "no such replay goes step by step", body = ErrorBody),
        (status = 409, description = "it was cancelled", body = ErrorBody),
    ),
)]
pub(crate) async fn step(
    State(app): State<App>,
    InPath(id): InPath<u64>,
) -> Result<Json<SteppedView>, ApiError> {
    let session = app.replays.lock().get(&id).map(Arc::clone).ok_or_else(|| ApiError::no_replay(id))?;
    let now = || app.world().clock.monotonic();
    *session.asked.lock() = now();
    let next = session.steps.lock().await.next().await;
    *session.asked.lock() = now();
    match next {
        Ok(Some(step)) => Ok(Json(SteppedView::of(&step)?)),
        ended => {
            app.replays.lock().remove(&id);
            ended?;
            Ok(Json(SteppedView::end()))
        }
    }
}
