//! Sinks: nothing lost; nothing twice where that is promised, and otherwise the same keys again.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use headwater_connectors::{
    Allowed, Connector, ConnectorDef, ConnectorError, ConnectorSupervisor, Cursor, Delivery, Result, Sink,
    State, registry,
};
use parking_lot::Mutex;

use crate::lab::{LIVES, Lab, PATIENCE, assert_dense, def, runtime, until};

/// Runs a sink through many lives, while rows come in, until all is delivered.
fn live(lab: &Lab, def: &ConnectorDef, rows: i64) {
    let each = rows / LIVES.len() as i64;
    for (life, millis) in (0..).zip(LIVES) {
        lab.fill(life * each, (life + 1) * each);
        lab.sink_life(def, Some(millis));
    }
    lab.fill(LIVES.len() as i64 * each, rows);
    let status = lab.sink_life(def, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
}

/// The numbers in files of JSON lines.
fn numbers_in(dir: &Path) -> Vec<i64> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().flat_map(|path| numbers(&std::fs::read_to_string(path).unwrap())).collect()
}

fn numbers(lines: &str) -> Vec<i64> {
    let number = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let n = row["n"].as_i64().unwrap();
        assert_eq!(row["text"], format!("row {n}"));
        n
    };
    lines.lines().map(number).collect()
}

#[test]
fn rolled_files_hold_each_row_once() {
    for shards in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let lab = Lab::new(shards);
        let options = [
            ("path", dir.path().to_str().unwrap()),
            ("sink.rolling-policy.rollover-interval", "3 ms"),
            ("sink.rolling-policy.check-interval", "1 ms"),
            ("sink.rolling-policy.file-size", "64 KiB"),
        ];
        live(&lab, &def("filesystem", &options), 40_000);
        assert_dense(numbers_in(dir.path()), 40_000);
    }
}

#[test]
fn files_in_folders_hold_each_row_once() {
    for shards in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let lab = Lab::new(shards);
        let options = [
            ("path", dir.path().to_str().unwrap()),
            ("sink.rolling-policy.rollover-interval", "3 ms"),
            ("partition-by", "text"),
        ];
        live(&lab, &def("filesystem", &options), 240);
        let mut found = Vec::new();
        for folder in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()) {
            let name = folder.file_name().into_string().unwrap();
            if name.starts_with('.') {
                assert!(name.ends_with(".manifest"), "{name} is left");
                continue;
            }
            for file in std::fs::read_dir(folder.path()).unwrap() {
                let row = std::fs::read_to_string(file.unwrap().path()).unwrap();
                let row: serde_json::Value = serde_json::from_str(row.trim()).unwrap();
                assert_eq!(name, format!("text=row {}", row["n"]));
                assert!(row.get("text").is_none(), "{row}");
                found.push(row["n"].as_i64().unwrap());
            }
        }
        assert_dense(found, 240);
    }
}

#[test]
fn a_growing_file_holds_each_row_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out/rows.jsonl");
    let lab = Lab::new(2);
    live(&lab, &def("single_file", &[("path", path.to_str().unwrap())]), 40_000);
    assert_dense(numbers(&std::fs::read_to_string(&path).unwrap()), 40_000);
}

#[test]
fn columns_that_are_left_out_are_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    let lab = Lab::new(2);
    lab.fill(0, 100);
    let def = def("single_file", &[("path", path.to_str().unwrap())]);
    lab.sink_life_without(&def, "text").unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row.as_object().unwrap().len(), 1, "{line}");
        row["n"].as_i64().unwrap()
    };
    assert_dense(lines.lines().map(row).collect(), 100);
}

#[test]
fn what_is_stopped_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(1);
    lab.fill(0, 100);
    let options =
        [("path", dir.path().to_str().unwrap()), ("sink.rolling-policy.rollover-interval", "1 day")];
    lab.sink_life(&def("filesystem", &options), None).unwrap();
    assert_dense(numbers_in(dir.path()), 100);
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let id = lab.ingest.log().stream_named("events").unwrap().id;
    assert_eq!(
        names,
        [format!("events-{id}-00000-00000000000000000000-00000000000000000100.jsonl").as_str()]
    );
}

/// Set in the process whose standard output is looked at.
const WRITES_TO_STANDARD_OUTPUT: &str = "HEADWATER_TEST_WRITES_TO_STANDARD_OUTPUT";

/// What this process writes there is the harness's, so another one lives the lives: the same test, which finds that it is that one.
#[test]
fn standard_output_gets_every_row_in_order_and_some_again() {
    if std::env::var_os(WRITES_TO_STANDARD_OUTPUT).is_some() {
        return live(&Lab::new(1), &def("stdout", &[("print-identifier", "out")]), 20_000);
    }
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sinks::standard_output_gets_every_row_in_order_and_some_again"])
        .env(WRITES_TO_STANDARD_OUTPUT, "yes")
        .output()
        .unwrap();
    let (said, complaints) =
        (String::from_utf8(other.stdout).unwrap(), String::from_utf8_lossy(&other.stderr));
    assert!(other.status.success(), "{complaints}");
    // The harness may have begun a line of its own before a row.
    let rows: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once("out> ")?.1)).collect();
    let found = numbers(&rows.join("\n"));
    let mut next = 0;
    for n in &found {
        assert!(*n <= next, "{n} comes before {next}");
        next = next.max(n + 1);
    }
    assert_eq!(next, 20_000);
}

#[test]
fn the_black_hole_takes_all() {
    let lab = Lab::new(2);
    live(&lab, &def("blackhole", &[]), 5_000);
}

/// How often a flush fails before one succeeds.
static FLUSHES_FAIL: AtomicU64 = AtomicU64::new(0);

/// Takes rows, and cannot make them safe.
struct Unsafe;

static UNSAFE: Connector = Connector {
    name: "unsafe",
    summary: "its flushes fail",
    source: None,
    sink: Some(|_, _| Ok(Box::new(Unsafe))),
    gateway: None,
};

#[async_trait]
impl Sink for Unsafe {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        Ok(stored)
    }

    async fn deliver(&mut self, _: Delivery) -> Result<()> {
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        let fails = FLUSHES_FAIL.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if fails.is_ok() { Err(ConnectorError::outage("flush", "it is away")) } else { Ok(String::new()) }
    }

    fn linger(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn what_was_delivered_and_is_not_safe_waits() {
    registry::add(&UNSAFE);
    let (lab, def) = (Lab::new(2), def("unsafe", &[]));
    lab.fill(0, 10);
    FLUSHES_FAIL.store(u64::MAX, Ordering::SeqCst);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let handle = supervisor.start_sink(def.clone()).unwrap();
    let status =
        runtime.block_on(until(&handle, "it is tried again", |status| status.state == State::Retrying));
    assert_eq!((status.lag, status.reached), (Some(10), 0));
    let status = runtime.block_on(handle.stop());
    assert_eq!((status.state, status.lag), (State::Stopped, Some(10)));
    // A life that ends with such a failure is not the last.
    FLUSHES_FAIL.store(2, Ordering::SeqCst);
    let status = lab.sink_life(&def, None).unwrap();
    assert_eq!((status.state, status.lag, status.reached), (State::Stopped, Some(0), 10));
    assert_eq!(FLUSHES_FAIL.load(Ordering::SeqCst), 0);
}

/// What a receiver got: by key, how often and what.
type Received = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

async fn receive(Shared(received): Shared<Received>, headers: HeaderMap, body: String) -> StatusCode {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let mut received = received.lock();
    let bodies = received.entry(key).or_default();
    bodies.push(body);
    // Every seventh key is taken and answered with a failure the first time: the answer is lost, the row is not.
    let first_of_seventh = bodies.len() == 1 && received.len().is_multiple_of(7);
    if first_of_seventh { StatusCode::BAD_GATEWAY } else { StatusCode::OK }
}

#[test]
fn a_webhook_gets_every_row_and_repeats_have_the_same_key() {
    let server = runtime();
    let received = Received::default();
    let address = server.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/hook", post(receive)).with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    let endpoint = format!("http://{address}/hook");
    for batch in ["1", "7"] {
        received.lock().clear();
        let lab = Lab::new(2);
        let options = [
            ("endpoint", endpoint.as_str()),
            ("batch-rows", batch),
            ("retry.first", "5 ms"),
            ("retry.longest", "20 ms"),
        ];
        live(&lab, &def("webhook", &options), 300);
        let received = received.lock();
        let mut rows = Vec::new();
        for (key, bodies) in received.iter() {
            assert!(bodies.iter().all(|body| body == &bodies[0]), "{key} always means the same rows");
            rows.extend(bodies[0].lines().flat_map(numbers));
        }
        let id = lab.ingest.log().stream_named("events").unwrap().id;
        let named = received.keys().any(|key| key.starts_with(&format!("events-{id}/0/0")));
        assert!(named, "{:?}", received.keys());
        // Whoever remembers keys has taken each row once, however the requests were cut.
        assert_dense(rows, 300);
    }
}

/// What happens to each row: 3 is never taken, 5 only at the third attempt, 7 is bad.
async fn choose(Shared(received): Shared<Received>, headers: HeaderMap, body: String) -> StatusCode {
    let signed = headers["x-headwater-signature"].to_str().unwrap();
    let (time, mac) = signed.split_once(",v1=").unwrap();
    let text = format!("{}.{body}", time.strip_prefix("t=").unwrap());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"between us");
    let mac: Vec<u8> =
        (0..mac.len()).step_by(2).map(|at| u8::from_str_radix(&mac[at..at + 2], 16).unwrap()).collect();
    ring::hmac::verify(&key, text.as_bytes(), &mac).unwrap();
    let n = numbers(&body)[0];
    let mut received = received.lock();
    let bodies = received.entry(headers["idempotency-key"].to_str().unwrap().to_owned()).or_default();
    bodies.push(body);
    match (n, bodies.len()) {
        (3, _) | (5, 1 | 2) => StatusCode::SERVICE_UNAVAILABLE,
        (7, _) => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::OK,
    }
}

#[test]
fn rows_that_a_receiver_does_not_take_are_parked_and_the_next_have_their_turn() {
    let server = runtime();
    let received = Received::default();
    let address = server.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let moved = || async { axum::response::Redirect::permanent("/hook") };
        let router = Router::new().route("/hook", post(choose)).route("/moved", post(moved));
        let router = router.with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    let lab = Lab::new(1);
    lab.fill(0, 10);
    let endpoint = format!("http://{address}/hook");
    let options = [
        ("endpoint", endpoint.as_str()),
        ("secret", "between us"),
        ("attempts", "4"),
        ("retry.first", "2 ms"),
        ("retry.longest", "5 ms"),
    ];
    let status = lab.sink_life(&def("webhook", &options), None).unwrap();
    assert_eq!((status.dead_letters, status.failures), (2, 5), "{:?}", status.last_error);
    let id = lab.ingest.log().stream_named("events").unwrap().id;
    let times = |n: i64| received.lock()[&format!("events-{id}/0/{n}")].len();
    assert_eq!((0..10).map(times).collect::<Vec<_>>(), [1, 1, 1, 4, 1, 3, 1, 1, 1, 1]);
    assert_eq!(lab.numbers("system.dead_letters", "record"), [3, 7]);

    // A redirect would be followed by a GET without the row, and answered well.
    let endpoint = format!("http://{address}/moved");
    let mut moved = def("webhook", &[("endpoint", endpoint.as_str())]);
    moved.name = "the_moved".to_owned();
    let status = lab.sink_life(&moved, None).unwrap();
    assert_eq!(status.state, State::Failed);
    assert!(status.last_error.unwrap().contains("308"));
}

#[test]
fn a_refusal_is_final_and_shown() {
    let server = runtime();
    let address = server.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/hook", post(|| async { StatusCode::FORBIDDEN }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    let lab = Lab::new(1);
    lab.fill(0, 10);
    let endpoint = format!("http://{address}/hook");
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), server.handle().clone()).unwrap();
    let handle = supervisor.start_sink(def("webhook", &[("endpoint", endpoint.as_str())])).unwrap();
    let status = server.block_on(async { tokio::time::timeout(PATIENCE, handle.ended()).await.unwrap() });
    assert_eq!(status.state, State::Failed);
    assert!(status.last_error.unwrap().starts_with("HW5005"));
}

#[test]
fn rows_are_posted_only_where_the_configuration_lets_webhooks_go() {
    let server = runtime();
    let received = Received::default();
    let address = server.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(Arc::clone(&received));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    let lab = Lab::new(1);
    lab.fill(0, 3);
    let schema = lab.ingest.log().stream_named("events").unwrap().spec.schema.clone();
    let webhooks = Some(vec![format!("http://{address}/hooks/")]);
    let allowed = Allowed { webhooks, ..Allowed::default() };
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), server.handle().clone()).unwrap();
    let supervisor = supervisor.with_allowed(allowed);
    for path in ["other", "hooks/../other"] {
        let endpoint = format!("http://{address}/{path}");
        for connector in ["http", "webhook"] {
            let away = def(connector, &[("endpoint", endpoint.as_str())]);
            let checked = supervisor.validate_sink(&away, &schema).unwrap_err().to_string();
            assert!(checked.contains("the configuration does not allow webhooks to "), "{checked}");
            assert!(supervisor.start_sink(away).is_err(), "nor by a table that was there before the list");
        }
    }
    let endpoint = format!("http://{address}/hooks/7");
    let handle = supervisor.start_sink(def("webhook", &[("endpoint", endpoint.as_str())])).unwrap();
    server.block_on(until(&handle, "all is delivered", |status| status.lag == Some(0)));
    server.block_on(handle.stop());
    assert_eq!(received.lock().len(), 3);
}
