//! Deliveries of triggers against receivers that are slow, dead, of two minds, or not ours.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use axum::Router;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use headwater_connectors::{
    Allowed, ConnectorSupervisor, DELIVERIES, DeliveryDef, Handle, State, Status, Target,
};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_log::{Append, Log, MemoryLog, ReadSpec, StreamSpec};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::lab::{PATIENCE, eventually, runtime, until};

/// A log with a stream of firings for each of two triggers.
pub struct Firings {
    ingest: Arc<Ingest>,
}

impl Firings {
    pub fn new() -> Self {
        let time = || DataType::Timestamp(TimeUnit::Millisecond, None);
        let schema = Arc::new(Schema::new(vec![
            Field::new("fired_at", time(), false),
            Field::new("cause", DataType::Utf8, false),
            Field::new("since", time(), false),
            Field::new("device", DataType::Utf8, true),
            Field::new("temp", DataType::Float64, true),
        ]));
        let world = World::real();
        let log = MemoryLog::new(world.clone());
        for name in ["hot", "cold"] {
            let spec = StreamSpec::new(StreamName::new(name).unwrap(), Arc::clone(&schema));
            Log::create_stream(log.as_ref(), spec).unwrap();
        }
        Self { ingest: Arc::new(Ingest::new(world, log).unwrap()) }
    }

    /// Fires a trigger for these devices, in this order; the temperature counts up from 0.
    pub fn fire(&self, trigger: &str, devices: &[&str]) {
        let info = self.ingest.log().stream_named(trigger).unwrap();
        let count = devices.len() as i64;
        let time = || -> ArrayRef { Arc::new(TimestampMillisecondArray::from_iter_values(0..count)) };
        let columns: Vec<ArrayRef> = vec![
            time(),
            Arc::new(StringArray::from(vec!["row"; devices.len()])),
            time(),
            Arc::new(StringArray::from(devices.to_vec())),
            Arc::new(Float64Array::from_iter_values((0..count).map(|temp| temp as f64))),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&info.spec.schema), columns).unwrap();
        self.ingest.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
    }

    pub fn start(&self, runtime: &Runtime, def: &DeliveryDef, allowed: &Allowed) -> Handle {
        let supervisor =
            ConnectorSupervisor::new(Arc::clone(&self.ingest), runtime.handle().clone()).unwrap();
        supervisor.start_delivery(def, allowed).unwrap()
    }

    /// The attempts so far: id, attempt, outcome, status.
    fn attempts(&self, trigger: &str) -> Vec<(String, i32, String, Option<i32>)> {
        let log = self.ingest.log();
        let Ok(info) = log.stream_named(DELIVERIES) else { return Vec::new() };
        let mut reader = log.read(ReadSpec::all(info.id, ShardId(0))).unwrap();
        let mut all = Vec::new();
        while let Some(read) = reader.next().unwrap() {
            let text = |name: &str| read.rows.column_by_name(name).unwrap().as_string::<i32>().clone();
            let number = |name: &str| {
                read.rows.column_by_name(name).unwrap().as_primitive::<arrow::datatypes::Int32Type>().clone()
            };
            let (triggers, ids, outcomes) = (text("trigger"), text("id"), text("outcome"));
            let (attempts, statuses) = (number("attempt"), number("status"));
            for row in (0..read.rows.num_rows()).filter(|row| triggers.value(*row) == trigger) {
                let id = ids.value(row).rsplit('/').next().unwrap().to_owned();
                let status = statuses.iter().nth(row).flatten();
                all.push((id, attempts.value(row), outcomes.value(row).to_owned(), status));
            }
        }
        all
    }
}

pub fn def(trigger: &str, url: &str, options: &[(&str, &str)]) -> DeliveryDef {
    let mut all: BTreeMap<String, String> =
        [("retry.first", "20ms"), ("retry.longest", "100ms"), ("timeout", "60s")]
            .iter()
            .chain(options)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    all.retain(|_, value| !value.is_empty());
    DeliveryDef {
        trigger: trigger.to_owned(),
        keys: vec!["device".to_owned()],
        target: Target::Webhook { url: url.to_owned() },
        options: all,
    }
}

/// What a receiver has got: the idempotency key's sequence number, the attempt, the document.
type Got = Arc<Mutex<Vec<(String, u32, Value)>>>;

/// A receiver that answers as it is told: by the document and the attempt.
struct Receiver {
    got: Got,
    url: String,
}

type Answer = fn(&Value, u32) -> (Duration, StatusCode);

impl Receiver {
    fn new(runtime: &Runtime, answer: Answer) -> Self {
        let got: Got = Arc::default();
        let handler = move |Shared(got): Shared<Got>, headers: HeaderMap, body: String| async move {
            let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
            let id = text("idempotency-key").rsplit('/').next().unwrap().to_owned();
            let attempt: u32 = text("x-headwater-attempt").parse().unwrap();
            let document: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
            let (wait, status) = answer(&document, attempt);
            tokio::time::sleep(wait).await;
            got.lock().push((id, attempt, document));
            (status, [("location", "/elsewhere")]).into_response()
        };
        let router = Router::new().route("/", post(handler)).with_state(Arc::clone(&got));
        let url = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, router).await });
            url
        });
        Self { got, url }
    }

    /// Sequence numbers as they came, of one device or of all.
    fn sequences(&self, device: Option<&str>) -> Vec<String> {
        let got = self.got.lock();
        let of = got.iter().filter(|(_, _, document)| {
            device.is_none_or(|device| document["firing"]["device"].as_str() == Some(device))
        });
        of.map(|(id, ..)| id.clone()).collect()
    }
}

fn fine(_: &Value, _: u32) -> (Duration, StatusCode) {
    (Duration::ZERO, StatusCode::OK)
}

/// Waits until nothing is left to deliver of what was there when the delivery was started.
pub fn settle(runtime: &Runtime, handle: &Handle) -> Status {
    runtime.block_on(until(handle, "nothing is left to deliver", |status| {
        status.state.is_final() || (status.state == State::Running && status.lag == Some(0))
    }))
}

#[test]
fn a_firing_is_posted_as_a_document_with_its_id() {
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, fine);
    firings.fire("hot", &["a", "b", "a"]);
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &[]), &Allowed::default());
    settle(&runtime, &handle);
    firings.fire("hot", &["c"]);
    runtime.block_on(until(&handle, "the fourth is delivered", |status| status.rows == 4));
    assert_eq!(receiver.sequences(Some("a")), ["0", "2"]);
    let mut all = receiver.sequences(None);
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3"]);
    let document = receiver.got.lock()[0].2.clone();
    assert_eq!(document["trigger"], "hot");
    assert_eq!(document["firing"]["cause"], "row");
    assert!(document["id"].as_str().unwrap().starts_with("hot/"));
    assert!(firings.attempts("hot").iter().all(|attempt| attempt.2 == "delivered" && attempt.3 == Some(200)));
    let stopped = runtime.block_on(handle.stop());
    assert_eq!((stopped.state, stopped.rows), (State::Stopped, 4));
    // The next incarnation goes on behind them.
    firings.fire("hot", &["d"]);
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &[]), &Allowed::default());
    settle(&runtime, &handle);
    assert_eq!(receiver.got.lock().len(), 5);
}

#[test]
fn what_fails_is_tried_again_and_keeps_its_place_among_its_key() {
    fn answer(document: &Value, attempt: u32) -> (Duration, StatusCode) {
        let first = document["firing"]["temp"] == 0.0;
        (
            Duration::ZERO,
            if first && attempt < 3 { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK },
        )
    }
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, answer);
    firings.fire("hot", &["a", "a", "b"]);
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &[]), &Allowed::default());
    let status = settle(&runtime, &handle);
    assert_eq!(receiver.sequences(Some("a")), ["0", "0", "0", "1"]);
    assert_eq!(receiver.sequences(Some("b")), ["2"]);
    let of_first: Vec<_> = firings.attempts("hot").into_iter().filter(|attempt| attempt.0 == "0").collect();
    let expect = [(1, "failed", Some(500)), (2, "failed", Some(500)), (3, "delivered", Some(200))];
    let expect = expect.map(|(number, outcome, status)| ("0".to_owned(), number, outcome.to_owned(), status));
    assert_eq!(of_first, expect);
    assert!(status.last_error.unwrap().contains("answered 500"));
}

#[test]
fn what_cannot_be_delivered_is_parked_and_the_next_has_its_turn() {
    fn answer(document: &Value, _: u32) -> (Duration, StatusCode) {
        let status = match document["firing"]["temp"].as_f64() {
            Some(0.0) => StatusCode::INTERNAL_SERVER_ERROR,
            Some(1.0) => StatusCode::GONE,
            Some(2.0) => StatusCode::FOUND,
            _ => StatusCode::OK,
        };
        (Duration::ZERO, status)
    }
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, answer);
    firings.fire("hot", &["a", "a", "a", "a"]);
    let options = def("hot", &receiver.url, &[("attempts", "2")]);
    let handle = firings.start(&runtime, &options, &Allowed::default());
    settle(&runtime, &handle);
    // A redirect is a failure like another: it is not followed.
    assert_eq!(receiver.sequences(None), ["0", "0", "1", "2", "2", "3"]);
    let parked: Vec<_> =
        firings.attempts("hot").into_iter().filter(|attempt| attempt.2 == "parked").collect();
    let parked: Vec<_> = parked.iter().map(|attempt| (attempt.0.as_str(), attempt.1, attempt.3)).collect();
    assert_eq!(parked, [("0", 2, Some(500)), ("1", 1, Some(410)), ("2", 2, Some(302))]);
}

#[test]
fn a_dead_receiver_delays_only_its_own_trigger_and_a_slow_one_is_cut_short() {
    /// The first delivery of each of two firings takes too long.
    fn slow(_: &Value, _: u32) -> (Duration, StatusCode) {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let is_first = ASKED.fetch_add(1, Ordering::Relaxed) < 2;
        (if is_first { Duration::from_secs(3_600) } else { Duration::ZERO }, StatusCode::OK)
    }
    let (runtime, firings) = (runtime(), Firings::new());
    let (receiver, sluggard) = (Receiver::new(&runtime, fine), Receiver::new(&runtime, slow));
    firings.fire("cold", &["a", "b"]);
    firings.fire("hot", &["a", "b", "c"]);
    // Nobody listens on port 1.
    let nobody = def("cold", "http://127.0.0.1:1/", &[("attempts", "100000")]);
    let dead = firings.start(&runtime, &nobody, &Allowed::default());
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &[]), &Allowed::default());
    settle(&runtime, &handle);
    assert_eq!(receiver.got.lock().len(), 3);
    runtime.block_on(until(&dead, "two wait for whom nobody hears", |status| status.lag == Some(2)));
    runtime.block_on(dead.stop());
    // The same trigger, sent elsewhere, goes on where it was; the first attempt there takes too long.
    let before = firings.attempts("cold").len();
    let patient = def("cold", &sluggard.url, &[("attempts", "100000"), ("timeout", "4s")]);
    let handle = firings.start(&runtime, &patient, &Allowed::default());
    settle(&runtime, &handle);
    let attempts = firings.attempts("cold");
    assert_eq!(attempts.len(), before + 4, "two of each firing");
    for id in ["0", "1"] {
        let own: Vec<_> = attempts.iter().filter(|attempt| attempt.0 == id).collect();
        assert!(own.iter().map(|attempt| attempt.1).eq(1..=own.len() as i32), "{own:?}");
        let (last, others) = own.split_last().unwrap();
        assert_eq!((last.2.as_str(), last.3), ("delivered", Some(200)));
        assert!(others.iter().all(|attempt| attempt.2 == "failed" && attempt.3.is_none()), "{own:?}");
    }
}

/// One device's firings are never taken, another's always. The process dies again and again.
#[test]
fn attempts_count_over_the_deaths_of_the_process_and_what_was_delivered_does_not_come_again() {
    fn choosy(document: &Value, _: u32) -> (Duration, StatusCode) {
        let refused = document["firing"]["device"] == "stuck";
        (Duration::ZERO, if refused { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK })
    }
    let (receiving, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&receiving, choosy);
    let options = [("attempts", "9"), ("retry.first", "30ms"), ("retry.longest", "30ms")];
    let definition = def("hot", &receiver.url, &options);
    let of_stuck =
        || -> Vec<_> { firings.attempts("hot").into_iter().filter(|attempt| attempt.0 == "0").collect() };
    firings.fire("hot", &["stuck"]);
    for life in 1..=3_usize {
        firings.fire("hot", &["well"; 5]);
        let runtime = runtime();
        let handle = firings.start(&runtime, &definition, &Allowed::default());
        runtime.block_on(eventually("each life delivers five and tries one", || {
            let attempts = firings.attempts("hot");
            let delivered = attempts.iter().filter(|attempt| attempt.2 == "delivered").count();
            if of_stuck().len() >= 2 * life && delivered == 5 * life { Ok(()) } else { Err(attempts) }
        }));
        runtime.shutdown_timeout(PATIENCE);
        drop(handle);
    }
    let runtime = runtime();
    let handle = firings.start(&runtime, &definition, &Allowed::default());
    settle(&runtime, &handle);
    let tried = of_stuck();
    assert!(tried.iter().map(|attempt| attempt.1).eq(1..=9), "{tried:?}");
    assert_eq!(tried[8].2, "parked");
    assert!(tried[..8].iter().all(|attempt| attempt.2 == "failed"));
    // The cursor has stood at the first firing all the time.
    assert_eq!(receiver.sequences(Some("well")).len(), 15);
}

#[test]
fn nothing_is_lost_whenever_the_process_dies() {
    let (receiving, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&receiving, |_, _| (Duration::from_millis(2), StatusCode::OK));
    let devices = ["a", "b", "c", "d"];
    let all: Vec<&str> = (0..400).map(|nth| devices[nth % 4]).collect();
    firings.fire("hot", &all);
    let definition = def("hot", &receiver.url, &[]);
    for millis in [1, 20, 120, 300, 600, 900] {
        let runtime = runtime();
        let handle = firings.start(&runtime, &definition, &Allowed::default());
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(millis)).await });
        runtime.shutdown_background();
        drop(handle);
    }
    let runtime = runtime();
    let handle = firings.start(&runtime, &definition, &Allowed::default());
    settle(&runtime, &handle);
    for device in devices {
        let mut order: Vec<u32> =
            receiver.sequences(Some(device)).iter().map(|sequence| sequence.parse().unwrap()).collect();
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), 100, "device {device}");
    }
}

#[test]
fn a_signature_is_right_for_somebody_else() {
    let (runtime, firings) = (runtime(), Firings::new());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/receiver.py");
    let mut python =
        Command::new("python3").args([script, "a secret"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines().map(Result::unwrap);
    let url = format!("http://127.0.0.1:{}/", lines.next().unwrap());
    firings.fire("hot", &["a"]);
    firings.fire("cold", &["a"]);
    let right = firings.start(&runtime, &def("hot", &url, &[("secret", "a secret")]), &Allowed::default());
    settle(&runtime, &right);
    assert!(lines.next().unwrap().starts_with("204 hot/"));
    let options = [("secret", "another"), ("attempts", "1")];
    let wrong = firings.start(&runtime, &def("cold", &url, &options), &Allowed::default());
    settle(&runtime, &wrong);
    assert!(lines.next().unwrap().starts_with("401 cold/"));
    assert_eq!(firings.attempts("cold")[0].2, "parked");
    python.kill().unwrap();
    python.wait().unwrap();
}

#[test]
fn a_storm_becomes_a_few_deliveries() {
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, fine);
    let options = [("group", "300ms"), ("group.max", "50")];
    let all: Vec<&str> = (0..120).map(|nth| ["a", "b", "c"][nth % 3]).collect();
    firings.fire("hot", &all);
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &options), &Allowed::default());
    settle(&runtime, &handle);
    let got = receiver.got.lock();
    let sizes: Vec<_> =
        got.iter().map(|(.., document)| document["firings"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [50, 50, 20]);
    assert_eq!(got[1].2["firings"][0]["firing"]["temp"], 50.0);
    let ids: Vec<_> = got.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids, ["0-49", "50-99", "100-119"]);
}

#[test]
fn groups_are_apart_where_columns_differ() {
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, fine);
    let options = [
        ("group", "100ms"),
        ("group.by", "device"),
        ("body", "{{ device }}: {{ count }}"),
        ("content-type", "text/plain"),
    ];
    firings.fire("hot", &["a", "b", "a", "a"]);
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &options), &Allowed::default());
    settle(&runtime, &handle);
    let mut bodies: Vec<_> =
        receiver.got.lock().iter().map(|(.., body)| body.as_str().unwrap().to_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["a: 3", "b: 1"]);
}

#[test]
fn over_the_rate_a_delivery_waits_or_is_dropped_and_told() {
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, fine);
    firings.fire("hot", &["a", "b", "c", "d", "e", "f"]);
    firings.fire("cold", &["a", "b", "c", "d", "e", "f"]);
    let began = tokio::time::Instant::now();
    let waits = def("hot", &receiver.url, &[("rate", "2 per 400ms")]);
    let handle = firings.start(&runtime, &waits, &Allowed::default());
    settle(&runtime, &handle);
    // Two at once, then one each 200 ms.
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(receiver.got.lock().len(), 6);
    let drops = def("cold", &receiver.url, &[("rate", "2 per hour"), ("rate.exceeded", "drop")]);
    let handle = firings.start(&runtime, &drops, &Allowed::default());
    settle(&runtime, &handle);
    assert_eq!(receiver.got.lock().len(), 8);
    let dropped = firings.attempts("cold").into_iter().filter(|attempt| attempt.2 == "dropped").count();
    assert_eq!(dropped, 4);
}

#[test]
fn further_attempts_are_within_the_rate_too() {
    let (runtime, firings) = (runtime(), Firings::new());
    let receiver = Receiver::new(&runtime, |_, attempt| {
        let status = if attempt < 4 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (Duration::ZERO, status)
    });
    firings.fire("hot", &["a", "b"]);
    let began = tokio::time::Instant::now();
    let options = [("rate", "2 per 400ms"), ("rate.exceeded", "drop"), ("retry.longest", "20ms")];
    let handle = firings.start(&runtime, &def("hot", &receiver.url, &options), &Allowed::default());
    settle(&runtime, &handle);
    // The first two at once, then six, one each 200 ms; none of them is dropped.
    assert!(began.elapsed() >= Duration::from_millis(1_100), "{:?}", began.elapsed());
    assert_eq!(receiver.got.lock().len(), 8);
    assert_eq!(firings.attempts("hot").into_iter().filter(|attempt| attempt.2 == "delivered").count(), 2);
}

#[test]
fn programs_run_if_the_configuration_names_them() {
    let (runtime, firings) = (runtime(), Firings::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("got");
    let mut definition = def("hot", "", &[("attempts", "2"), ("timeout", "60s")]);
    let arguments = vec![file.display().to_string()];
    definition.target = Target::Command { name: "note".to_owned(), arguments };
    let schema = firings.ingest.log().stream_named("hot").unwrap().spec.schema.clone();
    let error =
        ConnectorSupervisor::validate_delivery(&definition, &schema, &Allowed::default(), &World::real());
    assert!(error.unwrap_err().to_string().contains("the configuration allows no command 'note'"));
    let script = "cat >> \"$1\"; echo \" $HEADWATER_TRIGGER $HEADWATER_ATTEMPT\" >> \"$1\"; test $HEADWATER_ATTEMPT = 2 || { echo no >&2; exit 3; }";
    let program = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    let allowed = Allowed { commands: BTreeMap::from([("note".to_owned(), program)]), ..Allowed::default() };
    firings.fire("hot", &["a"]);
    let handle = firings.start(&runtime, &definition, &allowed);
    let status = settle(&runtime, &handle);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].ends_with("} hot 2"), "{text}");
    assert_eq!(firings.attempts("hot")[0].3, Some(3));
    assert!(status.last_error.unwrap().contains("no"));
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_all_that_it_has_started() {
    let (runtime, firings) = (runtime(), Firings::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("child");
    let mut definition = def("hot", "", &[("attempts", "1"), ("timeout", "5s")]);
    definition.target =
        Target::Command { name: "hang".to_owned(), arguments: vec![file.display().to_string()] };
    // The child that hangs holds standard error and input open.
    let script = "sleep 600 & echo $! > \"$1\"; echo stuck >&2; wait";
    let program = ["sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    let allowed = Allowed { commands: BTreeMap::from([("hang".to_owned(), program)]), ..Allowed::default() };
    firings.fire("hot", &["a"]);
    let handle = firings.start(&runtime, &definition, &allowed);
    let status = settle(&runtime, &handle);
    assert!(status.last_error.as_deref().unwrap().contains("did not end within 5s"), "{status:?}");
    let child = std::fs::read_to_string(&file).unwrap();
    let alive = || {
        // A zombie that nobody has reaped yet is dead, too.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    };
    let is_gone = || if alive() { Err(child.clone()) } else { Ok(()) };
    runtime.block_on(eventually("the process that it has started is dead", is_gone));
}

#[test]
fn mistakes_in_options_are_told_when_a_trigger_is_made() {
    let firings = Firings::new();
    let schema = firings.ingest.log().stream_named("hot").unwrap().spec.schema.clone();
    let check = |url: &str, options: &[(&str, &str)], allowed: &Allowed, expect: &str| {
        let error = ConnectorSupervisor::validate_delivery(
            &def("hot", url, options),
            &schema,
            allowed,
            &World::real(),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    let any = Allowed::default();
    let url = "http://127.0.0.1:9/";
    check("ftp://x/", &[], &any, "a webhook begins with http:// or https://, not ftp://");
    check(url, &[("body", "{{ tmep }}")], &any, "did you mean 'temp'?");
    check(url, &[("atempts", "3")], &any, "atempts");
    check(url, &[("rate", "often")], &any, "write it as '10 per minute'");
    check(url, &[("group.by", "site")], &any, "a firing has no column 'site'");
    let only =
        Allowed { webhooks: Some(vec!["https://hooks.example.org/".to_owned()]), ..Allowed::default() };
    check(url, &[], &only, "the configuration does not allow webhooks to http://127.0.0.1:9");
}
