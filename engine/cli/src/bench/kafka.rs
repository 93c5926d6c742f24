//! Kafka: rows of 1 KiB out to a topic and in from it, beside Kafka's own performance tools against the same broker; and appends to
//! the log beside a broker on the same disk.
//!
//! `HEADWATER_TEST_KAFKA_JARS` names the folder of Kafka's jars, which `tests/run` fetches; the broker is started here, on loopback, and
//! ended afterwards. Java's tools run with batches of 1 MB, which suits them best, and with `acks=all`.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use clap::Args;
use headwater_connectors::{ConnectorDef, ConnectorSupervisor, Handle, State, registry};
use headwater_core::world::Open;
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_log::{Append, DiskLog, DiskLogOptions, Log, Pending, StreamSpec};

use super::command::Common;
use super::report::{Report, median};

const ROWS_PER_BATCH: u32 = 1_000;
/// How many batches are under way at a time.
const IN_FLIGHT: usize = 8;
/// With the names of fields and a time a row is 1 KiB of JSON.
const PAYLOAD: usize = 950;
const STREAM: &str = "rows";
/// As the suite's broker has it.
const PROPERTIES: &str = include_str!("../../../../connectors/kafka/tests/broker/server.properties");

/// What is measured, and how much of it.
#[derive(Args)]
pub(crate) struct Kafka {
    #[command(flatten)]
    common: Common,
    /// How many thousand rows of 1 KiB a run has
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    thousands: u32,
}

impl Kafka {
    /// Whether JSON is wanted.
    pub fn json(&self) -> bool {
        self.common.json
    }
}

pub(crate) async fn run(args: &Kafka) -> Result<Report> {
    let world = World::real();
    registry::add(&headwater_kafka::CONNECTOR);
    let mut report = Report::new("kafka");
    let Ok(jars) = std::env::var("HEADWATER_TEST_KAFKA_JARS") else {
        report.setup("Kafka", "left out: HEADWATER_TEST_KAFKA_JARS names no folder with its jars");
        return Ok(report);
    };
    report.setup("rows", format!("{} of 1 KiB, in batches of {ROWS_PER_BATCH}", args.rows()));
    report.setup("broker", "one, on the same disk, KRaft, topics of one partition");
    report.setup("runs", args.common.runs);
    let dir = args.common.workspace()?;
    let broker = Broker::start(&world, dir.path(), jars).await?;
    let mut measured = BTreeMap::<&str, Vec<f64>>::new();
    let mut note = |name, value| measured.entry(name).or_default().push(value);
    for run in 0..args.common.runs {
        let place = dir.path().join(format!("log-{run}"));
        world.disk.create_dir(&place)?;
        let log = DiskLog::open(world.clone(), &place, DiskLogOptions::default())?;
        let append = fill(&world, log.as_ref(), args)?;
        let lazy = broker.produce(&format!("lazy-{run}"), args, &[])?;
        let synced = broker.produce(&format!("synced-{run}"), args, &["flush.messages=1"])?;
        note("append", append);
        note("append / broker", append / lazy);
        note("append / synced broker", append / synced);
        let topic = format!("out-{run}");
        broker.create(&topic, &[])?;
        let ingest = Arc::new(Ingest::new(world.clone(), Arc::clone(&log) as Arc<dyn Log>)?);
        let out = broker.deliver(&world, &ingest, &topic, args).await?;
        note("out", out);
        note("out / producer", out / lazy);
        let theirs = broker.consume(&topic, args)?;
        let taken = broker.take(&world, &ingest, &topic, args).await?;
        note("in", taken);
        note("in / consumer", taken / theirs);
        log.close()?;
    }
    let mut of = |name: &str| median(measured.remove(name).unwrap_or_default());
    report.figure("append, durability disk", of("append"), "rows/s");
    report.aimed("append / broker that syncs every batch", of("append / synced broker"), "", "at least 3");
    report.aimed("append / broker that syncs when it likes", of("append / broker"), "", "at least 1");
    report.figure("log to topic, JSON, transactions", of("out"), "rows/s");
    report.aimed("log to topic / kafka-producer-perf-test", of("out / producer"), "", "at least 0.8");
    report.figure("topic to log, JSON, durability disk", of("in"), "rows/s");
    report.aimed("topic to log / kafka-consumer-perf-test", of("in / consumer"), "", "at least 0.8");
    Ok(report)
}

impl Kafka {
    fn rows(&self) -> u64 {
        u64::from(self.thousands) * u64::from(ROWS_PER_BATCH)
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("device", DataType::Int64, false),
        Field::new("payload", DataType::Utf8, false),
    ]))
}

/// Appends the rows to a new stream, and says how many a second.
fn fill(world: &World, log: &DiskLog, args: &Kafka) -> Result<f64> {
    let stream = log.create_stream(StreamSpec::new(StreamName::new(STREAM)?, schema()))?.id;
    let rows = i64::from(ROWS_PER_BATCH);
    let payloads = (0..rows).map(|row| format!("{row:0PAYLOAD$}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(0..rows)),
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(StringArray::from_iter_values(payloads)),
    ];
    let batch = RecordBatch::try_new(schema(), columns)?;
    let started = world.clock.monotonic();
    let mut under_way = std::collections::VecDeque::<Box<dyn Pending>>::new();
    for _ in 0..args.thousands {
        if under_way.len() == IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.wait()?;
        }
        under_way.push_back(log.submit(vec![Append::new(stream, ShardId(0), batch.clone())]));
    }
    for pending in under_way {
        pending.wait()?;
    }
    Ok(args.rows() as f64 / (world.clock.monotonic() - started).as_secs_f64())
}

/// A broker on loopback.
struct Broker {
    address: String,
    jars: String,
    child: Child,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Broker {
    async fn start(world: &World, dir: &Path, jars: String) -> Result<Self> {
        let port = || Ok::<_, anyhow::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (port, controller) = (port()?, port()?);
        let properties = PROPERTIES
            .replace("PORT", &port.to_string())
            .replace("CONTROL", &controller.to_string())
            .replace("DIR", &dir.join("kafka").display().to_string());
        let path = dir.join("server.properties");
        let file = world.disk.open(&path, Open::Create)?;
        file.write_all_at(&mut [std::io::IoSlice::new(properties.as_bytes())], 0)?;
        let mut format = java(&jars, "kafka.tools.StorageTool");
        format
            .args(["format", "--cluster-id", "aGVhZHdhdGVyLWJlbmNoMDA", "--standalone", "--config"])
            .arg(&path);
        ensure!(format.output()?.status.success(), "the broker's storage cannot be formatted");
        let mut command = java(&jars, "kafka.Kafka");
        let child = command.arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let broker = Self { address: format!("127.0.0.1:{port}"), jars, child };
        for _ in 0..600 {
            if TcpStream::connect(&broker.address).is_ok() {
                return Ok(broker);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the broker does not start")
    }

    fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let said = java(&self.jars, class).args(arguments).output().context("cannot run java")?;
        let (out, errors) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        ensure!(said.status.success(), "{class}: {out}{errors}");
        Ok(out.into_owned())
    }

    fn create(&self, topic: &str, settings: &[&str]) -> Result<()> {
        let mut arguments = vec!["--bootstrap-server", &self.address, "--create", "--topic", topic];
        arguments.extend(["--partitions", "1", "--replication-factor", "1"]);
        settings.iter().for_each(|setting| arguments.extend(["--config", setting]));
        self.tool("org.apache.kafka.tools.TopicCommand", &arguments).map(drop)
    }

    /// Records a second of Kafka's own producer test.
    fn produce(&self, topic: &str, args: &Kafka, settings: &[&str]) -> Result<f64> {
        self.create(topic, settings)?;
        let (rows, servers) = (args.rows().to_string(), format!("bootstrap.servers={}", self.address));
        let out = self.tool(
            "org.apache.kafka.tools.ProducerPerformance",
            &[
                "--topic",
                topic,
                "--num-records",
                &rows,
                "--record-size",
                "1024",
                "--throughput",
                "-1",
                "--producer-props",
                &servers,
                "acks=all",
                "batch.size=1000000",
                "linger.ms=5",
                "max.request.size=2000000",
            ],
        )?;
        // The last line: `1000000 records sent, 123456.7 records/sec (120.56 MB/sec), …`
        let line = out.lines().rfind(|line| line.contains("records/sec")).unwrap_or_default();
        let rate = line.split(", ").nth(1).and_then(|part| part.split(' ').next()?.parse().ok());
        rate.with_context(|| format!("no rate in {out:?}"))
    }

    /// Records a second of Kafka's own consumer test.
    fn consume(&self, topic: &str, args: &Kafka) -> Result<f64> {
        let rows = args.rows().to_string();
        let out = self.tool(
            "org.apache.kafka.tools.ConsumerPerformance",
            &[
                "--bootstrap-server",
                &self.address,
                "--topic",
                topic,
                "--messages",
                &rows,
                "--timeout",
                "60000",
            ],
        )?;
        // Start, end, MB, MB/s, records, records/s and more, with commas between.
        let line = out.lines().rfind(|line| line.split(',').count() >= 6).unwrap_or_default();
        let rate = line.split(',').nth(5).and_then(|part| part.trim().parse().ok());
        rate.with_context(|| format!("no rate in {out:?}"))
    }

    fn def(&self, stream: &str, topic: &str, more: &[(&str, &str)]) -> Result<ConnectorDef> {
        let own = [("properties.bootstrap.servers", self.address.as_str()), ("topic", topic)];
        let options = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Ok(ConnectorDef {
            name: topic.to_owned(),
            connector: "kafka".to_owned(),
            stream: StreamName::new(stream)?,
            key: Vec::new(),
            options: options.collect(),
            metadata: BTreeMap::new(),
        })
    }

    /// Delivers the stream to a topic, and says how many rows a second.
    async fn deliver(&self, world: &World, ingest: &Arc<Ingest>, topic: &str, args: &Kafka) -> Result<f64> {
        let supervisor = ConnectorSupervisor::new(Arc::clone(ingest), tokio::runtime::Handle::current())?;
        let started = world.clock.monotonic();
        let handle = supervisor.start_sink(self.def(STREAM, topic, &[])?)?;
        let taken = |handle: &Handle| {
            let status = handle.status();
            status.rows >= args.rows() && status.lag == Some(0)
        };
        while !taken(&handle) && !handle.status().state.is_final() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Ends with a last commit.
        let status = handle.stop().await;
        ensure!(status.state == State::Stopped && status.rows == args.rows(), "{status:?}");
        Ok(args.rows() as f64 / (world.clock.monotonic() - started).as_secs_f64())
    }

    /// Reads the topic into a new stream, and says how many rows a second.
    async fn take(&self, world: &World, ingest: &Arc<Ingest>, topic: &str, args: &Kafka) -> Result<f64> {
        ingest.log().create_stream(StreamSpec::new(StreamName::new("again")?, schema()))?;
        let supervisor = ConnectorSupervisor::new(Arc::clone(ingest), tokio::runtime::Handle::current())?;
        let def = self.def("again", topic, &[("scan.bounded.mode", "latest-offset")])?;
        let started = world.clock.monotonic();
        let status = supervisor.start_source(def, |_| ())?.ended().await;
        ensure!(status.state == State::Ended && status.rows == args.rows(), "{status:?}");
        Ok(args.rows() as f64 / (world.clock.monotonic() - started).as_secs_f64())
    }
}

fn java(jars: &str, class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx512m", "-cp", &format!("{jars}/*"), class]);
    command
}
