//! The demo, as a newcomer runs it: its results beside those of a program that shares nothing with it
//! (`tests/oracle/weather.py`).

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Server, run_well};
use crate::{decisions, expected};

/// How many readings the year has.
const READINGS: u64 = 26_115;

fn start(data: &Path) -> Server {
    Server::start(&["demo", "--listen", "127.0.0.1:0", "--data", data.join("data").to_str().unwrap()])
}

/// Waits until everything is found and shown.
fn wait_until_done(demo: &mut Server) {
    demo.process().wait_for("The server goes on");
}

/// Waits until so many readings are in the stream. At first there is no stream.
async fn wait_for_readings(demo: &Server, readings: u64) {
    demo.wait_until("SELECT name FROM system.streams WHERE name = 'weather'", |rows| !rows.is_empty()).await;
    demo.wait_for_count("SELECT SUM(next_sequence) FROM system.shards WHERE stream = 'weather'", readings)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_what_the_oracle_finds() {
    let data = tempfile::tempdir().unwrap();
    let mut demo = start(data.path());
    wait_until_done(&mut demo);
    decisions::compare_shown(demo.process().heard());
    the_readme_shows_what_is_printed(demo.process().heard());
    expected::compare_all(&demo).await;
    replays_give_the_same(&demo).await;
    what_comes_later_is_seen(&demo).await;
    assert_eq!(demo.terminate(), Some(0), "a graceful stop");
}

fn the_readme_shows_what_is_printed(lines: &[String]) {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let shown = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    for line in shown.lines() {
        assert!(lines.iter().any(|printed| printed == line), "{line}");
    }
}

/// July again, whose windows lie partly in June and August, from every job; and from another definition of one of them.
async fn replays_give_the_same(demo: &Server) {
    let july = |job: &str, more: &str| {
        let body = format!("{{\"from\": \"2013-07-01\", \"to\": \"2013-08-01\", \"diff\": true{more}}}");
        let path = format!("/v1/jobs/{job}/replay");
        async move { demo.post_for(&path, &body).await }
    };
    for (job, results) in
        [("daily", 93), ("moving", 2_232), ("heat", 8), ("freeze", 0), ("runs", 0), ("newest_reading", 0)]
    {
        let (headers, text) = july(job, "").await;
        assert_eq!(text, "", "{job}: no difference");
        let in_both: u64 = headers["headwater-rows-in-both"].to_str().unwrap().parse().unwrap();
        assert!(in_both >= results, "{job}: {in_both} results, at least {results} were expected");
        let arguments =
            ["replay", job, "--url", &demo.url, "--from", "2013-07-01", "--to", "2013-08-01", "--diff"];
        let shown = run_well(&[&arguments[..], &["--format", "table"]].concat());
        assert!(shown.ends_with("0 differences\n"), "{job}: {shown}");
    }
    let by_day = concat!(env!("CARGO_MANIFEST_DIR"), "/../../queries/weather/again/heat_by_day.sql");
    let arguments =
        ["replay", "heat", "--url", &demo.url, "--from", "2013-07-01", "--to", "2013-08-01", "--diff"];
    let shown = run_well(&[&arguments[..], &["--format", "json", "--query", by_day]].concat());
    let rows: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for sign in ["-", "+"] {
        assert!(rows.iter().any(|row| row["_change"] == sign), "{shown}");
    }
    // Under the names of the stream that the job writes into, and of July only.
    for row in &rows {
        assert!(row["first_hour"].as_str().unwrap().starts_with("2013-07"), "{row}");
        assert!(row["hot_hours"].is_u64(), "{row}");
    }
}

/// The jobs of the demo live on.
async fn what_comes_later_is_seen(demo: &Server) {
    // The view over the fronts may still have its first step before it.
    let states = "SELECT DISTINCT state FROM system.jobs";
    demo.wait_until(states, |rows| rows == [serde_json::json!({"state": "running"})]).await;
    let reading = "{\"origin\": \"JFK\", \"time_hour\": \"2014-01-03T12:00:00Z\", \"temp\": 28.5}";
    demo.post("/v1/streams/weather", reading).await;
    let newest = "SELECT time_hour, temp FROM newest_reading WHERE origin = 'JFK'";
    let wanted = [serde_json::json!({"time_hour": "2014-01-03T12:00:00", "temp": 28.5})];
    demo.wait_until(newest, |rows| rows == wanted).await;
    // And one two days later closes the windows of that one.
    demo.post("/v1/streams/weather", &reading.replace("01-03", "01-05")).await;
    let day = "SELECT readings FROM daily_temperature WHERE day = '2014-01-03' AND origin = 'JFK'";
    demo.wait_until(day, |rows| rows == [serde_json::json!({"readings": 1})]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_goes_on_and_finds_the_same() {
    let data = tempfile::tempdir().unwrap();
    for readings in [500, 9_000, 20_000] {
        let demo = start(data.path());
        wait_for_readings(&demo, readings).await;
        demo.kill();
    }
    // And once more while the windows close, or a little later.
    let demo = start(data.path());
    wait_for_readings(&demo, READINGS).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    demo.kill();

    let mut demo = start(data.path());
    wait_until_done(&mut demo);
    decisions::compare_shown(demo.process().heard());
    expected::compare_all(&demo).await;
    demo.kill();
    // And once more when everything was there before.
    let mut demo = start(data.path());
    wait_until_done(&mut demo);
    decisions::compare_shown(demo.process().heard());
    demo.kill();
}
