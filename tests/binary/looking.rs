//! `headwater sql --data`: a look at a directory starts nothing, and what it left at rest goes on when the directory is served.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::routing::post;
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
