//! The connector: topics into streams and streams to topics, by the router of this process, by one over a network, and by Crossbar.io.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what was left out"
)]

#[path = "connector/crossbar.rs"]
mod crossbar;
#[path = "../../mqtt/tests/clients/found.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod found;
#[path = "connector/lab.rs"]
mod lab;
#[path = "load/peer.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod peer;
#[path = "../../kafka/tests/kafka/ports.rs"]
mod ports;

use std::time::Duration;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use headwater_connectors::State;
use headwater_core::World;
use headwater_wamp::auth::AuthOptions;
use headwater_wamp::connector::set_router;
use headwater_wamp::message::Match;
use headwater_wamp::net::{Listener, Running, ServerTls};
use headwater_wamp::realm::{Permission, RealmOptions, Role};
use headwater_wamp::router::{RealmSetup, Router, RouterOptions};

use lab::Lab;
use peer::Peer;

/// There is one router in a process: tests that set it come one after the other.
static ONE_ROUTER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn router() -> (Running, u16) {
    let setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let port = listener.address().unwrap().port();
    (listener.serve(Router::new(World::real(), RouterOptions::new(vec![setup]))), port)
}

/// Records what is published, and publishes what was recorded, at the router that `url` names, or that of this process.
async fn there_and_back(url: Option<&str>, port: u16) {
    there_and_back_with(url.map(|url| ("url", url)).as_slice(), port).await;
}

async fn there_and_back_with(place: &[(&str, &str)], port: u16) {
    let lab = Lab::new();
    let options = [&[("realm", "realm1"), ("topic", "com.temp."), ("match", "prefix")], place].concat();
    let source = lab.start_source("readings", &options);
    lab.until(|| source.status().state == State::Running, "the source runs").await;

    let mut peer = Peer::join(port).await;
    for (request, (topic, args)) in (1..).zip([
        ("com.temp.a", r#"["t1",20.5]"#),
        ("com.temp.b", r#"[],{"device":"t2","temp":21}"#),
        ("com.temp.c", r#"[{"device":"t3","temp":22.5,"wamp_topic":"a lie"}]"#),
        ("com.temp.d", r#"["t4","warm"]"#),
        ("com.other", r#"["t5",1.5]"#),
        ("com.temp.e", r#"["t6"]"#),
    ]) {
        peer.say(&format!(r#"[16,{request},{{"acknowledge":true}},"{topic}",{args}]"#)).await;
        assert!(peer.hear().await.starts_with("[17,"));
    }
    lab.until(|| lab.rows("readings").len() == 4, "four events are recorded").await;
    assert_eq!(
        lab.rows("readings"),
        ["t1 20.5 com.temp.a", "t2 21 com.temp.b", "t3 22.5 com.temp.c", "t6 null com.temp.e"]
    );
    // The one whose temperature is a word is put aside, not dropped.
    lab.until(|| source.status().dead_letters == 1, "it is a dead letter").await;

    peer.say(r#"[32,7,{},"com.out"]"#).await;
    assert!(peer.hear().await.starts_with("[33,7,"));
    let options = [&[("realm", "realm1"), ("topic", "com.out")], place].concat();
    let sink = lab.start_sink("plain", &options);
    lab.fill_plain(3);
    for number in 0..3 {
        let event = peer.hear().await;
        let expected =
            format!(r#",[],{{"device":"d{number}","temp":{number}.5,"_key":"plain/0/{number}"}}]"#);
        assert!(event.ends_with(&expected), "{event}");
    }
    lab.until(|| sink.status().lag == Some(0), "all rows are acknowledged").await;
    sink.stop().await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_become_streams_and_streams_topics() {
    let _one = ONE_ROUTER.lock().await;
    let (running, port) = router().await;
    set_router(running.service());
    there_and_back(None, port).await;
    there_and_back(Some(&format!("ws://127.0.0.1:{port}/")), port).await;
    there_and_back(Some(&format!("rs://127.0.0.1:{port}")), port).await;
    firings(&[], port).await;
    firings(&[("via", "wamp"), ("url", &format!("ws://127.0.0.1:{port}/"))], port).await;

    // A source survives the end of the router, and goes on with the next.
    let lab = Lab::new();
    let url = format!("ws://127.0.0.1:{port}/");
    let source = lab.start_source("readings", &[("realm", "realm1"), ("topic", "com.t"), ("url", &url)]);
    lab.until(|| source.status().state == State::Running, "the source runs").await;
    running.stop().await;
    lab.until(|| source.status().state == State::Retrying, "the outage is seen").await;
    assert!(source.status().last_error.is_some());
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_router_does_not_take_are_parked_and_the_others_go_on() {
    let permissions = vec![Permission::all("com.out", Match::Prefix)];
    let mut options = RealmOptions::new("realm1");
    options.roles = vec![Role { name: "anonymous".into(), permissions, trustlevel: None }];
    let setup = RealmSetup { options, auth: AuthOptions::open() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let port = listener.address().unwrap().port();
    let running = listener.serve(Router::new(World::real(), RouterOptions::new(vec![setup])));
    let mut peer = Peer::join(port).await;
    peer.say(r#"[32,1,{"match":"prefix"},"com.out"]"#).await;
    assert!(peer.hear().await.starts_with("[33,1,"));

    let url = format!("ws://127.0.0.1:{port}/");
    let options = |topic| [("realm", "realm1"), ("topic", topic), ("url", url.as_str())];
    let lab = Lab::new();
    let sink = lab.start_sink("readings", &options("com.out"));
    lab.fill_readings(&[None, Some("com.denied"), Some("not a topic"), Some("wamp.own"), Some("com.out.x")]);
    for device in ["d0", "d4"] {
        let event = peer.hear().await;
        assert!(event.contains(&format!(r#""device":"{device}""#)), "{event}");
    }
    lab.until(|| lab.parked() == [1, 2, 3], "three rows are parked").await;
    lab.until(|| sink.status().lag == Some(0), "the others are acknowledged").await;
    assert_eq!(sink.status().last_error, None);
    sink.stop().await;

    // Where no row could go the sink stops, and nothing is put aside.
    let lab = Lab::new();
    let sink = lab.start_sink("plain", &options("com.denied"));
    lab.fill_plain(1);
    lab.until(|| sink.status().state == State::Failed, "it is not allowed").await;
    assert!(sink.status().last_error.unwrap().contains("not_authorized") && lab.parked().is_empty());
    running.stop().await;
}

/// A router that hangs up over a message that is too long for it, and says nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_over_which_a_router_hangs_up_is_parked() {
    let setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let port = listener.address().unwrap().port();
    let options = RouterOptions { message_bytes_max: 2_000, ..RouterOptions::new(vec![setup]) };
    let running = listener.serve(Router::new(World::real(), options));
    let mut peer = Peer::join_one_that_takes(port, 0x1).await;
    peer.say(r#"[32,1,{},"com.out"]"#).await;
    assert!(peer.hear().await.starts_with("[33,1,"));
    for scheme in ["ws", "rs"] {
        let url = format!("{scheme}://127.0.0.1:{port}/");
        let lab = Lab::new();
        let sink = lab.start_sink("plain", &[("realm", "realm1"), ("topic", "com.out"), ("url", &url)]);
        lab.fill_devices(&["short", &"long".repeat(1_000), "last"]);
        lab.until(|| lab.parked() == [1], "one row is parked").await;
        lab.until(|| sink.status().lag == Some(0), "the others are acknowledged").await;
        assert_eq!(sink.status().state, State::Running);
        while !peer.hear().await.contains(r#""device":"last""#) {}
        sink.stop().await;
    }
    running.stop().await;
}

/// Told to stop in the middle of it, with the router or alone, a source leaves nothing behind that it has received.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_stops_has_recorded_what_it_received() {
    let _one = ONE_ROUTER.lock().await;
    const EVENTS: usize = 30_000;
    for router_stops_first in [false, true] {
        let (running, port) = router().await;
        set_router(running.service());
        let lab = Lab::new();
        let source = lab.start_source("readings", &[("realm", "realm1"), ("topic", "com.t")]);
        lab.until(|| source.status().state == State::Running, "the source runs").await;
        let mut peer = Peer::join(port).await;
        for request in 1..EVENTS {
            peer.say(&format!(r#"[16,{request},{{}},"com.t",["t",{request}]]"#)).await;
        }
        peer.say(&format!(r#"[16,{EVENTS},{{"acknowledge":true}},"com.t",["t",0]]"#)).await;
        assert!(peer.hear().await.starts_with("[17,"));
        if router_stops_first {
            running.stop().await;
            source.stop().await;
        } else {
            source.stop().await;
            running.stop().await;
        }
        assert_eq!(lab.rows("readings").len(), EVENTS);
    }
}

/// PUBLISHED says that the row is in the log, and takes no longer than that; where it is not, ERROR says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_publishes_hears_whether_the_row_is_in_the_log() {
    let _one = ONE_ROUTER.lock().await;
    const EVENTS: usize = 20;
    let (running, port) = router().await;
    set_router(running.service());
    let lab = Lab::new();
    let options = [("realm", "realm1"), ("topic", "com.sure")];
    let source = lab.start_source("readings", &options);
    lab.until(|| source.status().state == State::Running, "the source runs").await;
    let mut peer = Peer::join(port).await;
    let mut publish = async |request: usize| {
        peer.say(&format!(r#"[16,{request},{{"acknowledge":true}},"com.sure",["t",{request}]]"#)).await;
        peer.hear().await
    };
    let mut shortest = Duration::MAX;
    for request in 1..=EVENTS {
        let began = tokio::time::Instant::now();
        assert!(publish(request).await.starts_with("[17,"));
        shortest = shortest.min(began.elapsed());
        assert_eq!(lab.rows("readings").len(), request);
    }
    assert!(shortest < Duration::from_millis(500), "{shortest:?}");
    lab.until(|| source.status().lag == Some(0), "nothing waits").await;

    // The append is refused, as another has begun to fill the stream.
    lab.fence("readings");
    let refused = publish(EVENTS + 1).await;
    assert!(refused.starts_with(&format!("[8,16,{},", EVENTS + 1)), "{refused}");
    assert!(refused.contains("wamp.error.unavailable"), "{refused}");
    lab.until(|| source.status().state == State::Failed, "the source ends").await;
    assert!(publish(EVENTS + 2).await.contains("is not being filled"));
    let other = lab.start_source("readings", &options);
    lab.until(|| other.status().state == State::Running, "another fills it").await;
    assert!(publish(EVENTS + 3).await.starts_with("[17,"));
    assert_eq!(lab.rows("readings").len(), EVENTS + 1);
    other.stop().await;
    running.stop().await;
}

/// Firings of a trigger are events of the router of this process, or of another; the key is that of the delivery.
async fn firings(options: &[(&str, &str)], port: u16) {
    let lab = Lab::new();
    let mut peer = Peer::join(port).await;
    peer.say(r#"[32,1,{},"com.fired"]"#).await;
    assert!(peer.hear().await.starts_with("[33,1,"));
    let trigger = lab.start_trigger("com.fired", options).unwrap();
    lab.fill_plain(1);
    let event = peer.hear().await;
    for part in [r#""trigger":"plain""#, r#""firing":{"device":"d0","temp":0.5}"#, r#""_key":"plain/"#] {
        assert!(event.contains(part), "{event}");
    }
    lab.until(|| trigger.status().rows == 1 && trigger.status().lag == Some(0), "it is acknowledged").await;
    trigger.stop().await;
}

/// A procedure that answers with an error is called again, and not for ever if the table says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_procedure_in_trouble_is_called_again() {
    let (running, port) = router().await;
    let url = format!("ws://127.0.0.1:{port}/");
    let lab = Lab::new();
    let lookup = |more: &[(&str, &str)]| {
        let mut options = vec![("realm", "realm1"), ("procedure", "com.temp"), ("url", url.as_str())];
        options.extend_from_slice(more);
        lab.lookup(&options)
    };
    let mut peer = Peer::join(port).await;
    peer.say(r#"[64,1,{},"com.temp"]"#).await;
    assert!(peer.hear().await.starts_with("[65,1,"));
    // Busy so often, then with an answer; the arguments of each call.
    let callee = tokio::spawn(async move {
        let mut asked = Vec::new();
        for call in 0.. {
            let invocation = peer.hear().await;
            let words: Vec<&str> = invocation.splitn(3, ',').collect();
            assert_eq!(words[0], "[68", "{invocation}");
            asked.push(invocation.clone());
            let request = words[1];
            let answer = match call {
                2 => format!(r#"[70,{request},{{}},[],{{"temp":21.5}}]"#),
                _ => format!(r#"[8,68,{request},{{}},"com.error.busy",["it is warm"]]"#),
            };
            peer.say(&answer).await;
            if call == 5 {
                return asked;
            }
        }
        unreachable!("it is called without end")
    });
    let keys = |name: &str| {
        let device: ArrayRef = Arc::new(StringArray::from(vec![name]));
        RecordBatch::try_from_iter([("device", device)]).unwrap()
    };
    let mut hasty = lookup(&[("lookup.max-retries", "2")]);
    for _ in 0..2 {
        let error = hasty.fetch(&keys("t7")).await.unwrap_err();
        assert!(error.is_retryable() && error.to_string().contains("com.error.busy"), "{error}");
    }
    assert_eq!(hasty.fetch(&keys("t7")).await.unwrap().num_rows(), 1);
    // The count began anew with the answer.
    for _ in 0..2 {
        assert!(hasty.fetch(&keys("t8")).await.unwrap_err().is_retryable());
    }
    let error = hasty.fetch(&keys("t8")).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    let text = error.to_string();
    let said =
        ["given up after 2 retries", "call com.temp with {\"device\":\"t8\"}", "com.error.busy: it is warm"];
    assert!(said.iter().all(|part| text.contains(part)), "{text}");
    let asked = callee.await.unwrap();
    assert!(asked[..3].iter().all(|one| one.contains(r#"{"device":"t7"}"#)), "{asked:?}");
    // Nobody is there any more: that is waited for unless the table says otherwise.
    let mut patient = lookup(&[]);
    for _ in 0..4 {
        let error = patient.fetch(&keys("t7")).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_in_options_are_told() {
    let lab = Lab::new();
    let told = |options: &[(&str, &str)], what: &str| {
        let error = lab.check_source(options);
        assert!(error.contains(what), "{error}");
    };
    told(&[("topic", "t")], "realm");
    told(&[("realm", "r"), ("topic", "a b")], "it is not a topic");
    told(&[("realm", "r"), ("topic", "a"), ("match", "glob")], "exact, prefix or wildcard");
    told(&[("realm", "r"), ("topic", "a"), ("url", "http://x")], "ws://");
    told(&[("realm", "r"), ("topic", "a"), ("url", "ws://x"), ("tls.ca", "ca.crt")], "wss:// or rss://");
    told(&[("realm", "r"), ("topic", "a"), ("tls.ca", "ca.crt")], "wss:// or rss://");
    told(&[("realm", "r"), ("topic", "a"), ("url", "rss://x"), ("tls.key", "k")], "belong together");
    told(&[("realm", "r"), ("topic", "a"), ("secret", "s3cret")], "give a url");
    told(&[("realm", "r"), ("topic", "a"), ("topik", "a")], "did you mean 'topic'");
    let bad =
        [("realm", "r"), ("topic", "a"), ("url", "ws://x"), ("secret", "s3cret {{ NO_SUCH_VARIABLE_7 }}")];
    let error = lab.start_trigger("a b", &[]).err().unwrap();
    assert!(error.contains("it is not a topic"), "{error}");
    let error = lab.start_trigger("a", &[("via", "wmap")]).err().unwrap();
    assert!(error.contains("did you mean 'wamp'"), "{error}");
    let error = lab.check_source(&bad);
    assert!(error.contains("NO_SUCH_VARIABLE_7") && !error.contains("s3cret"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossbar_is_a_router_like_another() {
    let Some(crossbar) = crossbar::Crossbar::start(None).await else { return };
    there_and_back(Some(&format!("ws://127.0.0.1:{}/", crossbar.websocket)), crossbar.rawsocket).await;
    there_and_back(Some(&format!("rs://127.0.0.1:{}", crossbar.rawsocket)), crossbar.rawsocket).await;

    // By name: what Crossbar asks for is answered.
    let lab = Lab::new();
    let url = format!("ws://127.0.0.1:{}/", crossbar.by_name);
    for (method, authid, right) in [("ticket", "tina", "a ticket"), ("wampcra", "cora", "a secret")] {
        let options = |secret| {
            [
                ("realm", "realm1"),
                ("topic", "com.t"),
                ("url", url.as_str()),
                ("authmethod", method),
                ("authid", authid),
                ("secret", secret),
            ]
        };
        let source = lab.start_source("readings", &options(right));
        lab.until(|| source.status().state == State::Running, "it is let in").await;
        source.stop().await;
        let source = lab.start_source("readings", &options("wrong"));
        lab.until(|| source.status().state == State::Failed, "it is not let in").await;
        let error = source.status().last_error.unwrap();
        assert!(error.contains("wamp.error."), "{error}");
    }
}

/// Sources, sinks, calls and firings over TLS, to a router whose authority is private and that asks for a certificate.
async fn there_and_back_over_tls(keys: &found::Keys, urls: [String; 2], port: u16) {
    let path = |name: &str| keys.path(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let trust = ("tls.ca", ca.as_str());
    let proof = [("tls.cert", certificate.as_str()), ("tls.key", key.as_str())];
    for (n, url) in urls.iter().enumerate() {
        let place = [("url", url.as_str()), trust, proof[0], proof[1]];
        there_and_back_with(&place, port).await;
        firings(&[&[("via", "wamp")], &place[..]].concat(), port).await;

        let mut device = Peer::join(port).await;
        let procedure = format!("com.setpoint{n}");
        device.say(&format!(r#"[64,1,{{}},"{procedure}"]"#)).await;
        assert!(device.hear().await.starts_with("[65,1,"));
        let lab = Lab::new();
        let options = [("realm", "realm1"), ("procedure", procedure.as_str())];
        let mut lookup = lab.lookup(&[&options[..], &place].concat());
        let asked: ArrayRef = Arc::new(StringArray::from(vec!["t7"]));
        let asked = RecordBatch::try_from_iter([("device", asked)]).unwrap();
        let answering = async {
            let invocation = device.hear().await;
            assert!(invocation.starts_with("[68,") && invocation.contains("t7"), "{invocation}");
            let request = invocation.split(',').nth(1).unwrap();
            device.say(&format!("[70,{request},{{}},[21.5]]")).await;
        };
        let (answered, ()) = tokio::join!(lookup.fetch(&asked), answering);
        assert_eq!(answered.unwrap().num_rows(), 1);

        // Nobody here trusts that authority by himself, the router lets nobody in whom it does not know, and files may be of no use.
        let nowhere = "/no/such/file.pem";
        for (more, state, told) in [
            (proof.to_vec(), State::Retrying, "UnknownIssuer"),
            (vec![trust], State::Retrying, "HW5004"),
            (vec![("tls.ca", nowhere)], State::Failed, nowhere),
        ] {
            let place =
                [&[("realm", "realm1"), ("topic", "com.t"), ("url", url.as_str())], &more[..]].concat();
            let source = lab.start_source("readings", &place);
            // A router that is slow may be heard of before its certificate is.
            let is_told = || {
                let status = source.status();
                status.state == state && status.last_error.is_some_and(|error| error.contains(told))
            };
            lab.until(is_told, told).await;
            source.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_and_a_certificate_is_shown() {
    let Some(keys) = found::Keys::make() else { return };
    let (running, port) = router().await;
    let tls = ServerTls {
        certificate: keys.path("server.crt"),
        key: keys.path("server.key"),
        client_ca: Some(keys.path("ca.crt")),
    };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Some(&tls)).await.unwrap();
    let secure = listener.address().unwrap().port();
    let secured = listener.serve(Arc::clone(running.service()));
    let urls = [format!("wss://127.0.0.1:{secure}/"), format!("rss://127.0.0.1:{secure}")];
    there_and_back_over_tls(&keys, urls, port).await;
    secured.stop().await;
    running.stop().await;

    let Some(crossbar) = crossbar::Crossbar::start(Some(&keys)).await else { return };
    let [websocket, rawsocket] = crossbar.secure;
    let urls = [format!("wss://127.0.0.1:{websocket}/"), format!("rss://localhost:{rawsocket}")];
    there_and_back_over_tls(&keys, urls, crossbar.rawsocket).await;
}
