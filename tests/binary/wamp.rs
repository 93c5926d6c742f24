//! `serve --wamp`, with Autobahn: what is published is recorded, a job runs over it, and its rows are published.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::process::{Process, Server};

/// The Python that has Autobahn, if it is there.
#[expect(clippy::print_stdout, reason = "it says what was left out")]
fn autobahn() -> Option<PathBuf> {
    let given = std::env::var_os("HEADWATER_TEST_AUTOBAHN").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let usual = cache.map(|cache| cache.join("headwater/autobahn-26.10.2"));
    let python = given.or(usual)?.join("bin/python");
    let is_there = python.exists();
    if !is_there {
        println!("left out: Autobahn for Python is not at {}; tests/run fetches it", python.display());
    }
    is_there.then_some(python)
}

/// Starts the binary on a data directory, and answers where it routes WAMP, too.
fn serve(data: &Path) -> (Server, String) {
    let data = data.to_str().unwrap();
    let mut process =
        Process::start(&["serve", "--listen", "127.0.0.1:0", "--wamp", "127.0.0.1:0", "--data", data]);
    let line = process.wait_for("WAMP on ");
    let url = line.split_whitespace().find(|word| word.starts_with("ws://")).unwrap().to_owned();
    (Server::of(process), url)
}

async fn run(python: &Path, url: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/wamp.py");
    let mut command = Command::new(python);
    command.args([script, url]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_recorded_watched_and_told() {
    let Some(python) = autobahn() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = serve(dir.path());
    server
        .sql(
            "CREATE STREAM readings (device VARCHAR, temp DOUBLE, wamp_topic VARCHAR, wamp_publication BIGINT)
                 WITH (connector = 'wamp', realm = 'realm1', topic = 'com.home.temp.', match = 'prefix');
             CREATE TABLE alarms (device VARCHAR, temp DOUBLE)
                 WITH (connector = 'wamp', realm = 'realm1', topic = 'com.home.alarm', type = 'sink');
             CREATE JOB watching AS INSERT INTO alarms SELECT device, temp FROM readings WHERE temp > 30",
        )
        .await;
    let connectors = "SELECT state FROM system.connectors WHERE state = 'running'";
    server.wait_until(connectors, |rows| rows.len() == 2).await;
    let output = run(&python, &url).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = "SELECT device, temp, wamp_topic FROM readings ORDER BY device";
    let expected = |times: usize| {
        let row = |device: &str, temp: f64, room: &str| json!({"device": device, "temp": temp, "wamp_topic": format!("com.home.temp.{room}")});
        let all = [row("t1", 21.5, "kitchen"), row("t2", 35.5, "attic"), row("t3", 31.0, "cellar")];
        all.into_iter().flat_map(|row| vec![row; times]).collect::<Vec<_>>()
    };
    assert_eq!(server.rows(rows).await, expected(1));

    // After a kill the table records again, and what it had is there.
    server.kill();
    let (server, url) = serve(dir.path());
    server.wait_until(connectors, |rows| rows.len() == 2).await;
    let output = run(&python, &url).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.rows(rows).await, expected(2));
    assert_eq!(server.terminate(), Some(0));
}
