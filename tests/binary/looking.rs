//! `headwater sql --data`: a look at a directory starts nothing, and what it left at rest goes on when the directory is served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch};
use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::routing::post;
use headwater_core::{ShardId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, Log, Retention, StreamSpec};
use serde_json::{Value, json};

use crate::process::{Server, run_badly, run_well, so, until};

/// What was delivered: the trigger by its URL, and the device that it fired for.
type Taken = Arc<Mutex<Vec<(String, String)>>>;

async fn hook(State(taken): State<Taken>, Segment(name): Segment<String>, body: String) {
    let document: Value = serde_json::from_str(&body).unwrap();
    let device = document["firing"]["device"].as_str().unwrap().to_owned();
    taken.lock().unwrap().push((name, device));
}

async fn receiver(taken: &Taken) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/{name}", post(hook)).with_state(Arc::clone(taken));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// A directory with a view and three triggers, that nobody serves.
async fn stopped(data: &Path, url: &str) {
    let server = Server::serve(data);
    server
        .sql("CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts)")
        .await;
    server
        .sql("CREATE MATERIALIZED VIEW hottest AS SELECT device, MAX(temp) AS temp FROM readings GROUP BY device")
        .await;
    for name in ["hot", "dropped", "paused"] {
        let action = format!("EXECUTE WEBHOOK '{url}/{name}'");
        server.sql(&format!("CREATE TRIGGER {name} ON readings WHEN gt(temp, 30) {action}")).await;
    }
    assert_eq!(server.terminate(), Some(0));
}

/// What a session on the directory says, as JSON lines.
fn look(data: &Path, sql: &str) -> String {
    run_well(&["sql", "--data", data.to_str().unwrap(), "--format", "json", "-c", sql])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_starts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = Taken::default();
    let url = receiver(&taken).await;
    stopped(&data, &url).await;

    assert_eq!(look(&data, "INSERT INTO readings VALUES ('t1', '2026-01-01T00:00:00', 31.5)"), "");
    assert_eq!(look(&data, "SELECT device FROM readings"), "{\"device\":\"t1\"}\n");
    let states = look(&data, "SELECT DISTINCT state FROM system.jobs");
    assert_eq!(states, "{\"state\":\"at rest\"}\n");
    assert!(look(&data, "SHOW JOBS").contains("hottest"));
    // Nobody has taken the row in any of these sessions.
    assert_eq!(look(&data, "SELECT COUNT(*) AS n FROM hot"), "{\"n\":0}\n");
    assert_eq!(look(&data, "SELECT COUNT(*) AS n FROM hottest"), "{\"n\":0}\n");
    // What it would say can be seen all the same.
    assert!(look(&data, "REPLAY JOB hot AT SPEED 1000000").contains("31.5"));
    let replayed = run_well(&["replay", "hottest", "--speed", "1000000", "--data", data.to_str().unwrap()]);
    assert!(replayed.contains("31.5"), "{replayed}");

    for sql in [
        "CREATE JOB j AS INSERT INTO readings SELECT * FROM readings WHERE temp < 0",
        "CREATE MATERIALIZED VIEW v AS SELECT device FROM readings",
        "RESUME TRIGGER paused",
        "TEST TRIGGER hot",
        "ALTER STREAM readings ADD COLUMN humidity DOUBLE",
        "CREATE TABLE days (day STRING) WITH (connector = 'blackhole')",
    ] {
        let error = run_badly(&["sql", "--data", data.to_str().unwrap(), "-c", sql], 1);
        assert!(error.contains("HW4027") && error.contains("--jobs"), "{sql}: {error}");
        assert!(error.contains("at rest (dropped, hot, hottest and 1 more)"), "{sql}: {error}");
    }
    // What needs nobody to run works, and is in force afterwards.
    look(&data, "CREATE STREAM more (n BIGINT); INSERT INTO more VALUES (1), (2)");
    look(&data, "CREATE VIEW sums AS SELECT SUM(n) AS sum FROM more");
    assert_eq!(look(&data, "SELECT sum FROM sums"), "{\"sum\":3}\n");
    look(&data, "DROP TRIGGER dropped; PAUSE TRIGGER paused");
    assert!(look(&data, "SELECT name FROM system.jobs WHERE state = 'paused'").contains("paused"));
    assert_eq!(*taken.lock().unwrap(), []);

    let server = Server::serve(&data);
    let delivered =
        until("the delivery", || so(taken.lock().unwrap().clone(), |taken| !taken.is_empty())).await;
    assert_eq!(delivered, [("hot".to_owned(), "t1".to_owned())]);
    server
        .wait_until("SELECT device, temp FROM hottest", |rows| {
            rows == [json!({"device": "t1", "temp": 31.5})]
        })
        .await;
    server.sql("RESUME TRIGGER paused").await;
    let of = |name: &str| (name.to_owned(), "t1".to_owned());
    let delivered =
        until("the paused one's", || so(taken.lock().unwrap().clone(), |taken| taken.len() > 1)).await;
    assert_eq!(delivered, [of("hot"), of("paused")]);
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_jobs_a_session_runs_what_the_directory_has() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let taken = Taken::default();
    let url = receiver(&taken).await;
    stopped(&data, &url).await;
    let place = data.to_str().unwrap();
    let run = |sql: &str| run_well(&["sql", "--data", place, "--jobs", "--format", "json", "-c", sql]);
    assert_eq!(run("SELECT COUNT(*) AS n FROM system.jobs WHERE state = 'at rest'"), "{\"n\":0}\n");
    run("CREATE STREAM more (n BIGINT)");
    run("CREATE JOB j AS INSERT INTO more SELECT CAST(temp AS BIGINT) FROM readings");
    assert!(
        look(&data, "SELECT name, state FROM system.jobs").contains("{\"name\":\"j\",\"state\":\"at rest\"}")
    );
    // It is of the data directory alone.
    let error = run_badly(&["sql", "--jobs", "-c", "SELECT 1"], 2);
    assert!(error.contains("--data"), "{error}");
}

/// What a table is used as may be known from its connector alone, and nobody has noted it.
#[test]
fn a_table_whose_connector_leaves_no_choice_stays_at_rest() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let numbers = "CREATE TABLE numbers (n BIGINT) WITH (connector = 'datagen', number_of_rows = 10, rows_per_second = 1)";
    look(&data, numbers);
    let count = || {
        let shown = look(&data, "SELECT COUNT(*) AS n FROM numbers");
        serde_json::from_str::<Value>(&shown).unwrap()["n"].as_u64().unwrap()
    };
    let (first, again) = (count(), count());
    assert!(first == again && first < 10, "{first} {again}");
    let state = look(&data, "SELECT role, state FROM system.connectors");
    assert_eq!(state, "{\"role\":\"source\",\"state\":\"stopped\"}\n");
    let error = run_badly(
        &[
            "sql",
            "--data",
            data.to_str().unwrap(),
            "-c",
            "CREATE MATERIALIZED VIEW v AS SELECT n FROM numbers",
        ],
        1,
    );
    assert!(error.contains("HW4027") && error.contains("at rest (numbers)"), "{error}");
    // Served, it goes on to its end.
    let all = [
        "sql",
        "--jobs",
        "--data",
        data.to_str().unwrap(),
        "--format",
        "json",
        "-c",
        "SELECT COUNT(*) AS n FROM numbers",
    ];
    assert_eq!(run_well(&all), "{\"n\":10}\n");
}

#[test]
fn what_is_defined_where_nothing_runs_runs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let script = "CREATE STREAM readings (device STRING, temp DOUBLE); \
                  CREATE MATERIALIZED VIEW hot AS SELECT device FROM readings WHERE temp > 30; \
                  SELECT name, state <> 'at rest' AS runs FROM system.jobs";
    assert_eq!(look(&data, script), "{\"name\":\"hot\",\"runs\":true}\n");
    assert_eq!(
        look(&data, "SELECT name, state FROM system.jobs"),
        "{\"name\":\"hot\",\"state\":\"at rest\"}\n"
    );
}

/// The files of a directory, and how long each is.
fn files(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let (mut dirs, mut found) = (vec![dir.to_owned()], BTreeMap::new());
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            match entry.metadata().unwrap() {
                of if of.is_dir() => dirs.push(entry.path()),
                of => drop(found.insert(entry.path(), of.len())),
            }
        }
    }
    found
}

fn sealed(log: &DiskLog) -> usize {
    let streams = log.streams().into_iter();
    streams.flat_map(|info| log.segments(info.id).unwrap()).filter(|segment| segment.sealed).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_an_old_log_removes_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let small = DiskLogOptions { segment_bytes: 4_096, ..DiskLogOptions::default() };
    let open = |options: &DiskLogOptions| DiskLog::open(World::real(), dir.path(), options.clone()).unwrap();
    let row = |n: i64| {
        let numbers: arrow::array::ArrayRef = Arc::new(Int64Array::from_iter_values(n * 100..n * 100 + 100));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    };
    let log = open(&small);
    let spec = StreamSpec::new(StreamName::new("old").unwrap(), row(0).schema());
    let stream = log.create_stream(spec).unwrap().id;
    for n in 0..40 {
        log.append(vec![Append::new(stream, ShardId(0), row(n))]).unwrap();
    }
    until("sealed files", || so(sealed(&log), |files| *files > 2)).await;
    // From now on all of it is too old.
    let age = Some(Duration::from_millis(1));
    log.set_retention(stream, Retention { age, bytes: None }).unwrap();
    log.close().unwrap();
    drop(log);
    // What a sealer was about to write is no file of the log, and goes when it is opened.
    let looks = DiskLogOptions { maintains: false, ..DiskLogOptions::default() };
    let log = open(&looks);
    assert!(sealed(&log) > 2);
    log.close().unwrap();
    drop(log);
    let before = files(dir.path());
    for _ in 0..2 {
        let listed = run_well(&["log", "ls", "--data", data]);
        assert!(listed.contains("old  1 shards, 4000 rows"), "{listed}");
        let dumped = run_well(&["log", "dump", "old", "--data", data, "--format", "csv"]);
        assert_eq!(dumped.lines().count(), 4_001);
        assert!(run_well(&["log", "verify", "--data", data]).ends_with("; 0 damages\n"));
        let kept = files(dir.path());
        let gone: Vec<_> = before.keys().filter(|path| !kept.contains_key(*path)).collect();
        assert!(gone.is_empty(), "{gone:?}");
    }
    // Who serves it does remove them.
    let log = open(&DiskLogOptions { retention_interval: Duration::from_millis(50), ..small });
    until("retention", || so(sealed(&log), |files| *files == 0)).await;
    log.close().unwrap();
}

/// A directory is that of one log: one with a log on the disk does not become that of a log on Kafka, which is not even asked.
#[test]
fn a_log_on_kafka_is_not_served_from_the_directory_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    look(&data, "CREATE STREAM readings (n BIGINT)");
    let before = files(&data);
    let property = "bootstrap.servers=127.0.0.1:1";
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--log-property", property];
    let error = run_badly(&[&serve[..], &["--log", "kafka"]].concat(), 1);
    assert!(error.contains("HW6103") && error.contains("holds a log on the disk"), "{error}");
    assert_eq!(files(&data), before);
}
