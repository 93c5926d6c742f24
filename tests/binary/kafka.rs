//! A topic in, a topic out, through the binary, which is killed in between; Kafka's own console clients at both ends.
//! And a log that is kept in topics.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::ports::free_port;
use crate::process::{PATIENCE, Process, Server, headwater, run_badly, run_well, write};

/// A broker, and where Kafka's clients are.
#[derive(Clone)]
pub struct Kafka {
    pub address: String,
    jars: String,
}

impl Kafka {
    pub fn of() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let found = (variable("HEADWATER_TEST_KAFKA"), variable("HEADWATER_TEST_KAFKA_JARS"));
        let (Some(address), Some(jars)) = found else {
            eprintln!("skipped: HEADWATER_TEST_KAFKA is not set (tests/run sets it)");
            return None;
        };
        Some(Self { address, jars })
    }

    pub fn java(&self, class: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-cp", &format!("{}/*", self.jars), class]);
        command.args(["--bootstrap-server", &self.address]).args(arguments).stderr(Stdio::null());
        command
    }

    /// Sends lines with Kafka's console producer.
    fn produce(&self, topic: &str, lines: &str) {
        self.produce_with(topic, &[], lines);
    }

    /// The same with more arguments.
    pub fn produce_with(&self, topic: &str, more: &[&str], lines: &str) {
        let arguments = [&["--topic", topic], more].concat();
        let mut command = self.java("org.apache.kafka.tools.ConsoleProducer", &arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Reads what is committed with Kafka's console consumer: all that comes until nothing more does, at least so much. On a busy machine
    /// the consumer gives up before it has begun.
    fn consume(&self, topic: &str, least: usize) -> Vec<Value> {
        #[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
        let began = Instant::now();
        loop {
            let found = self.consume_some(topic);
            if found.len() >= least {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{topic} stays at {} of {least} messages", found.len());
        }
    }

    fn consume_some(&self, topic: &str) -> Vec<Value> {
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
         CREATE TABLE doubled (device STRING, twice BIGINT, at BIGINT METADATA FROM 'offset' VIRTUAL)
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
    server.wait_until(offsets, |rows| rows == [json!({"n": 600, "first": 0})]).await;
    let settled = "SELECT state, lag FROM system.connectors ORDER BY role";
    server
        .wait_until(settled, |rows| {
            rows.len() == 2 && rows.iter().all(|row| row["state"] == "running" && row["lag"] == 0)
        })
        .await;
    for statement in ["SHOW TABLES", "SELECT * FROM system.connectors"] {
        assert!(!server.sql(statement).await.contains("hunter2"), "{statement}");
    }
    let messages = kafka.consume(&to, 200);
    let mut found: Vec<u64> = messages.iter().map(|row| row["twice"].as_u64().unwrap()).collect();
    found.sort_unstable();
    let has_offset = messages.iter().any(|row| row.get("at").is_some());
    assert!(!has_offset, "what is only read is no column of what is written");
    assert_eq!(found, (0..600).filter(|n| n % 3 == 0).map(|n| n * 2).collect::<Vec<u64>>());
    assert_eq!(server.terminate(), Some(0));
}

/// The log is at the broker: a server with an empty data directory, on another machine perhaps, takes it over, with its streams, what
/// its jobs have computed, and an archive; the one before is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_topics_outlives_its_server_and_its_directory() {
    let Some(kafka) = Kafka::of() else { return };
    let (name, address) = (format!("binary-{}", std::process::id()), kafka.address.clone());
    let serve = |data: &Path| {
        let property = format!("bootstrap.servers={address}");
        let data = data.to_str().unwrap();
        Server::start_with_log(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            data,
            "--log",
            "kafka",
            "--log-name",
            &name,
            "--log-property",
            &property,
        ])
    };
    let minute = |n: u32| format!("2026-03-01T10:{:02}:{:02}Z", n / 60, n % 60);
    let post = |numbers: std::ops::Range<u32>| {
        numbers
            .map(|n| format!("{{\"device\":\"d{}\",\"ts\":\"{}\",\"n\":{n}}}\n", n % 4, minute(n)))
            .collect::<String>()
    };
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let archive = tempfile::tempdir().unwrap();
    let place = archive.path().join("readings").to_str().unwrap().to_owned();
    let server = serve(dirs[0].path());
    server
        .sql(&format!(
            "CREATE STREAM readings (device STRING, ts TIMESTAMP(3), n BIGINT, WATERMARK FOR ts AS ts)
                 PARTITIONED BY (device) WITH (shards = 2, 'clock.guard' = 'none');
             CREATE STREAM per_minute (device STRING, w TIMESTAMP(3), rows_in BIGINT, total BIGINT);
             CREATE JOB counting AS INSERT INTO per_minute
                 SELECT device, window_start, COUNT(*), SUM(n)
                 FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
                 GROUP BY device, window_start, window_end;
             CREATE ARCHIVE old FOR readings TO '{place}' WITH ('sink.rolling-policy.row-count' = 100);"
        ))
        .await;
    server.post("/v1/streams/readings", &post(0..600)).await;
    let done = "SELECT COUNT(*) AS n FROM per_minute";
    // The last minute is open. The devices of one shard come after those of the other, so that time waits for both.
    server.wait_until(done, |rows| rows == [json!({"n": 36})]).await;
    let results = "SELECT device, w, rows_in, total FROM per_minute ORDER BY w, device";
    let before = server.rows(results).await;
    server.kill();

    // Nothing of the first directory is needed.
    let server = serve(dirs[1].path());
    assert_eq!(server.rows(results).await, before);
    server.post("/v1/streams/readings", &post(600..1_200)).await;
    server.wait_until(done, |rows| rows == [json!({"n": 76})]).await;

    // The second server is not dead, and the third takes the log all the same.
    let third = serve(dirs[2].path());
    let (status, error) = server.post_badly("/v1/streams/readings", &post(1_200..1_201)).await;
    assert!(status >= 500 && error["code"] == "HW1018", "{status} {error}");
    server.kill();
    third.post("/v1/streams/readings", &post(1_200..1_260)).await;
    let rows = third.wait_until(done, |rows| rows == [json!({"n": 80})]).await;
    assert_eq!(rows.len(), 1);
    for row in third.rows(results).await {
        let (device, w) = (row["device"].as_str().unwrap(), row["w"].as_str().unwrap());
        let minute: u64 = w[14..16].parse().unwrap();
        let device: u64 = device[1..].parse().unwrap();
        let numbers = (minute * 60..minute * 60 + 60).filter(|n| n % 4 == device);
        assert_eq!((&row["rows_in"], &row["total"]), (&json!(15), &json!(numbers.sum::<u64>())), "{row}");
    }
    let counted = third.rows("SELECT COUNT(*) AS n, COUNT(DISTINCT n) AS d FROM readings").await;
    assert_eq!(counted, [json!({"n": 1_260, "d": 1_260})]);
    // What no whole range of a hundred rows is left in each of the two shards.
    let lag = |rows: &[Value]| {
        rows.len() == 1 && rows[0]["state"] == "running" && rows[0]["lag"].as_u64() < Some(200)
    };
    third.wait_until("SELECT state, lag FROM system.archives", lag).await;
    let archived = third.rows("SELECT rows FROM system.archives").await[0]["rows"].as_u64().unwrap();
    assert_eq!(third.terminate(), Some(0));
    let verified = run_well(&["archive", "verify", &place]);
    assert!(archived > 1_060 && verified.contains(&format!(", {archived} rows; 0 problems")), "{verified}");
}

/// Commands that ask no server look at the log beside the server that writes it, which does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_topics_is_looked_at_beside_its_server() {
    let Some(kafka) = Kafka::of() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (config, data) = (dir.path().join("fleet.toml"), dir.path().join("data"));
    let (name, address) = (format!("looked-{}", std::process::id()), &kafka.address);
    write(
        &config,
        &format!("[log.kafka]\nname = \"{name}\"\n\"properties.bootstrap.servers\" = \"{address}\"\n"),
    );
    let (config, data) = (config.to_str().unwrap(), data.to_str().unwrap());
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--config", config];
    let server = Server::start_with_log(&arguments);
    server
        .sql(
            "CREATE STREAM readings (device STRING, n BIGINT) PARTITIONED BY (device) WITH (shards = 2);
             CREATE STREAM doubled (device STRING, twice BIGINT);
             CREATE JOB doubling AS INSERT INTO doubled SELECT device, n * 2 FROM readings;
             CREATE MATERIALIZED VIEW per_device AS SELECT device, COUNT(*) AS rows_in FROM readings GROUP BY device;",
        )
        .await;
    server.post("/v1/streams/readings", &lines(0..300)).await;
    let done = "SELECT COUNT(*) AS n FROM doubled";
    server.wait_until(done, |rows| rows == [json!({"n": 300})]).await;
    let view = "SELECT device, rows_in FROM per_device ORDER BY device";
    server.wait_until(view, |rows| rows.len() == 4 && rows.iter().all(|row| row["rows_in"] == 75)).await;

    let look = |arguments: &[&str]| run_well(&[arguments, &["--config", config]].concat());
    let rows =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let sql = |sql: &str| rows(&look(&["sql", "--format", "json", "-c", sql]));
    assert_eq!(sql("SELECT COUNT(*) AS n, SUM(n) AS s FROM readings"), [json!({"n": 300, "s": 44_850})]);
    assert_eq!(sql(view), server.rows(view).await);
    let listed = look(&["log", "ls"]);
    assert!(listed.contains("readings  2 shards, 300 rows") && listed.contains(&name), "{listed}");
    let dumped = rows(&look(&["log", "dump", "doubled", "--format", "json"]));
    let mut twice: Vec<u64> = dumped.iter().map(|row| row["twice"].as_u64().unwrap()).collect();
    twice.sort_unstable();
    assert_eq!(twice, (0..300).map(|n| n * 2).collect::<Vec<u64>>());
    assert_eq!(rows(&look(&["replay", "doubling", "--format", "json"])).len(), 300);
    assert_eq!(look(&["replay", "doubling", "--diff", "--format", "json"]), "");

    // What would write is for the server.
    let refuse = |arguments: &[&str]| run_badly(&[arguments, &["--config", config]].concat(), 1);
    for sql in [
        "INSERT INTO readings VALUES ('d0', 300)",
        "CREATE STREAM more (n BIGINT)",
        "DROP MATERIALIZED VIEW per_device",
    ] {
        let error = refuse(&["sql", "-c", sql]);
        assert!(error.contains("HW1019") && error.contains("--url"), "{sql}: {error}");
    }
    let error = refuse(&["replay", "doubling", "--into", "again"]);
    assert!(error.contains("HW1019") && error.contains("--url"), "{error}");
    let error = refuse(&["sql", "--jobs", "-c", "SELECT 1"]);
    assert!(error.contains("headwater serve") && error.contains("--url"), "{error}");
    let error = refuse(&["log", "verify"]);
    assert!(error.contains("on Kafka") && error.contains("dump"), "{error}");

    // Whoever is told of the data directory alone makes no log in it.
    for command in [
        &["sql", "-c", "SELECT 1"][..],
        &["sql", "--jobs", "-c", "SELECT 1"],
        &["replay", "doubling"],
        &["log", "ls"],
    ] {
        let error = run_badly(&[command, &["--data", data]].concat(), 1);
        let says = ["HW6103", name.as_str(), address.as_str(), "--config", "--url"];
        assert!(says.iter().all(|part| error.contains(part)), "{command:?}: {error}");
    }
    assert!(!Path::new(data).join("log").exists());

    // A name that is misspelt is told at once, with what there is.
    let property = format!("bootstrap.servers={address}");
    let misspelt = ["--log", "kafka", "--log-name", "lookde", "--log-property", &property];
    #[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
    let began = Instant::now();
    for command in [
        &["sql", "-c", "SELECT 1"][..],
        &["replay", "doubling"],
        &["log", "ls"],
        &["log", "dump", "readings"],
    ] {
        let error = run_badly(&[command, &misspelt].concat(), 1);
        let says = [
            "HW1017",
            "topic lookde.catalog",
            address.as_str(),
            "no log lookde",
            name.as_str(),
            "log's name?",
        ];
        assert!(says.iter().all(|part| error.contains(part)), "{command:?}: {error}");
    }
    // Each of the four took ten seconds when the topic was waited for.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    server.post("/v1/streams/readings", &lines(300..342)).await;
    server.wait_until(done, |rows| rows == [json!({"n": 342})]).await;
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(sql(done), [json!({"n": 342})]);
}

/// The broker that keeps the log comes later than the server: it is waited for, which is told to all who ask, and ends when the server is
/// told to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_begins_before_the_broker_waits_for_it() {
    let Some(mut broker) = Broker::start() else { return };
    broker.kill();
    let (address, listen) = (broker.address.clone(), format!("127.0.0.1:{}", free_port()));
    let start = |data: &Path, listen: &str| {
        let (data, property) = (data.to_str().unwrap(), format!("bootstrap.servers={address}"));
        let arguments = ["serve", "--listen", listen, "--data", data, "--log", "kafka", "--log-property"];
        Process::start(&[&arguments[..], &[&property]].concat())
    };
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let process = start(dirs[0].path(), &listen);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let answer =
            http.get(format!("http://{listen}{path}")).send().await.map_err(|error| error.to_string());
        let answer = answer?;
        Ok::<_, String>((answer.status().as_u16(), answer.text().await.map_err(|error| error.to_string())?))
    };
    let waits = async {
        loop {
            let found = get("/readyz").await;
            match found {
                Ok((503, told)) if told.contains("waiting for the broker") => break told,
                Ok((503, _)) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                other => panic!("{other:?}"),
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, waits).await.expect("it says what it waits for");
    assert!(told.contains("HW6015") && told.contains("HW1017") && told.contains(&address), "{told}");
    assert_eq!(get("/healthz").await, Ok((200, "ok\n".to_owned())));
    assert_eq!(get("/v1/streams").await.unwrap().0, 503);

    // Another one is told to stop while it waits.
    let mut other = start(dirs[1].path(), "127.0.0.1:0");
    other.wait_for_error("waiting for the broker that keeps the log; trying again");
    other.signal("TERM");
    let (code, out, errors) = tokio::task::spawn_blocking(|| other.end()).await.unwrap();
    assert_eq!((code, out.contains("listening")), (Some(0), false), "{errors}");

    broker.restart();
    let server = tokio::task::spawn_blocking(|| Server::of(process)).await.unwrap();
    assert_eq!(get("/readyz").await, Ok((200, "ok\n".to_owned())));
    server.sql("CREATE STREAM readings (device STRING, n BIGINT)").await;
    server.post("/v1/streams/readings", &lines(0..300)).await;
    assert_eq!(server.rows("SELECT COUNT(*) AS n FROM readings").await, [json!({"n": 300})]);
    assert_eq!(server.terminate(), Some(0));
}

/// The broker that keeps the log is gone when the server is told to stop: it ends all the same, says what it leaves undone, and has
/// not lost what it acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_ends_without_the_broker_that_keeps_its_log() {
    let Some(mut broker) = Broker::start() else { return };
    let property = format!("bootstrap.servers={}", broker.address);
    let serve = |data: &Path| {
        let data = data.to_str().unwrap();
        Server::start_with_log(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            data,
            "--log",
            "kafka",
            "--log-property",
            &property,
        ])
    };
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let server = serve(dirs[0].path());
    let sql = format!(
        "CREATE STREAM readings (device STRING, n BIGINT);
         CREATE TABLE out (device STRING, n BIGINT) WITH (connector = 'kafka', type = 'sink', topic = 'out',
             format = 'json', 'properties.bootstrap.servers' = '{}');
         CREATE JOB copy AS INSERT INTO out SELECT device, n FROM readings;",
        broker.address
    );
    server.sql(&sql).await;
    server.post("/v1/streams/readings", &lines(0..300)).await;
    let count = "SELECT COUNT(*) AS n FROM out";
    server.wait_until(count, |rows| rows == [json!({"n": 300})]).await;

    broker.kill();
    let (http, url) = (reqwest::Client::builder().no_proxy().build().unwrap(), server.url.clone());
    let request = http.post(format!("{url}/v1/streams/readings")).body(lines(300..342));
    let unheard = tokio::spawn(request.header("content-type", "application/x-ndjson").send());
    // By then it has been taken in, on a busy machine, too.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!unheard.is_finished(), "an append waits for the broker");
    #[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
    let began = Instant::now();
    let process = server.into_process();
    process.signal("TERM");
    let (code, _, errors) = tokio::task::spawn_blocking(|| process.end()).await.unwrap();
    let taken = began.elapsed();
    assert!(taken < PATIENCE, "{taken:?}\n{errors}");
    assert_eq!(code, Some(4), "{errors}");
    assert!(errors.contains("error HW1017: the log takes no more appends"), "{errors}");
    let told = errors.lines().find(|line| line.contains("these appends were not written"));
    let told = told.unwrap_or_else(|| panic!("{errors}"));
    assert!(told.contains("acknowledged"), "{told}");
    let rows: u64 = {
        let (_, after) = told.split_once("rows=").unwrap_or_else(|| panic!("{told}"));
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(rows >= 42, "{told}");
    let answer = unheard.await.unwrap();
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status().is_server_error()));

    broker.restart();
    let server = serve(dirs[1].path());
    assert_eq!(server.rows("SELECT COUNT(*) AS n FROM readings").await, [json!({"n": 300})]);
    server.post("/v1/streams/readings", &lines(300..342)).await;
    server.wait_until(count, |rows| rows == [json!({"n": 342})]).await;
    assert_eq!(server.terminate(), Some(0));
}
