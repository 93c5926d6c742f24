//! A topic in, a topic out, through the binary, which is killed in between; Kafka's own console clients at both ends.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Process, Server, headwater};

/// A broker, and where Kafka's clients are.
struct Kafka {
    address: String,
    jars: String,
}

impl Kafka {
    fn of() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let found = (variable("HEADWATER_TEST_KAFKA"), variable("HEADWATER_TEST_KAFKA_JARS"));
        let (Some(address), Some(jars)) = found else {
            eprintln!("skipped: HEADWATER_TEST_KAFKA is not set (tests/run sets it)");
            return None;
        };
        Some(Self { address, jars })
    }

    fn java(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-cp", &format!("{}/*", self.jars), class]);
        command.args(["--bootstrap-server", &self.address]).args(arguments).stderr(Stdio::null());
        command
    }

    /// Sends lines with Kafka's console producer.
    fn produce(&self, topic: &str, lines: &str) {
        let mut command = self.java("org.apache.kafka.tools.ConsoleProducer", &["--topic", topic]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Reads what is committed with Kafka's console consumer: all that comes until nothing more does.
    fn consume(&self, topic: &str) -> Vec<Value> {
        let arguments = [
            "--topic",
            topic,
            "--from-beginning",
            "--isolation-level",
            "read_committed",
            "--timeout-ms",
            "8000",
        ];
        let out = self.java("org.apache.kafka.tools.consumer.ConsoleConsumer", &arguments).output().unwrap();
        let lines = String::from_utf8(out.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn serve(data: &Path) -> Server {
    let mut command = headwater(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    command.env("FLEET_PASSWORD", "hunter2");
    Server::of(Process::spawn(command))
}

fn lines(numbers: std::ops::Range<u32>) -> String {
    numbers.map(|n| format!("{{\"device\":\"d{}\",\"n\":{n}}}\n", n % 4)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_flows_into_a_stream_and_a_jobs_result_into_a_topic_once_through_a_kill() {
    let Some(kafka) = Kafka::of() else { return };
    let dir = tempfile::tempdir().unwrap();
    let topic = |name: &str| format!("{name}-{}", std::process::id());
    let (from, to) = (topic("readings"), topic("doubled"));
    kafka.produce(&from, &lines(0..300));
    let server = serve(dir.path());
    let reach = format!("'properties.bootstrap.servers' = '{}'", kafka.address);
    let sql = format!(
        "CREATE TABLE readings (device STRING, n BIGINT, at BIGINT METADATA FROM 'offset' VIRTUAL)
         WITH (connector = 'kafka', type = 'source', topic = '{from}', format = 'json', {reach},
               'properties.sasl.password' = '{{{{ FLEET_PASSWORD }}}}');
         CREATE TABLE doubled (device STRING, twice BIGINT)
         WITH (connector = 'kafka', type = 'sink', topic = '{to}', format = 'json', {reach},
               'key.format' = 'raw', 'key.fields' = 'device', 'sink.transactional-id-prefix' = '{to}');
         CREATE JOB doubling AS INSERT INTO doubled SELECT device, n * 2 FROM readings WHERE n % 3 = 0;"
    );
    server.sql(&sql).await;
    let wait = "SELECT COUNT(*) AS n FROM doubled";
    server.wait_until(wait, |rows| rows == [json!({"n": 100})]).await;
    server.kill();
    kafka.produce(&from, &lines(300..600));
    let server = serve(dir.path());
    server.wait_until(wait, |rows| rows == [json!({"n": 200})]).await;
    // Offsets are dense in each partition; how many of those there are the broker says.
    let offsets = "SELECT COUNT(*) AS n, MIN(at) AS first FROM readings";
    assert_eq!(server.rows(offsets).await, [json!({"n": 600, "first": 0})]);
    let settled = "SELECT state, lag FROM system.connectors ORDER BY role";
    server
        .wait_until(settled, |rows| rows.iter().all(|row| row["state"] == "running" && row["lag"] == 0))
        .await;
    for statement in ["SHOW TABLES", "SELECT * FROM system.connectors"] {
        assert!(!server.sql(statement).await.contains("hunter2"), "{statement}");
    }
    let mut found: Vec<u64> = kafka.consume(&to).iter().map(|row| row["twice"].as_u64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..600).filter(|n| n % 3 == 0).map(|n| n * 2).collect::<Vec<u64>>());
    assert_eq!(server.terminate(), Some(0));
}
