//! Runs sources and sinks: restarts them after outages, keeps their places, shows how they fare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::StreamName;
use headwater_ingest::Ingest;

use crate::error::Result;

/// What a `CREATE TABLE … WITH (connector = …)` says.
#[derive(Clone)]
pub struct ConnectorDef {
    /// The name under which it runs, unique among sources and among sinks: the name of the table.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// The stream that is filled or delivered. It must exist when the connector starts.
    pub stream: StreamName,
    /// The options of the connector and of its format; `connector` itself left out.
    pub options: BTreeMap<String, String>,
}

/// How a connector fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Not yet connected.
    #[default]
    Starting,
    /// At work.
    Running,
    /// Waiting after a failure, to try again.
    Retrying,
    /// A bounded source at its end.
    Ended,
    /// Told to stop.
    Stopped,
    /// Refused for a reason that trying again does not cure.
    Failed,
}

/// How a connector fares, as `system.connectors` shows it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The name under which it runs.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// `source` or `sink`.
    pub role: &'static str,
    /// The stream.
    pub stream: String,
    /// What it does.
    pub state: State,
    /// Rows that wait: outside for a source if it can tell, in the log for a sink.
    pub lag: Option<u64>,
    /// Rows moved since the start.
    pub rows: u64,
    /// Records that went to the dead letters since the start.
    pub dead_letters: u64,
    /// Rows a second, over the last seconds.
    pub rows_per_second: f64,
    /// Failures since the start.
    pub failures: u64,
    /// The last failure, without secrets.
    pub last_error: Option<String>,
}

/// A running connector. Dropping the handle stops it.
pub struct Handle {}

impl Handle {
    /// How it fares.
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// Stops it: a source after the append under way, a sink after a last flush.
    pub async fn stop(self) -> Status {
        unimplemented!()
    }

    /// Waits until a bounded source has ended or failed.
    pub async fn ended(&self) -> Status {
        unimplemented!()
    }
}

/// Runs connectors on a tokio runtime.
#[derive(Clone)]
pub struct ConnectorSupervisor {
    ingest: Arc<Ingest>,
    runtime: tokio::runtime::Handle,
}

impl ConnectorSupervisor {
    /// Runs connectors on `runtime`, through `ingest`.
    pub fn new(ingest: Arc<Ingest>, runtime: tokio::runtime::Handle) -> Self {
        Self { ingest, runtime }
    }

    /// Checks a source's name and options for a stream of these columns, without touching anything outside. Answers whether it
    /// is bounded.
    pub fn validate_source(&self, def: &ConnectorDef, schema: &SchemaRef) -> Result<()> {
        let _ = (def, schema, &self.ingest, &self.runtime);
        unimplemented!()
    }

    /// Checks a sink's name and options for a stream of these columns, without touching anything outside.
    pub fn validate_sink(&self, def: &ConnectorDef, schema: &SchemaRef) -> Result<()> {
        let _ = (def, schema);
        unimplemented!()
    }

    /// Starts to fill a stream. `on_end` is called when a bounded source has ended and its last rows are durable.
    pub fn start_source(
        &self,
        def: ConnectorDef,
        on_end: impl FnOnce(&StreamName) + Send + 'static,
    ) -> Result<Handle> {
        let _ = (def, on_end);
        unimplemented!()
    }

    /// Starts to deliver a stream.
    pub fn start_sink(&self, def: ConnectorDef) -> Result<Handle> {
        let _ = def;
        unimplemented!()
    }

    /// How all running connectors fare.
    pub fn statuses(&self) -> Vec<Status> {
        unimplemented!()
    }
}

/// How long to wait before the `attempt`th retry.
#[expect(dead_code)]
fn backoff(_attempt: u32) -> Duration {
    unimplemented!()
}
