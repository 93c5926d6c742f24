//! Lets the engine run the connectors of `headwater-connectors`, of which it knows nothing itself.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::registry::{connector, make_sink, make_source};
use headwater_connectors::{ConnectorDef, ConnectorError, ConnectorSupervisor, Context, Handle, State};
use headwater_core::{StreamName, World};
use headwater_ingest::{FormatOptions, Ingest, Options};
use headwater_plan::StreamDef;
use headwater_run::{ConnectorHost, ConnectorTable, Result, RunError, RunningConnector};
use parking_lot::Mutex;

/// How often a connector is looked at while somebody waits for it to settle.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Options of a table that are its stream's and not its connector's.
const OF_THE_STREAM: [&str; 8] = [
    "connector",
    "shards",
    "retention",
    "retention.age",
    "retention.bytes",
    "durability",
    "scan.watermark.idle-timeout",
    "clock.guard",
];

/// The connectors of this binary.
pub(crate) struct Connectors {
    world: World,
    /// Made with the first connector: it needs the way into the log, which the engine makes.
    supervisor: OnceLock<ConnectorSupervisor>,
}

impl Connectors {
    pub fn new(world: World) -> Self {
        Self { world, supervisor: OnceLock::new() }
    }

    fn supervisor(&self, ingest: &Arc<Ingest>) -> std::result::Result<&ConnectorSupervisor, ConnectorError> {
        if let Some(supervisor) = self.supervisor.get() {
            return Ok(supervisor);
        }
        let supervisor = ConnectorSupervisor::new(Arc::clone(ingest), tokio::runtime::Handle::current())?;
        Ok(self.supervisor.get_or_init(|| supervisor))
    }

    /// Checks a connector's name and options by making it; whether its input ends by itself.
    fn check(&self, table: &ConnectorTable) -> std::result::Result<bool, String> {
        let def = def_of(&table.def)?;
        let context = Context {
            world: self.world.clone(),
            name: def.name.clone(),
            stream: def.stream.clone(),
            schema: Arc::clone(&table.def.schema),
            event_time: table.def.watermark.as_ref().map(|watermark| watermark.column.clone()),
            format: None,
            format_options: FormatOptions::default(),
        };
        let options = Options::new(format!("connector {}", def.connector), def.options);
        let bounded = match table.source {
            true => make_source(&def.connector, context, options).map(|source| source.is_bounded()),
            false => make_sink(&def.connector, context, options).map(|_| false),
        };
        bounded.map_err(|error| error.to_string())
    }
}

impl ConnectorHost for Connectors {
    fn validate(&self, table: &ConnectorTable) -> std::result::Result<(), String> {
        self.check(table).map(|_| ())
    }

    fn is_source(&self, table: &StreamDef) -> bool {
        if let Some(said) = table.options.get("type") {
            return said.eq_ignore_ascii_case("source");
        }
        let name = table.connector.as_deref().unwrap_or_default();
        // A table without columns has those of what is written to it.
        !table.schema.fields().is_empty() && connector(name).is_ok_and(|connector| connector.source.is_some())
    }

    fn start(
        &self,
        table: ConnectorTable,
        ingest: Arc<Ingest>,
        ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>> {
        let failed = |reason: String| RunError::Connector { table: table.def.name.clone(), reason };
        let bounded = self.check(&table).map_err(failed)?;
        let def = def_of(&table.def).map_err(failed)?;
        let supervisor = self.supervisor(&ingest).map_err(|error| failed(error.to_string()))?;
        let handle = match table.source {
            true => supervisor.start_source(def, move |_| ended()),
            false => supervisor.start_sink(def),
        };
        let handle = handle.map_err(|error| failed(error.to_string()))?;
        Ok(Box::new(Running { handle: Mutex::new(Some(handle)), source: table.source, bounded }))
    }
}

fn def_of(table: &StreamDef) -> std::result::Result<ConnectorDef, String> {
    let of_the_connector = |(key, _): &(&String, &String)| !OF_THE_STREAM.contains(&key.as_str());
    let options = table.options.iter().filter(of_the_connector);
    let options: BTreeMap<_, _> = options.map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok(ConnectorDef {
        name: table.name.clone(),
        connector: table.connector.clone().unwrap_or_default(),
        stream: StreamName::new(&table.name).map_err(|error| error.to_string())?,
        options,
    })
}

/// A connector at work; without a handle once it was stopped.
struct Running {
    handle: Mutex<Option<Handle>>,
    source: bool,
    bounded: bool,
}

impl Running {
    fn is_settled(&self) -> bool {
        let Some(status) = self.handle.lock().as_ref().map(Handle::status) else { return true };
        status.state.is_final() || (status.state == State::Running && !self.source && status.lag == Some(0))
    }
}

#[async_trait]
impl RunningConnector for Running {
    async fn settled(&self) {
        while !self.is_settled() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn state(&self) -> String {
        let status = self.handle.lock().as_ref().map(Handle::status);
        status.map_or(State::Stopped, |status| status.state).name().to_owned()
    }

    fn last_error(&self) -> Option<String> {
        self.handle.lock().as_ref().and_then(|handle| handle.status().last_error)
    }

    async fn stop(&self) {
        let handle = self.handle.lock().take();
        if let Some(handle) = handle {
            handle.stop().await;
        }
    }
}
