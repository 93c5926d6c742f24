//! A simulated machine with an engine on it.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_core::hash::{hash_rows, shard_of};
use headwater_core::world::Open;
use headwater_core::world::sim::{SimRandom, SimWorld};
use headwater_core::{Epoch, ProducerId, ShardId};
use headwater_log::{Append, DiskLogOptions, Log, LogError, Producer, ReadSpec};
use headwater_run::{ConnectorHost, Engine, EngineOptions, JobState, Keep, NoConnectors, RunError};

/// A reading: device, milliseconds, value.
pub type Reading = (&'static str, i64, i64);

/// An engine in memory.
pub fn in_memory() -> EngineOptions {
    let checkpoint_interval = Duration::from_millis(50);
    EngineOptions { workers: 2, checkpoint_interval, ..EngineOptions::in_memory() }
}

pub struct Machine {
    pub sim: SimWorld,
    runtime: tokio::runtime::Runtime,
    engine: Option<Engine>,
    connectors: Arc<dyn ConnectorHost>,
    pub workers: usize,
    /// Every third machine has hardly any, or none, so that state goes to the disk.
    pub state_memory: Option<u64>,
    pub query_memory: Option<u64>,
    pub step_rows_max: usize,
    pub step_bytes_max: usize,
    pub checkpoint_interval: Duration,
    /// From how many rows on a step has threads; none, unless somebody has said [`Machine::use_threads`].
    threaded_rows_min: usize,
    pub keep: Keep,
    pub log_options: DiskLogOptions,
}

/// With so few rows steps have threads in tests, so that nearly all do.
const THREADED_ROWS_MIN: usize = 3;

impl Machine {
    pub fn new(seed: u64) -> Self {
        Self::with_connectors(seed, Arc::new(NoConnectors))
    }

    /// One whose tables are run by somebody.
    pub fn with_connectors(seed: u64, connectors: Arc<dyn ConnectorHost>) -> Self {
        let mut machine = Self {
            connectors,
            sim: SimWorld::new(seed),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            engine: None,
            workers: 1,
            state_memory: (seed % 3 == 1).then_some(seed % 2 * 3_000),
            query_memory: None,
            step_rows_max: 1_000,
            step_bytes_max: 1 << 20,
            checkpoint_interval: Duration::from_secs(1),
            threaded_rows_min: EngineOptions::THREADED_ROWS_MIN,
            keep: Keep { unfolded_rows: 8, ..Keep::default() },
            log_options: DiskLogOptions::default(),
        };
        machine.start();
        machine
    }

    /// Lets workers have threads of their own from the next start on, also in steps of a handful of rows.
    pub fn use_threads(&mut self) {
        self.threaded_rows_min = THREADED_ROWS_MIN;
        self.sim.tasks().set_free_threads(4);
    }

    /// One that has any number of workers, small steps and frequent checkpoints, and what its life is drawn from.
    pub fn any(seed: u64, step_rows_max: usize) -> (Self, SimRandom) {
        Self::any_with_connectors(seed, step_rows_max, Arc::new(NoConnectors))
    }

    /// The same whose tables are run by somebody.
    pub fn any_with_connectors(
        seed: u64,
        step_rows_max: usize,
        connectors: Arc<dyn ConnectorHost>,
    ) -> (Self, SimRandom) {
        let mut machine = Self::with_connectors(seed, connectors);
        let random = machine.sim.random("life");
        machine.workers = 1 + random.index(4);
        machine.step_rows_max = 1 + random.index(step_rows_max);
        machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
        machine.restart(machine.workers);
        (machine, random)
    }

    /// Its process ends somehow and goes on with another number of workers, or time goes on, or nothing happens.
    pub fn strike(&mut self, random: &SimRandom) {
        let workers = 1 + random.index(4);
        match random.below(6) {
            0 => self.kill(workers),
            1 => self.lose_power(workers),
            2 => self.restart(workers),
            3 => self.sim.clock().advance(Duration::from_millis(random.below(3_000))),
            _ => {}
        }
    }

    pub fn start(&mut self) {
        let runtime = self.runtime.handle().clone();
        let connectors = Arc::clone(&self.connectors);
        let engine = Engine::open_on(runtime, self.sim.world(), self.options(), connectors);
        self.engine = Some(engine.unwrap_or_else(|error| panic!("open: {error}")));
    }

    /// Opens the directory, which nobody has open any more, to look at it.
    fn start_at_rest(&mut self) {
        let _within = self.runtime.enter();
        let engine = Engine::open_at_rest(self.sim.world(), self.options(), Arc::clone(&self.connectors));
        self.engine = Some(engine.unwrap_or_else(|error| panic!("look: {error}")));
    }

    fn options(&self) -> EngineOptions {
        EngineOptions {
            data: Some(PathBuf::from("/data")),
            workers: self.workers,
            checkpoint_interval: self.checkpoint_interval,
            checkpoints: None,
            state_memory: self.state_memory,
            query_memory: self.query_memory,
            step_rows_max: self.step_rows_max,
            step_bytes_max: self.step_bytes_max,
            threaded_rows_min: self.threaded_rows_min,
            keep: self.keep,
            log: self.log_options.clone(),
        }
    }

    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the engine runs")
    }

    pub fn log(&self) -> &Arc<dyn Log> {
        self.engine().log()
    }

    /// Ends the process in the middle of whatever it does, and starts it again.
    pub fn kill(&mut self, workers: usize) {
        self.sim.process_crash();
        self.engine = None;
        self.workers = workers;
        self.start();
    }

    /// The same, but what is there afterwards is only looked at.
    pub fn kill_and_look(&mut self) {
        self.sim.process_crash();
        self.engine = None;
        self.start_at_rest();
    }

    /// Stops the engine in an orderly way; what is there afterwards is only looked at.
    pub fn stop_and_look(&mut self) {
        self.engine().close_here().unwrap();
        self.engine = None;
        self.start_at_rest();
    }

    /// Takes away the power, and starts the machine again.
    pub fn lose_power(&mut self, workers: usize) {
        self.sim.power_loss();
        self.engine = None;
        self.workers = workers;
        self.start();
    }

    /// Stops the engine in an orderly way, and starts it again.
    pub fn restart(&mut self, workers: usize) {
        self.engine().close_here().unwrap();
        self.engine = None;
        self.workers = workers;
        self.start();
    }

    pub fn sql(&self, sql: &str) {
        self.engine().define_here(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }

    /// Writes the text of a WebAssembly module where `USING FILE` finds it.
    pub fn write_module(&self, path: &str, text: &str) {
        let (disk, path) = (self.sim.world().disk, Path::new(path));
        disk.create_dir(path.parent().unwrap()).unwrap();
        let file = disk.open(path, Open::Create).unwrap();
        file.write_all_at(&mut [IoSlice::new(text.as_bytes())], 0).unwrap();
    }

    /// A function that gives what it is given, and never comes to its end over 7: that is not the fault of a row.
    pub fn define_spin(&self) {
        let spin = r#"(module (func (export "spin") (param i64) (result i64)
            (if (i64.eq (local.get 0) (i64.const 7)) (then (loop $again (br $again))))
            (local.get 0)))"#;
        self.write_module("/modules/spin.wat", spin);
        self.sql(
            "CREATE FUNCTION spin(x BIGINT) RETURNS BIGINT LANGUAGE WASM USING FILE '/modules/spin.wat'",
        );
    }

    /// Runs statements as clients do.
    pub fn execute(&self, sql: &str) -> Result<(), RunError> {
        self.runtime.block_on(self.engine().execute(sql)).map(drop)
    }

    /// What the last of some statements is answered with, beside its tag.
    pub fn notes(&self, sql: &str) -> Vec<String> {
        let answers = self.runtime.block_on(self.engine().execute(sql));
        match answers.unwrap_or_else(|error| panic!("{error}\n{sql}")).pop() {
            Some(headwater_run::Answer::Done { notes, .. }) => notes,
            _ => panic!("rows: {sql}"),
        }
    }

    /// The rows that a bounded query gives, as text, sorted.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.batches(sql).iter().flat_map(text_of).collect();
        lines.sort();
        lines
    }

    /// What is said of a query that does not come to its end.
    pub fn query_badly(&self, sql: &str) -> String {
        self.runtime.block_on(async {
            match self.engine().execute(sql).await {
                Err(error) => error.to_string(),
                Ok(answers) => match answers.into_iter().last() {
                    Some(headwater_run::Answer::Rows(rows)) => {
                        let read = futures::TryStreamExt::try_collect::<Vec<RecordBatch>>(rows).await;
                        read.err().unwrap_or_else(|| panic!("it went well: {sql}")).to_string()
                    }
                    _ => panic!("it went well: {sql}"),
                },
            }
        })
    }

    /// The same of a query that may be refused or fail.
    pub fn try_query(&self, sql: &str) -> Result<Vec<String>, RunError> {
        let mut lines: Vec<String> = self.try_batches(sql)?.iter().flat_map(text_of).collect();
        lines.sort();
        Ok(lines)
    }

    fn batches(&self, sql: &str) -> Vec<RecordBatch> {
        self.try_batches(sql).unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    fn try_batches(&self, sql: &str) -> Result<Vec<RecordBatch>, RunError> {
        self.runtime.block_on(async {
            match self.engine().execute(sql).await?.into_iter().last() {
                Some(headwater_run::Answer::Rows(rows)) => {
                    Ok(futures::TryStreamExt::try_collect(rows).await?)
                }
                _ => panic!("no rows: {sql}"),
            }
        })
    }

    /// Appends rows to a stream, each to the shard of its first column, in one group.
    pub fn append_to(&self, stream: &str, columns: Vec<ArrayRef>) {
        let info = self.log().stream_named(stream).unwrap();
        let hashes = hash_rows(&columns[..1]).unwrap();
        let rows = headwater_run::fit_columns(&info.spec.schema, columns).unwrap();
        let mut shards: BTreeMap<ShardId, Vec<u32>> = BTreeMap::new();
        for (row, hash) in hashes.into_iter().enumerate() {
            shards.entry(shard_of(hash, info.spec.shards)).or_default().push(row as u32);
        }
        let appends = shards.into_iter().map(|(shard, own)| {
            let own = arrow::array::UInt32Array::from(own);
            Append::new(info.id, shard, arrow::compute::take_record_batch(&rows, &own).unwrap())
        });
        self.log().append(appends.collect()).unwrap();
    }

    /// Appends the rows that a bounded query gives, in the stream's types.
    pub fn insert(&self, stream: &str, query: &str) {
        let rows = self.batches(query);
        let schema = self.log().stream_named(stream).unwrap().spec.schema.clone();
        for batch in rows {
            let columns = batch.columns().iter().zip(schema.fields());
            let cast = |(column, field): (&ArrayRef, &arrow::datatypes::FieldRef)| {
                arrow::compute::cast(column, field.data_type()).unwrap()
            };
            self.append_to(stream, columns.map(cast).collect());
        }
    }

    /// Gives some turns to whoever wants one.
    pub fn turns(&self, turns: usize) {
        for _ in 0..turns {
            self.sim.tasks().turn();
        }
    }

    /// Runs until every job has taken all there is.
    pub fn catch_up(&self) {
        self.try_catch_up().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same of jobs that may fail.
    pub fn try_catch_up(&self) -> Result<(), String> {
        for _ in 0..100_000 {
            if let Some(job) = self.engine().jobs().into_iter().find(|job| job.state == JobState::Failed) {
                return Err(format!("{}: {:?}", job.name, job.error));
            }
            let settled = |job: &headwater_run::JobStatus| match job.state {
                JobState::Running => job.lag == 0 && !job.is_restoring,
                JobState::Failed => false,
                _ => true,
            };
            let before = self.log().version();
            // Long enough for a checkpoint that is being written, for which a step's results may wait.
            self.turns(60);
            if self.engine().jobs().iter().all(settled) && self.log().version() == before {
                return Ok(());
            }
        }
        Err(format!("the jobs do not come to rest: {:?}", self.engine().jobs()))
    }

    /// Lets so many seconds pass, and the jobs take their turns meanwhile.
    pub fn run_for(&self, seconds: u64) {
        let clock = self.sim.world().clock;
        let until = clock.monotonic() + Duration::from_secs(seconds);
        for _ in 0..10_000 {
            if clock.monotonic() >= until {
                break;
            }
            self.sim.clock().advance(Duration::from_millis(500));
            self.turns(4);
        }
        self.catch_up();
    }

    /// Creates the stream `readings (device, ts, value)`, partitioned by device.
    pub fn create_readings(&self, shards: u32) {
        self.sql(&format!(
            "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
             WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
             WITH (shards = {shards}, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')"
        ));
    }

    /// Appends readings, each to its shard, in one group.
    pub fn append(&self, readings: &[Reading]) {
        self.log().append(self.appends_of(readings)).unwrap();
    }

    /// The same from a producer that numbers its groups, so that one whose answer was lost can be sent again.
    pub fn try_append(&self, readings: &[Reading], sequence: u64) -> Result<(), LogError> {
        let producer = Some(Producer { id: ProducerId(7), epoch: Epoch(1), sequence });
        let appends = self.appends_of(readings).into_iter().map(|append| Append { producer, ..append });
        self.log().append(appends.collect()).map(drop)
    }

    fn appends_of(&self, readings: &[Reading]) -> Vec<Append> {
        let info = self.log().stream_named("readings").unwrap();
        let mut shards: BTreeMap<ShardId, Vec<Reading>> = BTreeMap::new();
        for reading in readings {
            let key: ArrayRef = Arc::new(StringArray::from(vec![reading.0]));
            shards
                .entry(shard_of(hash_rows(&[key]).unwrap()[0], info.spec.shards))
                .or_default()
                .push(*reading);
        }
        let append = |(shard, readings): (ShardId, Vec<Reading>)| {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(readings.iter().map(|reading| reading.0))),
                Arc::new(TimestampMillisecondArray::from_iter_values(
                    readings.iter().map(|reading| reading.1),
                )),
                Arc::new(Int64Array::from_iter_values(readings.iter().map(|reading| reading.2))),
            ];
            let rows = headwater_run::fit_columns(&info.spec.schema, columns).unwrap();
            Append::new(info.id, shard, rows)
        };
        shards.into_iter().map(append).collect()
    }

    /// Ends the readings, so that all windows close, and waits for the jobs to end.
    pub fn finish(&self) {
        self.finish_streams(&["readings"]);
    }

    /// The same for other streams.
    pub fn finish_streams(&self, streams: &[&str]) {
        streams.iter().for_each(|stream| self.engine().end_stream_here(stream).unwrap());
        for _ in 0..100_000 {
            self.catch_up();
            if self.engine().jobs().iter().all(|job| job.state == JobState::Finished) {
                return;
            }
        }
        panic!("the jobs do not end: {:?}", self.engine().jobs());
    }

    /// All rows of a stream, in order, each as text; shard by shard.
    pub fn rows(&self, stream: &str) -> Vec<String> {
        let info = self.log().stream_named(stream).unwrap();
        let mut all = Vec::new();
        for (shard, bounds) in self.log().bounds(info.id).unwrap().iter().enumerate() {
            if bounds.first == bounds.next {
                continue;
            }
            let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard as u32)) };
            let mut reader = self.log().read(spec).unwrap();
            while let Some(read) = reader.next().unwrap() {
                all.extend(text_of(&read.rows));
            }
        }
        all
    }
}

/// Rows as text, columns separated by a blank.
pub fn text_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
    (0..batch.num_rows()).map(row).collect()
}
