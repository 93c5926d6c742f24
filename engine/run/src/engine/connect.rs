//! Tables with connectors: started with the engine or their statement, stopped with it.

use std::sync::Arc;

use headwater_plan::StreamDef;

use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::ConnectorTable;

impl Inner {
    /// Checks the options of a table that is to be created.
    pub fn check_connector(&self, def: &Arc<StreamDef>) -> Result<()> {
        let table = ConnectorTable { def: Arc::clone(def), source: self.connectors.is_source(def) };
        self.connectors
            .validate(&table)
            .map_err(|reason| RunError::Connector { table: def.name.clone(), reason })
    }

    /// Starts what pulls into a table's stream, or delivers from it.
    pub fn start_connector(self: &Arc<Self>, def: &Arc<StreamDef>) -> Result<()> {
        let ended = self.state.lock().ends.contains_key(&def.name);
        let source = self.connectors.is_source(def);
        if source && ended {
            return Ok(());
        }
        let table = ConnectorTable { def: Arc::clone(def), source };
        let engine = Arc::downgrade(self);
        let name = def.name.clone();
        let runtime = self.runtime.clone();
        let on_end = Box::new(move || {
            // The connector calls this from within the runtime, where nothing may block.
            runtime.spawn_blocking(move || {
                if let Some(engine) = engine.upgrade()
                    && let Err(error) = engine.end_stream(&name)
                {
                    tracing::error!(table = name, code = %error.code(), %error, "a source's end could not be noted");
                }
            });
        });
        let running = self.connectors.start(table, Arc::clone(&self.ingest), on_end)?;
        self.state.lock().connectors.insert(def.name.clone(), Arc::from(running));
        Ok(())
    }

    /// Stops a table's connector.
    pub async fn stop_connector(&self, name: &str) {
        let running = self.state.lock().connectors.remove(name);
        if let Some(running) = running {
            running.stop().await;
        }
    }
}
