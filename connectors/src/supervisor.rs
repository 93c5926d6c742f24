//! Runs sources and sinks: opens them anew after outages, keeps their places, shows how they fare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use arrow::datatypes::SchemaRef;
use headwater_core::{StreamName, World};
use headwater_ingest::{CURSORS, Ingest, Marks, Options};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::actuate::{self, ActuatorContext, ActuatorDef, ActuatorTask, SetWorkers};
use crate::connector::{Context, kept_columns};
use crate::deliver::{self, Allowed, DeliveryDef, DeliveryTask, Settings, Target};
use crate::error::Result;
use crate::parking::Parking;
use crate::registry::{make_sink, make_source};
use crate::sink_task::SinkTask;
use crate::source_task::SourceTask;
use crate::status::{Board, Status};
use crate::task::TaskContext;
use crate::watermark::{TellWatermark, Watermarks};

/// What a `CREATE TABLE … WITH (connector = …)` says.
#[derive(Clone)]
pub struct ConnectorDef {
    /// The name under which it runs, unique among sources and among sinks: the name of the table.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// The stream that is filled or delivered. It must exist when the connector starts.
    pub stream: StreamName,
    /// The columns of the table's `PRIMARY KEY`.
    pub key: Vec<String>,
    /// The options of the connector and of its format; `connector` itself left out.
    pub options: BTreeMap<String, String>,
    /// Columns that come from a message's metadata or go there (`METADATA FROM`), and what it is called.
    pub metadata: BTreeMap<String, String>,
}

impl ConnectorDef {
    /// The options, for the connector and its format to take.
    pub fn options(&self) -> Options {
        Options::new(format!("connector {}", self.connector), self.options.iter())
    }

    /// What its connector is made for on a stream of these columns.
    pub fn context(
        &self,
        world: &World,
        allowed: &Allowed,
        schema: &SchemaRef,
        event_time: Option<&str>,
    ) -> Context {
        Context {
            name: self.name.clone(),
            key: self.key.clone(),
            event_time: event_time.map(str::to_owned),
            metadata: self.metadata.clone(),
            allowed: allowed.clone(),
            ..Context::of(world.clone(), self.stream.clone(), Arc::clone(schema))
        }
    }

    fn status(&self, role: &'static str) -> Status {
        Status {
            name: self.name.clone(),
            connector: self.connector.clone(),
            role,
            stream: self.stream.to_string(),
            ..Status::default()
        }
    }
}

/// A running connector. Dropping the handle tells it to stop and does not wait.
pub struct Handle {
    board: Arc<Board>,
    stop: watch::Sender<bool>,
}

impl Handle {
    /// How it fares.
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Stops it, and waits: a source for the append under way, a sink for a last flush.
    pub async fn stop(self) -> Status {
        let _ = self.stop.send(true);
        self.ended().await
    }

    /// Waits until it has ended, failed or stopped.
    pub async fn ended(&self) -> Status {
        let mut watch = self.board.watch();
        // An error says that the task is gone, for which there is a state too.
        let _ = watch.wait_for(|status| status.state.is_final()).await;
        self.board.status()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// Runs connectors on a tokio runtime. Cheap to clone.
#[derive(Clone)]
pub struct ConnectorSupervisor {
    ingest: Arc<Ingest>,
    cursors: Arc<Marks>,
    runtime: tokio::runtime::Handle,
    boards: Arc<Mutex<Vec<Weak<Board>>>>,
    /// What sources and sinks may reach.
    allowed: Allowed,
}

impl ConnectorSupervisor {
    /// Runs connectors on `runtime`, through `ingest`.
    pub fn new(ingest: Arc<Ingest>, runtime: tokio::runtime::Handle) -> Result<Self> {
        let cursors = Arc::new(Marks::open(Arc::clone(ingest.log()), CURSORS)?);
        Ok(Self { ingest, cursors, runtime, boards: Arc::default(), allowed: Allowed::default() })
    }

    /// The same with a list of what sources and sinks may reach.
    pub fn with_allowed(self, allowed: Allowed) -> Self {
        Self { allowed, ..self }
    }

    /// Checks a source's name and options for a stream of these columns, without touching anything outside. Answers
    /// whether its input ends by itself.
    pub fn validate_source(
        &self,
        def: &ConnectorDef,
        schema: &SchemaRef,
        event_time: Option<&str>,
    ) -> Result<bool> {
        let context = self.context(def, schema, event_time);
        Ok(make_source(&def.connector, context, def.options())?.is_bounded())
    }

    /// Checks a sink's name and options for a stream of these columns, without touching anything outside.
    pub fn validate_sink(&self, def: &ConnectorDef, schema: &SchemaRef) -> Result<()> {
        let context = self.context(def, schema, None);
        make_sink(&def.connector, context, def.options()).map(|_| ())
    }

    /// Starts to fill a stream. `on_end` is called when a bounded source has ended and its last rows are durable.
    pub fn start_source(
        &self,
        def: ConnectorDef,
        on_end: impl FnOnce(&StreamName) + Send + 'static,
    ) -> Result<Handle> {
        let info = self.ingest.log().stream_named(def.stream.as_str())?;
        let context = self.context(&def, &info.spec.schema, info.spec.event_time.as_deref());
        let context = Context { stream_id: info.id, ..context };
        make_source(&def.connector, context.clone(), def.options())?;
        let (handle, given) = self.begin(def.status("source"));
        let name = def.name.clone();
        let make = move || make_source(&def.connector, context.clone(), def.options());
        let task = SourceTask::new(given, Arc::clone(&self.ingest), name, &info, make);
        self.runtime.spawn(task.run(on_end));
        Ok(handle)
    }

    /// Starts to deliver a stream, from where the sink of this name stood, or else from the oldest row.
    pub fn start_sink(&self, def: ConnectorDef) -> Result<Handle> {
        self.start_sink_without(def, &BTreeSet::new())
    }

    /// The same, but for some columns, which the outside does not get to know.
    pub fn start_sink_without(&self, def: ConnectorDef, left_out: &BTreeSet<String>) -> Result<Handle> {
        self.start_sink_told(def, left_out, Arc::new(|| None))
    }

    /// The same with somebody who tells how far event time has come in the stream.
    pub fn start_sink_told(
        &self,
        def: ConnectorDef,
        left_out: &BTreeSet<String>,
        tell: TellWatermark,
    ) -> Result<Handle> {
        let info = self.ingest.log().stream_named(def.stream.as_str())?;
        let kept = (!left_out.is_empty()).then(|| kept_columns(&info.spec.schema, left_out));
        let context = self.context(&def, &info.spec.schema, info.spec.event_time.as_deref());
        let mut context = Context { stream_id: info.id, ..context.without(left_out) };
        make_sink(&def.connector, context.clone(), def.options())?;
        let (handle, given) = self.begin(def.status("sink"));
        context.created = info.created;
        context.watermarks = Watermarks::of(tell, Arc::clone(self.ingest.log()), info.id);
        context.parking = Parking::new(Arc::clone(&self.ingest), Arc::clone(&given.board), &def.name, &info);
        let (name, parking) = (def.name.clone(), context.parking.clone());
        let make = move || make_sink(&def.connector, context.clone(), def.options());
        let task = SinkTask::new(given, name, info, make, parking);
        self.runtime.spawn(task.of_columns(kept).run());
        Ok(handle)
    }

    /// Checks what is to be delivered for a trigger whose firings have these columns, without touching anything outside.
    pub fn validate_delivery(
        def: &DeliveryDef,
        firing: &SchemaRef,
        allowed: &Allowed,
        world: &World,
    ) -> Result<()> {
        Settings::read(def, firing, allowed, world).map(drop)
    }

    /// Lets the deliveries of a trigger begin with its next firing. They must not run. Blocks.
    pub fn begin_delivery(&self, trigger: &str) -> Result<()> {
        let firings = self.ingest.log().stream_named(trigger)?;
        let next = self.ingest.log().bounds(firings.id)?[0].next;
        deliver::begin_at(&self.cursors, &firings, next)
    }

    /// Starts to deliver a trigger's firings. Their stream must exist.
    pub fn start_delivery(&self, def: &DeliveryDef, allowed: &Allowed) -> Result<Handle> {
        let info = self.ingest.log().stream_named(&def.trigger)?;
        let settings = Settings::read(def, &info.spec.schema, allowed, self.ingest.world())?;
        let status = Status {
            name: def.trigger.clone(),
            connector: match def.target {
                Target::Webhook { .. } => "webhook".to_owned(),
                Target::Publish { .. } => "publish".to_owned(),
                Target::Command { .. } => "command".to_owned(),
            },
            role: "trigger",
            stream: def.trigger.clone(),
            ..Status::default()
        };
        let (handle, given) = self.begin(status);
        let task = DeliveryTask::new(given, info, settings)?;
        self.runtime.spawn(task.run());
        Ok(handle)
    }

    /// Checks the options of a group's actuator, without touching anything outside.
    pub fn validate_actuator(
        def: &ActuatorDef,
        world: &World,
        allowed: &Allowed,
        set_workers: SetWorkers,
    ) -> Result<()> {
        let (world, group, allowed) = (world.clone(), def.group.clone(), allowed.clone());
        let context = ActuatorContext { world, group, token: String::new(), allowed, set_workers };
        actuate::make(def, context).map(drop)
    }

    /// Starts to carry out what a group decides. The streams of activities and progress must exist; when this returns, each decision
    /// from now on will be seen. Blocks.
    pub fn start_actuator(
        &self,
        def: ActuatorDef,
        allowed: &Allowed,
        set_workers: SetWorkers,
    ) -> Result<Handle> {
        let status = Status {
            name: def.group.clone(),
            connector: def.actuator.clone(),
            role: "actuator",
            stream: "system.scaling_activities".to_owned(),
            ..Status::default()
        };
        let (handle, given) = self.begin(status);
        let world = given.world.clone();
        let task = ActuatorTask::new(given, def.clone())?;
        let (group, token, allowed) = (def.group.clone(), task.token.clone(), allowed.clone());
        let context = ActuatorContext { world, group, token, allowed, set_workers };
        let made = actuate::make(&def, context)?;
        self.runtime.spawn(task.run(made));
        Ok(handle)
    }

    /// Forgets where a source stands: it was dropped, and one of the same name starts at the beginning.
    pub fn forget_source(&self, name: &str) -> Result<()> {
        Ok(self.ingest.positions().forget(name)?)
    }

    /// Forgets where a sink stands.
    pub fn forget_sink(&self, name: &str) -> Result<()> {
        Ok(self.cursors.forget(name)?)
    }

    /// How all connectors fare that somebody still holds.
    pub fn statuses(&self) -> Vec<Status> {
        let mut boards = self.boards.lock();
        boards.retain(|board| board.strong_count() > 0);
        boards.iter().filter_map(Weak::upgrade).map(|board| board.status()).collect()
    }

    fn context(&self, def: &ConnectorDef, schema: &SchemaRef, event_time: Option<&str>) -> Context {
        def.context(self.ingest.world(), &self.allowed, schema, event_time)
    }

    /// The handle of a task that is to begin, and what the task is given.
    fn begin(&self, status: Status) -> (Handle, TaskContext) {
        let world = self.ingest.world().clone();
        let board = Arc::new(Board::new(world.clone(), status));
        self.boards.lock().push(Arc::downgrade(&board));
        let (stop, stopped) = watch::channel(false);
        let handle = Handle { board: Arc::clone(&board), stop };
        let (log, cursors) = (Arc::clone(self.ingest.log()), Arc::clone(&self.cursors));
        (handle, TaskContext { world, log, cursors, board, stopped })
    }
}
