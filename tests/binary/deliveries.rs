//! Deliveries of triggers through the binary, which is killed again and again; and what the configuration lets them reach.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;

use crate::process::{Server, so, until, write};

/// Appends what it is given to a file, a line for each delivery; some it does not take at once.
const NOTE: &str = r#"case "$HEADWATER_ID/$HEADWATER_ATTEMPT" in *3/1) exit 1;; esac
body=$(cat); [ -n "$body" ] || exit 1; printf '%s %s\n' "$HEADWATER_ID" "$body" >> "$0""#;

/// A firing as somebody has taken it.
#[derive(Clone, Debug, PartialEq)]
struct Firing {
    id: String,
    device: String,
    n: u64,
}

impl Firing {
    /// A document's part.
    fn of(part: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let firing = &part["firing"];
        Self { id: text(&part["id"]), device: text(&firing["device"]), n: firing["n"].as_u64().unwrap() }
    }
}

/// What was taken, in that order, by the last part of the URL.
type Taken = Arc<Mutex<BTreeMap<String, Vec<Firing>>>>;

/// Takes a delivery, some at the second attempt only, some slowly. One that is not as it should be it refuses for good, so that it is
/// parked.
async fn hook(
    State(taken): State<Taken>,
    Segment(name): Segment<String>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let document: Value = serde_json::from_str(&body).unwrap();
    if headers["idempotency-key"] != document["id"].as_str().unwrap()
        || !headers.contains_key("x-headwater-signature")
    {
        return StatusCode::GONE;
    }
    let firings: Vec<Firing> = match document["firings"].as_array() {
        Some(several) => several.iter().map(Firing::of).collect(),
        None => vec![Firing::of(&document)],
    };
    let n = firings[0].n;
    if headers["x-headwater-attempt"] == "1" && n.is_multiple_of(5) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let is_test = headers.get("x-headwater-test").is_some_and(|test| test == "true");
    let name = if is_test { format!("{name} test") } else { name };
    taken.lock().unwrap().entry(name).or_default().extend(firings);
    tokio::time::sleep(Duration::from_millis(n % 4 * 3)).await;
    StatusCode::OK
}

async fn receiver(taken: &Taken) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/hooks/{name}", post(hook)).with_state(Arc::clone(taken));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn serve(data: &Path, config: &Path) -> Server {
    let (data, config) = (data.to_str().unwrap(), config.to_str().unwrap());
    Server::start(&["serve", "--listen", "127.0.0.1:0", "--data", data, "--config", config])
}

/// Devices that post all the time, whatever becomes of the server.
struct Fleet {
    url: Mutex<String>,
    /// The numbers of the rows that were acknowledged.
    acknowledged: Mutex<BTreeSet<u64>>,
    is_over: AtomicBool,
}

impl Fleet {
    async fn post(&self) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for first in (0_u64..).step_by(5) {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let line =
                |n: u64| format!("{{\"device\":\"d{}\",\"n\":{n},\"temp\":{}}}\n", n % 7, n * 37 % 100);
            let url = format!("{}/v1/streams/readings", self.url.lock().unwrap());
            let body: String = (first..first + 5).map(line).collect();
            let request = http.post(url).header("content-type", "application/x-ndjson").body(body);
            // Of what is under way when the server dies nobody knows whether it is there. It is not said again.
            if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                self.acknowledged.lock().unwrap().extend(first..first + 5);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

/// The lines that the program has written.
fn noted(path: &Path) -> Vec<Firing> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.lines().filter_map(|line| line.split_once(' '));
    let firing = |(id, body): (&str, &str)| {
        let firing = Firing::of(&serde_json::from_str(body).unwrap());
        assert_eq!(firing.id, id, "the environment says the same as the document");
        firing
    };
    whole.map(firing).collect()
}

/// How many firings were taken, each counted once.
fn distinct(taken: &[Firing]) -> usize {
    taken.iter().map(|firing| &firing.id).collect::<BTreeSet<_>>().len()
}

/// Each row that fires was taken at least once, under one id that means nothing else, and those of a device in order.
fn assert_taken(taken: &[Firing], trigger: &str, stream: &BTreeMap<u64, u64>) {
    let mut firsts: BTreeMap<&str, &Firing> = BTreeMap::new();
    let mut order: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for firing in taken {
        match firsts.get(firing.id.as_str()) {
            Some(first) => assert_eq!(*first, firing, "an id means one firing"),
            None => {
                firsts.insert(&firing.id, firing);
                order.entry(&firing.device).or_default().push(firing.n);
            }
        }
    }
    let sequence = |id: &str| id.rsplit('/').next().unwrap().parse::<u64>().unwrap();
    let got: BTreeMap<u64, u64> = firsts.iter().map(|(id, firing)| (sequence(id), firing.n)).collect();
    assert_eq!(&got, stream, "{trigger}: each firing of the stream, under its number");
    for (device, numbers) in order {
        assert!(numbers.is_sorted(), "{trigger}: {device} in order: {numbers:?}");
    }
}

/// The firings of a trigger as its stream has them, by their numbers.
async fn fired(server: &Server, trigger: &str) -> BTreeMap<u64, u64> {
    let rows = server.rows(&format!("SELECT _sequence AS s, n FROM {trigger}")).await;
    rows.iter().map(|row| (row["s"].as_u64().unwrap(), row["n"].as_u64().unwrap())).collect()
}

/// The numbers that a query answers, sorted.
async fn numbers(server: &Server, sql: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = server.rows(sql).await.iter().map(|row| row["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn every_firing_arrives_through_kills_in_order_and_nothing_is_parked() {
    let taken = Taken::default();
    let url = receiver(&taken).await;
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("headwater.toml"));
    let notes = dir.path().join("notes");
    write(
        &config,
        &format!(
            "[triggers]\nwebhooks = [\"{url}/hooks/\"]\n[triggers.commands]\nnote = [\"/bin/sh\", \"-c\", '''{NOTE}''']\n"
        ),
    );
    let mut server = serve(&data, &config);
    let options =
        "secret = 'tests', timeout = '5 seconds', 'retry.first' = '50 ms', 'retry.longest' = '200 ms'";
    server
        .sql(&format!(
            "CREATE STREAM readings (device STRING, n BIGINT, temp BIGINT) PARTITIONED BY (device) WITH (shards = 2);
             CREATE STREAM alerts (device STRING, n BIGINT);
             CREATE TRIGGER posted ON readings WHEN temp > 50 EXECUTE WEBHOOK '{url}/hooks/posted' WITH ({options});
             CREATE TRIGGER grouped ON readings WHEN temp > 50 EXECUTE WEBHOOK '{url}/hooks/grouped'
                 WITH ({options}, group = '50 ms', 'group.by' = 'device');
             CREATE TRIGGER copied ON readings WHEN temp > 50 EXECUTE INSERT INTO alerts (device, n) VALUES (device, n);
             CREATE TRIGGER noted ON readings WHEN n % 20 = 0 EXECUTE COMMAND 'note' '{}'
                 WITH ('retry.first' = '50 ms', 'retry.longest' = '200 ms');",
            notes.display()
        ))
        .await;
    let fleet = Arc::new(Fleet {
        url: Mutex::new(server.url.clone()),
        acknowledged: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let posting = tokio::spawn({
        let fleet = Arc::clone(&fleet);
        async move { fleet.post().await }
    });
    let taken_of = |name: &str| taken.lock().unwrap().get(name).cloned().unwrap_or_default();
    for _ in 0..5 {
        let before = distinct(&taken_of("posted"));
        until("each life delivers something", || {
            let now = distinct(&taken_of("posted"));
            if now >= before + 100 { Ok(()) } else { Err((before, now)) }
        })
        .await;
        server.kill();
        server = serve(&data, &config);
        fleet.url.lock().unwrap().clone_from(&server.url);
    }
    fleet.is_over.store(true, Ordering::Relaxed);
    posting.await.unwrap();

    let rows = server.rows("SELECT COUNT(*) AS n FROM readings").await[0]["n"].as_u64().unwrap();
    let there: BTreeSet<u64> = numbers(&server, "SELECT n FROM readings").await.into_iter().collect();
    assert_eq!(there.len() as u64, rows, "each row once");
    assert!(fleet.acknowledged.lock().unwrap().is_subset(&there), "what was acknowledged is there");
    let hot: Vec<u64> = there.iter().copied().filter(|n| n * 37 % 100 > 50).collect();
    assert!(hot.len() >= 500, "{}", hot.len());
    let twentieths = there.iter().filter(|n| n.is_multiple_of(20)).count();

    // Every row is judged, and every firing arrives.
    for (stream, firings) in
        [("posted", hot.len()), ("grouped", hot.len()), ("alerts", hot.len()), ("noted", twentieths)]
    {
        let count = format!("SELECT COUNT(*) AS n FROM {stream}");
        server.wait_until(&count, |rows| rows[0]["n"].as_u64() == Some(firings as u64)).await;
    }
    let same = |now: usize, firings: usize| if now == firings { Ok(()) } else { Err(now) };
    for trigger in ["posted", "grouped"] {
        until(trigger, || same(distinct(&taken_of(trigger)), hot.len())).await;
    }
    until("noted", || same(distinct(&noted(&notes)), twentieths)).await;
    let undelivered = "SELECT undelivered FROM system.triggers WHERE undelivered IS NOT NULL";
    server
        .wait_until(undelivered, |all| all.len() == 3 && all.iter().all(|one| one["undelivered"] == 0))
        .await;
    assert_eq!(numbers(&server, "SELECT n FROM alerts").await, hot, "each is inserted once");
    for trigger in ["posted", "grouped"] {
        let stream = fired(&server, trigger).await;
        let mut fired: Vec<u64> = stream.values().copied().collect();
        fired.sort_unstable();
        assert_eq!(fired, hot, "{trigger} has fired once for each row");
        assert_taken(&taken_of(trigger), trigger, &stream);
    }
    assert_taken(&noted(&notes), "noted", &fired(&server, "noted").await);

    // Every one of them is written down as delivered, and none was given up on the way.
    let outcomes = "SELECT DISTINCT outcome FROM system.trigger_deliveries ORDER BY outcome";
    assert_eq!(server.csv(outcomes).await, "outcome\ndelivered\nfailed\n");
    for trigger in ["posted", "noted"] {
        let told = format!(
            "SELECT DISTINCT sequence AS n FROM system.trigger_deliveries WHERE trigger = '{trigger}' AND outcome = 'delivered'"
        );
        let stream: Vec<u64> = fired(&server, trigger).await.into_keys().collect();
        assert_eq!(numbers(&server, &told).await, stream, "{trigger}");
    }
    assert_eq!(server.terminate(), Some(0));
}

/// One that is watched for a while, and then let loose.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_begins_to_tell_tells_of_what_fires_from_then_on() {
    let taken = Taken::default();
    let url = receiver(&taken).await;
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("headwater.toml"));
    write(&config, "");
    let mut server = serve(&data, &config);
    let define = async |server: &Server, action: &str| {
        server.sql(&format!("CREATE OR REPLACE TRIGGER t ON readings WHEN n > 0 {action}")).await;
    };
    let fire = async |server: &Server, n: u64| {
        server.post("/v1/streams/readings", &format!("{{\"device\":\"d\",\"n\":{n}}}\n")).await;
        let has_fired = format!("SELECT n FROM t WHERE n = {n}");
        server.wait_until(&has_fired, |rows| rows.len() == 1).await;
    };
    let told = || -> Vec<u64> {
        let taken = taken.lock().unwrap();
        taken.get("t").into_iter().flatten().map(|firing| firing.n).collect()
    };
    let webhook = format!("EXECUTE WEBHOOK '{url}/hooks/t' WITH (secret = 'tests')");
    server.sql("CREATE STREAM readings (device STRING, n BIGINT) PARTITIONED BY (device)").await;
    define(&server, "").await;
    fire(&server, 1).await;
    define(&server, &webhook).await;
    fire(&server, 2).await;
    until("the second is told", || so(told(), |told| told == &[2])).await;
    define(&server, "").await;
    fire(&server, 3).await;
    server.kill();
    server = serve(&data, &config);
    fire(&server, 4).await;
    define(&server, &webhook).await;
    // From one that tells to another that does: nothing is left out.
    fire(&server, 6).await;
    define(&server, &webhook.replace("tests", "other")).await;
    fire(&server, 7).await;
    until("those since", || so(told(), |told| told.contains(&7))).await;
    let mut all = told();
    all.dedup();
    assert_eq!(all, [2, 6, 7]);
    // A test is told apart, and is of the newest row.
    server.sql("TEST TRIGGER t").await;
    let tested = || taken.lock().unwrap().get("t test").map(|firings| firings[0].n);
    until("a test", || so(tested(), |tested| *tested == Some(7))).await;
    // Why an attempt failed is known after the server's end, too.
    fire(&server, 10).await;
    until("the one that is taken at the second attempt", || so(told(), |told| told.contains(&10))).await;
    server.kill();
    server = serve(&data, &config);
    let shown = server.rows("SELECT last_error FROM system.triggers").await;
    assert!(shown[0]["last_error"].as_str().is_some_and(|why| why.contains("answered 503")), "{shown:?}");
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_reach_what_the_configuration_allows_today() {
    let taken = Taken::default();
    let url = receiver(&taken).await;
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("headwater.toml"));
    let notes = dir.path().join("notes");
    let allow = |more: &str| write(&config, &format!("[triggers]\nwebhooks = [\"{url}/hooks/a\"]\n{more}"));
    let command = format!("[triggers.commands]\nnote = [\"/bin/sh\", \"-c\", '''{NOTE}''']\n");
    allow(&command);
    let server = serve(&data, &config);
    let create = |name: &str, action: &str| {
        format!("CREATE TRIGGER {name} ON readings WHEN n % 2 = 0 EXECUTE {action}")
    };
    server.sql("CREATE STREAM readings (device STRING, n BIGINT) PARTITIONED BY (device)").await;
    for (action, why) in [
        (format!("WEBHOOK '{url}/hooks/b'"), "does not allow webhooks to http://127.0.0.1"),
        (format!("WEBHOOK '{url}/hooks/a/../b'"), "does not allow webhooks to http://127.0.0.1"),
        (
            "WEBHOOK 'http://hooks.example.org/hooks/a'".to_owned(),
            "does not allow webhooks to http://hooks.example.org",
        ),
        ("COMMAND 'sh' '-c'".to_owned(), "allows no command 'sh'"),
        ("COMMAND '/bin/sh' '-c'".to_owned(), "allows no command '/bin/sh'"),
    ] {
        let refused = server.refusal(&create("t", &action)).await;
        assert_eq!(refused["code"], "HW4018", "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
    server.sql(&create("posted", &format!("WEBHOOK '{url}/hooks/a' WITH (secret = 'tests')"))).await;
    server.sql(&create("noted", &format!("COMMAND 'note' '{}'", notes.display()))).await;
    let post = async |server: &Server, from: u64| {
        let line = |n: u64| format!("{{\"device\":\"d\",\"n\":{n}}}\n");
        server.post("/v1/streams/readings", &(from..from + 10).map(line).collect::<String>()).await;
    };
    post(&server, 1).await;
    let taken_of = |name: &str| taken.lock().unwrap().get(name).cloned().unwrap_or_default();
    let told = || (distinct(&taken_of("a")), distinct(&noted(&notes)));
    until("both tell of five", || if told() == (5, 5) { Ok(()) } else { Err(told()) }).await;
    assert_eq!(server.terminate(), Some(0));

    // The operator allows less: what there is fires on, tells nobody, and says so.
    write(&config, "[triggers]\nwebhooks = []\n");
    let server = serve(&data, &config);
    post(&server, 11).await;
    let shown = "SELECT name, firings, last_error FROM system.triggers ORDER BY name";
    let have_fired = |all: &[Value]| {
        all.len() == 2 && all.iter().all(|one| one["firings"] == 10 && one["last_error"].is_string())
    };
    let shown = server.wait_until(shown, have_fired).await;
    for (row, why) in shown.iter().zip(["allows no command 'note'", "does not allow webhooks"]) {
        let error = row["last_error"].as_str().unwrap_or_default();
        assert!(error.starts_with("HW4018 ") && error.contains(why), "{row}");
    }
    assert_eq!(told(), (5, 5));
    server.kill();

    // Allowed again, what has fired meanwhile goes out.
    allow(&command);
    let server = serve(&data, &config);
    until("the others are told", || if told() == (10, 10) { Ok(()) } else { Err(told()) }).await;
    assert_taken(&taken_of("a"), "posted", &fired(&server, "posted").await);
    assert_taken(&noted(&notes), "noted", &fired(&server, "noted").await);
    assert!(taken_of("b").is_empty());
    assert_eq!(server.terminate(), Some(0));
}
