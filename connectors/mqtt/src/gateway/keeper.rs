//! Writes down what is to outlive the process.

use std::sync::Arc;

use headwater_core::World;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::store::Store;

/// Writes changes down as they are noted, until it is told to stop.
pub(super) struct Keeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Takes in what a directory holds of an earlier broker, and goes on from there.
    pub async fn start(world: World, dir: std::path::PathBuf, broker: &Arc<Broker>) -> Result<Self, String> {
        let open = move || Store::open(&world, &dir).map_err(|error| error.to_string());
        let opened = tokio::task::spawn_blocking(open).await.map_err(|error| error.to_string())?;
        let (store, entries) = opened?;
        broker.restore(&entries)?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self { stop, task: tokio::spawn(keep(Arc::clone(broker), store, stopped)) })
    }

    /// Writes the last changes down.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

async fn keep(broker: Arc<Broker>, mut store: Store, mut stopped: watch::Receiver<bool>) {
    loop {
        let is_last = tokio::select! {
            () = broker.changed() => false,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        let (changes, upto) = broker.changes();
        if !changes.is_empty() {
            let append = move || {
                let appended = store.append(&changes);
                (store, appended)
            };
            match tokio::task::spawn_blocking(append).await {
                Ok((kept, Ok(()))) => store = kept,
                Ok((_, Err(error))) => {
                    tracing::error!("MQTT ends: sessions cannot be written down: {error}");
                    return broker.broken();
                }
                Err(_) => return broker.broken(),
            }
            broker.written(upto);
        }
        if is_last {
            return;
        }
    }
}
