//! The table of routes, and what every request passes through.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};

use crate::error::ApiError;
use crate::state::App;
use crate::{append, health, jobs, openapi, origin, replay, sql, steps, streams, tail};

/// Every path with its handlers. A test compares them with the OpenAPI document.
pub(crate) fn table() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/v1/streams", get(streams::list)),
        ("/v1/streams/{name}", get(streams::describe).post(append::append)),
        ("/v1/streams/{name}/tail", get(tail::stream)),
        ("/v1/sql", post(sql::run)),
        ("/v1/sql/tail", get(tail::query)),
        ("/v1/jobs", get(jobs::list)),
        ("/v1/jobs/{name}", get(jobs::show)),
        ("/v1/jobs/{name}/pause", post(jobs::pause)),
        ("/v1/jobs/{name}/resume", post(jobs::resume)),
        ("/v1/jobs/{name}/replay", post(replay::replay)),
        ("/v1/replays/{id}/step", post(steps::step)),
        ("/v1/openapi.json", get(document)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(health::metrics)),
    ]
}

/// All of it as one service.
pub(crate) fn router(app: App, loopback: bool) -> Router {
    let mut router = Router::new();
    for (path, methods) in table() {
        let watched = Watched { app: app.clone(), route: path };
        router = router.route(path, methods.layer(from_fn_with_state(watched, watch)));
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .fallback(wrong_path)
        .layer(from_fn_with_state(loopback, origin::check))
        // Handlers read bodies themselves, with limits of their own.
        .layer(DefaultBodyLimit::disable())
        .with_state(app)
}

/// Where an answer begins when the work is done, and nobody but the client knows how long that may take.
const UNHURRIED: [&str; 3] = ["/v1/sql", "/v1/jobs/{name}/replay", "/v1/replays/{id}/step"];

/// A request's route, for its metrics.
#[derive(Clone)]
struct Watched {
    app: App,
    route: &'static str,
}

/// Gives a request up when its answer does not begin in time, and counts it.
async fn watch(State(watched): State<Watched>, request: Request, next: Next) -> Response {
    let Watched { app, route } = watched;
    let started = app.world().clock.monotonic();
    let method = request.method().clone();
    let most = app.options.request_timeout;
    let response = if UNHURRIED.contains(&route) {
        next.run(request).await
    } else {
        let answered = tokio::time::timeout(most, next.run(request)).await;
        answered.unwrap_or_else(|_| ApiError::timeout(most).into_response())
    };
    let took = app.world().clock.monotonic().saturating_sub(started);
    tracing::debug!(%method, route, status = response.status().as_u16(), micros = took.as_micros() as u64, "answered");
    app.metrics.observe(&method, route, response.status(), took);
    response
}

async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi::document())
}

async fn wrong_path(request: Request) -> ApiError {
    ApiError::no_route(StatusCode::NOT_FOUND, request.method().as_str(), request.uri().path())
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::no_route(StatusCode::METHOD_NOT_ALLOWED, request.method().as_str(), request.uri().path())
}
