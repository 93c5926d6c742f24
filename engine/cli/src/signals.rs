//! SIGINT and SIGTERM.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// Answers when the process is told to stop. After that a second signal ends it at once.
pub(crate) async fn stop_requested() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; a second signal stops at once");
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(i32::from(crate::exit::INTERRUPTED));
    });
    Ok(())
}
