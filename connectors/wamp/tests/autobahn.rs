//! Autobahn for Python talks to the router: asyncio and Twisted, all serializers, both transports.
//!
//! The test command makes the environment; without it the tests say that they were left out.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what was left out"
)]

use std::path::PathBuf;
use std::process::Command;

use headwater_core::World;
use headwater_wamp::auth::{AuthOptions, Credential, Principal, Secret};
use headwater_wamp::message::Match;
use headwater_wamp::net::{Listener, Running};
use headwater_wamp::realm::{Permission, RealmOptions, Role};
use headwater_wamp::router::{RealmSetup, Router, RouterOptions};
use headwater_wamp::wire::Dict;

#[path = "autobahn/found.rs"]
mod found;

fn secure() -> AuthOptions {
    let principal = |authid: &str, credential| Principal {
        authid: authid.into(),
        role: "device".into(),
        credentials: vec![credential],
        extra: Dict::new(),
    };
    let cra = |salt: Option<&str>| Credential::Cra {
        secret: Secret::new("a secret"),
        salt: salt.map(str::to_owned),
        iterations: 1_000,
    };
    AuthOptions {
        anonymous: None,
        principals: vec![
            principal("tina", Credential::Ticket(Secret::new("a ticket"))),
            principal("cora", cra(None)),
            principal("cleo", cra(Some("salt123"))),
            principal("sam", Credential::Scram(Secret::new("a password"))),
            // The public half of the key in the script.
            principal(
                "kay",
                Credential::Cryptosign(
                    "15cfa4acef5cc312e0b9ba77634849d0a8c6222a546f90eb5123667935d2f561".into(),
                ),
            ),
        ],
    }
}

async fn router() -> (Running, u16) {
    let mut open = RealmOptions::new("realm1");
    open.roles = vec![Role {
        name: "anonymous".into(),
        permissions: vec![
            Permission::all("", Match::Prefix),
            Permission { always_disclose: true, ..Permission::all("com.disclosed.", Match::Prefix) },
        ],
        trustlevel: None,
    }];
    let options = RouterOptions::new(vec![
        RealmSetup { options: open, auth: AuthOptions::open() },
        RealmSetup { options: RealmOptions::new("secure"), auth: secure() },
    ]);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let port = listener.address().unwrap().port();
    (listener.serve(Router::new(World::real(), options)), port)
}

/// Every transport with every serializer.
const ALL: [(&str, &str); 6] =
    [("ws", "json"), ("ws", "msgpack"), ("ws", "cbor"), ("rs", "json"), ("rs", "msgpack"), ("rs", "cbor")];

/// Those that put several messages into one of a WebSocket's.
const BATCHED: [(&str, &str); 3] =
    [("ws", "json.batched"), ("ws", "msgpack.batched"), ("ws", "cbor.batched")];

/// Runs a script for each framework, by these transports and serializers.
async fn check(script: &str, ways: &[(&str, &str)]) {
    let Some(python) = found::python() else { return };
    let (running, port) = router().await;
    let mut children = Vec::new();
    for framework in ["asyncio", "twisted"] {
        for (transport, serializer) in ways {
            let mut command = Command::new(&python);
            command
                .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/autobahn").join(script))
                .args([framework, &format!("{transport}://127.0.0.1:{port}"), serializer]);
            let what = format!("{framework} {transport} {serializer}");
            // One after the other: sessions of others would be seen by the meta API.
            children
                .push((what, tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()));
        }
    }
    running.stop().await;
    let failed: Vec<_> = children
        .iter()
        .filter(|(_, output)| !output.status.success())
        .map(|(what, output)| format!("== {what}\n{}", String::from_utf8_lossy(&output.stderr)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_do_what_they_are_used_to() {
    check("everything.py", &[&ALL[..], &BATCHED[..]].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_prove_who_they_are_in_every_way() {
    check("authenticate.py", &ALL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applications_in_javascript_do_what_they_are_used_to() {
    let Some(modules) = found::javascript() else { return };
    let (running, port) = router().await;
    // Over RawSocket it has JSON alone.
    for (transport, serializer) in [("ws", "json"), ("ws", "msgpack"), ("ws", "cbor"), ("rs", "json")] {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/autobahn/everything.js");
        let mut command = Command::new("node");
        command.env("NODE_PATH", &modules).arg("--experimental-websocket").arg(script);
        command.args([&format!("{transport}://127.0.0.1:{port}"), serializer]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{transport} {serializer}: {told}");
    }
    running.stop().await;
}
