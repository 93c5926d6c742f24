//! What handlers share.

use std::sync::Arc;

use headwater_core::World;
use headwater_run::Engine;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::budget::Budget;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::steps::Sessions;

/// Handed to every handler. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// Who answers.
    pub engine: Engine,
    /// The bounds.
    pub options: Arc<ServeOptions>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// One permit for each append under way.
    pub appends: Arc<Semaphore>,
    /// What the bodies of these may take.
    pub bodies: Arc<Budget>,
    /// One permit for each statement and replay under way.
    pub queries: Arc<Semaphore>,
    /// One permit for each open tail.
    pub tails: Arc<Semaphore>,
    /// Replays that go step by step.
    pub replays: Sessions,
    /// Becomes true when the server stops.
    pub closing: watch::Receiver<bool>,
}

impl App {
    pub fn new(engine: Engine, options: ServeOptions, closing: watch::Receiver<bool>) -> Self {
        let bodies = Budget::new(options.append_bytes_max, options.append_patience);
        Self {
            metrics: Arc::new(Metrics::new(engine.clone(), Arc::clone(&bodies))),
            bodies,
            appends: Arc::new(Semaphore::new(options.appends_max)),
            queries: Arc::new(Semaphore::new(options.queries_max)),
            tails: Arc::new(Semaphore::new(options.tails_max)),
            replays: Sessions::default(),
            options: Arc::new(options),
            engine,
            closing,
        }
    }

    /// Lets a statement or a replay begin, or tells its client to come back.
    pub fn begin_query(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let most = self.options.queries_max;
        self.queries.clone().try_acquire_owned().map_err(|_| ApiError::overloaded("statements", most))
    }

    pub fn world(&self) -> &World {
        self.engine.ingest().world()
    }
}
