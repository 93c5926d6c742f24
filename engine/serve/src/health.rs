//! `/healthz`, `/readyz` and `/metrics`: for whoever watches the process.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::error::{ApiError, ErrorBody};
use crate::state::App;

/// Says that the process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "health",
    responses((status = 200, description = "the process is alive", body = String)),
)]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Says whether requests can be served.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "requests can be served", body = String),
        (status = 503, description = "the log is not open yet or cannot write, or the server is stopping", body = ErrorBody),
    ),
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    if *app.closing.borrow() {
        return Err(ApiError::stopping());
    }
    match app.engine.log().metrics().poisoned {
        Some(cause) => Err(ApiError::not_ready(&cause)),
        None => Ok("ok\n"),
    }
}

/// Counters, gauges and histograms for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "metrics as OpenMetrics text", body = String)),
)]
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let text = app.metrics.render().map_err(ApiError::internal)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}
