//! What procedures outside answer: tables whose rows they are, and functions that call them.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use headwater_plan::{FunctionDef, Procedure, StreamDef};
use parking_lot::Mutex;

use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::{ConnectorHost, LookupTable};

impl Inner {
    /// Checks a table whose rows a procedure answers, without asking anybody.
    pub(super) fn check_procedure(&self, def: &StreamDef) -> Result<()> {
        let failed = |reason: String| RunError::Connector { table: def.name.clone(), reason };
        self.connectors.look_up(def, Arc::clone(&def.schema), Vec::new()).map(drop).map_err(failed)
    }

    /// Whoever answers for a function; the error says why nobody does.
    pub(crate) fn procedure(
        &self,
        function: &FunctionDef,
    ) -> std::result::Result<Arc<dyn Procedure>, String> {
        let table =
            function.answers().ok_or_else(|| format!("the body of {} is no procedure", function.name))?;
        let arguments = function.parameters.iter().map(|one| one.name.clone()).collect();
        let connectors = Arc::clone(&self.connectors);
        Ok(Arc::new(Answering { connectors, table, arguments, idle: Mutex::default() }))
    }
}

/// Answers for a function.
struct Answering {
    connectors: Arc<dyn ConnectorHost>,
    table: StreamDef,
    arguments: Vec<String>,
    /// Those that have answered, and can be asked again: the parts of a query ask side by side.
    idle: Mutex<Vec<Box<dyn LookupTable>>>,
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("function", &self.table.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Procedure for Answering {
    async fn call(&self, arguments: RecordBatch) -> std::result::Result<RecordBatch, String> {
        let idle = self.idle.lock().pop();
        let mut table = match idle {
            Some(table) => table,
            None => {
                let columns = Arc::clone(&self.table.schema);
                self.connectors.look_up(&self.table, columns, self.arguments.clone())?
            }
        };
        let ask = move || {
            let answered = table.fetch(&arguments);
            (table, answered)
        };
        let (table, answered) = tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())?;
        self.idle.lock().push(table);
        answered.map_err(|failure| failure.reason)
    }
}
