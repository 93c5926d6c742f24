//! A connector at work, as the engine sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::{Handle, State, Status};
use headwater_core::StreamId;
use headwater_log::Log;
use headwater_run::{ConnectorStatus, Role, RunningConnector};
use parking_lot::Mutex;

/// How often a connector is looked at while somebody waits for it to settle.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A connector at work; without a handle once it was stopped.
pub(super) struct Running {
    pub(super) handle: Mutex<Option<Handle>>,
    pub(super) role: Role,
    pub(super) bounded: bool,
    pub(super) log: Arc<dyn Log>,
    pub(super) stream: StreamId,
    /// Whether it takes all rows of its stream, so that those which it has not taken wait for it.
    pub(super) follows: bool,
}

impl Running {
    /// How many rows its stream holds and has held.
    fn rows(&self) -> u64 {
        // A stream that was dropped meanwhile holds nothing.
        let bounds = self.log.bounds(self.stream).unwrap_or_default();
        bounds.iter().map(|shard| shard.next.0).sum()
    }

    /// How many rows wait: for what follows a stream, those that are there now, whatever it is doing.
    fn lag(&self, status: &Status) -> Option<u64> {
        status.lag.map(|lag| if self.follows { self.rows().saturating_sub(status.reached) } else { lag })
    }

    /// Whether nothing more will come, or a sink has taken so many rows of its stream.
    fn is_settled(&self, rows: u64) -> bool {
        let Some(status) = self.handle.lock().as_ref().map(Handle::status) else { return true };
        let has_taken = self.role == Role::Sink && status.state == State::Running && status.reached >= rows;
        status.state.is_final() || has_taken
    }
}

#[async_trait]
impl RunningConnector for Running {
    async fn settled(&self) {
        let rows = self.rows();
        while !self.is_settled(rows) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn status(&self) -> ConnectorStatus {
        let status = self.handle.lock().as_ref().map(Handle::status);
        let status = status.unwrap_or_else(|| Status { state: State::Stopped, ..Status::default() });
        ConnectorStatus {
            role: self.role,
            state: status.state.name(),
            is_failed: status.state == State::Failed,
            lag: self.lag(&status),
            lag_ms: status.behind.millis(),
            rows: status.rows,
            rows_per_second: status.rows_per_second,
            dead_letters: status.dead_letters,
            failures: status.failures,
            last_error: status.last_error,
            position: serde_json::json!(status.positions).to_string(),
        }
    }

    async fn stop(&self) {
        let handle = self.handle.lock().take();
        if let Some(handle) = handle {
            handle.stop().await;
        }
    }
}
