//! Lets the engine run the connectors of `headwater-connectors`, of which it knows nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use headwater_connectors::registry::{connector, make_lookup, make_sink, make_source};
use headwater_connectors::{
    ATTEMPTS, ActuatorDef, Allowed, Aside, ConnectorDef, ConnectorError, ConnectorSupervisor, Context,
    DELIVERIES, DeliveryDef, Handle, Kept, Lookup, Parking, State, Status, Target, Wanted, attempts_schema,
    deliveries_schema,
};
use headwater_core::{EventTime, StreamId, StreamName, World};
use headwater_ingest::{FormatOptions, Ingest, Options};
use headwater_log::Log;
use headwater_operators::LookupCache;
use headwater_plan::{Action, Actuator, MapReduceDef, SCALING_ACTIVITIES, StreamDef};
use headwater_run::{
    ConnectorHost, ConnectorStatus, ConnectorTable, GroupActuator, LookupFailure, LookupTable, Result, Role,
    RunError, RunningConnector, RunningPrograms, TriggerDelivery,
};
use parking_lot::Mutex;

use crate::programs;

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
    /// What triggers, actuators and sinks may reach.
    allowed: Allowed,
    /// Made with the first connector: it needs the way into the log, which the engine makes.
    supervisor: OnceLock<ConnectorSupervisor>,
}

impl Connectors {
    pub fn new(world: World, allowed: Allowed) -> Self {
        Self { world, allowed, supervisor: OnceLock::new() }
    }

    fn supervisor(&self, ingest: &Arc<Ingest>) -> std::result::Result<&ConnectorSupervisor, ConnectorError> {
        if let Some(supervisor) = self.supervisor.get() {
            return Ok(supervisor);
        }
        let supervisor = ConnectorSupervisor::new(Arc::clone(ingest), tokio::runtime::Handle::current())?;
        let supervisor = supervisor.with_allowed(self.allowed.clone());
        Ok(self.supervisor.get_or_init(|| supervisor))
    }

    fn context_of(&self, table: &StreamDef, def: &ConnectorDef) -> Context {
        Context {
            world: self.world.clone(),
            name: def.name.clone(),
            stream: def.stream.clone(),
            stream_id: StreamId(0),
            created: EventTime(0),
            key: def.key.clone(),
            schema: Arc::clone(&table.schema),
            event_time: table.stored_event_time().map(str::to_owned),
            metadata: table.metadata.clone(),
            format: None,
            format_options: FormatOptions::default(),
            parking: Parking::default(),
            allowed: self.allowed.clone(),
        }
    }

    /// Checks a connector's name and options by making it; whether its input ends by itself.
    fn check(&self, table: &ConnectorTable) -> std::result::Result<bool, String> {
        let def = def_of(&table.def)?;
        let mut context = self.context_of(&table.def, &def);
        if table.role == Role::Sink && !table.def.read_only.is_empty() {
            leave_out(&mut context, &table.def.read_only);
        }
        let options = Options::new(format!("connector {}", def.connector), def.options);
        let bounded = match table.role {
            Role::Source => make_source(&def.connector, context, options).map(|source| source.is_bounded()),
            Role::Sink => make_sink(&def.connector, context, options).map(|_| false),
        };
        bounded.map_err(|error| error.to_string())
    }
}

impl ConnectorHost for Connectors {
    fn streams(&self) -> Vec<(&'static str, SchemaRef)> {
        vec![(DELIVERIES, deliveries_schema()), (ATTEMPTS, attempts_schema())]
    }

    fn start_programs(
        &self,
        def: &Arc<MapReduceDef>,
        work: std::path::PathBuf,
        again: bool,
        failed: Box<dyn FnOnce(String) + Send>,
    ) -> std::result::Result<Box<dyn RunningPrograms>, String> {
        programs::start(&self.world, &self.allowed, def, work, again, failed)
    }

    fn validate(&self, table: &ConnectorTable) -> std::result::Result<(), String> {
        self.check(table).map(|_| ())
    }

    fn only_role(&self, table: &StreamDef) -> Option<Role> {
        if let Some(said) = table.options.get("type") {
            return Some(if said.eq_ignore_ascii_case("source") { Role::Source } else { Role::Sink });
        }
        let connector = connector(table.connector.as_deref().unwrap_or_default()).ok()?;
        match (connector.source, connector.sink) {
            (Some(_), None) => Some(Role::Source),
            (None, Some(_)) => Some(Role::Sink),
            _ => None,
        }
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
        let handle = match table.role {
            Role::Source => supervisor.start_source(def, move |_| ended()),
            Role::Sink => supervisor.start_sink_without(def, &table.def.read_only),
        };
        let handle = Mutex::new(Some(handle.map_err(|error| failed(error.to_string()))?));
        let stream = ingest.log().stream_named(&table.def.name)?.id;
        let (role, log, follows) = (table.role, Arc::clone(ingest.log()), table.role == Role::Sink);
        Ok(Box::new(Running { handle, role, bounded, log, stream, follows }))
    }

    fn look_up(
        &self,
        table: &StreamDef,
        columns: SchemaRef,
        key: Vec<String>,
    ) -> std::result::Result<Box<dyn LookupTable>, String> {
        let def = def_of(table)?;
        let context = self.context_of(table, &def);
        let options = Options::new(format!("connector {}", def.connector), def.options);
        let lookup = make_lookup(&def.connector, context, Wanted { columns, key }, options);
        let lookup = lookup.map_err(|error| error.to_string())?;
        Ok(Box::new(Asked { lookup, runtime: tokio::runtime::Handle::current() }))
    }

    fn forget(&self, table: &str, ingest: &Arc<Ingest>) -> Result<()> {
        let failed = |error: ConnectorError| RunError::Connector {
            table: table.to_owned(),
            reason: error.to_string(),
        };
        headwater_mqtt::connector::forget(table);
        headwater_wamp::connector::forget(table);
        let supervisor = self.supervisor(ingest).map_err(failed)?;
        supervisor.forget_source(table).and_then(|()| supervisor.forget_sink(table)).map_err(failed)
    }

    fn validate_delivery(&self, delivery: &TriggerDelivery) -> std::result::Result<(), String> {
        let def = delivery_of(delivery)?;
        ConnectorSupervisor::validate_delivery(&def, &delivery.schema, &self.allowed, &self.world)
            .map_err(|error| error.to_string())
    }

    fn begin_delivery(&self, trigger: &str, ingest: &Arc<Ingest>) -> Result<()> {
        let failed = |error: ConnectorError| RunError::Delivery {
            trigger: trigger.to_owned(),
            reason: error.to_string(),
        };
        let supervisor = self.supervisor(ingest).map_err(failed)?;
        supervisor.begin_delivery(trigger).map_err(failed)
    }

    fn start_delivery(
        &self,
        delivery: TriggerDelivery,
        ingest: Arc<Ingest>,
    ) -> Result<Box<dyn RunningConnector>> {
        let failed = |reason: String| RunError::Delivery { trigger: delivery.def.name.clone(), reason };
        let def = delivery_of(&delivery).map_err(failed)?;
        let supervisor = self.supervisor(&ingest).map_err(|error| failed(error.to_string()))?;
        let handle = supervisor.start_delivery(&def, &self.allowed);
        let handle = Mutex::new(Some(handle.map_err(|error| failed(error.to_string()))?));
        let (log, stream) = (Arc::clone(ingest.log()), ingest.log().stream_named(&delivery.def.name)?.id);
        Ok(Box::new(Running { handle, role: Role::Sink, bounded: false, log, stream, follows: true }))
    }

    fn validate_actuator(&self, actuator: &GroupActuator) -> std::result::Result<(), String> {
        let checked = ConnectorSupervisor::validate_actuator(
            &actuator_of(actuator)?,
            &self.world,
            &self.allowed,
            Arc::clone(&actuator.set_workers),
        );
        checked.map_err(|error| error.to_string())
    }

    fn start_actuator(
        &self,
        actuator: GroupActuator,
        ingest: Arc<Ingest>,
    ) -> Result<Box<dyn RunningConnector>> {
        let failed = |reason: String| RunError::Actuator { group: actuator.def.name.clone(), reason };
        let def = actuator_of(&actuator).map_err(failed)?;
        let supervisor = self.supervisor(&ingest).map_err(|error| failed(error.to_string()))?;
        let handle = supervisor.start_actuator(def, &self.allowed, Arc::clone(&actuator.set_workers));
        let handle = Mutex::new(Some(handle.map_err(|error| failed(error.to_string()))?));
        let (log, stream) = (Arc::clone(ingest.log()), ingest.log().stream_named(SCALING_ACTIVITIES)?.id);
        Ok(Box::new(Running { handle, role: Role::Sink, bounded: false, log, stream, follows: false }))
    }
}

/// What is only read is no column of what is written, as in Flink.
fn leave_out(context: &mut Context, columns: &BTreeSet<String>) {
    let fields = context.schema.fields().iter().filter(|field| !columns.contains(field.name()));
    context.schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
    context.metadata.retain(|column, _| !columns.contains(column));
    context.event_time = context.event_time.take().filter(|column| !columns.contains(column));
}

fn actuator_of(actuator: &GroupActuator) -> std::result::Result<ActuatorDef, String> {
    let group = &actuator.def;
    let Actuator::Host { name, options } = &group.actuator else {
        return Err(format!("nothing is carried out by {}", group.actuator.as_str()));
    };
    let size = |size: i64| u64::try_from(size).unwrap_or(0);
    Ok(ActuatorDef {
        group: group.name.clone(),
        identity: actuator.identity.clone(),
        actuator: name.clone(),
        size: size(group.desired),
        bounds: (size(group.min), size(group.max)),
        options: options.clone(),
    })
}

/// A table outside, for jobs, which have threads of their own.
struct Asked {
    lookup: Box<dyn Lookup>,
    runtime: tokio::runtime::Handle,
}

impl LookupTable for Asked {
    fn cache(&self) -> LookupCache {
        let Kept { keys_max, ttl, keeps_missing } = self.lookup.kept();
        LookupCache { keys_max, ttl, keeps_missing }
    }

    fn put_aside_in(&mut self, ingest: &Arc<Ingest>) {
        self.lookup.put_aside_in(Aside::new(Arc::clone(ingest)));
    }

    fn fetch(&mut self, keys: &RecordBatch) -> std::result::Result<RecordBatch, LookupFailure> {
        self.runtime
            .block_on(self.lookup.fetch(keys))
            .map_err(|error| LookupFailure { is_retryable: error.is_retryable(), reason: error.to_string() })
    }
}

fn delivery_of(delivery: &TriggerDelivery) -> std::result::Result<DeliveryDef, String> {
    let target = match &delivery.def.action {
        Action::Webhook { url } => Target::Webhook { url: url.clone() },
        Action::Publish { topic } => Target::Publish { topic: topic.clone() },
        Action::Command { name, arguments } => {
            Target::Command { name: name.clone(), arguments: arguments.clone() }
        }
        other => return Err(format!("{} delivers nothing", other.describe())),
    };
    Ok(DeliveryDef {
        trigger: delivery.def.name.clone(),
        keys: delivery.keys.clone(),
        target,
        options: delivery.def.options.clone(),
    })
}

fn def_of(table: &StreamDef) -> std::result::Result<ConnectorDef, String> {
    let of_the_connector = |(key, _): &(&String, &String)| !OF_THE_STREAM.contains(&key.as_str());
    let options = table.options.iter().filter(of_the_connector);
    let mut options: BTreeMap<_, _> = options.map(|(key, value)| (key.clone(), value.clone())).collect();
    if table.connector.as_deref() == Some("filesystem") && !table.partition_by.is_empty() {
        options.entry("partition-by".to_owned()).or_insert_with(|| table.partition_by.join(","));
    }
    Ok(ConnectorDef {
        name: table.name.clone(),
        connector: table.connector.clone().unwrap_or_default(),
        stream: StreamName::new(&table.name).map_err(|error| error.to_string())?,
        key: table.primary_key.clone(),
        options,
        metadata: table.metadata.clone(),
    })
}

/// A connector at work; without a handle once it was stopped.
struct Running {
    handle: Mutex<Option<Handle>>,
    role: Role,
    bounded: bool,
    log: Arc<dyn Log>,
    stream: StreamId,
    /// Whether it takes all rows of its stream, so that those which it has not taken wait for it.
    follows: bool,
}

impl Running {
    /// How many rows its stream holds and has held.
    fn rows(&self) -> u64 {
        // A stream that was dropped meanwhile holds nothing.
        let bounds = self.log.bounds(self.stream).unwrap_or_default();
        bounds.iter().map(|shard| shard.next.0).sum()
    }

    /// How many rows wait: for what follows a stream, those that are there now, whatever it is doing.
    fn lag(&self, status: &Status) -> Option<u64> {
        status.lag.map(|lag| if self.follows { self.rows().saturating_sub(status.reached) } else { lag })
    }

    /// Whether nothing more will come, or a sink has taken so many rows of its stream.
    fn is_settled(&self, rows: u64) -> bool {
        let Some(status) = self.handle.lock().as_ref().map(Handle::status) else { return true };
        let has_taken = self.role == Role::Sink && status.state == State::Running && status.reached >= rows;
        status.state.is_final() || has_taken
    }
}

#[async_trait]
impl RunningConnector for Running {
    async fn settled(&self) {
        let rows = self.rows();
        while !self.is_settled(rows) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn status(&self) -> ConnectorStatus {
        let status = self.handle.lock().as_ref().map(Handle::status);
        let status = status.unwrap_or_else(|| Status { state: State::Stopped, ..Status::default() });
        ConnectorStatus {
            role: self.role,
            state: status.state.name(),
            is_failed: status.state == State::Failed,
            lag: self.lag(&status),
            lag_ms: status.behind.millis(),
            rows: status.rows,
            rows_per_second: status.rows_per_second,
            dead_letters: status.dead_letters,
            failures: status.failures,
            last_error: status.last_error,
            position: serde_json::json!(status.positions).to_string(),
        }
    }

    async fn stop(&self) {
        let handle = self.handle.lock().take();
        if let Some(handle) = handle {
            handle.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use headwater_run::{Answer, Engine};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::open::Tuning;

    type Bodies = Arc<Mutex<Vec<serde_json::Value>>>;

    /// Takes requests of one connection each, answers 200, and keeps their bodies.
    async fn receiver() -> (String, Bodies) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let bodies = Bodies::default();
        let got = Arc::clone(&bodies);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = String::new();
                let mut part = [0; 4096];
                let body = loop {
                    let read = socket.read(&mut part).await.unwrap();
                    request.push_str(std::str::from_utf8(&part[..read]).unwrap());
                    let body = request.split_once("\r\n\r\n").map(|(_, body)| body);
                    if let Some(Ok(document)) = body.map(serde_json::from_str) {
                        break document;
                    }
                };
                got.lock().push(body);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, bodies)
    }

    async fn run(engine: &Engine, sql: &str) -> String {
        let mut text = String::new();
        for answer in engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}")) {
            match answer {
                Answer::Rows(rows) => {
                    let batches: Vec<_> = rows.try_collect().await.unwrap();
                    text += &arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
                }
                Answer::Done { tag, .. } => text += &tag,
            }
        }
        text
    }

    async fn wait_for(bodies: &Bodies, count: usize) {
        for _ in 0..12_000 {
            if bodies.lock().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} deliveries do not come: {:?}", bodies.lock());
    }

    async fn wait_until(engine: &Engine, query: &str, shown: &str) {
        for _ in 0..12_000 {
            if run(engine, query).await.contains(shown) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{query}: not {shown:?} but {}", run(engine, query).await);
    }

    async fn wait_until_written_down(engine: &Engine, count: usize) {
        let query = "SELECT COUNT(*) FROM system.trigger_deliveries WHERE outcome = 'delivered'";
        wait_until(engine, query, &format!("| {count} ")).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    async fn what_decides_over_a_table_starts_its_source() {
        let (url, bodies) = receiver().await;
        let dir = tempfile::tempdir().unwrap();
        let world = World::real();
        let connectors = Arc::new(Connectors::new(world.clone(), Allowed::default()));
        let mut options = Tuning::default().options(&world, std::path::PathBuf::new());
        options.data = None;
        let open = move || Engine::open(world, options, connectors);
        let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        for name in ["alarmed", "triggered"] {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            let lines = "device,ts,temp\na,2026-01-01T00:00:00,31.0\na,2026-01-01T00:02:00,1.0\na,2026-01-01T00:04:00,1.0\n";
            std::fs::write(path.join("1.csv"), lines).unwrap();
            let columns = "device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts";
            let with = format!("connector = 'filesystem', path = '{}', format = 'csv'", path.display());
            run(&engine, &format!("CREATE TABLE {name} ({columns}) WITH ({with})")).await;
        }
        run(&engine, &format!("CREATE TRIGGER hot ON triggered WHEN gt(temp, 30) EXECUTE WEBHOOK '{url}'"))
            .await;
        wait_for(&bodies, 1).await;
        let alarm = "CREATE ALARM high ON alarmed STATISTIC maximum(temp) PERIOD '1 minute' \
                     WITH (comparison = '>', threshold = 30, evaluation_periods = 1)";
        let told = "CREATE TRIGGER raised ON system.alarm_history PARTITION BY (alarm, dimensions) \
                    WHEN changed AND after = 'ALARM'";
        run(&engine, &format!("{told} EXECUTE WEBHOOK '{url}'")).await;
        run(&engine, alarm).await;
        // The trigger over what alarms say is told of it.
        wait_for(&bodies, 2).await;
        let firing = bodies.lock()[1]["firing"].clone();
        assert_eq!((firing["alarm"].as_str(), firing["after"].as_str()), (Some("high"), Some("ALARM")));
        engine.close().await.unwrap();
    }

    /// Somebody who lets the first row wait for its answer.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_waits_for_a_sink_or_a_trigger_is_told_whatever_they_are_doing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let world = World::real();
        let connectors = Arc::new(Connectors::new(world.clone(), Allowed::default()));
        let mut options = Tuning::default().options(&world, std::path::PathBuf::new());
        options.data = None;
        let open = move || Engine::open(world, options, connectors);
        let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        let sql = format!(
            "CREATE TABLE silent (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}', timeout = '1 h');
             CREATE STREAM numbers (n BIGINT);
             CREATE TRIGGER told ON numbers WHEN n > 0 EXECUTE WEBHOOK '{url}' WITH (timeout = '1 h')"
        );
        run(&engine, &sql).await;
        let undelivered = "SELECT undelivered FROM system.triggers";
        wait_until(&engine, undelivered, "| 0 ").await;
        let mut unanswered = Vec::new();
        for rows in 1..4 {
            run(&engine, "INSERT INTO silent VALUES (1); INSERT INTO numbers VALUES (1)").await;
            while unanswered.len() < 2 {
                // Both send what they have, and hear nothing.
                unanswered.push(listener.accept().await.unwrap());
            }
            let shown = format!("| {rows} ");
            let waiting = run(&engine, "SELECT lag FROM system.connectors").await;
            assert!(waiting.contains(&shown), "{rows}: {waiting}");
            wait_until(&engine, "SELECT COUNT(*) FROM told", &shown).await;
            let waiting = run(&engine, undelivered).await;
            assert!(waiting.contains(&shown), "{rows}: {waiting}");
        }
        unanswered.clear();
        engine.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_trigger_tells_its_receiver_and_a_replay_tells_nobody() {
        let (url, bodies) = receiver().await;
        let world = World::real();
        let allowed = Allowed { webhooks: Some(vec![url.clone()]), ..Allowed::default() };
        let connectors = Arc::new(Connectors::new(world.clone(), allowed));
        let mut options = Tuning::default().options(&world, std::path::PathBuf::new());
        options.data = None;
        let open = move || Engine::open(world, options, connectors);
        let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
        run(&engine, "CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts) PARTITIONED BY (device)").await;
        let other = "CREATE TRIGGER t ON readings WHEN gt(temp, 30) EXECUTE WEBHOOK 'http://example.org/'";
        let error = engine.execute(other).await.err().unwrap().to_string();
        assert!(error.contains("does not allow webhooks to http://example.org"), "{error}");
        run(
            &engine,
            &format!("CREATE TRIGGER hot ON readings WHEN gt(temp, 30) EXECUTE WEBHOOK '{url}hook'"),
        )
        .await;
        run(&engine, "INSERT INTO readings VALUES ('a', '2026-01-01T00:00:00', 31.0)").await;
        wait_for(&bodies, 1).await;
        assert_eq!(bodies.lock()[0]["firing"]["temp"], 31.0);
        run(&engine, "TEST TRIGGER hot").await;
        wait_for(&bodies, 2).await;
        assert_eq!(bodies.lock()[1]["firing"]["cause"], "test");
        // What was cut off before it was written down would come again.
        wait_until_written_down(&engine, 2).await;
        // A pause keeps what fires; a replay fires without telling anybody.
        run(&engine, "PAUSE TRIGGER hot").await;
        run(&engine, "INSERT INTO readings VALUES ('b', '2026-01-01T00:00:01', 32.0)").await;
        let replayed = run(&engine, "REPLAY JOB hot FROM '2026-01-01' TO '2026-01-02'").await;
        assert!(replayed.contains("31.0") && replayed.contains("32.0"), "{replayed}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(bodies.lock().len(), 2);
        run(&engine, "RESUME TRIGGER hot").await;
        wait_for(&bodies, 3).await;
        assert_eq!(bodies.lock()[2]["firing"]["device"], "b");
        let shown = run(&engine, "SHOW TRIGGERS").await;
        assert!(shown.contains("gt(temp, 30)") && shown.contains("2026-01-01T00:00:01"), "{shown}");
        wait_until_written_down(&engine, 3).await;
        run(&engine, "DROP TRIGGER hot").await;
        assert!(!run(&engine, "SELECT name FROM system.triggers").await.contains("hot"));
        engine.close().await.unwrap();
    }
}
