//! Sources: every record once, whenever the process dies; bad ones in the dead letters, once.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use headwater_connectors::{Allowed, ConnectorDef, ConnectorSupervisor, State};

use crate::lab::{LIVES, Lab, assert_dense, def, runtime, until};

/// Runs a bounded source through many lives to its end, and counts.
fn check(def: &ConnectorDef, rows: i64, bad: usize) {
    for shards in [1, 3] {
        let lab = Lab::new(shards);
        for millis in LIVES {
            lab.source_life(def, Some(millis));
        }
        let status = lab.source_life(def, None).unwrap();
        assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
        assert_dense(lab.numbers("events", "n"), rows);
        assert_eq!(lab.numbers("system.dead_letters", "record").len(), bad);
        // Started once more it has nothing to do.
        let status = lab.source_life(def, None).unwrap();
        assert_eq!((status.state, status.rows), (State::Ended, 0));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

#[test]
fn generated_rows_come_once() {
    let options = [
        ("number-of-rows", "60000"),
        ("fields.n.kind", "sequence"),
        ("fields.text.length", "20"),
        ("fields.text.null-rate", "0.1"),
    ];
    check(&def("datagen", &options), 60_000, 0);
}

#[test]
fn persons_of_an_auction_come_once() {
    let lab = Lab::with_columns(3, "id", "name");
    let def = def("nexmark", &[("table", "person"), ("events.num", "3000000")]);
    for millis in LIVES {
        lab.source_life(&def, Some(millis));
    }
    let status = lab.source_life(&def, None).unwrap();
    assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
    assert_dense(lab.numbers("events", "id").into_iter().map(|id| id - 1_000).collect(), 60_000);
}

#[test]
fn lines_of_files_come_once_and_bad_ones_go_to_the_dead_letters_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    let mut bad = 0;
    for name in ["a.jsonl", "b.csv", "c.jsonl"] {
        let mut content = String::new();
        if name.ends_with("csv") {
            content += "text,n\n";
        }
        for line in 0..12_000 {
            let is_bad = line % 1_000 == 17;
            let value = if is_bad { "oops".to_owned() } else { n.to_string() };
            let filler = "x".repeat(80);
            if name.ends_with("csv") {
                writeln!(content, "\"{filler}, \"\"{line}\"\"\n\",{value}").unwrap();
            } else {
                writeln!(content, "{{\"n\":{value},\"text\":\"{filler}\"}}").unwrap();
            }
            n += i64::from(!is_bad);
            bad += usize::from(is_bad);
        }
        write(&dir.path().join(name), &content);
    }
    check(&def("filesystem", &[("path", dir.path().to_str().unwrap())]), n, bad);
    let one = Lab::new(1);
    let path = dir.path().join("a.jsonl");
    let status = one.source_life(&def("single_file", &[("path", path.to_str().unwrap())]), None).unwrap();
    assert_eq!((status.state, status.rows, status.dead_letters), (State::Ended, 11_988, 12));
    assert!(one.numbers("events", "n").is_sorted(), "one shard keeps the order of the file");
}

#[test]
fn columns_of_files_come_once() {
    for format in ["parquet", "arrow"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let writer = Lab::new(2);
        writer.fill(0, 50_000);
        let sink = def(
            "filesystem",
            &[("path", path), ("format", format), ("sink.rolling-policy.rollover-interval", "10 ms")],
        );
        writer.sink_life(&sink, None).unwrap();
        check(&def("filesystem", &[("path", path)]), 50_000, 0);
    }
}

#[test]
fn new_files_are_seen_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let options = [("path", dir.path().to_str().unwrap()), ("source.monitor-interval", "10 ms")];
    let lab = Lab::new(1);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let handle = supervisor.start_source(def("filesystem", &options), |_| panic!("it has no end")).unwrap();
    runtime.block_on(async {
        for n in 0..3_usize {
            write(&dir.path().join(".hidden"), &format!("{{\"n\":{n}}}\n"));
            #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
            std::fs::rename(dir.path().join(".hidden"), dir.path().join(format!("{n}.jsonl"))).unwrap();
            until(&handle, "the new file is read", |_| lab.numbers("events", "n").len() > n).await;
        }
        assert_eq!(handle.stop().await.state, State::Stopped);
    });
    assert_eq!(lab.numbers("events", "n"), [0, 1, 2]);
}

#[test]
fn the_end_is_told_after_the_last_row_is_safe() {
    let lab = Lab::new(1);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let (tell, ingest) = (Arc::clone(&told), Arc::clone(&lab.ingest));
    let on_end = move |stream: &headwater_core::StreamName| {
        let info = ingest.log().stream_named(stream.as_str()).unwrap();
        assert_eq!(ingest.log().bounds(info.id).unwrap()[0].next.0, 20_000);
        tell.store(true, Ordering::SeqCst);
    };
    let options = [("number-of-rows", "20000"), ("fields.n.kind", "sequence")];
    let handle = supervisor.start_source(def("datagen", &options), on_end).unwrap();
    let status = runtime.block_on(handle.ended());
    assert_eq!((status.state, status.rows), (State::Ended, 20_000));
    assert!(told.load(Ordering::SeqCst));
    assert_eq!(supervisor.statuses().len(), 1);
    drop(handle);
}

#[test]
fn an_outage_is_shown_and_survived() {
    let lab = Lab::new(1);
    let runtime = runtime();
    let asked = Arc::new(AtomicU64::new(0));
    let answer = {
        let asked = Arc::clone(&asked);
        move || async move {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0..2 => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
                n => (StatusCode::OK, format!("[{{\"n\":{}}},{{\"n\":\"bad\"}}]", n - 2)),
            }
        }
    };
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(answer))).await });
        address
    });
    let endpoint = format!("http://{address}/?token=secret");
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let options = [("endpoint", endpoint.as_str()), ("poll_interval_ms", "5")];
    let handle = supervisor.start_source(def("polling_http", &options), |_| ()).unwrap();
    runtime.block_on(until(&handle, "three answers are read", |status| status.rows >= 3));
    let status = runtime.block_on(handle.stop());
    assert_eq!(status.failures, 2);
    let error = status.last_error.unwrap();
    assert!(error.starts_with("HW5004: GET http://127.0.0.1:"), "{error}");
    assert!(error.contains("503") && !error.contains("secret"), "{error}");
    let numbers = lab.numbers("events", "n");
    assert!(numbers.len() >= 3);
    let count = numbers.len() as i64;
    assert_dense(numbers, count);
    assert_eq!(lab.numbers("system.dead_letters", "record").len(), count as usize);
}

/// A list of URLs holds for sources, too: they can say as much as a webhook, and show what they are told.
#[test]
fn a_url_is_polled_only_where_the_configuration_lets_webhooks_go() {
    let (runtime, asked) = (runtime(), Arc::new(AtomicU64::new(0)));
    let inner = {
        let asked = Arc::clone(&asked);
        move || async move {
            asked.fetch_add(1, Ordering::SeqCst);
            "{\"n\":666}"
        }
    };
    let router = Router::new()
        .route("/shown/a", get(|| async { "{\"n\":0}" }))
        .route("/shown/moved", get(|| async { Redirect::temporary("/shown/a") }))
        .route("/shown/away", get(|| async { Redirect::temporary("/inner") }))
        .route("/inner", get(inner));
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    let lab = Lab::new(1);
    let schema = lab.ingest.log().stream_named("events").unwrap().spec.schema.clone();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let webhooks = Some(vec![format!("http://{address}/shown/")]);
    let supervisor = supervisor.with_allowed(Allowed { webhooks, ..Allowed::default() });
    let source = |connector: &str, path: &str| {
        let endpoint = format!("http://{address}{path}");
        def(connector, &[("endpoint", endpoint.as_str()), ("emit-behavior", "changed")])
    };
    for connector in ["http", "polling_http"] {
        let away = source(connector, "/inner");
        let checked = supervisor.validate_source(&away, &schema, None).err().unwrap().to_string();
        assert!(checked.contains("the configuration does not allow webhooks to "), "{checked}");
        assert!(
            supervisor.start_source(away, |_| ()).is_err(),
            "nor by a table that was there before the list"
        );
    }
    let led_away = supervisor.start_source(source("http", "/shown/away"), |_| ()).unwrap();
    runtime.block_on(until(&led_away, "it fails", |status| status.failures > 0));
    let error = runtime.block_on(led_away.stop()).last_error.unwrap();
    assert!(error.contains("the configuration does not allow webhooks to "), "{error}");
    let moved = supervisor.start_source(source("http", "/shown/moved"), |_| ()).unwrap();
    runtime.block_on(until(&moved, "a row has come", |status| status.rows == 1));
    runtime.block_on(moved.stop());
    assert_eq!((lab.numbers("events", "n"), asked.load(Ordering::SeqCst)), (vec![0], 0));
}
