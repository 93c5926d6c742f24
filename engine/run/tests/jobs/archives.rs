//! Archived streams in SQL: each row once in queries, jobs and replays, wherever it lies.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use headwater_core::{Sequence, ShardId, World};
use headwater_log::DiskLogOptions;
use headwater_run::{Answer, Engine, EngineOptions, NoConnectors, ReplaySpec};

use crate::machine::{Machine, in_memory, text_of};

/// An engine in a directory whose log's files are small, so that rows can be dropped from it.
fn open(data: &std::path::Path) -> Engine {
    let options = EngineOptions {
        data: Some(data.to_owned()),
        log: DiskLogOptions { segment_bytes: 4096, ..DiskLogOptions::default() },
        ..in_memory()
    };
    Engine::open(World::real(), options, Arc::new(NoConnectors)).unwrap()
}

async fn query(engine: &Engine, sql: &str) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for answer in engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}")) {
        if let Answer::Rows(rows) = answer {
            batches
                .extend(rows.try_collect::<Vec<_>>().await.unwrap_or_else(|error| panic!("{error}\n{sql}")));
        }
    }
    batches
}

async fn rows(engine: &Engine, sql: &str) -> Vec<String> {
    query(engine, sql).await.iter().flat_map(text_of).collect()
}

async fn wait_until(engine: &Engine, sql: &str, expected: &str) {
    for _ in 0..6_000 {
        if rows(engine, sql).await == [expected] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?} does not come to {expected}", rows(engine, sql).await);
}

/// Inserts readings numbered `from..to`, one a minute, and drops what is archived from the log.
async fn insert(engine: &Engine, numbers: std::ops::Range<i64>) {
    for from in numbers.clone().step_by(50) {
        let values: Vec<String> = (from..(from + 50).min(numbers.end))
            .map(|n| format!("('d{}', to_timestamp({}), {n})", n % 5, n * 60))
            .collect();
        query(engine, &format!("INSERT INTO readings VALUES {}", values.join(", "))).await;
    }
}

/// Drops from the log what may be dropped; answers with how many rows of the archive it no longer has.
fn trim(engine: &Engine) -> u64 {
    let log = engine.log();
    let info = log.stream_named("readings").unwrap();
    for shard in 0..info.spec.shards {
        log.trim(info.id, ShardId(shard), Sequence(u64::MAX >> 1)).unwrap();
    }
    log.segments(info.id).unwrap().iter().map(|segment| segment.rows.start.0).min().unwrap()
}

/// Drops rows until the archive has more than a hundred that the log no longer has: files are dropped once they are sealed, which takes a
/// while.
async fn trim_many(engine: &Engine) {
    let mut kept = 0;
    for _ in 0..6_000 {
        kept = trim(engine);
        if kept > 100 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("rows up to {kept} alone are dropped");
}

const CREATE: &str = "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP, value BIGINT, \
     WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) PARTITIONED BY (device) WITH (shards = 2, 'clock.guard' = 'none');";

#[tokio::test(flavor = "multi_thread")]
async fn queries_read_archive_and_log_as_one_table() {
    for options in [
        "'rollover-seconds' = 1, 'sink.rolling-policy.row-count' = 100",
        "'rollover-seconds' = 1, partition = 'hour', sort = 'device'",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(&dir.path().join("data"));
        query(&engine, CREATE).await;
        let place = dir.path().join("archive");
        query(&engine, &format!("CREATE ARCHIVE old FOR readings TO '{}' WITH ({options})", place.display()))
            .await;
        insert(&engine, 0..1000).await;
        wait_until(&engine, "SELECT rows, lag, state FROM system.archives", "1000 0 running").await;
        trim_many(&engine).await;
        insert(&engine, 1000..1100).await;

        let all = "SELECT count(*), count(DISTINCT value), sum(value), count(DISTINCT _shard * 1000000 + _sequence) FROM readings";
        assert_eq!(rows(&engine, all).await, ["1100 1100 604450 1100"]);
        assert_eq!(rows(&engine, "SELECT count(*) FROM readings").await, ["1100"]);
        let some = "SELECT device, count(*), min(value), max(value) FROM readings \
             WHERE ts >= to_timestamp(6000) AND ts < to_timestamp(12000) AND device = 'd3' GROUP BY device";
        assert_eq!(rows(&engine, some).await, ["d3 20 103 198"]);
        // What sequences keep of a group is put together of what lies in the archive and what lies in the log.
        let sequences = "SELECT sequenceCount('(?1)(?t<=60)(?2)')(ts, value % 10 = 3, value % 10 = 4), \
             windowFunnel(240, 'strict_increase')(ts, value % 10 = 3, value % 10 = 5, value % 10 = 8), \
             sequence_count(device, 'd3', 'lines') FROM readings";
        assert_eq!(rows(&engine, sequences).await, ["110 2 220"]);
        let ends = "SELECT value FROM readings WHERE value < 3 OR value >= 1098 ORDER BY _arrival, value";
        assert_eq!(rows(&engine, ends).await, ["0", "1", "2", "1098", "1099"]);
        let plan = rows(&engine, &format!("EXPLAIN ANALYZE {some}")).await.join("\n");
        assert!(plan.contains("DataSourceExec") && plan.contains("StreamScan"), "{plan}");
        let read = plan.matches(".parquet").count();
        let files = query(&engine, "SELECT count(*) FROM system.archive_files").await;
        let files = files[0].column(0).as_primitive::<Int64Type>().value(0) as usize;
        if options.contains("hour") {
            assert!(0 < read && read < files / 2, "{read} of {files} files were read");
        }
        // Everything is found again by the next engine.
        engine.close().await.unwrap();
        drop(engine);
        let engine = open(&dir.path().join("data"));
        assert_eq!(rows(&engine, all).await, ["1100 1100 604450 1100"]);
        assert_eq!(rows(&engine, "SHOW ARCHIVES").await.len(), 1);
        engine.close().await.unwrap();
    }
}

/// Files keep the type that a column had when they were written, and are read as the one that it has got since.
#[tokio::test(flavor = "multi_thread")]
async fn archived_rows_are_read_as_the_wider_type_of_a_column() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    query(&engine, &CREATE.replace("value BIGINT", "value INT")).await;
    let place = dir.path().join("archive");
    let options = "'rollover-seconds' = 1, 'sink.rolling-policy.row-count' = 100";
    query(&engine, &format!("CREATE ARCHIVE old FOR readings TO '{}' WITH ({options})", place.display()))
        .await;
    insert(&engine, 0..1000).await;
    wait_until(&engine, "SELECT rows, lag, state FROM system.archives", "1000 0 running").await;
    trim_many(&engine).await;
    query(&engine, "ALTER STREAM readings MODIFY value BIGINT").await;
    query(&engine, "INSERT INTO readings VALUES ('d3', to_timestamp(60000), 3000000000)").await;

    let all = "SELECT count(*), sum(value), arrow_typeof(max(value)) FROM readings";
    assert_eq!(rows(&engine, all).await, ["1001 3000499500 Int64"]);
    let some =
        "SELECT value FROM readings WHERE device = 'd3' AND (value < 10 OR value > 990) ORDER BY value";
    assert_eq!(rows(&engine, some).await, ["3", "8", "993", "998", "3000000000"]);
    wait_until(&engine, "SELECT rows, lag, state FROM system.archives", "1001 0 running").await;
    query(
        &engine,
        "CREATE MATERIALIZED VIEW totals AS SELECT device, SUM(value) AS total FROM readings GROUP BY device",
    )
    .await;
    wait_until(&engine, "SELECT sum(total) FROM totals", "3000499500").await;
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_replays_start_in_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    query(&engine, CREATE).await;
    let place = dir.path().join("archive");
    let create = "CREATE ARCHIVE old FOR readings TO";
    let options = "'rollover-seconds' = 1, 'sink.rolling-policy.row-count' = 77, sort = 'device'";
    query(&engine, &format!("{create} '{}' WITH ({options})", place.display())).await;
    insert(&engine, 0..1000).await;
    wait_until(&engine, "SELECT rows, lag, state FROM system.archives", "1000 0 running").await;
    trim_many(&engine).await;
    // A job that is created now begins with the first row that ever was.
    query(
        &engine,
        "CREATE MATERIALIZED VIEW hours AS SELECT device, window_start, COUNT(*) AS n, SUM(value) AS total \
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY device, window_start, window_end",
    )
    .await;
    query(
        &engine,
        "CREATE MATERIALIZED VIEW pairs AS SELECT device, sequenceCount('(?1)(?t<=300)(?2)')(ts, value % 10 < 5, value % 10 > 4) AS n \
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY device, window_start, window_end",
    )
    .await;
    engine.end_stream("readings").await.unwrap();
    wait_until(&engine, "SELECT sum(n), sum(total) FROM hours", "1000 499500").await;
    // Each device has a value each five minutes, every second of which is the second of a pair: six pairs an hour.
    wait_until(&engine, "SELECT count(*), sum(n), max(n) FROM pairs", "85 500 6").await;
    let oracle = "SELECT device, date_trunc('hour', ts), count(*), sum(value) FROM readings GROUP BY 1, 2 ORDER BY 1, 2";
    let hours = "SELECT device, window_start, n, total FROM hours ORDER BY 1, 2";
    assert_eq!(rows(&engine, hours).await, rows(&engine, oracle).await);
    let spec = ReplaySpec { job: "hours".into(), diff: true, ..ReplaySpec::default() };
    let report = engine.replay(spec).await.unwrap();
    assert_eq!((report.rows_in, report.only_before.len(), report.only_now.len()), (1000, 0, 0));
    // Event time passes as fast as is said: 1000 minutes of it, 100,000 times as fast.
    let began = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    assert_eq!(rows(&engine, "REPLAY JOB hours INTO again AT SPEED 100000").await.len(), 0);
    let took = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() - began;
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert_eq!(rows(&engine, "SELECT sum(n), sum(total) FROM again").await, ["1000 499500"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_dropped_and_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    query(&engine, CREATE).await;
    let place = dir.path().join("archive");
    let create =
        format!("CREATE ARCHIVE old FOR readings TO '{}' WITH ('rollover-seconds' = 4)", place.display());
    query(&engine, &create).await;
    insert(&engine, 0..1000).await;
    // However much of it is committed by now.
    trim(&engine);
    assert_eq!(
        rows(&engine, "SELECT count(*) FROM readings").await,
        ["1000"],
        "nothing goes before it is committed"
    );
    wait_until(&engine, "SELECT rows FROM system.archives", "1000").await;
    trim_many(&engine).await;
    query(&engine, "DROP ARCHIVE old").await;
    let left: u64 = rows(&engine, "SELECT count(*) FROM readings").await[0].parse().unwrap();
    assert!(left < 900);
    query(&engine, &create).await;
    assert_eq!(rows(&engine, "SELECT count(*) FROM readings").await, ["1000"]);
    // Another stream cannot take the place.
    query(&engine, "CREATE STREAM other (a BIGINT)").await;
    let error = engine.execute(&format!("CREATE ARCHIVE o FOR other TO '{}'", place.display())).await;
    assert_eq!(error.err().unwrap().code().to_string(), "HW5102");
    assert_eq!(rows(&engine, "SELECT name FROM system.archives").await, ["old"]);
    engine.close().await.unwrap();
}

#[test]
fn a_machine_that_loses_power_while_it_archives_keeps_each_row_once() {
    for seed in 0..8 {
        let mut machine = Machine::new(seed);
        machine.create_readings(2);
        machine.sql(
            "CREATE ARCHIVE old FOR readings TO '/archive/readings' \
             WITH ('sink.rolling-policy.row-count' = 10, 'rollover-seconds' = 30, partition = 'hour')",
        );
        machine.sql(
            "CREATE MATERIALIZED VIEW totals AS SELECT COUNT(*) AS n, SUM(value) AS total FROM readings",
        );
        let mut appended = 0;
        for life in 0..5 {
            for _ in 0..12 {
                let reading = |n: i64| (["a", "b", "c"][(n % 3) as usize], n * 60_000, n);
                machine.append(&(appended..appended + 4).map(reading).collect::<Vec<_>>());
                appended += 4;
                machine.turns((machine.sim.world().random.next() % 30) as usize);
            }
            match life % 2 {
                0 => machine.lose_power(1),
                _ => machine.kill(2),
            }
        }
        for _ in 0..100 {
            machine.turns(100);
            machine.sim.clock().advance(Duration::from_secs(1));
        }
        machine.catch_up();
        let mut values: Vec<i64> = machine
            .rows("readings")
            .iter()
            .map(|row| row.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        values.sort_unstable();
        assert_eq!(values, (0..appended).collect::<Vec<_>>(), "seed {seed}");
        let (_, status) = machine.engine().archives().remove(0);
        assert_eq!(
            (status.rows, status.lag, status.state),
            (appended as u64, 0, "running"),
            "seed {seed}: {status:?}"
        );
    }
}
