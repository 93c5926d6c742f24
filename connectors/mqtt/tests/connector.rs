//! The connector against the broker of this process and a real Mosquitto: what is recorded, and what is published.
//!
//! The suite's lab drives it: lives of a connector that end by force at any moment, and a count afterwards.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what was left out"
)]

#[path = "connector/again.rs"]
mod again;
#[path = "connector/firings.rs"]
mod firings;
#[path = "clients/found.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod found;
#[path = "../../tests/conformance/lab.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod lab;
#[path = "connector/mosquitto.rs"]
mod mosquitto;
#[path = "../../kafka/tests/kafka/ports.rs"]
mod ports;

use std::io::{BufRead as _, BufReader};
use std::num::NonZeroU16;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{AsArray as _, Int64Array, RecordBatch, StringArray};
use headwater_connectors::{
    ConnectorDef, ConnectorSupervisor, Handle, State, Status, add_publisher, registry,
};
use headwater_core::{ShardId, World};
use headwater_log::ReadSpec;
use headwater_mqtt::broker::{Access, Broker, BrokerOptions, User};
use headwater_mqtt::client::{Client, Login, Target};
use headwater_mqtt::connector::{CONNECTOR, PUBLISHER, set_broker};
use headwater_mqtt::net::Listener;
use headwater_mqtt::wire::{Packet, Publish, Qos, Version};

use lab::{Lab, assert_dense, def, runtime};
use mosquitto::Mosquitto;

/// There is one broker in a process: tests that set it come one after the other.
static ONE_BROKER: Mutex<()> = Mutex::new(());

/// The texts of a stream of one shard.
fn texts(lab: &Lab) -> Vec<String> {
    let info = lab.ingest.log().stream_named("events").unwrap();
    let until = lab.ingest.log().bounds(info.id).unwrap()[0].next;
    let spec = ReadSpec { until: Some(until), ..ReadSpec::all(info.id, ShardId(0)) };
    let mut reader = lab.ingest.log().read(spec).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        let column = batch.rows.column_by_name("text").unwrap().as_string::<i32>();
        all.extend(column.iter().map(|value| value.unwrap_or("NULL").to_owned()));
    }
    all
}

fn setup() {
    registry::add(&CONNECTOR);
    add_publisher(&PUBLISHER);
}

/// A source of what is published to a topic.
fn source(url: Option<&str>, topic: &str, qos: &str) -> ConnectorDef {
    let mut options = vec![("topic", topic), ("qos", qos)];
    options.extend(url.map(|url| ("url", url)));
    def("mqtt", &options)
}

fn start(lab: &Lab, def: &ConnectorDef) -> Handle {
    let supervisor =
        ConnectorSupervisor::new(Arc::clone(&lab.ingest), tokio::runtime::Handle::current()).unwrap();
    supervisor.start_source(def.clone(), |_| ()).unwrap()
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

/// `mosquitto_pub`, which publishes each line that it is given and waits for all acknowledgements.
fn publisher(
    port: u16,
    topic: &str,
    qos: &str,
    lines: impl Iterator<Item = String>,
) -> std::thread::JoinHandle<bool> {
    let mut child = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", topic, "-q", qos, "-l", "-V", "mqttv5"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text: String = lines.collect();
    #[expect(clippy::disallowed_methods, reason = "a test has threads of its own")]
    std::thread::spawn(move || {
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        child.wait().unwrap().success()
    })
}

fn lines(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|n| format!("{{\"n\":{n},\"text\":\"row {n}\"}}\n"))
}

#[test]
fn whatever_becomes_of_the_source_each_acknowledged_message_is_recorded_once() {
    let _one = ONE_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    if found::mosquitto().is_none() {
        return;
    }
    setup();
    for qos in ["1", "2"] {
        let lab = Lab::new(3);
        let serving = runtime();
        let broker = Broker::new(World::real(), BrokerOptions::default(), Access::open());
        set_broker(&broker);
        let listener = serving.block_on(Listener::bind("127.0.0.1:0".parse().unwrap(), None)).unwrap();
        let port = listener.address().unwrap().port();
        let running = {
            let _inside = serving.enter();
            listener.serve(Arc::clone(&broker))
        };
        let def = source(None, "events/#", qos);
        // The first life says what is wanted; from then on nothing is acknowledged that is not recorded.
        lab.source_life(&def, Some(0));
        let publishing = publisher(port, "events/a", qos, lines(0..5_000));
        for millis in lab::LIVES {
            lab.source_life(&def, Some(millis));
        }
        let last = runtime();
        last.block_on(async {
            let source = start(&lab, &def);
            until(|| lab.numbers("events", "n").len() >= 5_000, "all is recorded").await;
            tokio::task::spawn_blocking(|| assert!(publishing.join().unwrap(), "all is acknowledged"))
                .await
                .unwrap();
            source.stop().await;
        });
        assert_dense(lab.numbers("events", "n"), 5_000);
        serving.block_on(running.stop());
    }
}

#[test]
fn metadata_and_bad_messages_are_recorded_and_rows_are_published() {
    let _one = ONE_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    if found::mosquitto().is_none() {
        return;
    }
    setup();
    runtime().block_on(async {
        let broker = Broker::new(World::real(), BrokerOptions::default(), Access::open());
        set_broker(&broker);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let port = listener.address().unwrap().port();
        let _running = listener.serve(Arc::clone(&broker));
        let lab = Lab::new(1);
        let mut def = source(None, "events/+", "1");
        def.metadata.insert("text".to_owned(), "topic.2".to_owned());
        let source = start(&lab, &def);
        until(|| source.status().state == State::Running, "it runs").await;
        let said = ["{\"n\":0}\n", "{\"n\":\"many\"}\n", "nonsense\n", "{\"n\":1}\n"].map(str::to_owned);
        let published = publisher(port, "events/t7", "1", said.into_iter());
        assert!(tokio::task::spawn_blocking(|| published.join().unwrap()).await.unwrap());
        until(|| source.status().dead_letters == 2, "what does not fit is put aside").await;
        assert_eq!(lab.numbers("events", "n"), [0, 1]);
        assert_eq!(texts(&lab), ["t7", "t7"]);

        // Back out again, to a subscriber that others wrote.
        let subscriber = Subscriber::start(port, "out/#", &["-q", "1", "-F", "%t %p %P"]).await;
        for url in [None, Some(format!("mqtt://127.0.0.1:{port}"))] {
            let lab = Lab::new(1);
            lab.fill(0, 1);
            let mut options = vec![("topic", "out/rows")];
            options.extend(url.as_deref().map(|url| ("url", url)));
            let supervisor =
                ConnectorSupervisor::new(Arc::clone(&lab.ingest), tokio::runtime::Handle::current()).unwrap();
            let sink = supervisor.start_sink(lab::def("mqtt", &options)).unwrap();
            until(|| sink.status().lag == Some(0), "the row is delivered").await;
            sink.stop().await;
        }
        until(|| subscriber.heard().len() >= 2, "both are heard").await;
        assert_eq!(subscriber.heard(), ["out/rows {\"n\":0,\"text\":\"row 0\"} key:events/0/0"; 2]);
        source.stop().await;
    });
}

#[test]
fn an_acknowledgement_waits_for_the_append_and_for_nothing_else() {
    let _one = ONE_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    const MESSAGES: u16 = 20;
    setup();
    runtime().block_on(async {
        let broker = Broker::new(World::real(), BrokerOptions::default(), Access::open());
        set_broker(&broker);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let url = format!("mqtt://127.0.0.1:{}", listener.address().unwrap().port());
        let _running = listener.serve(Arc::clone(&broker));
        let lab = Lab::new(1);
        let source = start(&lab, &source(None, "events/#", "1"));
        until(|| source.status().state == State::Running, "it runs").await;
        let target = Target {
            url: url.parse().unwrap(),
            tls: Default::default(),
            version: Version::V5,
            packet_bytes_max: 1 << 20,
        };
        let login = Login { client_id: "device".to_owned(), username: None, password: None };
        let mut client = Client::connect(&target, &login, false).await.unwrap();
        let mut shortest = Duration::MAX;
        for n in 1..=MESSAGES {
            let began = tokio::time::Instant::now();
            let qos = if n % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            let publish = Publish {
                dup: false,
                qos,
                retain: false,
                topic: "events/a".into(),
                packet_id: NonZeroU16::new(n),
                payload: format!("{{\"n\":{n}}}").into(),
                properties: Vec::new(),
            };
            client.send(Packet::Publish(Box::new(publish))).await.unwrap();
            let answer = client.next().await.unwrap();
            shortest = shortest.min(began.elapsed());
            assert!(matches!(answer, Packet::Puback(_) | Packet::Pubrec(_)), "{answer:?}");
            assert_eq!(lab.numbers("events", "n").len(), usize::from(n), "what is acknowledged is there");
        }
        assert!(shortest < Duration::from_millis(500), "{shortest:?}");
        until(|| source.status().lag == Some(0), "nothing waits").await;
        source.stop().await;
    });
}

#[test]
fn a_broker_elsewhere_gives_each_message_of_qos_2_once_whenever_the_process_dies() {
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    setup();
    for protocol in ["5", "3.1.1"] {
        let lab = Lab::new(2);
        let mut def = source(Some(&mosquitto.url()), "events/#", "2");
        def.options.insert("protocol-version".to_owned(), protocol.to_owned());
        def.options.insert("client-id".to_owned(), format!("recorder-{protocol}"));
        // The session is there before anything is published.
        let beginning = runtime();
        beginning.block_on(async {
            let source = start(&lab, &def);
            until(|| source.status().state == State::Running, "it runs").await;
            source.stop().await;
        });
        let publishing = publisher(mosquitto.port, "events/a", "2", lines(0..4_000));
        for millis in [5, 10, 20, 40, 60, 80, 100, 150, 200, 30, 15, 120] {
            lab.source_life(&def, Some(millis));
        }
        runtime().block_on(async {
            let source = start(&lab, &def);
            until(|| lab.numbers("events", "n").len() >= 4_000, "all is recorded").await;
            // What would come twice has time to come.
            tokio::time::sleep(Duration::from_millis(500)).await;
            source.stop().await;
        });
        assert!(publishing.join().unwrap());
        assert_dense(lab.numbers("events", "n"), 4_000);
    }
}

#[test]
fn mosquitto_is_stopped_killed_and_started_again_under_load() {
    let Some(python) = found::paho() else { return };
    let Some(mut mosquitto) = Mosquitto::start(None) else { return };
    setup();
    runtime().block_on(async {
        let lab = Lab::new(2);
        let source = start(&lab, &source(Some(&mosquitto.url()), "events/#", "1"));
        until(|| source.status().state == State::Running, "it runs").await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/connector/load.py");
        let mut load =
            Command::new(python).args([script, &mosquitto.port.to_string(), "3000"]).spawn().unwrap();
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            // It writes down its sessions before it ends.
            mosquitto.stop();
            until(|| source.status().state == State::Retrying, "the outage is seen").await;
            mosquitto.start_again();
        }
        assert!(tokio::task::spawn_blocking(move || load.wait().unwrap().success()).await.unwrap());
        // With QoS 1 some come twice, from the publisher or from Mosquitto; none is missing.
        let numbers = || {
            let mut numbers = lab.numbers("events", "n");
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        until(|| numbers().len() >= 3_000, "all is recorded").await;
        assert_dense(numbers(), 3_000);

        // Killed it forgets what it had; the source goes on with what comes afterwards.
        let failures = source.status().failures;
        mosquitto.kill();
        until(|| source.status().failures > failures, "the outage is seen").await;
        assert!(source.status().last_error.is_some());
        mosquitto.start_again();
        until(|| source.status().state == State::Running, "it is back").await;
        let published = publisher(mosquitto.port, "events/b", "1", lines(3_000..3_100));
        assert!(tokio::task::spawn_blocking(|| published.join().unwrap()).await.unwrap());
        until(|| numbers().len() >= 3_100, "it goes on").await;
        source.stop().await;
    });
}

#[test]
fn every_row_is_published_whenever_the_process_dies() {
    let Some(mosquitto) = Mosquitto::start(None) else { return };
    setup();
    for protocol in ["5", "3.1.1"] {
        let topic = format!("out/{protocol}");
        let subscriber = runtime().block_on(Subscriber::start(mosquitto.port, &topic, &["-q", "2"]));
        let lab = Lab::new(1);
        lab.fill(0, 3_000);
        let url = mosquitto.url();
        let options =
            [("url", url.as_str()), ("topic", &topic), ("qos", "1"), ("protocol-version", protocol)];
        let def = def("mqtt", &options);
        for millis in [10, 20, 30, 50, 80, 40, 25] {
            lab.sink_life(&def, Some(millis));
        }
        let status = lab.sink_life(&def, None).unwrap();
        assert_eq!(status.lag, Some(0));
        let numbers = || {
            let mut numbers: Vec<i64> = Vec::new();
            for line in subscriber.heard() {
                let row: serde_json::Value = serde_json::from_str(&line).unwrap();
                numbers.push(row["n"].as_i64().unwrap());
                assert_eq!(row.get("_key").is_some(), protocol == "3.1.1");
            }
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        runtime().block_on(until(|| numbers().len() >= 3_000, "all is heard"));
        assert_dense(numbers(), 3_000);
    }
}

/// A `mosquitto_sub`. Killed when dropped.
struct Subscriber {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// The topic and the payload of a message that is retained, so that it comes once a client is subscribed.
const READY: &str = "is-subscribed";

impl Subscriber {
    /// Starts it, and waits until it is subscribed: it asks for a retained message in the same request, behind the topic.
    async fn start(port: u16, topic: &str, more: &[&str]) -> Self {
        let port = port.to_string();
        let mut kept = Command::new("mosquitto_pub");
        kept.args(["-h", "127.0.0.1", "-p", &port, "-t", READY, "-m", READY, "-q", "1", "-r"]);
        assert!(found::run(&mut kept).await.status.success());
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-t", READY, "-V", "mqttv5"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (said, kept) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&lines));
        #[expect(clippy::disallowed_methods, reason = "a test has threads of its own")]
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let subscriber = Self { child, lines };
        until(|| !subscriber.lines.lock().unwrap().is_empty(), "it is subscribed").await;
        subscriber
    }

    /// The lines that it has written, but for the one that says that it is subscribed.
    fn heard(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| !line.contains(READY)).map(|line| line.trim_end().to_owned()).collect()
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tls_and_passwords_open_the_door() {
    let Some(keys) = found::Keys::make() else { return };
    let Some(mosquitto) = Mosquitto::start(Some(&keys)) else { return };
    setup();
    runtime().block_on(async {
        let lab = Lab::new(1);
        let url = mosquitto.url();
        let path = |name: &str| keys.path(name).to_str().unwrap().to_owned();
        let (ca, password) = (path("ca.crt"), path("password"));
        let with = |more: &[(&str, &str)]| {
            let options = [&[("url", url.as_str()), ("topic", "t"), ("username", "u")], more].concat();
            def("mqtt", &options)
        };
        let source = start(&lab, &with(&[("tls.ca", &ca), ("password-file", &password)]));
        until(|| source.status().state == State::Running, "it is let in").await;
        source.stop().await;
        let source = start(&lab, &with(&[("tls.ca", &ca), ("password", "wrong")]));
        until(|| source.status().state == State::Failed, "it is not let in").await;
        let error = source.status().last_error.unwrap();
        assert!(error.contains("HW5005") && !error.contains("wrong"), "{error}");
        // A certificate that nobody here trusts.
        let source = start(&lab, &with(&[("password-file", &password)]));
        until(|| source.status().failures > 0, "it does not go in").await;
        source.stop().await;
    });
}

#[test]
fn mistakes_in_options_are_told() {
    setup();
    runtime().block_on(async {
        let lab = Lab::new(1);
        let supervisor =
            ConnectorSupervisor::new(Arc::clone(&lab.ingest), tokio::runtime::Handle::current()).unwrap();
        let schema = lab.ingest.log().stream_named("events").unwrap().spec.schema.clone();
        let told = |options: &[(&str, &str)], what: &str| {
            let error =
                supervisor.validate_source(&def("mqtt", options), &schema, None).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        };
        told(&[], "topic");
        told(&[("topic", "a#")], "a level by itself");
        told(&[("topic", "$share/g/a")], "nobody to share it with");
        told(&[("topic", "a"), ("qos", "3")], "it is 0, 1 or 2");
        told(&[("topic", "a"), ("url", "http://x")], "mqtt://");
        told(&[("topic", "a"), ("url", "mqtt://u:s3cret@x")], "use the option password");
        told(&[("topic", "a"), ("password", "s3cret")], "give a url");
        told(&[("topic", "a"), ("url", "mqtt://x"), ("tls.key", "k")], "belong together");
        told(&[("topic", "a"), ("format", "parquet")], "json, csv or raw");
        told(&[("topic", "a"), ("topik", "a")], "did you mean 'topic'");
        let error = supervisor.validate_sink(&def("mqtt", &[]), &schema).unwrap_err().to_string();
        assert!(error.contains("METADATA FROM 'topic'"), "{error}");
        let error =
            supervisor.validate_sink(&def("mqtt", &[("topic", "a/+")]), &schema).unwrap_err().to_string();
        assert!(error.contains("no wildcards"), "{error}");
        let hidden = [("topic", "a"), ("url", "mqtt://x"), ("password", "s3cret {{ NO_SUCH_VARIABLE_7 }}")];
        let error = supervisor.validate_source(&def("mqtt", &hidden), &schema, None).unwrap_err().to_string();
        assert!(error.contains("NO_SUCH_VARIABLE_7") && !error.contains("s3cret"), "{error}");
    });
}

/// One life of a sink, until something holds.
fn life_until(lab: &Lab, def: &ConnectorDef, holds: impl Fn(&Status) -> bool) -> Status {
    runtime().block_on(async {
        let supervisor =
            ConnectorSupervisor::new(Arc::clone(&lab.ingest), tokio::runtime::Handle::current()).unwrap();
        let sink = supervisor.start_sink(def.clone()).unwrap();
        until(|| holds(&sink.status()), "the sink gets there").await;
        sink.stop().await
    })
}

/// Appends a row with the number of its place for each text.
fn append(lab: &Lab, texts: &[Option<&str>]) {
    let rows = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(0..texts.len() as i64)) as _),
        ("text", Arc::new(StringArray::from(texts.to_vec())) as _),
    ]);
    lab.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
}

#[test]
fn rows_that_a_broker_does_not_take_are_parked_and_the_others_go_on() {
    setup();
    let mut user = User::new(b"secret", 7);
    user.publish = Some(vec!["ok/#".to_owned()]);
    let access = Access { anonymous: false, users: [("u".to_owned(), user)].into() };
    let serving = runtime();
    let broker = Broker::new(World::real(), BrokerOptions::default(), access);
    let listener = serving.block_on(Listener::bind("127.0.0.1:0".parse().unwrap(), None)).unwrap();
    let url = format!("mqtt://u@127.0.0.1:{}", listener.address().unwrap().port());
    let running = {
        let _inside = serving.enter();
        listener.serve(Arc::clone(&broker))
    };
    let target = Target {
        url: url.parse().unwrap(),
        tls: Default::default(),
        version: Version::V5,
        packet_bytes_max: 1 << 20,
    };
    let login = Login {
        client_id: "listener".to_owned(),
        username: Some("u".to_owned()),
        password: Some("secret".into()),
    };
    let mut subscriber = serving.block_on(async {
        let mut client = Client::connect(&target, &login, false).await.unwrap();
        client.subscribe("ok/#", Qos::AtMostOnce).await.unwrap();
        client
    });
    let base = [("url", url.as_str()), ("password", "secret")];

    for qos in ["1", "2"] {
        let lab = Lab::new(1);
        let long = "ok/".repeat(30_000);
        append(&lab, &[Some("ok/a"), Some("no/a"), None, Some("ok/#"), Some(&long), Some("ok/b")]);
        let metadata = [("text".to_owned(), "topic".to_owned())].into();
        let sink = ConnectorDef { metadata, ..def("mqtt", &[base[0], base[1], ("qos", qos)]) };
        let status = lab.sink_life(&sink, None).unwrap();
        assert_eq!((status.state, status.last_error), (State::Stopped, None));
        let mut parked = lab.numbers("system.dead_letters", "record");
        parked.sort_unstable();
        assert_eq!(parked, [1, 2, 3, 4], "qos {qos}");
        for expected in ["{\"n\":0}", "{\"n\":5}"] {
            let heard =
                serving.block_on(async { tokio::time::timeout(lab::PATIENCE, subscriber.next()).await });
            let Packet::Publish(heard) = heard.unwrap().unwrap() else { panic!("it is no message") };
            assert_eq!(heard.payload, expected.as_bytes());
        }
    }
    // Before version 5 a broker has no words for it but to hang up: the row is found by sending one at a time.
    let lab = Lab::new(1);
    append(&lab, &[Some("ok/a"), Some("ok/b"), Some("no/a"), Some("ok/c")]);
    let metadata = [("text".to_owned(), "topic".to_owned())].into();
    let old = [base[0], base[1], ("qos", "1"), ("protocol-version", "3.1.1")];
    let sink = ConnectorDef { metadata, ..def("mqtt", &old) };
    let status = life_until(&lab, &sink, |status| status.positions.get("0").is_some_and(|next| next == "4"));
    assert_eq!((status.state, status.failures), (State::Stopped, 4), "{:?}", status.last_error);
    assert_eq!(lab.numbers("system.dead_letters", "record"), [2]);
    let mut heard = Vec::new();
    while heard.last() != Some(&3) {
        let next = serving.block_on(async { tokio::time::timeout(lab::PATIENCE, subscriber.next()).await });
        let Packet::Publish(next) = next.unwrap().unwrap() else { panic!("it is no message") };
        let row: serde_json::Value = serde_json::from_slice(&next.payload).unwrap();
        heard.push(row["n"].as_i64().unwrap());
    }
    // What was acknowledged when it hung up comes again, and nothing is missing.
    heard.dedup();
    assert!(heard.starts_with(&[0, 1]), "{heard:?}");
    // It hangs up over each row: that is no row's fault.
    let lab = Lab::new(1);
    append(&lab, &[Some("x"); 20]);
    let old = [base[0], base[1], ("topic", "no/x"), ("protocol-version", "3.1.1")];
    let status = life_until(&lab, &def("mqtt", &old), |status| status.state == State::Failed);
    assert_eq!(status.state, State::Failed, "{:?}", status.last_error);
    assert_eq!(lab.numbers("system.dead_letters", "record").len(), 8);

    // Where no row could go the sink stops.
    let lab = Lab::new(1);
    append(&lab, &[Some("x")]);
    let status = lab.sink_life(&def("mqtt", &[base[0], base[1], ("topic", "no/x")]), None).unwrap();
    assert_eq!(status.state, State::Failed, "{:?}", status.last_error);
    assert!(status.last_error.unwrap().contains("NotAuthorized"));
    assert_eq!(lab.numbers("system.dead_letters", "record"), [0_i64; 0]);
    serving.block_on(running.stop());
}
