//! Latency: from an append that is acknowledged to its result being seen by a tail, through a job without state.
//!
//! It is measured twice: over HTTP, where each append is a `POST` of JSON lines and the tail is one of server-sent events, and within the
//! process, where an append is a call of the log. Rows are sent by a schedule, 20 of them each millisecond, whether or not those before
//! have been answered. So nothing is left out when the system is slow, and a second figure counts from the time at which a row was due.
//! What the disk does by itself is measured before, on a file of its own.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::StreamExt;
use hdrhistogram::Histogram;
use headwater_core::world::Open;
use headwater_core::{ShardId, World};
use headwater_ingest::Format;
use headwater_log::Append;
use headwater_run::{Engine, TailFrom};
use headwater_serve::{ServeOptions, Server};
use reqwest::header::CONTENT_TYPE;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::command::Common;
use super::report::Report;
use crate::client::Client;
use crate::open::{EngineArgs, Tuning};

const ROWS_PER_TICK: u64 = 20;
const TICK: Duration = Duration::from_millis(1);
const WARM_UP_TICKS: u64 = 2_000;
const TICKS: u64 = 10_000;
const SYNCS: u64 = 500;
/// How long the last rows are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The streams and the job of one way of sending.
fn job(way: &str) -> String {
    format!(
        "CREATE STREAM {way}_in (id BIGINT NOT NULL, value DOUBLE NOT NULL); \
         CREATE STREAM {way}_out (id BIGINT NOT NULL, value DOUBLE NOT NULL); \
         CREATE JOB {way} AS INSERT INTO {way}_out SELECT id, value * 2 FROM {way}_in WHERE value >= 0;"
    )
}

/// When each tick was answered and seen, in nanoseconds of the monotonic clock; 0: not yet.
struct Times {
    acknowledged: Vec<AtomicU64>,
    seen: Vec<AtomicU64>,
}

pub(crate) async fn run(common: &Common) -> Result<Report> {
    let world = World::real();
    let dir = common.workspace()?;
    let mut report = Report::new("latency");
    report.setup(
        "rows",
        format!("{} a second for {} s, durability disk", ROWS_PER_TICK * 1_000, TICKS / 1_000),
    );
    report.setup("job", "SELECT id, value * 2 FROM stream WHERE value >= 0");
    let syncs = time_syncs(&world, &dir.path().join("syncs"))?;
    quantiles(&mut report, "fdatasync of 4 KiB, by itself", &syncs, None);

    let engine = EngineArgs {
        data: dir.path().join("data"),
        tuning: Tuning::default(),
        allowed: Default::default(),
        log: Default::default(),
    }
    .open()?;
    let measured = Box::pin(measure_both(&world, &engine)).await;
    engine.close().await?;
    let (over_http, within) = measured?;
    let aim = "p99 under 20 where fdatasync p99 is under 5";
    quantiles(&mut report, "over HTTP, acknowledged to seen", &over_http.after_ack, Some(aim));
    quantiles(&mut report, "over HTTP, due to seen", &over_http.after_due, None);
    quantiles(&mut report, "within the process, acknowledged to seen", &within.after_ack, Some(aim));
    quantiles(&mut report, "within the process, due to seen", &within.after_due, None);
    Ok(report)
}

fn quantiles(report: &mut Report, name: &str, times: &Histogram<u64>, aim: Option<&str>) {
    let millis = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1e6;
    report.figure(format!("{name}, p50"), millis(0.5), "ms");
    match aim {
        Some(aim) => report.aimed(format!("{name}, p99"), millis(0.99), "ms", aim),
        None => report.figure(format!("{name}, p99"), millis(0.99), "ms"),
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1_000, 60_000_000_000, 3)?)
}

fn time_syncs(world: &World, path: &Path) -> Result<Histogram<u64>> {
    let file = world.disk.open(path, Open::Create)?;
    let mut times = histogram()?;
    for nth in 0..SYNCS {
        file.write_all_at(&mut [IoSlice::new(&[nth as u8; 4096])], nth * 4096)?;
        let started = world.clock.monotonic();
        file.sync()?;
        times.record((world.clock.monotonic() - started).as_nanos() as u64)?;
    }
    Ok(times)
}

/// What came of one way of sending.
struct Measured {
    after_ack: Histogram<u64>,
    after_due: Histogram<u64>,
}

async fn measure_both(world: &World, engine: &Engine) -> Result<(Measured, Measured)> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = ServeOptions::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    let server = Server::bind(engine.clone(), options).await?;
    let client = Client::new(&format!("http://{}", server.address()))?;
    let serving = tokio::spawn(server.run(async move { stopped.await.unwrap_or_default() }));
    let over_http = measure_http(world, engine, &client).await;
    drop(stop);
    serving.await??;
    Ok((over_http?, measure_within(world, engine).await?))
}

async fn measure_http(world: &World, engine: &Engine, client: &Client) -> Result<Measured> {
    engine.execute(&job("web")).await?;
    let times = Arc::new(Times::blank());
    let tail = client.get(&["v1", "streams", "web_out", "tail"])?.query(&[("from", "earliest")]);
    let tail = tail.send().await?.error_for_status()?;
    let watching = tokio::spawn(watch_events(world.clone(), tail, Arc::clone(&times)));
    let send = |tick: u64| -> Result<_> {
        let body: String = ids_of(tick).map(|id| format!("{{\"id\":{id},\"value\":{id}.0}}\n")).collect();
        let request =
            client.post(&["v1", "streams", "web_in"])?.header(CONTENT_TYPE, Format::JsonLines.media_type());
        let request = request.body(body);
        // It is acknowledged when all of the answer has come.
        Ok(async move { anyhow::Ok(request.send().await?.error_for_status()?.bytes().await.map(drop)?) })
    };
    measure(world, &times, watching, send).await
}

async fn measure_within(world: &World, engine: &Engine) -> Result<Measured> {
    engine.execute(&job("own")).await?;
    let stream = engine.log().stream_named("own_in")?.id;
    let times = Arc::new(Times::blank());
    let watching = tokio::spawn(watch(world.clone(), engine.clone(), Arc::clone(&times)));
    let send = |tick: u64| -> Result<_> {
        let pending = engine.log().submit(vec![Append::new(stream, ShardId(0), rows_of(tick)?)]);
        Ok(async move { anyhow::Ok(pending.await.map(drop)?) })
    };
    measure(world, &times, watching, send).await
}

/// Sends rows by the schedule, and waits until the last of them is seen.
async fn measure<F: Future<Output = Result<()>> + Send + 'static>(
    world: &World,
    times: &Arc<Times>,
    watching: JoinHandle<Result<()>>,
    mut send: impl FnMut(u64) -> Result<F>,
) -> Result<Measured> {
    let started = world.clock.monotonic();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = JoinSet::new();
    for tick in 0..WARM_UP_TICKS + TICKS {
        ticks.tick().await;
        let answer = send(tick)?;
        let (times, world) = (Arc::clone(times), world.clone());
        sent.spawn(async move {
            answer.await?;
            times.acknowledged[tick as usize].store(now(&world), Ordering::Relaxed);
            anyhow::Ok(())
        });
    }
    tokio::time::timeout(PATIENCE, watching).await.context("the last rows were not seen")???;
    while let Some(answered) = sent.join_next().await {
        answered?.context("rows were not taken")?;
    }

    let (mut after_ack, mut after_due) = (histogram()?, histogram()?);
    for tick in WARM_UP_TICKS..WARM_UP_TICKS + TICKS {
        let of = |times: &[AtomicU64]| times[tick as usize].load(Ordering::Relaxed);
        let (acknowledged, seen) = (of(&times.acknowledged), of(&times.seen));
        let due = (started + TICK * u32::try_from(tick)?).as_nanos() as u64;
        // A tail may see a row before its sender gets to run.
        after_ack.record(seen.saturating_sub(acknowledged))?;
        after_due.record(seen.saturating_sub(due))?;
    }
    Ok(Measured { after_ack, after_due })
}

impl Times {
    fn blank() -> Self {
        let blank = || (0..WARM_UP_TICKS + TICKS).map(|_| AtomicU64::new(0)).collect();
        Self { acknowledged: blank(), seen: blank() }
    }

    /// Notes that a row is seen; answers whether it is the last.
    fn note_seen(&self, id: u64, at: u64) -> bool {
        self.seen[(id / ROWS_PER_TICK) as usize].store(at, Ordering::Relaxed);
        id + 1 == self.seen.len() as u64 * ROWS_PER_TICK
    }
}

/// Notes when the last row of each tick is seen.
async fn watch(world: World, engine: Engine, times: Arc<Times>) -> Result<()> {
    let mut tail = engine.tail_stream("own_out", TailFrom::Earliest)?;
    while let Some(batch) = tail.next().await {
        let batch = batch?;
        let seen = now(&world);
        for id in batch.rows.column(0).as_primitive::<Int64Type>().values() {
            if times.note_seen(id.cast_unsigned(), seen) {
                return Ok(());
            }
        }
    }
    bail!("the tail ended")
}

/// The same, of events.
async fn watch_events(world: World, tail: reqwest::Response, times: Arc<Times>) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Row {
        id: u64,
    }
    let mut chunks = tail.bytes_stream();
    let mut unread: Vec<u8> = Vec::new();
    while let Some(chunk) = chunks.next().await {
        unread.extend_from_slice(&chunk?);
        let seen = now(&world);
        let whole = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in unread[..whole].split(|byte| *byte == b'\n') {
            let Some(row) = line.strip_prefix(b"data: ") else { continue };
            if times.note_seen(serde_json::from_slice::<Row>(row)?.id, seen) {
                return Ok(());
            }
        }
        unread.drain(..whole);
    }
    bail!("the tail ended")
}

fn now(world: &World) -> u64 {
    world.clock.monotonic().as_nanos() as u64
}

fn ids_of(tick: u64) -> std::ops::Range<u64> {
    tick * ROWS_PER_TICK..(tick + 1) * ROWS_PER_TICK
}

fn rows_of(tick: u64) -> Result<RecordBatch> {
    let ids = ids_of(tick);
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(ids.clone().map(|id| id as f64)));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids.map(|id| id as i64)));
    Ok(RecordBatch::try_from_iter([("id", ids), ("value", values)])?)
}
