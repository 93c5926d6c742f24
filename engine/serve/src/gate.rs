//! Who answers: until an engine is open, somebody who knows only that the process is alive.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::get;
use parking_lot::Mutex;
use tower::Service;

use crate::error::ApiError;
use crate::{health, origin};

/// What is waited for, once that is known.
type WaitsFor = Arc<Mutex<Option<String>>>;

/// Hands requests on to an engine's routes once there are some. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    opened: OnceLock<Router>,
    before: Router,
    waits_for: WaitsFor,
}

impl Gate {
    pub fn new(loopback: bool) -> Self {
        let waits_for = WaitsFor::default();
        let before = Router::new()
            .route("/healthz", get(health::alive))
            .fallback(closed)
            .layer(from_fn_with_state(loopback, origin::check))
            .with_state(Arc::clone(&waits_for));
        Self(Arc::new(Inner { opened: OnceLock::new(), before, waits_for }))
    }

    /// Says what is waited for.
    pub fn waits_for(&self, what: String) {
        *self.0.waits_for.lock() = Some(what);
    }

    /// Hands requests on from now on. The first routes stay.
    pub fn open(&self, routes: Router) {
        self.0.opened.get_or_init(|| routes);
    }
}

async fn closed(State(waits_for): State<WaitsFor>) -> ApiError {
    ApiError::opening(waits_for.lock().as_deref())
}

impl Service<Request> for Gate {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.opened.get().unwrap_or(&self.0.before).clone().call(request)
    }
}
