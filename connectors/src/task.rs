//! What all tasks of the supervisor have in common: what they are given, and what they do after a failure.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::World;
use headwater_ingest::Marks;
use headwater_log::Log;
use tokio::sync::watch;

use crate::error::ConnectorError;
use crate::status::{Board, State};

/// How long a cursor that has moved may go without being stored.
pub(crate) const STORE_INTERVAL: Duration = Duration::from_millis(500);

/// What a task is given.
pub(crate) struct TaskContext {
    pub(crate) world: World,
    pub(crate) log: Arc<dyn Log>,
    /// Where those stand that read the log.
    pub(crate) cursors: Arc<Marks>,
    /// Where it shows how it fares.
    pub(crate) board: Arc<Board>,
    /// Whether it is to stop.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// What a task does after a failure.
pub(crate) enum Next {
    /// It tries again.
    Again,
    /// It was told to stop.
    Stop,
    /// It has failed for good, which shows on its board.
    Fail,
}

/// Shows a failure, and waits before the task tries again, if that may help.
pub(crate) async fn after_failure(
    error: &ConnectorError,
    wait: impl FnOnce() -> Duration,
    board: &Board,
    stopped: &mut watch::Receiver<bool>,
) -> Next {
    if !error.is_retryable() {
        board.failed(error, State::Failed);
        return Next::Fail;
    }
    board.failed(error, State::Retrying);
    tokio::select! {
        () = tokio::time::sleep(wait()) => Next::Again,
        // An error says that the handle is gone, which means the same.
        _ = stopped.wait_for(|stop| *stop) => Next::Stop,
    }
}
