//! What an engine is opened with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use headwater_core::EventTime;
use headwater_operators::LookupCache;
use headwater_plan::{GroupDef, StreamDef, TriggerDef};

use crate::error::Result;

/// How the engine runs. There is no `Default`: each of these is a choice, which the binary makes.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The data directory; made if missing. `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// How many threads compute a step; at least 1.
    pub workers: usize,
    /// How often a job takes a checkpoint.
    pub checkpoint_interval: Duration,
    /// Where checkpoints go: an S3 URL, or `None` for the data directory.
    pub checkpoints: Option<String>,
    /// How many bytes of memory the states of all jobs may take, roughly; more goes to files in the data directory. `None`: all
    /// of it stays in memory, as it does without a data directory.
    pub state_memory: Option<u64>,
    /// How many bytes of memory queries that run once may take together, roughly; what sorts, aggregations and joins need beyond that goes
    /// to files in the data directory, and is an error where it cannot. `None`: nothing bounds them.
    pub query_memory: Option<u64>,
    /// The most rows a step takes.
    pub step_rows_max: usize,
    /// The most bytes a step takes, roughly.
    pub step_bytes_max: usize,
    /// Steps of fewer rows than this are computed on one thread, whatever the number of workers: starting threads costs more than it saves.
    pub threaded_rows_min: usize,
    /// How long what the engine writes for itself is kept.
    pub keep: Keep,
    /// Settings of the log on disk.
    pub log: headwater_log::DiskLogOptions,
}

impl EngineOptions {
    /// The fewest rows that are worth starting threads for, on the machines that we know.
    pub const THREADED_ROWS_MIN: usize = 16_384;

    /// What tests and benches begin with: one thread, all in memory without bounds, and no checkpoint before the end of the day.
    pub fn in_memory() -> Self {
        Self {
            data: None,
            workers: 1,
            checkpoint_interval: Duration::from_secs(24 * 3_600),
            checkpoints: None,
            state_memory: None,
            query_memory: None,
            step_rows_max: 10_000,
            step_bytes_max: 1 << 20,
            threaded_rows_min: Self::THREADED_ROWS_MIN,
            keep: Keep::default(),
            log: headwater_log::DiskLogOptions::default(),
        }
    }
}

/// How long what the engine writes for itself is kept. [`Keep::default`] is what `headwater serve` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// A line of a job's journal may go when it is older than this, even if the rows that its step took are still there. `None`: it is kept
    /// as long as they are. What a job needs to go on after a crash is always kept. Default `None`.
    pub journals: Option<Duration>,
    /// Rows that tell people what happened may go when they are older than this: those of `system.dead_letters`, `system.late_rows`,
    /// `system.trigger_deliveries` and `system.job_metrics`. `None`: never. Default 90 days.
    pub records: Option<Duration>,
    /// What a view whose rows change has come to is noted down when its changelog has grown by this many rows, or by as many as the view
    /// has if these are more: the first query after a start folds no more than that. Default 65,536.
    pub unfolded_rows: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { journals: None, records: Some(Duration::from_secs(90 * 24 * 3_600)), unfolded_rows: 65_536 }
    }
}

/// Tells how far event time has come in what is written into a table: the least watermark of the jobs that do, of which all results up to
/// there are in the log. [`EventTime::MIN`] while one of them has none, [`EventTime::MAX`] when all have come to their ends; `None` if no
/// job writes into it: what statements and requests bring is whole when it is there.
pub type TellWatermark = Arc<dyn Fn() -> Option<EventTime> + Send + Sync>;

/// A table with a connector, as the host of connectors needs it.
#[derive(Clone)]
pub struct ConnectorTable {
    /// The definition; `options` holds what the connector was told.
    pub def: Arc<StreamDef>,
    /// What it is used as.
    pub role: Role,
    /// How far event time has come in it.
    pub watermark: TellWatermark,
}

impl ConnectorTable {
    /// One that is only checked.
    pub fn unused(def: Arc<StreamDef>, role: Role) -> Self {
        Self { def, role, watermark: Arc::new(|| None) }
    }
}

/// What a table with a connector is used as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Rows are pulled in: the table is read by a job or a query.
    Source,
    /// Rows are delivered: the table is inserted into.
    Sink,
}

impl Role {
    /// As shown in `system.connectors`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Sink => "sink",
        }
    }
}

/// How a connector fares.
#[derive(Clone, Debug)]
pub struct ConnectorStatus {
    /// What it is used as.
    pub role: Role,
    /// One word: starting, running, retrying, ended, stopped, failed.
    pub state: &'static str,
    /// Whether it has failed for good.
    pub is_failed: bool,
    /// Rows that wait: outside for a source if it can tell, in the log for a sink.
    pub lag: Option<u64>,
    /// For how many milliseconds the oldest of them has waited, if a source can tell.
    pub lag_ms: Option<u64>,
    /// Rows moved since it was started.
    pub rows: u64,
    /// Rows a second, over the last ten seconds.
    pub rows_per_second: f64,
    /// Records that went to the dead letters since it was started.
    pub dead_letters: u64,
    /// Failures since it was started.
    pub failures: u64,
    /// The last failure, with its code.
    pub last_error: Option<String>,
    /// Where it stands, as a JSON object: for a source the position in each partition, for a sink the next row of each shard.
    pub position: String,
}

/// A table outside, as a job asks it.
pub trait LookupTable: Send {
    /// How much of what it answered a job keeps.
    fn cache(&self) -> LookupCache;
    /// Since when answers are good that are kept: a job asks again for those from before. `None`: as the cache says.
    fn fresh_from(&self) -> Option<EventTime> {
        None
    }
    /// The rows with these keys, each of which is there once; rows of other keys may be among them. Blocks the thread.
    fn fetch(&mut self, keys: &RecordBatch) -> std::result::Result<RecordBatch, LookupFailure>;
    /// Says where records go that are no rows of it, for those tables that can have any.
    fn put_aside_in(&mut self, _ingest: &Arc<headwater_ingest::Ingest>) {}
}

/// Why a table outside did not answer.
#[derive(Clone, Debug)]
pub struct LookupFailure {
    /// What it said.
    pub reason: String,
    /// Whether it may answer later without anybody doing anything.
    pub is_retryable: bool,
}

/// A trigger whose firings are to be delivered outside.
#[derive(Clone, Debug)]
pub struct TriggerDelivery {
    /// The trigger; its options are those of the delivery.
    pub def: Arc<TriggerDef>,
    /// The columns of a firing that tell one key from another.
    pub keys: Vec<String>,
    /// The columns of a firing.
    pub schema: SchemaRef,
}

/// Sets how many workers a job has, and answers how many it has now; `None` only asks. Another number takes effect between two steps.
pub type SetWorkers = Arc<dyn Fn(&str, Option<usize>) -> std::result::Result<usize, String> + Send + Sync>;

/// A scaling group whose decisions are to be carried out.
#[derive(Clone)]
pub struct GroupActuator {
    /// The group.
    pub def: Arc<GroupDef>,
    /// What tells it from a group that had its name before; empty while it is only checked.
    pub identity: String,
    /// For an actuator that changes the engine itself.
    pub set_workers: SetWorkers,
}

/// A source or sink that runs. Dropping it stops it.
#[async_trait]
pub trait RunningConnector: Send + Sync {
    /// Waits until a bounded source has delivered everything (never for an endless one), or until a sink has
    /// delivered all that its stream held when the call was made.
    async fn settled(&self);
    /// Whether it delivers a certain number of rows and then ends.
    fn is_bounded(&self) -> bool;
    /// How it fares.
    fn status(&self) -> ConnectorStatus;
    /// Stops, and waits for that.
    async fn stop(&self);
}

/// A MapReduce job that runs, or has. Dropping it ends its programs.
pub trait RunningPrograms: Send + Sync {
    /// How it fares.
    fn status(&self) -> crate::JobStatus;
}

/// Runs connectors for the engine; the binary brings one, so that the engine knows no protocol.
pub trait ConnectorHost: Send + Sync {
    /// The streams in which it says what it did, and their columns: the engine makes them when it opens.
    fn streams(&self) -> Vec<(&'static str, SchemaRef)> {
        Vec::new()
    }
    /// Checks a table's options for a role; the message names what is wrong.
    fn validate(&self, table: &ConnectorTable) -> std::result::Result<(), String>;
    /// The only role that the connector or the option `type` leaves, whatever else is wrong with the table.
    fn only_role(&self, _table: &StreamDef) -> Option<Role> {
        None
    }
    /// Starts a table's connector. `ended` is called once when a bounded source has delivered everything.
    fn start(
        &self,
        table: ConnectorTable,
        _ingest: Arc<headwater_ingest::Ingest>,
        _ended: Box<dyn FnOnce() + Send>,
    ) -> Result<Box<dyn RunningConnector>> {
        Err(crate::RunError::Connector { table: table.def.name.clone(), reason: "no connectors here".into() })
    }
    /// A table in which jobs look rows up: they want these columns of the rows that have certain values in those of `key`. Touches nothing
    /// outside; the message names what is wrong.
    fn look_up(
        &self,
        table: &StreamDef,
        _columns: SchemaRef,
        _key: Vec<String>,
    ) -> std::result::Result<Box<dyn LookupTable>, String> {
        Err(format!("table {}: this engine was opened without tables to look rows up in", table.name))
    }
    /// Forgets where the source and the sink of a table stand, which is dropped or new.
    fn forget(&self, _table: &str, _ingest: &Arc<headwater_ingest::Ingest>) -> Result<()> {
        Ok(())
    }
    /// Checks what a trigger wants delivered when it is created; the message names what is wrong.
    fn validate_delivery(&self, _delivery: &TriggerDelivery) -> std::result::Result<(), String> {
        Err(NO_DELIVERIES.to_owned())
    }
    /// Starts a MapReduce job whose runs lie in a directory while it runs. `again` if the job was there before the process was: what
    /// it left is written over, and if it came to its end nothing is done. `failed` is called if it fails, once its status says so.
    fn start_programs(
        &self,
        def: &Arc<headwater_plan::MapReduceDef>,
        _work: PathBuf,
        _again: bool,
        _failed: Box<dyn FnOnce(String) + Send>,
    ) -> std::result::Result<Box<dyn RunningPrograms>, String> {
        Err(format!("job {}: this engine was opened without anybody who runs programs", def.name))
    }
    /// Lets the deliveries of a trigger begin with its next firing: so far nobody was to be told. They do not run. Blocks.
    fn begin_delivery(&self, _trigger: &str, _ingest: &Arc<headwater_ingest::Ingest>) -> Result<()> {
        Ok(())
    }
    /// Starts to deliver a trigger's firings.
    fn start_delivery(
        &self,
        delivery: TriggerDelivery,
        _ingest: Arc<headwater_ingest::Ingest>,
    ) -> Result<Box<dyn RunningConnector>> {
        Err(crate::RunError::Delivery {
            trigger: delivery.def.name.clone(),
            reason: NO_DELIVERIES.to_owned(),
        })
    }
    /// Checks what is to carry a group's decisions out when it is created; the message names what is wrong.
    fn validate_actuator(&self, _actuator: &GroupActuator) -> std::result::Result<(), String> {
        Err(NO_ACTUATORS.to_owned())
    }
    /// Starts to carry out what a group decides. When this returns, each decision from now on will be seen. Blocks.
    fn start_actuator(
        &self,
        actuator: GroupActuator,
        _ingest: Arc<headwater_ingest::Ingest>,
    ) -> Result<Box<dyn RunningConnector>> {
        Err(crate::RunError::Actuator { group: actuator.def.name.clone(), reason: NO_ACTUATORS.to_owned() })
    }
}

/// What an engine says that has nobody to deliver.
const NO_DELIVERIES: &str = "this engine was opened without anybody who delivers";

/// What an engine says that has nobody to carry decisions out.
const NO_ACTUATORS: &str = "this engine was opened without actuators";

/// For engines without connectors.
pub struct NoConnectors;

impl ConnectorHost for NoConnectors {
    fn validate(&self, table: &ConnectorTable) -> std::result::Result<(), String> {
        Err(format!("table {}: this engine was opened without connectors", table.def.name))
    }
}
