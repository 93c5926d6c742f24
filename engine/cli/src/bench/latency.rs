//! Latency: from an append that is acknowledged to its result being seen by a tail, through a job without state.
//!
//! Rows are sent by a schedule, 20 of them each millisecond, whether or not those before have been answered. So nothing
//! is left out when the system is slow, and a second figure counts from the time at which a row was due. What the disk does by
//! itself is measured before, on a file of its own.

use std::io::IoSlice;
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
use headwater_log::Append;
use headwater_run::{Engine, TailFrom};
use tokio::time::MissedTickBehavior;

use super::command::Common;
use super::report::Report;
use crate::open::{EngineArgs, Tuning};

const ROWS_PER_TICK: u64 = 20;
const TICK: Duration = Duration::from_millis(1);
const WARM_UP_TICKS: u64 = 2_000;
const TICKS: u64 = 10_000;
const SYNCS: u64 = 500;
/// How long the last rows are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const JOB: &str = "\
CREATE STREAM bench_in (id BIGINT NOT NULL, value DOUBLE NOT NULL);
CREATE STREAM bench_out (id BIGINT NOT NULL, value DOUBLE NOT NULL);
CREATE JOB bench AS INSERT INTO bench_out SELECT id, value * 2 FROM bench_in WHERE value >= 0;";

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
    report.setup("job", "SELECT id, value * 2 FROM bench_in WHERE value >= 0");
    let syncs = time_syncs(&world, &dir.path().join("syncs"))?;
    quantiles(&mut report, "fdatasync of 4 KiB, by itself", &syncs, None);

    let engine = EngineArgs {
        data: dir.path().join("data"),
        tuning: Tuning::default(),
        allowed: Default::default(),
        log: Default::default(),
    }
    .open()?;
    let measured = Box::pin(measure(&world, &engine)).await;
    engine.close().await?;
    let (after_ack, after_due) = measured?;
    let aim = "p99 under 20 where fdatasync p99 is under 5";
    quantiles(&mut report, "acknowledged to seen", &after_ack, Some(aim));
    quantiles(&mut report, "due to seen", &after_due, None);
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

async fn measure(world: &World, engine: &Engine) -> Result<(Histogram<u64>, Histogram<u64>)> {
    engine.execute(JOB).await?;
    let stream = engine.log().stream_named("bench_in")?.id;
    let all = WARM_UP_TICKS + TICKS;
    let blank = || (0..all).map(|_| AtomicU64::new(0)).collect();
    let times = Arc::new(Times { acknowledged: blank(), seen: blank() });
    let watching = tokio::spawn(watch(world.clone(), engine.clone(), Arc::clone(&times)));

    let started = world.clock.monotonic();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for tick in 0..all {
        ticks.tick().await;
        let pending = engine.log().submit(vec![Append::new(stream, ShardId(0), rows_of(tick)?)]);
        let (times, world) = (Arc::clone(&times), world.clone());
        tokio::spawn(async move {
            if pending.await.is_ok() {
                times.acknowledged[tick as usize].store(now(&world), Ordering::Relaxed);
            }
        });
    }
    tokio::time::timeout(PATIENCE, watching).await.context("the last rows were not seen")???;

    let (mut after_ack, mut after_due) = (histogram()?, histogram()?);
    for tick in WARM_UP_TICKS..all {
        let of = |times: &[AtomicU64]| times[tick as usize].load(Ordering::Relaxed);
        let (acknowledged, seen) = (of(&times.acknowledged), of(&times.seen));
        let due = (started + TICK * u32::try_from(tick)?).as_nanos() as u64;
        // A tail may see a row before its sender gets to run.
        after_ack.record(seen.saturating_sub(acknowledged))?;
        after_due.record(seen.saturating_sub(due))?;
    }
    Ok((after_ack, after_due))
}

/// Notes when the last row of each tick is seen.
async fn watch(world: World, engine: Engine, times: Arc<Times>) -> Result<()> {
    let mut tail = engine.tail_stream("bench_out", TailFrom::Earliest)?;
    let last = times.seen.len() as i64 * ROWS_PER_TICK as i64 - 1;
    while let Some(batch) = tail.next().await {
        let batch = batch?;
        let seen = now(&world);
        for id in batch.rows.column(0).as_primitive::<Int64Type>().values() {
            times.seen[(id / ROWS_PER_TICK as i64) as usize].store(seen, Ordering::Relaxed);
            if *id == last {
                return Ok(());
            }
        }
    }
    bail!("the tail ended")
}

fn now(world: &World) -> u64 {
    world.clock.monotonic().as_nanos() as u64
}

fn rows_of(tick: u64) -> Result<RecordBatch> {
    let ids = tick * ROWS_PER_TICK..(tick + 1) * ROWS_PER_TICK;
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(ids.clone().map(|id| id as f64)));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids.map(|id| id as i64)));
    Ok(RecordBatch::try_from_iter([("id", ids), ("value", values)])?)
}
