//! The Autobahn test suite against a server that echoes.
//!
//! The suite needs Python 2.7; `tests/run` makes its environment where there is one. Without it the test says that it was left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::websocket::{Offers, Said, accept};

/// The largest message of the suite has 16 MiB.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

fn wstest() -> Option<PathBuf> {
    let given = std::env::var_os("HEADWATER_TEST_WSTEST").map(PathBuf::from);
    let usual = std::env::var_os("HOME")
        .map(|home| PathBuf::from(home).join(".cache/headwater/autobahntestsuite-25.10.1/bin/wstest"));
    let wstest = given.or(usual)?;
    let is_there = wstest.exists();
    if !is_there {
        println!("left out: the Autobahn test suite is not at {}; tests/run makes it", wstest.display());
    }
    is_there.then_some(wstest)
}

async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let choose = |_: &Offers| Ok(((), None));
            let accepted = accept(stream, MESSAGE_BYTES_MAX, true, choose).await;
            let Ok((mut socket, ())) = accepted else { return };
            loop {
                let mut frame = Vec::new();
                match socket.read().await {
                    Said::Text(text) => socket.add(true, &text, &mut frame),
                    Said::Binary(bytes) => socket.add(false, &bytes, &mut frame),
                    Said::Alive => {}
                    Said::End => break,
                }
                if socket.send(&frame).await.is_err() || socket.flush().await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Runs cases, at least so many, none of which may fail. The suite gives most of them a second: what fails on a busy machine is run again
/// by itself.
async fn run(wanted: &[String], least: usize) {
    let Some(wstest) = wstest() else { return };
    let (cases, mut failed) = run_once(&wstest, wanted).await;
    assert!(cases >= least, "only {cases} cases were run");
    for _ in 0..8 {
        if failed.is_empty() {
            break;
        }
        let again: Vec<String> = failed.into_keys().collect();
        failed = run_once(&wstest, &again).await.1;
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Runs cases; how many there were, and those that failed with how.
async fn run_once(wstest: &Path, wanted: &[String]) -> (usize, BTreeMap<String, String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(echo(listener));
    let reports = tempfile::tempdir().unwrap();
    let spec = reports.path().join("fuzz.json");
    let wanted = json!({
        "outdir": reports.path(),
        "servers": [{"agent": "headwater", "url": format!("ws://127.0.0.1:{port}")}],
        "cases": wanted,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    std::io::Write::write_all(&mut std::fs::File::create(&spec).unwrap(), wanted.to_string().as_bytes())
        .unwrap();
    let mut command = Command::new(wstest);
    command.args(["-m", "fuzzingclient", "-s"]).arg(&spec).current_dir(reports.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    server.abort();
    let index = std::fs::read(reports.path().join("index.json"))
        .unwrap_or_else(|error| panic!("no report: {error}\n{}", String::from_utf8_lossy(&output.stderr)));
    let index: Value = serde_json::from_slice(&index).unwrap();
    let cases = index["headwater"].as_object().unwrap();
    let mut failed = BTreeMap::new();
    for (case, result) in cases {
        let told = |what: &str| result[what].as_str().unwrap_or_default().to_owned();
        let fine = |behavior: &str| ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&behavior);
        if !fine(&told("behavior")) || !fine(&told("behaviorClose")) {
            failed.insert(case.clone(), format!("{} {}", told("behavior"), told("behaviorClose")));
        }
    }
    (cases.len(), failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_autobahn_test_suite_finds_nothing() {
    run(&["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"].map(str::to_owned), 240).await;
}

/// Messages of up to 16 MiB, in up to 65,536 frames.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_arrive_as_they_were_sent() {
    run(&["9.*".to_owned()], 54).await;
}

/// Every way of agreeing about compression (12.1 to 13.7), with messages of 16 bytes, 256 bytes and 4 KiB, a thousand of each. The suite
/// goes on to 128 KiB, which is more of the same and takes it an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_messages_arrive_as_they_were_sent() {
    let agreements = (1..=5).map(|kind| (12, kind)).chain((1..=7).map(|offer| (13, offer)));
    let cases =
        agreements.flat_map(|(chapter, section)| [1, 3, 5].map(|size| format!("{chapter}.{section}.{size}")));
    run(&cases.collect::<Vec<_>>(), 36).await;
}
