//! A connector that runs for a table, or has failed, and does nothing.

use async_trait::async_trait;
use headwater_run::{ConnectorStatus, Role, RunningConnector};

pub struct Stub {
    pub role: Role,
    /// Whether its input ends.
    pub is_bounded: bool,
    /// Why it has failed, if it has.
    pub error: Option<&'static str>,
}

impl Stub {
    /// One that runs, and whose input does not end.
    pub fn running(role: Role) -> Self {
        Self { role, is_bounded: false, error: None }
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
            lag: Some(0),
            lag_ms: None,
            rows: 0,
            rows_per_second: 0.0,
            dead_letters: 0,
            failures: u64::from(self.error.is_some()),
            last_error: self.error.map(str::to_owned),
            position: "{}".to_owned(),
        }
    }

    async fn stop(&self) {}
}
