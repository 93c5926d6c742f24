//! A log, and lives of a connector on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use headwater_connectors::{ConnectorDef, ConnectorSupervisor, Handle, State, Status};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_log::{MemoryLog, ReadSpec, StreamSpec};
use tokio::runtime::Runtime;

/// How long lives last, in milliseconds: some die before they have begun, some in the middle.
pub const LIVES: [u64; 12] = [0, 1, 2, 3, 5, 8, 12, 17, 25, 40, 60, 90];

/// A log with one stream, `events (n BIGINT, text VARCHAR)`.
pub struct Lab {
    pub ingest: Arc<Ingest>,
}

impl Lab {
    pub fn new(shards: u32) -> Self {
        Self::with_columns(shards, "n", "text")
    }

    /// The same with other names for the columns.
    pub fn with_columns(shards: u32, number: &str, text: &str) -> Self {
        let schema = Schema::new(vec![
            Field::new(number, DataType::Int64, false),
            Field::new(text, DataType::Utf8, true),
        ]);
        let mut spec = StreamSpec::new(StreamName::new("events").unwrap(), Arc::new(schema));
        spec.shards = shards;
        spec.partition_by = vec![number.to_owned()];
        let world = World::real();
        let log = MemoryLog::new(world.clone());
        headwater_log::Log::create_stream(log.as_ref(), spec).unwrap();
        Self { ingest: Arc::new(Ingest::new(world, log).unwrap()) }
    }

    /// Appends rows `from` to `to` with a text each.
    pub fn fill(&self, from: i64, to: i64) {
        for first in (from..to).step_by(500) {
            let range = first..(first + 500).min(to);
            let rows = RecordBatch::try_from_iter([
                ("n", Arc::new(Int64Array::from_iter_values(range.clone())) as _),
                ("text", Arc::new(StringArray::from_iter_values(range.map(|n| format!("row {n}")))) as _),
            ]);
            self.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
        }
    }

    /// The values of `n` in a stream, shard by shard.
    pub fn numbers(&self, stream: &str, column: &str) -> Vec<i64> {
        let log = self.ingest.log();
        let info = log.stream_named(stream).unwrap();
        let mut all = Vec::new();
        for (shard, bounds) in (0_u32..).zip(log.bounds(info.id).unwrap()) {
            let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard)) };
            let mut reader = log.read(spec).unwrap();
            while let Some(batch) = reader.next().unwrap() {
                let column = batch.rows.column_by_name(column).unwrap();
                assert_eq!(column.null_count(), 0);
                all.extend(column.as_primitive::<Int64Type>().values());
            }
        }
        all
    }

    /// One life of a source, ended by force after `millis`, or by its end. The next life may begin while threads of this one still
    /// append: the log fences them off.
    pub fn source_life(&self, def: &ConnectorDef, millis: Option<u64>) -> Option<Status> {
        let start = |supervisor: &ConnectorSupervisor| supervisor.start_source(def.clone(), |_| ()).unwrap();
        self.life(millis, start, |_| false, Runtime::shutdown_background)
    }

    /// One life of a sink, ended by force after `millis`, or when nothing is left to deliver. Its threads end with it: a file system
    /// fences nobody off, so that two processes must not share one; the lock on the data directory sees to that.
    pub fn sink_life(&self, def: &ConnectorDef, millis: Option<u64>) -> Option<Status> {
        let start = |supervisor: &ConnectorSupervisor| supervisor.start_sink(def.clone()).unwrap();
        let is_idle = |status: &Status| status.lag == Some(0);
        // The outside may be slow just when what was delivered is to be made safe: then the next life does it.
        for _ in 0..10 {
            let status = self.life(millis, start, is_idle, |runtime| runtime.shutdown_timeout(PATIENCE))?;
            if status.lag == Some(0) || status.state == State::Failed {
                return Some(status);
            }
        }
        panic!("what was delivered is not made safe");
    }

    /// The same until nothing is left to deliver, without a column.
    pub fn sink_life_without(&self, def: &ConnectorDef, column: &str) -> Option<Status> {
        let left_out = BTreeSet::from([column.to_owned()]);
        let start =
            |supervisor: &ConnectorSupervisor| supervisor.start_sink_without(def.clone(), &left_out).unwrap();
        let is_idle = |status: &Status| status.lag == Some(0);
        self.life(None, start, is_idle, |runtime| runtime.shutdown_timeout(Duration::from_secs(10)))
    }

    fn life(
        &self,
        millis: Option<u64>,
        start: impl FnOnce(&ConnectorSupervisor) -> Handle,
        is_idle: impl Fn(&Status) -> bool,
        end: impl FnOnce(Runtime),
    ) -> Option<Status> {
        let runtime = runtime();
        let supervisor =
            ConnectorSupervisor::new(Arc::clone(&self.ingest), runtime.handle().clone()).unwrap();
        let handle = start(&supervisor);
        let status = runtime.block_on(async {
            if let Some(millis) = millis {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                return None;
            }
            until(&handle, "it comes to its end", |status| status.state.is_final() || is_idle(status)).await;
            Some(handle.stop().await)
        });
        end(runtime);
        status
    }
}

/// How long anything may take, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so, and answers what was found then. What was found last is told if it never is.
pub async fn eventually<T, E: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let began = tokio::time::Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if began.elapsed() > PATIENCE => panic!("{what}: not in time; last seen: {last:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Waits until a connector fares so, and answers how it fares then.
pub async fn until(handle: &Handle, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let look = || {
        let status = handle.status();
        if is_so(&status) { Ok(status) } else { Err(Box::new(status)) }
    };
    eventually(what, look).await
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub fn def(connector: &str, options: &[(&str, &str)]) -> ConnectorDef {
    ConnectorDef {
        name: format!("the_{connector}"),
        connector: connector.to_owned(),
        stream: StreamName::new("events").unwrap(),
        key: Vec::new(),
        options: options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        metadata: BTreeMap::new(),
    }
}

/// Asserts that these are the numbers from 0 on, in any order.
pub fn assert_dense(mut numbers: Vec<i64>, count: i64) {
    numbers.sort_unstable();
    let expect: Vec<i64> = (0..count).collect();
    assert_eq!(numbers.len(), expect.len(), "as many rows as there should be");
    assert_eq!(numbers, expect);
}
