//! Work that waits for the disk, on threads where waiting is allowed.

use headwater_log::{LogError, ReadBatch, Reader};
use tokio::task::JoinError;

use crate::error::{ConnectorError, Result};

/// Does work on such a thread.
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(gone)
}

/// Reads the next batch. If the wait is cut short, the reader is gone, and `None` is left in its place.
pub(crate) async fn next_batch(reader: &mut Option<Box<dyn Reader>>) -> Result<Option<ReadBatch>> {
    let Some(mut moved) = reader.take() else { return Ok(None) };
    let read = move || {
        let batch = moved.next();
        (moved, batch)
    };
    let (back, batch) = on_thread(read).await?;
    *reader = Some(back);
    Ok(batch?)
}

/// A thread of the runtime that is gone: the runtime is shutting down.
pub(crate) fn gone(_: JoinError) -> ConnectorError {
    LogError::Closed.into()
}
