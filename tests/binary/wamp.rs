//! `serve --wamp`, with Autobahn: what is published is recorded, a job runs over it, and its rows are published; events of the past are
//! asked for, procedures run queries, and a job and a query ask a device.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use crate::autobahn;
use crate::process::{Process, Server, run_badly};

/// Starts the binary on a data directory, and answers where it routes WAMP, too.
fn serve(data: &Path) -> (Server, String) {
    let data = data.to_str().unwrap();
    let mut process =
        Process::start(&["serve", "--listen", "127.0.0.1:0", "--wamp", "127.0.0.1:0", "--data", data]);
    let line = process.wait_for("WAMP on ");
    let url = line.split_whitespace().find(|word| word.starts_with("ws://")).unwrap().to_owned();
    (Server::of(process), url)
}

/// Publishes three readings and waits for the alarms that come of two of them, which are these rows of the table of alarms.
async fn run(python: &Path, url: &str, alarms: [&str; 2]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/wamp.py");
    let mut command = Command::new(python);
    command.args([script, url]).args(alarms);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_is_recorded_watched_and_told() {
    let Some(python) = autobahn::python() else { return };
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
    let output = run(&python, &url, ["0", "1"]).await;
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
    let output = run(&python, &url, ["2", "3"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.rows(rows).await, expected(2));
    assert_eq!(server.terminate(), Some(0));
}

/// Whoever is told that a publication is there can rely on it, whenever the process is killed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_recorded_after_a_kill() {
    let Some(python) = autobahn::python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut sure = std::collections::BTreeSet::new();
    for life in 0..3 {
        let (server, url) = serve(dir.path());
        if life == 0 {
            let create = "CREATE STREAM sure (n BIGINT) WITH (connector = 'wamp', realm = 'realm1', topic = 'com.sure')";
            server.sql(create).await;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/wamp_sure.py");
        let mut command = Command::new(&python);
        command.args([script, &url, &(life * 1_000_000).to_string()]);
        let mut publisher = Process::spawn(command);
        for _ in 0..500 {
            publisher.wait_for("sure ");
        }
        server.kill();
        let (_, said, _) = publisher.end();
        let numbers = said.lines().filter_map(|line| line.strip_prefix("sure ")?.parse::<i64>().ok());
        sure.extend(numbers);
    }
    let (server, _) = serve(dir.path());
    let recorded = server.rows("SELECT n FROM sure").await;
    let recorded: std::collections::BTreeSet<i64> =
        recorded.iter().map(|row| row["n"].as_i64().unwrap()).collect();
    let missing: Vec<_> = sure.difference(&recorded).collect();
    assert!(sure.len() >= 1_500 && missing.is_empty(), "{} of {}: {missing:?}", missing.len(), sure.len());
    assert_eq!(server.terminate(), Some(0));
}

/// One realm with guests and a device, and procedures.
const HOME: &str = r#"
[wamp]
listen = "127.0.0.1:0"

[[wamp.realms]]
name = "realm1"
anonymous = "guest"

[[wamp.realms.roles]]
name = "guest"
permissions = [
    { uri = "", match = "prefix", allow = ["call", "subscribe"] },
    { uri = "com.home.secret", allow = [] },
]

[[wamp.realms.roles]]
name = "device"
permissions = [{ uri = "", match = "prefix", allow = ["call", "subscribe", "publish"] }]

[[wamp.realms.principals]]
authid = "t7"
role = "device"
ticket = "a ticket"

[[wamp.realms.procedures]]
uri = "com.home.warmest"
query = "SELECT device, temp FROM readings WHERE device = $1 AND temp >= $least ORDER BY temp DESC LIMIT 2"

[[wamp.realms.procedures]]
uri = "com.home.all"
query = "SELECT temp FROM readings ORDER BY temp"
rows_max = 10

[[wamp.realms.procedures]]
uri = "com.home.secret"
query = "SELECT 42 AS answer"

[[wamp.realms.procedures]]
uri = "com.home.broken"
query = "SELECT * FROM nowhere"
"#;

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
async fn the_past_is_asked_for_and_procedures_run_queries() {
    let Some(python) = autobahn::python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("headwater.toml");
    std::fs::write(&config, HOME).unwrap();
    let data = dir.path().join("data");
    let start = || {
        let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
        let mut process =
            Process::start(&["serve", "--listen", "127.0.0.1:0", "--config", config, "--data", data]);
        let line = process.wait_for("WAMP on ");
        let address = line.rsplit("://").next().unwrap().trim().to_owned();
        (Server::of(process), address)
    };
    let running = "SELECT state FROM system.connectors WHERE state = 'running'";
    let look = |framework: &'static str, url: String, serializer: &'static str, what: &'static str| {
        let mut command = Command::new(&python);
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        command.env("PYTHONPATH", format!("{root}/connectors/wamp/tests/autobahn"));
        command.arg(format!("{root}/tests/binary/wamp_past.py"));
        command.args([framework, &url, serializer, what]);
        async move {
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            assert!(output.status.success(), "{framework}: {}", String::from_utf8_lossy(&output.stderr));
        }
    };

    let (server, address) = start();
    server
        .sql(
            "CREATE STREAM readings (device VARCHAR, temp DOUBLE, wamp_topic VARCHAR, wamp_publication BIGINT,
                 wamp_args VARCHAR, wamp_kwargs VARCHAR, wamp_receivers VARCHAR)
                 WITH (connector = 'wamp', realm = 'realm1', topic = 'com.home.temp.', match = 'prefix')",
        )
        .await;
    server.wait_until(running, |rows| rows.len() == 1).await;
    look("asyncio", format!("ws://{address}"), "json", "fill").await;
    look("twisted", format!("rs://{address}"), "msgpack", "look").await;

    // History is the log's: it is there after a kill.
    server.kill();
    let (server, address) = start();
    server.wait_until(running, |rows| rows.len() == 1).await;
    look("asyncio", format!("ws://{address}"), "cbor", "look").await;
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_asks_a_device_and_remembers_what_it_said() {
    let Some(python) = autobahn::python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = serve(dir.path());
    server
        .sql(
            "CREATE STREAM readings (device VARCHAR, temp DOUBLE);
             CREATE TABLE setpoints (device VARCHAR, target DOUBLE)
                 WITH (connector = 'wamp', realm = 'realm1', procedure = 'com.home.setpoint', timeout = '5 seconds');
             CREATE FUNCTION setpoint(device VARCHAR) RETURNS DOUBLE LANGUAGE WAMP AS 'com.home.setpoint'
                 WITH (realm = 'realm1');
             CREATE STREAM compared (device VARCHAR, temp DOUBLE, target DOUBLE);
             CREATE JOB comparing AS INSERT INTO compared SELECT r.device, r.temp, s.target
                 FROM readings AS r LEFT JOIN setpoints FOR SYSTEM_TIME AS OF PROCTIME() AS s ON r.device = s.device",
        )
        .await;
    let post = async |server: &Server, numbers: std::ops::Range<u32>| {
        let line = |n: u32| format!("{{\"device\":\"t{}\",\"temp\":{n}}}\n", n % 3);
        server.post("/v1/streams/readings", &numbers.map(line).collect::<String>()).await;
    };
    // Nobody is there who could be asked: the job waits and says so.
    post(&server, 0..6).await;
    let jobs = "SELECT state, error FROM system.jobs WHERE name = 'comparing'";
    let held = server.wait_until(jobs, |rows| rows[0]["error"].is_string()).await;
    let error = held[0]["error"].as_str().unwrap();
    assert!(held[0]["state"] == "pending" && error.contains("no_such_procedure"), "{held:?}");
    let error = run_badly(&["sql", "--url", &server.url, "-c", "SELECT setpoint('t1')"], 1);
    assert!(error.contains("'setpoint' was not answered") && error.contains("no_such_procedure"), "{error}");

    let answer = |url: &str, add: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/wamp_device.py");
        let mut command = Command::new(&python);
        command.args([script, url, add]);
        let mut device = Process::spawn(command);
        device.wait_for("ready");
        device
    };
    let device = answer(&url, "0");
    let count = "SELECT COUNT(*) AS n FROM compared";
    server.wait_for_count(count, 6).await;
    device.kill();

    // What it said then is what it has said, whatever it says now.
    server.kill();
    let (server, url) = serve(dir.path());
    let device = answer(&url, "100");
    post(&server, 6..9).await;
    server.wait_for_count(count, 9).await;
    let found =
        server.csv("SELECT device, target, COUNT(*) AS n FROM compared GROUP BY 1, 2 ORDER BY 1, 2").await;
    // The third device has nothing to say.
    assert_eq!(found, "device,target,n\nt0,20.0,2\nt0,120.0,1\nt1,21.5,2\nt1,121.5,1\nt2,,3\n");
    let now = "SELECT DISTINCT device, setpoint(device) AS target FROM readings WHERE device <> 't0' ORDER BY device";
    assert_eq!(server.csv(now).await, "device,target\nt1,121.5\nt2,\n");
    let error = run_badly(&["sql", "--url", &server.url, "-c", "SELECT setpoint('t0')"], 1);
    assert!(error.contains("the answer has no 'result', but target"), "{error}");
    device.kill();
    assert_eq!(server.terminate(), Some(0));
}
