//! Jobs without state over one stream: filters, each with another constant, into a black hole.
//!
//! The jobs are made and paused, the events are appended, and then so many jobs at a time go on until they have read all of it; the time is
//! from the first that is told to go on to the last that is done, statements and journals and all. Fewer jobs at a time are measured in
//! several rounds, so that there is enough to measure. Beside them stands the expression alone, over decoded batches in memory.
//!
//! The statements wait for the disk, one after the other, so that many jobs are hardly there together: the first has come to its end when
//! the last one begins. So many jobs are measured once more as they follow: all of them run, the same events are appended, and the time is
//! from the first append until all have read them, less what the same appends take to a stream that nobody reads.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::filter_record_batch;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::scalar::ScalarValue;
use headwater_core::{ShardId, World};
use headwater_log::{Append, ReadSpec};
use headwater_run::{Engine, fit_columns};

use super::super::process::cpu_seconds;
use super::super::report::{Report, median};
use super::command::{Growth, counted, until};

const ROWS_PER_BATCH: u64 = 50_000;

/// At least so many jobs run over the events, in rounds of so many at once as are measured.
const JOBS_MIN: usize = 40;

/// How many rows are appended to a stream that no job reads.
const OTHER_APPENDS: u32 = 5_000;

const STREAMS: &str = "\
CREATE STREAM events (device BIGINT NOT NULL, ts TIMESTAMP(3) NOT NULL, temp DOUBLE NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('clock.guard' = 'none', durability = process);
CREATE STREAM unread (device BIGINT NOT NULL, ts TIMESTAMP(3) NOT NULL, temp DOUBLE NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('clock.guard' = 'none', durability = process);
CREATE STREAM others (n BIGINT NOT NULL) WITH (durability = process);
CREATE TABLE nowhere (device BIGINT, temp DOUBLE) WITH (connector = 'blackhole');";

/// What so many jobs at once took.
struct Taken {
    /// CPU for each event and job.
    nanos: f64,
    /// The same when they follow, if they are not fewer than [`JOBS_MIN`].
    following_nanos: Option<f64>,
    /// CPU of an append that concerns none of them.
    append_micros: f64,
    /// Of the expression alone.
    bare_nanos: f64,
}

pub(super) async fn run(args: &Growth, report: &mut Report) -> Result<()> {
    ensure!(args.jobs.iter().all(|jobs| *jobs > 0), "no jobs are none to measure");
    report
        .setup("events filtered", format!("{} by each job, in the log, on the disk", counted(args.filtered)));
    report.setup("filter", "SELECT device, temp FROM events WHERE temp > c; a row in 1,000 passes");
    let mut taken: Vec<Vec<Taken>> = args.jobs.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.common.runs {
        for (jobs, taken) in args.jobs.iter().zip(&mut taken) {
            taken.push(filter(args, *jobs).await?);
        }
    }
    let bare = taken.iter().flatten().map(|taken| taken.bare_nanos).collect();
    report.figure("the expression alone, for an event", median(bare), "ns");
    for (jobs, runs) in args.jobs.iter().zip(&taken) {
        let of = |what: fn(&Taken) -> f64| median(runs.iter().map(what).collect());
        let name = format!("{} jobs at once", counted(*jobs as u64));
        report.figure(format!("{name}, CPU for an event and job"), of(|taken| taken.nanos), "ns");
        report.figure(
            format!("{name}, CPU of an append to another stream"),
            of(|taken| taken.append_micros),
            "us",
        );
        let times = of(|taken| taken.nanos / taken.bare_nanos);
        report.aimed(format!("{name} / the expression alone, CPU"), times, "", "under 2 with many jobs");
        let following = runs.iter().filter_map(|taken| Some((taken.following_nanos?, taken.bare_nanos)));
        let (nanos, times): (Vec<f64>, Vec<f64>) = following.map(|(own, bare)| (own, own / bare)).unzip();
        if !nanos.is_empty() {
            let name = format!("{} jobs that follow", counted(*jobs as u64));
            report.figure(format!("{name}, CPU for an event and job"), median(nanos), "ns");
            let name = format!("{name} / the expression alone, CPU");
            report.aimed(name, median(times), "", "under 2 with many jobs");
        }
    }
    for (jobs, runs) in args.jobs.iter().zip(&taken).skip(1) {
        let ratios = runs.iter().zip(&taken[0]).map(|(own, alone)| own.nanos / alone.nanos);
        let name =
            format!("{} / {} jobs at once, CPU for an event and job", counted(*jobs as u64), args.jobs[0]);
        report.aimed(name, median(ratios.collect()), "", "at most 1");
    }
    Ok(())
}

/// The constant of a job: each lets about one row in a thousand pass.
fn bound(nth: usize) -> f64 {
    99.9 + nth as f64 * 1e-6
}

/// Even between 0 and 100, in no order.
fn temp(row: u64) -> f64 {
    (row * 7_919 % 1_000_003) as f64 / 10_000.03
}

async fn filter(args: &Growth, at_once: usize) -> Result<Taken> {
    let dir = args.common.workspace()?;
    let engine = args.open(dir.path())?;
    engine.execute(STREAMS).await?;
    let total = at_once.max(JOBS_MIN).next_multiple_of(at_once);
    for nth in 0..total {
        let select = format!("SELECT device, temp FROM events WHERE temp > {:.6}", bound(nth));
        let job = format!("CREATE JOB growth_{nth} AS INSERT INTO nowhere {select}; PAUSE JOB growth_{nth}");
        engine.execute(&job).await?;
    }
    append(&engine, "events", args.filtered)?;
    let (bare_nanos, passed) = alone(&engine, args.filtered)?;
    let mut seconds = 0.0;
    for from in (0..total).step_by(at_once) {
        let cpu = cpu_seconds()?;
        for nth in from..from + at_once {
            engine.execute(&format!("RESUME JOB growth_{nth}")).await?;
        }
        for nth in from..from + at_once {
            let job = until(&engine, &format!("growth_{nth}"), |job| job.rows_in >= args.filtered).await?;
            let expected = passed.get(nth).copied().unwrap_or(job.rows_out);
            ensure!(job.rows_out == expected, "{} rows of {expected} passed", job.rows_out);
        }
        seconds += cpu_seconds()? - cpu;
    }
    let append_micros = append_elsewhere(&engine)?;
    let for_each = |seconds: f64| seconds * 1e9 / (total as u64 * args.filtered) as f64;
    let following_nanos =
        if total == at_once { Some(for_each(follow(&engine, args, total).await?)) } else { None };
    engine.close().await?;
    Ok(Taken { nanos: for_each(seconds), following_nanos, append_micros, bare_nanos })
}

/// Seconds of CPU that so many jobs, which have read all there is, take for as many events more.
async fn follow(engine: &Engine, args: &Growth, jobs: usize) -> Result<f64> {
    let cpu = cpu_seconds()?;
    append(engine, "unread", args.filtered)?;
    let unread = cpu_seconds()? - cpu;
    let cpu = cpu_seconds()?;
    append(engine, "events", args.filtered)?;
    for nth in 0..jobs {
        until(engine, &format!("growth_{nth}"), |job| job.rows_in >= 2 * args.filtered).await?;
    }
    Ok(cpu_seconds()? - cpu - unread)
}

fn append(engine: &Engine, stream: &str, events: u64) -> Result<()> {
    let info = engine.log().stream_named(stream)?;
    for from in (0..events).step_by(ROWS_PER_BATCH as usize) {
        let rows = from..(from + ROWS_PER_BATCH).min(events);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| (row % 1_000) as i64))),
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.clone().map(|row| row as i64 / 10))),
            Arc::new(Float64Array::from_iter_values(rows.map(temp))),
        ];
        let rows = fit_columns(&info.spec.schema, columns)?;
        engine.log().append(vec![Append::new(info.id, ShardId(0), rows)])?;
    }
    Ok(())
}

/// Nanoseconds for an event that the first filters take over batches in memory, and how many rows pass each.
fn alone(engine: &Engine, events: u64) -> Result<(f64, Vec<u64>)> {
    let clock = World::real().clock;
    let info = engine.log().stream_named("events")?;
    let mut reader =
        engine.log().read(ReadSpec { projection: Some(vec![0, 2]), ..ReadSpec::all(info.id, ShardId(0)) })?;
    let mut batches: Vec<RecordBatch> = Vec::new();
    while let Some(read) = reader.next()? {
        batches.push(read.rows);
    }
    let column = info.spec.schema.field(2).name().clone();
    let started = clock.monotonic();
    let mut passed = Vec::new();
    for nth in 0..JOBS_MIN {
        let temp: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&column, 1));
        // As it stands in the statement.
        let bound: f64 = format!("{:.6}", bound(nth)).parse().context("a number")?;
        let bound = Arc::new(Literal::new(ScalarValue::Float64(Some(bound))));
        let predicate = BinaryExpr::new(temp, Operator::Gt, bound);
        let mut rows = 0;
        for batch in &batches {
            let mask = predicate.evaluate(batch)?.into_array(batch.num_rows())?;
            rows += filter_record_batch(batch, mask.as_boolean())?.num_rows() as u64;
        }
        passed.push(rows);
    }
    let seconds = (clock.monotonic() - started).as_secs_f64();
    Ok((seconds * 1e9 / (JOBS_MIN as u64 * events) as f64, passed))
}

/// Microseconds of CPU for an append of one row to a stream that no job reads.
fn append_elsewhere(engine: &Engine) -> Result<f64> {
    let info = engine.log().stream_named("others")?;
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let row = fit_columns(&info.spec.schema, vec![one])?;
    let cpu = cpu_seconds()?;
    for _ in 0..OTHER_APPENDS {
        engine.log().append(vec![Append::new(info.id, ShardId(0), row.clone())])?;
    }
    Ok((cpu_seconds()? - cpu) * 1e6 / f64::from(OTHER_APPENDS))
}
