//! Waits for new rows without a thread.

use std::sync::Arc;

use headwater_core::StreamId;
use headwater_log::{CommitGuard, Log};
use tokio::sync::Notify;

/// Wakes its owner after each commit to some streams of a log.
pub(super) struct Commits {
    notify: Arc<Notify>,
    _guard: CommitGuard,
}

impl Commits {
    /// Subscribes; commits from now on are noticed, also between two waits.
    pub fn of(log: &dyn Log, streams: &[StreamId]) -> Self {
        let notify = Arc::new(Notify::new());
        let wake = Arc::clone(&notify);
        Self { notify, _guard: log.on_commit(streams, Arc::new(move || wake.notify_one())) }
    }

    /// Waits for a commit since the last wait.
    pub async fn next(&self) {
        self.notify.notified().await;
    }
}
