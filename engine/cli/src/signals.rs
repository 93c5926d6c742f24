//! SIGINT and SIGTERM.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are held for whoever waits for them; without it, they end the process.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Holds signals from this call on.
    pub fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Answers when the process is told to stop. After that a second signal ends it at once.
    pub async fn requested(mut self) {
        self.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(i32::from(crate::exit::INTERRUPTED));
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Holds signals, and answers when the process is told to stop.
pub(crate) async fn stop_requested() -> Result<()> {
    Stop::listen()?.requested().await;
    Ok(())
}
