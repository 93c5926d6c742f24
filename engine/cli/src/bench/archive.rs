//! Archives: writing Parquet from the log on one core; scanning it through the engine, beside DataFusion over the same files; and
//! replaying a windowed job over it, beside the same query as a batch in DuckDB, if there is one.
//!
//! `HEADWATER_TEST_READERS` names a Python with DuckDB; without it that comparison is left out.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use headwater_archive::{Archiver, Place, Settings, Stepped};
use headwater_core::{Sequence, ShardId, World};
use headwater_log::{Append, DiskLogOptions};
use headwater_run::{Answer, Engine, EngineOptions, NoConnectors, ReplaySpec};

use super::command::Common;
use super::report::{Report, median};

const ROWS_PER_BATCH: i64 = 65_536;
const BATCHES: i64 = 64;
const ROWS: i64 = ROWS_PER_BATCH * BATCHES;
const DEVICES: i64 = 1000;

const CREATE: &str = "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), temp DOUBLE, humidity DOUBLE, n BIGINT, \
     WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');";
const SCAN: &str =
    "SELECT device, count(*), avg(temp), max(humidity) FROM readings WHERE n % 7 <> 0 GROUP BY device";
const WINDOWS: &str = "SELECT device, window_start, COUNT(*) AS n, AVG(temp) AS mean \
     FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY device, window_start, window_end";
const DUCKDB: &str = r#"
import sys, time, duckdb
db = duckdb.connect(config = {"threads": int(sys.argv[2])})
began = time.monotonic()
db.sql(f"""SELECT count(*), sum(n), sum(mean) FROM (
           SELECT device, time_bucket(INTERVAL 1 HOUR, ts) AS w, count(*) AS n, avg(temp) AS mean
           FROM read_parquet('{sys.argv[1]}/**/*.parquet') GROUP BY ALL)""").fetchall()
print(time.monotonic() - began)
"#;

pub(crate) async fn run(common: &Common) -> Result<Report> {
    let world = World::real();
    let dir = common.workspace()?;
    let mut report = Report::new("archive");
    report.setup(
        "rows",
        format!("{ROWS} of a device (of {DEVICES}), a time, two DOUBLE and a BIGINT column, warm"),
    );
    report.setup("archive", "ZSTD level 3, one directory, ranges of 32 MiB of log");
    report.setup("runs", common.runs);
    let engine = open(&world, dir.path())?;
    engine.execute(CREATE).await?;
    fill(&engine)?;
    let info = engine.log().stream_named("readings")?;
    let log_bytes: u64 = engine.log().segments(info.id)?.iter().map(|segment| segment.bytes).sum();
    report.setup("log", format!("{:.0} MB", log_bytes as f64 / 1e6));

    let (mut writing, mut parquet) = (Vec::new(), 0);
    for nth in 0..common.runs {
        let place = Place::open(&world, &dir.path().join(format!("written-{nth}")).to_string_lossy())?;
        let settings = Settings { roll: rolling(), ..Settings::default() };
        let started = world.clock.monotonic();
        let (log, info) = (Arc::clone(engine.log()), Arc::clone(&info));
        let mut archiver = Archiver::open(world.clone(), log, info, place, settings, Arc::default()).await?;
        while !matches!(archiver.step().await?, Stepped::Idle(_)) {}
        writing.push(log_bytes as f64 / 1e6 / (world.clock.monotonic() - started).as_secs_f64());
        ensure!(archiver.lag()? == 0, "rows are left");
        parquet = archiver.manifest().files().map(|file| file.bytes).sum();
    }
    report.aimed(
        "log to Parquet in a directory, durable, one core",
        median(writing),
        "MB of log/s",
        "at least 80",
    );
    report.figure("Parquet / log", parquet as f64 / log_bytes as f64, "");

    let place = dir.path().join("written-0");
    let options = "'rollover-seconds' = 1, 'target-file-size' = '32 MiB'";
    engine
        .execute(&format!("CREATE ARCHIVE old FOR readings TO '{}' WITH ({options})", place.display()))
        .await?;
    let kept = trim(&engine).await?;
    report.setup("in the archive only", format!("{} of the rows", ROWS as u64 - kept));
    scans(common, &world, &engine, &place, &mut report).await?;
    replays(common, &world, &engine, &place, &mut report).await?;
    engine.close().await?;
    Ok(report)
}

fn rolling() -> headwater_archive::Roll {
    headwater_archive::Roll { bytes: 32 << 20, rows: u64::MAX >> 1, age: Duration::ZERO }
}

fn open(world: &World, dir: &Path) -> Result<Engine> {
    let options = EngineOptions {
        data: Some(dir.join("data")),
        workers: std::thread::available_parallelism().map_or(1, usize::from),
        step_rows_max: 1 << 20,
        step_bytes_max: 64 << 20,
        log: DiskLogOptions {
            segment_bytes: 4 << 20,
            scrub_bytes_per_second: 0,
            ..DiskLogOptions::default()
        },
        ..EngineOptions::in_memory()
    };
    Ok(Engine::open(world.clone(), options, Arc::new(NoConnectors))?)
}

fn fill(engine: &Engine) -> Result<()> {
    let log = engine.log();
    let info = log.stream_named("readings")?;
    for batch in 0..BATCHES {
        let numbers = || batch * ROWS_PER_BATCH..(batch + 1) * ROWS_PER_BATCH;
        let noise = |n: i64| (n.wrapping_mul(0x5851_F42D_4C95_7F2D) >> 40) as f64;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(
                numbers().map(|n| format!("device-{:05}", n * 7919 % DEVICES)),
            )),
            Arc::new(TimestampMillisecondArray::from_iter_values(numbers().map(|n| n * 10))),
            Arc::new(Float64Array::from_iter_values(numbers().map(|n| (noise(n) / 1e4).round() / 10.0))),
            Arc::new(Float64Array::from_iter_values(numbers().map(|n| (noise(n * 3) / 1e4).round() / 10.0))),
            Arc::new(Int64Array::from_iter_values(numbers())),
        ];
        let rows = headwater_run::fit_columns(&info.spec.schema, columns)?;
        log.append(vec![Append::new(info.id, ShardId(0), rows)])?;
    }
    Ok(())
}

/// Drops from the log what the archive has; answers with how many rows are left there.
async fn trim(engine: &Engine) -> Result<u64> {
    let info = engine.log().stream_named("readings")?;
    for _ in 0..600 {
        engine.log().trim(info.id, ShardId(0), Sequence(u64::MAX >> 1))?;
        let segments = engine.log().segments(info.id)?;
        let kept: u64 = segments.iter().map(|segment| segment.rows.end.0 - segment.rows.start.0).sum();
        if kept < ROWS as u64 / 10 {
            return Ok(kept);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the log does not drop what is archived")
}

async fn scans(
    common: &Common,
    world: &World,
    engine: &Engine,
    place: &Path,
    report: &mut Report,
) -> Result<()> {
    let (mut ours, mut ratio) = (Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let context = SessionContext::new_with_config(SessionConfig::new());
        let files = ParquetReadOptions::default();
        context.register_parquet("readings", place.to_string_lossy(), files).await?;
        let started = world.clock.monotonic();
        let direct = context.sql(SCAN).await?.collect().await?;
        let took = (world.clock.monotonic() - started).as_secs_f64();
        let started = world.clock.monotonic();
        let rows = query(engine, SCAN).await?;
        let through = (world.clock.monotonic() - started).as_secs_f64();
        let count = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        ensure!(count(&rows) == count(&direct), "a wrong result");
        ours.push(ROWS as f64 / through);
        ratio.push(through / took);
    }
    report.figure("scan of archive and log, filter and groups", median(ours), "rows/s");
    report.aimed("time / DataFusion over the same files", median(ratio), "", "at most 1.3");
    Ok(())
}

async fn replays(
    common: &Common,
    world: &World,
    engine: &Engine,
    place: &Path,
    report: &mut Report,
) -> Result<()> {
    engine.execute(&format!("CREATE MATERIALIZED VIEW hours AS {WINDOWS}")).await?;
    let (mut ours, mut ratio) = (Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let started = world.clock.monotonic();
        // As another definition it obeys no journal: it takes all rows, and steps as large as can be.
        let query = Some(WINDOWS.to_owned());
        let replayed =
            engine.replay(ReplaySpec { job: "hours".into(), query, ..ReplaySpec::default() }).await?;
        let took = (world.clock.monotonic() - started).as_secs_f64();
        ensure!(replayed.rows_in == ROWS as u64, "{} rows were replayed", replayed.rows_in);
        ours.push(ROWS as f64 / took);
        if let Ok(python) = std::env::var("HEADWATER_TEST_READERS") {
            let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
            let said = Command::new(python).args(["-c", DUCKDB]).arg(place).arg(threads).output()?;
            let text = String::from_utf8_lossy(&said.stdout);
            let theirs: f64 =
                text.trim().parse().with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())?;
            ratio.push(theirs / took);
        }
    }
    report.figure("replay of hourly windows by device", median(ours), "rows/s");
    if ratio.is_empty() {
        report.setup("DuckDB", "left out: HEADWATER_TEST_READERS names no Python with it");
    } else {
        report.aimed("speed / the same query as a batch in DuckDB", median(ratio), "", "at least 0.5");
    }
    Ok(())
}

async fn query(engine: &Engine, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for answer in engine.execute(sql).await? {
        if let Answer::Rows(rows) = answer {
            batches.extend(rows.try_collect::<Vec<_>>().await?);
        }
    }
    Ok(batches)
}
