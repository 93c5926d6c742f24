//! `headwater serve`: how it stops, and what its configuration file says.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Process, Server, run_badly, write};

const STREAM: &str = "CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, \
                      WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)";
const VIEW: &str = "CREATE MATERIALIZED VIEW per_minute AS SELECT window_start, COUNT(*) AS n, SUM(temp) AS temp \
                    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end";

fn reading(minute: u32, second: u32, temp: f64) -> String {
    format!("{{\"device\":\"t1\",\"ts\":\"2026-03-01T10:{minute:02}:{second:02}Z\",\"temp\":{temp}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_takes_a_checkpoint_so_that_nothing_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
        "--checkpoint-seconds",
        "100000",
    ];
    let steps = "SELECT steps, steps - newest_step AS behind FROM system.jobs AS j JOIN system.checkpoints AS c ON c.job = j.name";
    let mut steps_before = json!(0);
    for (life, signal) in ["INT", "TERM", "KILL"].into_iter().enumerate() {
        let server = Server::start(&arguments);
        if life == 0 {
            server.sql(STREAM).await;
            server.sql(VIEW).await;
        } else {
            // It begins where the checkpoint was taken.
            let found = server.wait_until(steps, |rows| rows[0]["steps"] != 0).await;
            assert_eq!(found, [json!({"steps": steps_before, "behind": 0})]);
        }
        for second in 0..5 {
            server.post("/v1/streams/readings", &reading(0, second, 1.5)).await;
        }
        let taken = (life as u64 + 1) * 5;
        server.wait_for_count("SELECT rows_in FROM system.jobs", taken).await;
        steps_before = server.rows(steps).await[0]["steps"].take();
        let process = server.into_process();
        process.signal(signal);
        let code = process.end().0;
        assert_eq!(code, if signal == "KILL" { None } else { Some(0) });
    }
    // The window that was open all the time, and after a kill, too.
    let server = Server::start(&arguments);
    server.post("/v1/streams/readings", &reading(2, 0, 0.0)).await;
    let wanted = [json!({"window_start": "2026-03-01T10:00:00", "n": 15, "temp": 22.5})];
    server.wait_until("SELECT * FROM per_minute", |rows| rows == wanted).await;
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_of_the_configuration_does_something() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headwater.toml");
    let (data, checkpoints) = (dir.path().join("data"), dir.path().join("checkpoints"));
    std::fs::create_dir(&checkpoints).unwrap();
    write(
        &file,
        &format!(
            "data = \"{}\"\nlisten = \"127.0.0.1:0\"\nworkers = 1\ncheckpoint_seconds = 1\ncheckpoints = \"file://{}\"\n\n\
             [limits]\nbody_bytes_max = 2000\nbatch_records_max = 3\nsql_bytes_max = 400\nappends_max = 7\ntails_max = 0\n\
             request_timeout_seconds = 30\n",
            data.display(),
            checkpoints.display()
        ),
    );
    let server = Server::start(&["serve", "--config", file.to_str().unwrap()]);
    assert!(data.is_dir());
    server.sql(STREAM).await;
    server.sql(VIEW).await;
    server.post("/v1/streams/readings", &reading(0, 1, 1.0)).await;
    server.wait_for_count("SELECT newest_step FROM system.checkpoints", 1).await;
    assert!(checkpoints.join("per_minute").is_dir(), "checkpoints go where the file says");

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let append = |body: String| {
        let request = http.post(format!("{}/v1/streams/readings", server.url)).body(body);
        request.header("content-type", "application/x-ndjson").send()
    };
    let line = reading(0, 2, 1.0) + "\n";
    assert_eq!(append(line.repeat(3)).await.unwrap().status(), 200);
    assert_eq!(append(line.repeat(4)).await.unwrap().status(), 413, "too many records");
    assert_eq!(append(format!("{{\"device\":\"{}\"}}", "x".repeat(2000))).await.unwrap().status(), 413);
    let long = format!("SELECT '{}'", "x".repeat(400));
    let refused = http.post(format!("{}/v1/sql", server.url)).body(long).send().await.unwrap();
    assert_eq!(refused.status(), 413);
    let tail = http.get(format!("{}/v1/streams/readings/tail", server.url)).send().await.unwrap();
    assert_eq!(tail.status(), 429, "no tails at all");
    assert_eq!(server.terminate(), Some(0));

    // The command line wins.
    let other = dir.path().join("other");
    let server =
        Server::start(&["serve", "--config", file.to_str().unwrap(), "--data", other.to_str().unwrap()]);
    assert!(other.is_dir());
    assert_eq!(server.rows("SHOW STREAMS").await, Vec::<Value>::new());
    assert_eq!(server.terminate(), Some(0));
}

#[test]
fn mistakes_in_a_configuration_are_told_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headwater.toml");
    let name = file.to_str().unwrap();
    for (text, told) in [
        ("workers = 2\nlsiten = \"127.0.0.1:0\"\n", ["line 2", "lsiten"]),
        ("[limits]\n\ntails = 3\n", ["line 3", "tails"]),
        ("workers = \"two\"\n", ["line 1", "two"]),
        ("listen = \"localhost\"\n", ["line 1", "listen"]),
    ] {
        write(&file, text);
        let error = run_badly(&["serve", "--config", name], 1);
        assert!(error.starts_with("error HW6102: ") && error.contains("docs/errors/HW6102.md"), "{error}");
        assert!(error.contains(name) && told.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    // One that is not there, and one that is a directory.
    for (path, told) in [(dir.path().join("none.toml"), "No such file"), (dir.path().to_owned(), "directory")]
    {
        let path = path.to_str().unwrap();
        let error = run_badly(&["serve", "--config", path], 1);
        assert!(error.starts_with("error HW6101: ") && error.contains("docs/errors/HW6101.md"), "{error}");
        assert!(error.contains(path) && error.contains(told) && error.contains("--config"), "{error}");
    }
}

#[test]
fn a_second_server_on_the_same_directory_or_port_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::serve(&data);
    let error = run_badly(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()], 1);
    assert!(error.contains("HW10") && error.contains("data"), "{error}");
    let address = server.url.trim_start_matches("http://").to_owned();
    let elsewhere = dir.path().join("elsewhere");
    let error = run_badly(&["serve", "--listen", &address, "--data", elsewhere.to_str().unwrap()], 1);
    assert!(error.contains("HW60") && error.contains(&address), "{error}");
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_a_server_are_json_if_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--log-format", "json", "serve", "--listen", "127.0.0.1:0", "--data"];
    let data = dir.path().join("data");
    let mut process = Process::start(&[&arguments[..], &[data.to_str().unwrap()]].concat());
    process.wait_for("listening on ");
    process.signal("TERM");
    let (code, _, errors) = process.end();
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = errors.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"].as_str().unwrap().starts_with("stopping")), "{errors}");
    assert!(Path::new(&data).is_dir());
}
