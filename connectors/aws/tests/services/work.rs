//! Connectors at work on a log in memory.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headwater_connectors::{ConnectorDef, ConnectorSupervisor, Context, Handle, State, Status, registry};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_log::{Log, MemoryLog, ReadSpec, StreamSpec};
use tokio::runtime::Runtime;

use crate::lab::{Lab, runtime};

/// How long lives last, in milliseconds: some die before they have connected, some in the middle.
pub const LIVES: [u64; 7] = [0, 30, 60, 120, 250, 400, 600];

/// A log with `events (n, text)` and columns of metadata.
pub fn lab(shards: u32, about: &[(&str, DataType)]) -> Lab {
    headwater_aws::CONNECTORS.into_iter().for_each(registry::add);
    let mut fields = vec![Field::new("n", DataType::Int64, false), Field::new("text", DataType::Utf8, true)];
    fields.extend(about.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)));
    let mut spec = StreamSpec::new(StreamName::new("events").unwrap(), Arc::new(Schema::new(fields)));
    spec.shards = shards;
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    log.create_stream(spec).unwrap();
    Lab { ingest: Arc::new(Ingest::new(world, log).unwrap()) }
}

/// The columns of metadata that [`lab`] was made with, each called as what it holds.
pub fn with_metadata(mut def: ConnectorDef, about: &[(&str, DataType)]) -> ConnectorDef {
    def.metadata = about.iter().map(|(name, _)| ((*name).to_owned(), (*name).to_owned())).collect();
    def
}

/// What a connector on `events` is made for.
pub fn context(lab: &Lab) -> Context {
    let info = lab.ingest.log().stream_named("events").unwrap();
    let context = Context::of(World::real(), info.spec.name.clone(), Arc::clone(&info.spec.schema));
    Context { name: "by_hand".to_owned(), stream_id: info.id, ..context }
}

pub fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// A column of a stream as text, in order.
pub fn texts(lab: &Lab, stream: &str, column: &str) -> Vec<String> {
    let log = lab.ingest.log();
    let Ok(info) = log.stream_named(stream) else { return Vec::new() };
    let mut all = Vec::new();
    for (shard, bounds) in (0_u32..).zip(log.bounds(info.id).unwrap()) {
        let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard)) };
        let mut reader = log.read(spec).unwrap();
        while let Some(batch) = reader.next().unwrap() {
            let column: &ArrayRef = batch.rows.column_by_name(column).unwrap();
            let options = FormatOptions::new().with_null("null");
            let shown = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
            all.extend((0..column.len()).map(|row| shown.value(row).to_string()));
        }
    }
    all
}

/// A source or a sink that runs until it is told to stop.
pub struct Running {
    runtime: Runtime,
    pub handle: Option<Handle>,
}

impl Running {
    pub fn source(lab: &Lab, def: &ConnectorDef) -> Self {
        Self::start(lab, |supervisor| supervisor.start_source(def.clone(), |_| ()).unwrap())
    }

    pub fn sink(lab: &Lab, def: &ConnectorDef) -> Self {
        Self::start(lab, |supervisor| supervisor.start_sink(def.clone()).unwrap())
    }

    fn start(lab: &Lab, start: impl FnOnce(&ConnectorSupervisor) -> Handle) -> Self {
        let runtime = runtime();
        let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
        let handle = Some(start(&supervisor));
        Self { runtime, handle }
    }

    pub fn status(&self) -> Status {
        self.handle.as_ref().unwrap().status()
    }

    /// Waits until something holds, which a connector that has failed will never make it do.
    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let holds = self.runtime.block_on(async {
            for _ in 0..12_000 {
                if holds() {
                    return true;
                }
                if self.status().state == State::Failed {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            holds()
        });
        assert!(holds, "{what}: {:?}", self.status());
    }

    #[track_caller]
    pub fn until_running(&self) {
        self.until("it runs", || self.status().state == State::Running);
    }

    #[track_caller]
    pub fn until_failed(&self) {
        self.until("it fails", || self.status().state == State::Failed);
    }

    pub fn stop(mut self) {
        let handle = self.handle.take().unwrap();
        self.runtime.block_on(handle.stop());
    }
}
