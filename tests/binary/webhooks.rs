//! The HTTP connectors against a server that fails now and then, and what is shown of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::process::{Server, until};

/// What the other side has and does.
#[derive(Default)]
struct Outside {
    /// What a poll answers.
    answer: String,
    /// Whether it is down.
    down: bool,
    /// What was posted, by key.
    posted: BTreeMap<String, Vec<String>>,
}

type Shared = Arc<Mutex<Outside>>;

async fn poll(State(outside): State<Shared>) -> (StatusCode, String) {
    let outside = outside.lock().unwrap();
    if outside.down {
        (StatusCode::SERVICE_UNAVAILABLE, String::new())
    } else {
        (StatusCode::OK, outside.answer.clone())
    }
}

async fn hook(State(outside): State<Shared>, headers: HeaderMap, body: String) -> StatusCode {
    let mut outside = outside.lock().unwrap();
    if outside.down {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    outside.posted.entry(key).or_default().push(body);
    StatusCode::OK
}

/// Starts the other side, and answers where it is.
async fn start(outside: &Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/poll", get(poll)).route("/hook", post(hook));
    let router =
        router.route("/forbidden", post(|| async { StatusCode::FORBIDDEN })).with_state(Arc::clone(outside));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// The numbers that were posted, each once, whatever was repeated.
fn posted(outside: &Shared) -> Vec<u64> {
    let outside = outside.lock().unwrap();
    let mut numbers: Vec<u64> = Vec::new();
    for (key, bodies) in &outside.posted {
        assert!(bodies.iter().all(|body| body == &bodies[0]), "{key} always means the same row");
        let rows: Value = serde_json::from_str(&bodies[0]).unwrap();
        numbers.push(rows["n"].as_u64().unwrap());
    }
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn polled_rows_are_posted_through_outages_and_kills() {
    let outside = Shared::default();
    let url = start(&outside).await;
    let data = tempfile::tempdir().unwrap();
    let answer = |from: u64| {
        let rows: Vec<Value> = (from..from + 10).map(|n| json!({"n": n})).collect();
        outside.lock().unwrap().answer = Value::from(rows).to_string();
    };
    answer(0);
    let mut server = Server::serve(data.path());
    server
        .sql(&format!(
            "CREATE TABLE polled (n BIGINT) WITH (connector = 'polling_http', endpoint = '{url}/poll',
                 poll_interval_ms = 20, emit_behavior = 'changed');
             CREATE TABLE hooked (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/hook');
             CREATE JOB pass AS INSERT INTO hooked SELECT n FROM polled;"
        ))
        .await;
    for round in 0..4_u64 {
        answer(round * 10);
        server.wait_for_count("SELECT COUNT(*) FROM polled", (round + 1) * 10).await;
        if round == 2 {
            // Killed while rows are on their way.
            server.kill();
            server = Server::serve(data.path());
        }
    }
    until("40 rows are posted", || {
        let posted = posted(&outside);
        if posted == (0..40).collect::<Vec<_>>() { Ok(()) } else { Err(posted) }
    })
    .await;

    // An outage is shown, and nothing is lost by it.
    outside.lock().unwrap().down = true;
    let state =
        "SELECT state, role, failures > 0 AS failed, last_error FROM system.connectors ORDER BY \"table\"";
    server.sql("INSERT INTO hooked VALUES (100)").await;
    let both = |rows: &[Value]| rows.len() == 2 && rows.iter().all(|row| row["state"] == "retrying");
    let shown = server.wait_until(state, both).await;
    assert_eq!((&shown[0]["role"], &shown[1]["role"]), (&json!("sink"), &json!("source")));
    for row in &shown {
        assert_eq!(row["failed"], true, "{row}");
        let error = row["last_error"].as_str().unwrap();
        assert!(error.starts_with("HW5004: ") && error.contains("503"), "{error}");
    }
    // It is running whenever it tries again.
    server.wait_for_text("/metrics", "headwater_connector_running{table=\"hooked\",role=\"sink\"} 0").await;
    outside.lock().unwrap().down = false;
    until("the row of the outage is posted", || {
        let posted = posted(&outside);
        if posted.contains(&100) { Ok(()) } else { Err(posted) }
    })
    .await;
    let sink = "SELECT state, lag, position FROM system.connectors WHERE \"table\" = 'hooked'";
    let wanted = [json!({"state": "running", "lag": 0, "position": "{\"0\":\"41\"}"})];
    server.wait_until(sink, |rows| rows == wanted).await;
    let metrics = server.get("/metrics").await;
    for line in [
        "headwater_connector_running{table=\"hooked\",role=\"sink\"} 1",
        "headwater_connector_lag_rows{table=\"hooked\",role=\"sink\"} 0",
        "headwater_connector_failures_total{table=\"hooked\",role=\"sink\"} ",
        "headwater_connector_rows_per_second{table=\"polled\",role=\"source\"} ",
        "headwater_connector_dead_letters_total{table=\"polled\",role=\"source\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_and_the_lag_are_measured() {
    let data = tempfile::tempdir().unwrap();
    let outside = Shared::default();
    outside.lock().unwrap().down = true;
    let url = start(&outside).await;
    let server = Server::serve(data.path());
    server
        .sql(&format!(
            "CREATE TABLE numbers (n BIGINT) WITH (connector = 'datagen', rows_per_second = 200, 'fields.n.kind' = 'sequence');
             CREATE TABLE refused (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/forbidden');
             CREATE TABLE blocked (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/hook');
             CREATE JOB fill AS INSERT INTO blocked SELECT n FROM numbers;
             INSERT INTO refused VALUES (1);"
        ))
        .await;
    let of = |table: &str| {
        format!(
            "SELECT state, \"rows\", rows_per_second AS rate, lag, last_error FROM system.connectors WHERE \"table\" = '{table}'"
        )
    };
    // 200 rows a second were asked for. After a pause, as on a busy machine, more of them come at once.
    let is_measured = |rows: &[Value]| {
        let rate = rows[0]["rate"].as_f64().unwrap_or_default();
        rows[0]["rows"].as_u64() > Some(1_000) && (20.0..400.0).contains(&rate)
    };
    server.wait_until(&of("numbers"), is_measured).await;
    let shown = server.wait_until(&of("refused"), |rows| rows[0]["state"] == "failed").await;
    assert!(shown[0]["last_error"].as_str().unwrap().starts_with("HW5005: "), "{shown:?}");
    let shown = server.wait_until(&of("blocked"), |rows| rows[0]["lag"].as_u64() > Some(0)).await;
    assert_eq!(shown[0]["rows"], 0, "{shown:?}");
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_posts_nothing_that_was_not_asked_for_by_name() {
    let outside = Shared::default();
    let url = start(&outside).await;
    let data = tempfile::tempdir().unwrap();
    let server = Server::serve(data.path());
    let values: Vec<_> = (0..10).map(|n| format!("({n})")).collect();
    server
        .sql(&format!(
            "CREATE STREAM readings (n BIGINT) WITH (shards = 1);
             CREATE TABLE hooked (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/hook');
             CREATE TABLE again (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/hook');
             CREATE JOB pass AS INSERT INTO hooked SELECT n FROM readings;
             INSERT INTO readings VALUES {}",
            values.join(", ")
        ))
        .await;
    let are_posted = async |numbers: Vec<u64>| {
        until("they are posted", || {
            let posted = posted(&outside);
            if posted == numbers { Ok(()) } else { Err(posted) }
        })
        .await;
    };
    are_posted((0..10).collect()).await;

    assert_eq!(server.rows("REPLAY JOB pass").await.len(), 10);
    let refused = server.refusal("REPLAY JOB pass INTO again").await.to_string();
    assert!(refused.contains("WITH EFFECTS (again)"), "{refused}");
    // What comes after them shows that nothing of the replays was on its way.
    server.sql("INSERT INTO hooked VALUES (100); INSERT INTO again VALUES (101)").await;
    let mut expected: Vec<u64> = (0..10).chain([100, 101]).collect();
    are_posted(expected.clone()).await;

    // A table that was written into is no place for a replay.
    server
        .sql(&format!(
            "CREATE TABLE anew (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}/hook');
             REPLAY JOB pass INTO anew WITH EFFECTS (anew)"
        ))
        .await;
    expected.extend(0..10);
    expected.sort_unstable();
    are_posted(expected).await;
    assert_eq!(server.terminate(), Some(0));
}
