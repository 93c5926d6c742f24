//! A log in memory with two streams, and connectors on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use headwater_connectors::{
    Allowed, ConnectorDef, ConnectorSupervisor, Context, DeliveryDef, Handle, Lookup, Target, Wanted,
    add_publisher, registry,
};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::{Ingest, Options};
use headwater_log::{MemoryLog, ReadSpec, StreamSpec};
use headwater_wamp::connector::{CONNECTOR, PUBLISHER};

/// A log with `readings (device, temp, wamp_topic, wamp_publication)` and `plain (device, temp)`.
pub struct Lab {
    ingest: Arc<Ingest>,
    supervisor: ConnectorSupervisor,
}

impl Lab {
    pub fn new() -> Self {
        registry::add(&CONNECTOR);
        add_publisher(&PUBLISHER);
        let world = World::real();
        let log = MemoryLog::new(world.clone());
        let plain =
            vec![Field::new("device", DataType::Utf8, true), Field::new("temp", DataType::Float64, true)];
        let mut readings = plain.clone();
        readings.push(Field::new("wamp_topic", DataType::Utf8, true));
        readings.push(Field::new("wamp_publication", DataType::Int64, false));
        for (name, fields) in [("plain", plain), ("readings", readings)] {
            let schema = Arc::new(Schema::new(fields));
            let spec = StreamSpec::new(StreamName::new(name).unwrap(), schema);
            headwater_log::Log::create_stream(log.as_ref(), spec).unwrap();
        }
        let ingest = Arc::new(Ingest::new(world, log).unwrap());
        let runtime = tokio::runtime::Handle::current();
        let supervisor = ConnectorSupervisor::new(Arc::clone(&ingest), runtime).unwrap();
        Self { ingest, supervisor }
    }

    fn def(stream: &str, options: &[(&str, &str)]) -> ConnectorDef {
        ConnectorDef {
            name: format!("the_{stream}"),
            connector: "wamp".to_owned(),
            stream: StreamName::new(stream).unwrap(),
            key: Vec::new(),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            metadata: BTreeMap::new(),
        }
    }

    pub fn start_source(&self, stream: &str, options: &[(&str, &str)]) -> Handle {
        self.supervisor.start_source(Self::def(stream, options), |_| ()).unwrap()
    }

    pub fn start_sink(&self, stream: &str, options: &[(&str, &str)]) -> Handle {
        self.supervisor.start_sink(Self::def(stream, options)).unwrap()
    }

    /// Delivers the rows of `plain` as if they were a trigger's firings.
    pub fn start_trigger(&self, topic: &str, options: &[(&str, &str)]) -> Result<Handle, String> {
        let def = DeliveryDef {
            trigger: "plain".to_owned(),
            keys: vec!["device".to_owned()],
            target: Target::Publish { topic: topic.to_owned() },
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        self.supervisor.start_delivery(&def, &Allowed::default()).map_err(|error| error.to_string())
    }

    /// A table `(device, temp)` in which a procedure looks rows up by device.
    pub fn lookup(&self, options: &[(&str, &str)]) -> Box<dyn Lookup> {
        headwater_wamp::connector::add();
        let schema = self.ingest.log().stream_named("plain").unwrap().spec.schema.clone();
        let name = StreamName::new("asked").unwrap();
        let context = Context::of(World::real(), name, Arc::clone(&schema));
        let wanted = Wanted { columns: schema, key: vec!["device".to_owned()] };
        let options = Options::new("table asked", options.iter().copied());
        registry::make_lookup("wamp", context, wanted, options).unwrap()
    }

    /// What is wrong with a source's options.
    pub fn check_source(&self, options: &[(&str, &str)]) -> String {
        let schema = self.ingest.log().stream_named("plain").unwrap().spec.schema.clone();
        let checked = self.supervisor.validate_source(&Self::def("plain", options), &schema, None);
        checked.map(|_| ()).unwrap_err().to_string()
    }

    /// Takes a stream from the source that fills it: the log refuses what that appends from now on.
    pub fn fence(&self, stream: &str) {
        self.ingest.positions().claim(&format!("the_{stream}")).unwrap();
    }

    /// Appends rows to `plain`.
    pub fn fill_plain(&self, rows: u32) {
        let devices: Vec<_> = (0..rows).map(|n| format!("d{n}")).collect();
        self.fill_devices(&devices.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Appends rows to `plain` with these devices.
    pub fn fill_devices(&self, devices: &[&str]) {
        let temps = (0..devices.len()).map(|n| n as f64 + 0.5);
        let rows = RecordBatch::try_from_iter([
            ("device", Arc::new(StringArray::from(devices.to_vec())) as _),
            ("temp", Arc::new(Float64Array::from_iter_values(temps)) as _),
        ]);
        self.ingest.append_batch("plain", "test", rows.unwrap()).unwrap();
    }

    /// Appends rows to `readings` that say where they go, or nothing.
    pub fn fill_readings(&self, topics: &[Option<&str>]) {
        let devices = (0..topics.len()).map(|n| format!("d{n}"));
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("device", Arc::new(StringArray::from_iter_values(devices)) as _, true),
            ("temp", Arc::new(Float64Array::from(vec![None; topics.len()])) as _, true),
            ("wamp_topic", Arc::new(StringArray::from(topics.to_vec())) as _, true),
            ("wamp_publication", Arc::new(Int64Array::from(vec![0; topics.len()])) as _, false),
        ]);
        self.ingest.append_batch("readings", "test", rows.unwrap()).unwrap();
    }

    /// The sequence numbers of the rows that were parked, in order.
    pub fn parked(&self) -> Vec<i64> {
        let log = self.ingest.log();
        let info = log.stream_named("system.dead_letters").unwrap();
        let until = Some(log.bounds(info.id).unwrap()[0].next);
        let mut reader = log.read(ReadSpec { until, ..ReadSpec::all(info.id, ShardId(0)) }).unwrap();
        let mut all = Vec::new();
        while let Some(batch) = reader.next().unwrap() {
            let records = batch.rows.column_by_name("record").unwrap();
            all.extend(records.as_primitive::<Int64Type>().values());
        }
        all.sort_unstable();
        all
    }

    /// The rows of a stream with a topic, as text.
    pub fn rows(&self, stream: &str) -> Vec<String> {
        let log = self.ingest.log();
        let info = log.stream_named(stream).unwrap();
        let until = log.bounds(info.id).unwrap()[0].next;
        let mut reader =
            log.read(ReadSpec { until: Some(until), ..ReadSpec::all(info.id, ShardId(0)) }).unwrap();
        let mut all = Vec::new();
        while let Some(batch) = reader.next().unwrap() {
            let text = |name: &str| batch.rows.column_by_name(name).unwrap().as_string::<i32>().clone();
            let (devices, topics) = (text("device"), text("wamp_topic"));
            let temps = batch.rows.column_by_name("temp").unwrap().as_primitive::<Float64Type>().clone();
            for row in 0..batch.rows.num_rows() {
                let temp = if temps.is_null(row) { "null".to_owned() } else { temps.value(row).to_string() };
                all.push(format!("{} {temp} {}", devices.value(row), topics.value(row)));
            }
        }
        all
    }

    /// Waits until something holds, for two minutes.
    pub async fn until(&self, holds: impl Fn() -> bool, what: &str) {
        for _ in 0..6_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it has not come to this: {what}; {:?}", self.supervisor.statuses());
    }
}
