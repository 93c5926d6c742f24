//! Row patterns: a typical one over a thousand devices, from rows in the log to matches in the log, on one core.
//!
//! The rows are appended beforehand and the stream has ended; then a job runs over all of it. Beside it stands a job that only filters the
//! same rows: what is over and above that is the pattern's.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampMillisecondArray};
use headwater_core::{ShardId, World};
use headwater_log::Append;
use headwater_run::{Engine, EngineOptions, JobState, NoConnectors, fit_columns};

use super::command::Common;
use super::report::{Report, median};

const DEVICES: i64 = 1_000;
const ROWS_PER_BATCH: i64 = 50_000;
const BATCHES: i64 = 20;
const ROWS: i64 = ROWS_PER_BATCH * BATCHES;

const STREAMS: &str = "\
CREATE STREAM bench_in (device BIGINT NOT NULL, ts TIMESTAMP(3) NOT NULL, temp DOUBLE NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) WITH ('clock.guard' = 'none', durability = memory);
CREATE STREAM bench_out (device BIGINT, low DOUBLE, high DOUBLE) WITH (durability = memory);";

/// The job that does nothing but pass on as many rows as there are matches, about.
const FILTER: &str = "CREATE JOB bench AS INSERT INTO bench_out SELECT device, temp AS low, temp AS high FROM bench_in WHERE temp < 7;";

/// A rise of three readings or more, and its end; definitions look at the reading before.
const MERGED: &str = "\
CREATE JOB bench AS INSERT INTO bench_out SELECT device, low, high FROM bench_in MATCH_RECOGNIZE (
  PARTITION BY device ORDER BY ts MEASURES a.temp AS low, LAST(b.temp) AS high
  PATTERN (a b{3,} c) WITHIN INTERVAL '1' MINUTE
  DEFINE b AS b.temp > PREV(b.temp), c AS c.temp <= PREV(c.temp));";

/// The same; definitions look at the rows of the match.
const FOLLOWED: &str = "\
CREATE JOB bench AS INSERT INTO bench_out SELECT device, low, high FROM bench_in MATCH_RECOGNIZE (
  PARTITION BY device ORDER BY ts MEASURES a.temp AS low, LAST(b.temp) AS high
  PATTERN (a b{3,} c) WITHIN INTERVAL '1' MINUTE
  DEFINE b AS b.temp > LAST(temp, 1), c AS c.temp <= LAST(temp, 1));";

pub(crate) fn run(common: &Common) -> Result<Report> {
    let world = World::real();
    let mut report = Report::new("patterns");
    report.setup("rows", format!("{ROWS} of {DEVICES} devices, one a second from each, in memory"));
    report.setup("pattern", "a b{3,} c: a rise of three readings or more, and its end");
    report.setup("threads", 1);
    report.setup("runs", common.runs);
    let (mut filter, mut merged, mut followed, mut ratio) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let (bare, _) = job(&world, FILTER)?;
        let (by_neighbours, found) = job(&world, MERGED)?;
        let (by_match, found_again) = job(&world, FOLLOWED)?;
        ensure!(found > 0 && found == found_again, "{found} matches, and {found_again}");
        filter.push(ROWS as f64 / bare);
        merged.push(ROWS as f64 / by_neighbours);
        followed.push(ROWS as f64 / by_match);
        ratio.push(by_neighbours / bare);
    }
    report.figure("the pattern, definitions by neighbours", median(merged), "rows/s");
    report.figure("the pattern, definitions by rows of the match", median(followed), "rows/s");
    report.figure("a filter alone", median(filter), "rows/s");
    report.figure("by neighbours / a filter alone, time", median(ratio), "");
    Ok(report)
}

/// Goes up for seven readings and down for three, each device at its own time.
fn temp(device: i64, second: i64) -> f64 {
    let at = (device * 7 + second) % 10;
    (if at < 7 { at } else { 20 - 2 * at }) as f64 + (device % 5) as f64
}

/// The seconds that a job takes over all rows, and how many it writes.
fn job(world: &World, sql: &str) -> Result<(f64, u64)> {
    let options = EngineOptions {
        step_rows_max: ROWS_PER_BATCH as usize,
        step_bytes_max: 1 << 30,
        ..EngineOptions::in_memory()
    };
    let engine =
        Engine::open_on(tokio::runtime::Handle::current(), world.clone(), options, Arc::new(NoConnectors))?;
    engine.define_here(STREAMS)?;
    let info = engine.log().stream_named("bench_in")?;
    for batch in 0..BATCHES {
        let rows = || {
            (batch * ROWS_PER_BATCH..(batch + 1) * ROWS_PER_BATCH).map(|row| (row % DEVICES, row / DEVICES))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows().map(|(device, _)| device))),
            Arc::new(TimestampMillisecondArray::from_iter_values(rows().map(|(_, second)| second * 1_000))),
            Arc::new(Float64Array::from_iter_values(rows().map(|(device, second)| temp(device, second)))),
        ];
        let rows = fit_columns(&info.spec.schema, columns)?;
        engine.log().append(vec![Append::new(info.id, ShardId(0), rows)])?;
    }
    engine.end_stream_here("bench_in")?;
    let started = world.clock.monotonic();
    engine.define_here(sql)?;
    while engine.jobs().iter().any(|job| job.state != JobState::Finished) {
        let failed = engine.jobs().into_iter().find_map(|job| job.error);
        ensure!(failed.is_none(), "the job failed: {failed:?}");
        std::thread::yield_now();
    }
    let seconds = (world.clock.monotonic() - started).as_secs_f64();
    let out = engine.log().stream_named("bench_out")?.id;
    let said = engine.log().bounds(out)?[0].next.0;
    engine.close_here()?;
    Ok((seconds, said))
}
