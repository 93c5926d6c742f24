//! Work that waits for the disk or computes for long, on threads where that is allowed.

use crate::error::{Result, RunError};

/// Does work on such a thread.
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Invalid(error.to_string()))
}
