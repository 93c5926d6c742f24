//! A connector that runs for a table, or has failed, and does nothing.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_run::{ConnectorStatus, Role, RunningConnector};
use parking_lot::Mutex;

pub struct Stub {
    pub role: Role,
    /// Whether its input ends.
    pub is_bounded: bool,
    /// Why it has failed, if it has.
    pub error: Option<&'static str>,
    /// How many records lie outside that it has not read.
    pub lag: Arc<Mutex<Option<u64>>>,
    /// Where it stands.
    pub position: &'static str,
}

impl Stub {
    /// One that runs, and whose input does not end.
    pub fn running(role: Role) -> Self {
        let lag = Arc::new(Mutex::new(Some(0)));
        Self { role, is_bounded: false, error: None, lag, position: "{}" }
    }
}

#[async_trait]
impl RunningConnector for Stub {
    async fn settled(&self) {
        if self.error.is_none() && !self.is_bounded && self.role == Role::Source {
            std::future::pending().await
        }
    }

    fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    fn status(&self) -> ConnectorStatus {
        ConnectorStatus {
            role: self.role,
            state: if self.error.is_some() { "failed" } else { "running" },
            is_failed: self.error.is_some(),
            lag: *self.lag.lock(),
            lag_ms: None,
            rows: 0,
            rows_per_second: 0.0,
            dead_letters: 0,
            failures: u64::from(self.error.is_some()),
            last_error: self.error.map(str::to_owned),
            position: self.position.to_owned(),
        }
    }

    async fn stop(&self) {}
}
