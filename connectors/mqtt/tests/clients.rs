//! Clients that others wrote talk to the broker: Paho for Python and Mosquitto's, in both versions, with TLS and without.
//!
//! The test command fetches them; without them the tests say that they were left out.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what was left out"
)]

#[path = "clients/found.rs"]
mod found;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::World;
use headwater_mqtt::broker::{Access, Broker, BrokerOptions, User};
use headwater_mqtt::net::{Listener, Running, ServerTls};

use found::{mosquitto, paho, run};

const VERSIONS: [(&str, &str); 2] = [("3", "mqttv311"), ("5", "mqttv5")];

struct Served {
    broker: Arc<Broker>,
    address: SocketAddr,
    _running: Running,
}

async fn serve(access: Access, tls: Option<ServerTls>) -> Served {
    let broker = Broker::new(World::real(), BrokerOptions::default(), access);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls.as_ref()).await.unwrap();
    let address = listener.address().unwrap();
    Served { _running: listener.serve(Arc::clone(&broker)), broker, address }
}

fn one_user() -> Access {
    let mut access = Access::default();
    access.users.insert("u".to_owned(), User::new(b"a password", 7));
    access
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paho_gets_what_the_specification_promises() {
    let Some(python) = paho() else { return };
    let transports = ["tcp", "websockets"];
    for (version, transport) in
        VERSIONS.iter().flat_map(|(version, _)| transports.map(|over| (*version, over)))
    {
        let served = serve(one_user(), None).await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients.py");
        let port = served.address.port().to_string();
        let arguments = [script.to_str().unwrap(), &port, transport, version, "u", "a password"];
        let output = run(Command::new(&python).args(arguments)).await;
        assert!(output.status.success(), "{transport}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
        until(|| served.broker.connected() == 0, "all have gone").await;
    }
}

/// One of Mosquitto's clients, told where to go.
fn client(name: &str, address: SocketAddr, version: &str, rest: &[&str]) -> Command {
    let mut command = Command::new(name);
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    command.args(["-h", &host, "-p", &port, "-V", version]).args(rest);
    command
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn end(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

async fn until(holds: impl Fn() -> bool, what: &str) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it has not come to this: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquittos_clients_publish_and_subscribe() {
    if mosquitto().is_none() {
        return;
    }
    for (_, version) in VERSIONS {
        let served = serve(Access::open(), None).await;
        let publish = |topic: &str, payload: &str, qos: &str| {
            let rest = ["-t", topic, "-m", payload, "-q", qos, "-r"];
            client("mosquitto_pub", served.address, version, &rest)
        };
        for (topic, payload, qos) in [("plant/t1/temp", "20.5", "0"), ("plant/t2/temp", "21.5", "2")] {
            assert!(run(&mut publish(topic, payload, qos)).await.status.success());
        }
        let rest = ["-t", "plant/+/temp", "-q", "2", "-v", "-C", "3", "-W", "120"];
        let mut subscriber = start(&mut client("mosquitto_sub", served.address, version, &rest));
        // What was retained comes when it is subscribed.
        let mut said = BufReader::new(subscriber.stdout.take().unwrap());
        let retained = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            for _ in 0..2 {
                said.read_line(&mut text).unwrap();
            }
            (text, said)
        });
        let (mut heard, mut said) = retained.await.unwrap();
        assert!(run(&mut publish("plant/t3/temp", "22.5", "1")).await.status.success());
        let rest = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            said.read_to_string(&mut text).unwrap();
            text
        });
        heard += &rest.await.unwrap();
        assert_eq!(heard, "plant/t1/temp 20.5\nplant/t2/temp 21.5\nplant/t3/temp 22.5\n");
        assert!(end(subscriber).await.status.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_waits_until_the_row_is_durable() {
    if mosquitto().is_none() {
        return;
    }
    for (_, version) in VERSIONS {
        for qos in ["1", "2"] {
            let served = serve(Access::open(), None).await;
            served.broker.record("readings", "plant/#");
            let rest = ["-t", "plant/t1", "-m", "20.5", "-q", qos];
            let mut publisher = start(&mut client("mosquitto_pub", served.address, version, &rest));
            let recording = served.broker.attach("readings", "plant/#", None);
            until(|| !recording.take(1).0.is_empty(), "the message is there").await;
            // It has been taken, and nobody has said that it is durable.
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(
                publisher.try_wait().unwrap().is_none(),
                "nothing is acknowledged before the row is durable"
            );
            let recording = served.broker.attach("readings", "plant/#", None);
            let (messages, position) = recording.take(10);
            assert_eq!((messages.len(), &messages[0].payload[..]), (1, &b"20.5"[..]));
            recording.committed(&position);
            assert!(end(publisher).await.status.success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_keeps_out_who_has_no_certificate() {
    if mosquitto().is_none() {
        return;
    }
    let Some(keys) = found::Keys::make() else { return };
    let tls = ServerTls {
        certificate: keys.path("server.crt"),
        key: keys.path("server.key"),
        client_ca: Some(keys.path("ca.crt")),
    };
    let served = serve(Access::open(), Some(tls)).await;
    let publish = |rest: &[&str]| {
        let ca = keys.path("ca.crt");
        let rest = [&["-t", "t", "-m", "m", "-q", "1", "--cafile", ca.to_str().unwrap()], rest].concat();
        client("mosquitto_pub", served.address, "mqttv5", &rest)
    };
    let (certificate, key) = (keys.path("client.crt"), keys.path("client.key"));
    let own = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    assert!(run(&mut publish(&own)).await.status.success());
    let refused = run(&mut publish(&[])).await;
    assert!(!refused.status.success());
}
