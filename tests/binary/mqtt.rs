//! `serve --mqtt`, with Mosquitto's clients: devices publish, rows are queried, and nothing that was acknowledged is missing. With Paho:
//! sessions outlive the broker.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::found::paho;
use crate::process::{Process, Server};

/// Whether Mosquitto's clients are there.
#[expect(clippy::print_stdout, reason = "it says what was left out")]
fn has_clients() -> bool {
    let given = std::env::var_os("HEADWATER_TEST_MOSQUITTO").is_none_or(|path| Path::new(&path).exists());
    let is_there = given && Command::new("mosquitto_pub").arg("--help").output().is_ok();
    if !is_there {
        println!("left out: Mosquitto's clients are not there; tests/run installs them if it may");
    }
    is_there
}

/// Starts the binary on a data directory, and answers the port of its broker, too.
fn serve(data: &Path) -> (Server, String) {
    let data = data.to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--data", data];
    let mut process = Process::start(&arguments);
    let line = process.wait_for("MQTT on ");
    let port = line.rsplit(':').next().unwrap().to_owned();
    (Server::of(process), port)
}

fn client(name: &str, port: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(["-h", "127.0.0.1", "-p", port]).args(arguments);
    command
}

/// Publishes lines, each acknowledged by the time this returns.
fn publish(port: &str, topic: &str, (version, qos): (&str, &str), lines: &str) {
    let mut child = client("mosquitto_pub", port, &["-t", topic, "-q", qos, "-V", version, "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_publish_and_what_was_acknowledged_is_there_after_a_kill() {
    if !has_clients() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, port) = serve(dir.path());
    server
        .sql(
            "CREATE TABLE temperatures (device VARCHAR NOT NULL METADATA FROM 'topic.2', temp DOUBLE,
                 ts TIMESTAMP(3) METADATA FROM 'timestamp', WATERMARK FOR ts AS ts)
                 WITH (connector = 'mqtt', topic = 'plant/+/temp', type = 'source');
             CREATE TABLE alerts (topic VARCHAR METADATA FROM 'topic', temp DOUBLE)
                 WITH (connector = 'mqtt', type = 'sink');
             CREATE JOB alerting AS INSERT INTO alerts
                 SELECT 'alerts/' || device, temp FROM temperatures WHERE temp > 98",
        )
        .await;
    // A retained message of another topic says when it is subscribed to both.
    let ready = ["-t", "is-subscribed", "-m", "yes", "-q", "1", "-r"];
    assert!(client("mosquitto_pub", &port, &ready).status().unwrap().success());
    let alerts = ["-t", "alerts/#", "-t", "is-subscribed", "-q", "1", "-v", "-C", "3", "-W", "180"];
    let mut heard = Process::spawn(client("mosquitto_sub", &port, &alerts));
    heard.wait_for("is-subscribed yes");
    let lines = |range: std::ops::Range<u32>| -> String {
        range.map(|temp| format!("{{\"temp\":{temp}}}\n")).collect()
    };
    publish(&port, "plant/t1/temp", ("mqttv311", "1"), &lines(0..50));
    publish(&port, "plant/t2/temp", ("mqttv5", "2"), &lines(50..100));
    publish(&port, "plant/t3/humidity", ("mqttv5", "1"), &lines(0..5));
    publish(&port, "plant/t3/temp", ("mqttv5", "1"), "{\"temp\":\"hot\"}\n{\"temp\":99}\n");
    let (_, heard, _) = tokio::task::spawn_blocking(|| heard.end()).await.unwrap();
    assert_eq!(heard, "is-subscribed yes\nalerts/t2 {\"temp\":99.0}\nalerts/t3 {\"temp\":99.0}");

    // Whoever has an acknowledgement can pull the plug.
    server.kill();
    let (server, port) = serve(dir.path());
    publish(&port, "plant/t4/temp", ("mqttv5", "1"), &lines(0..1));
    let rows = server
        .rows("SELECT device, COUNT(*) AS n, SUM(temp) AS temp FROM temperatures GROUP BY device ORDER BY device")
        .await;
    let row = |device: &str, n: u32, temp: f64| serde_json::json!({"device": device, "n": n, "temp": temp});
    let expected = [row("t1", 50, 1225.0), row("t2", 50, 3725.0), row("t3", 1, 99.0), row("t4", 1, 0.0)];
    assert_eq!(rows, expected);
    let dead = server.rows("SELECT source, reason FROM system.dead_letters").await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["source"], "temperatures");
    let is_running = |one: &Value| one["connector"] == "mqtt" && one["state"] == "running";
    let shown = "SELECT connector, state FROM system.connectors";
    server.wait_until(shown, |all| all.len() == 2 && all.iter().all(is_running)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wills_of_clients_outlive_the_broker() {
    if !has_clients() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (server, port) = serve(dir.path());
    let create = "CREATE TABLE states (device VARCHAR METADATA FROM 'topic.2', state VARCHAR)
                  WITH (connector = 'mqtt', topic = 'plant/+/state', type = 'source')";
    server.sql(create).await;
    let will = ["--will-topic", "plant/lamp/state", "--will-payload", "{\"state\":\"gone\"}"];
    let rest = ["--will-qos", "1", "--will-retain", "-t", "hello"];
    assert!(client("mosquitto_pub", &port, &["-t", "hello", "-m", "hi", "-r"]).status().unwrap().success());
    let mut lamp = Process::spawn(client("mosquitto_sub", &port, &[&will[..], &rest[..]].concat()));
    lamp.wait_for("hi");
    // The broker dies first: nobody can tell it that the lamp is gone.
    server.kill();
    drop(lamp);
    let (server, port) = serve(dir.path());
    let heard = ["-t", "plant/+/state", "-q", "1", "-v", "-C", "1", "-W", "180"];
    let heard = tokio::task::spawn_blocking(move || client("mosquitto_sub", &port, &heard).output().unwrap());
    let heard = heard.await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard.stdout), "plant/lamp/state {\"state\":\"gone\"}\n");
    let gone = serde_json::json!({"device": "lamp", "state": "gone"});
    server.wait_until("SELECT device, state FROM states", |rows| rows == [gone.clone()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_publishes_waits_for_a_subscriber_through_a_kill() {
    if !has_clients() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut server, port) = serve(dir.path());
    server
        .sql(
            "CREATE STREAM readings (device STRING, n BIGINT) PARTITIONED BY (device);
             CREATE TRIGGER hot ON readings WHEN n % 2 = 0
             EXECUTE PUBLISH 'alerts/hot' WITH (via = 'mqtt', retain = true);",
        )
        .await;
    // Somebody subscribes, and goes away.
    let lasting = ["-i", "night-shift", "-c", "-t", "alerts/hot", "-q", "1", "-V", "mqttv311"];
    assert!(client("mosquitto_sub", &port, &[&lasting[..], &["-E"]].concat()).status().unwrap().success());
    for life in 0..3_u32 {
        let line = |n: u32| format!("{{\"device\":\"d{}\",\"n\":{n}}}\n", n % 3);
        server.post("/v1/streams/readings", &(life * 20..life * 20 + 20).map(line).collect::<String>()).await;
        let delivered =
            "SELECT COUNT(DISTINCT id) FROM system.trigger_deliveries WHERE outcome = 'delivered'";
        // The second life ends in the middle of it.
        server.wait_for_count(delivered, [10, 15, 30][life as usize]).await;
        if life < 2 {
            server.kill();
            server = serve(dir.path()).0;
        }
    }
    server.kill();
    let (server, port) = serve(dir.path());
    // What waits comes first, and then one more, which says that it is all; the retained message, which comes besides, is not shown.
    let mut late = Process::spawn(client("mosquitto_sub", &port, &[&lasting[..], &["-R"]].concat()));
    server.post("/v1/streams/readings", "{\"device\":\"d0\",\"n\":60}\n").await;
    late.wait_for("\"n\":60");
    let heard = late.heard().iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut firsts: Vec<(String, u64)> = Vec::new();
    for document in heard {
        let id = document["id"].as_str().unwrap().to_owned();
        let n = document["firing"]["n"].as_u64().unwrap();
        match firsts.iter().find(|(known, _)| *known == id) {
            Some((_, before)) => assert_eq!(*before, n, "{id} always means the same firing"),
            None => firsts.push((id, n)),
        }
    }
    for device in 0..3 {
        let own: Vec<u64> = firsts.iter().map(|(_, n)| *n).filter(|n| n % 3 == device).collect();
        let expected: Vec<u64> = (0..=60).filter(|n| n % 2 == 0 && n % 3 == device).collect();
        assert_eq!(own, expected, "each firing of d{device}, in order");
    }
    // Whoever comes now hears the last one.
    let kept = ["-t", "alerts/#", "-C", "1", "-W", "180", "-F", "%r %t"];
    let kept = tokio::task::spawn_blocking(move || client("mosquitto_sub", &port, &kept).output().unwrap());
    assert_eq!(String::from_utf8_lossy(&kept.await.unwrap().stdout), "1 alerts/hot\n");
    let parked = "SELECT COUNT(*) AS n FROM system.trigger_deliveries WHERE outcome = 'parked'";
    assert_eq!(server.rows(parked).await[0]["n"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_the_broker() {
    let Some(python) = paho() else { return };
    let dir = tempfile::tempdir().unwrap();
    for (version, transport) in [("3", "tcp"), ("5", "tcp"), ("3", "websockets"), ("5", "websockets")] {
        for (when, is_graceful) in [("before", false), ("after", true)] {
            let (server, port) = serve(dir.path());
            let mut command = Command::new(&python);
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/binary/mqtt_sessions.py"));
            command.args([&port, transport, version, when]);
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{version} {transport} {when}: {said}");
            match is_graceful {
                true => assert_eq!(server.terminate(), Some(0)),
                false => server.kill(),
            }
        }
    }
}
