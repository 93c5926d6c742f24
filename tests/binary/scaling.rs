//! The engine scales itself: a job that falls behind gets another worker, and gives it back when it has caught up.
//!
//! ```text
//!  rows ──> job ──> its lag, measured every five seconds ──> alarms ──> scaling group ──> the job's workers
//!            ^────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Server;

/// How often a row is hashed, so that computing is what takes time. Not too much of it: fewer than 16,384 rows of a step are not shared
/// out.
const HASHED: usize = 15;

/// Rows of one request.
const POSTED: u64 = 10_000;

/// How many rows wait for the job.
const LAG: &str = "SELECT lag FROM system.jobs WHERE name = 'crunching'";

#[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
fn now() -> Instant {
    Instant::now()
}

/// Posts the numbers of a range.
async fn post(server: &Server, numbers: std::ops::Range<u64>) {
    let mut first = numbers.start;
    while first < numbers.end {
        let end = numbers.end.min(first + POSTED);
        let body: String = (first..end).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        server.post("/v1/streams/work", &body).await;
        first = end;
    }
}

/// Posts whenever fewer rows than this wait for the job, until it is over; answers how many numbers there are in all. So it is behind,
/// however fast this machine is at the moment.
async fn load(server: &Server, from: u64, waiting: u64, is_over: &AtomicBool) -> u64 {
    let mut posted = from;
    while !is_over.load(Ordering::Relaxed) {
        if server.rows(LAG).await[0]["lag"].as_u64() < Some(waiting) {
            post(server, posted..posted + POSTED).await;
            posted += POSTED;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    posted
}

/// What was decided that changed the size, oldest first.
async fn scaled(server: &Server) -> Vec<Value> {
    server.rows("SELECT \"by\", before, after FROM system.scaling_activities WHERE scaled ORDER BY at").await
}

fn size(by: &str, before: u64, after: u64) -> Value {
    serde_json::json!({"by": by, "before": before, "after": after})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_falls_behind_gets_a_worker_and_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--workers", "1"];
    let server = Server::start(&arguments);
    let hashed = (0..HASHED).fold("CAST(n AS STRING)".to_owned(), |inner, _| format!("md5({inner})"));
    server
        .sql(&format!(
            "CREATE STREAM work (n BIGINT) PARTITIONED BY (n) WITH (shards = 4);
             CREATE STREAM crunched (n BIGINT, digest STRING);
             CREATE JOB crunching AS INSERT INTO crunched SELECT n, {hashed} FROM work;"
        ))
        .await;

    // What one worker can do here and today.
    let began = now();
    post(&server, 0..40_000).await;
    server.wait_until(LAG, |rows| rows[0]["lag"] == 0).await;
    let rate = 40_000.0 / began.elapsed().as_secs_f64();

    let (behind, idle) = ((rate * 4.0) as u64, (rate * 2.5) as u64);
    server
        .sql(&format!(
            "CREATE ALARM behind ON system.job_metrics STATISTIC minimum(lag) PERIOD INTERVAL '10' SECOND
                 WHERE job = 'crunching' WITH (comparison = '>', threshold = {behind}, evaluation_periods = 1);
             CREATE ALARM idle ON system.job_metrics STATISTIC maximum(lag) PERIOD INTERVAL '10' SECOND
                 WHERE job = 'crunching' WITH (comparison = '<', threshold = {idle}, evaluation_periods = 3);
             CREATE SCALING POLICY one_more ON ALARM behind WITH (by = 1);
             CREATE SCALING POLICY one_fewer ON ALARM idle WITH (by = -1);
             CREATE SCALING GROUP crunchers POLICIES (one_more, one_fewer)
                 WITH (min = 1, max = 2, cooldown = '10 s', actuator = 'job', job = 'crunching');"
        ))
        .await;

    // More comes than one worker can do.
    let caught_up = format!(
        "SELECT lag FROM system.job_metrics WHERE job = 'crunching' AND workers = 2 AND lag < {idle}"
    );
    let is_over = AtomicBool::new(false);
    let watching = async {
        let first = "SELECT \"by\" FROM system.scaling_activities WHERE scaled";
        server.wait_until(first, |rows| !rows.is_empty()).await;
        assert_eq!(scaled(&server).await[0], size("one_more", 1, 2));
        let done = "SELECT activity, size, outcome, detail FROM system.scaling_attempts WHERE action = 'scale' AND size = 2";
        let attempts = server.wait_until(done, |rows| !rows.is_empty()).await;
        assert_eq!(
            (&attempts[0]["outcome"], &attempts[0]["activity"]),
            (&"done".into(), &1.into()),
            "{attempts:?}"
        );
        assert_eq!(attempts[0]["detail"], "1 workers before, 2 now");
        // The group evaluates its alarms itself, and has looked since a moment later: of the period in which it did so, the alarm may have
        // seen the time before there was any work.
        let history = "SELECT at FROM system.alarm_history WHERE alarm = 'behind' AND after = 'ALARM'";
        server.wait_until(history, |rows| !rows.is_empty()).await;
        is_over.store(true, Ordering::Relaxed);

        // It was behind indeed, and with one worker.
        let measured = "SELECT at, lag, workers FROM system.job_metrics WHERE job = 'crunching' ORDER BY at";
        let before = server.rows(measured).await;
        let is_behind = |row: &Value| row["workers"] == 1 && row["lag"].as_u64() > Some(behind);
        assert!(before.iter().any(is_behind), "{before:?}");
        let told = server.sql("EXPLAIN ALARM behind").await;
        assert!(told.contains("ALARM") && told.contains(&behind.to_string()), "{told}");
    };
    let (rows, ()) = tokio::join!(load(&server, 40_000, behind * 3 + 2 * POSTED, &is_over), watching);
    // With two workers, and no more that comes, it catches up.
    server.wait_until(&caught_up, |rows| !rows.is_empty()).await;

    // It gives the worker back.
    let last = "SELECT lag, workers FROM system.job_metrics WHERE job = 'crunching' ORDER BY at DESC LIMIT 1";
    server.wait_until(last, |rows| rows[0]["workers"] == 1 && rows[0]["lag"] == 0).await;
    let decided = scaled(&server).await;
    assert_eq!(decided.last(), Some(&size("one_fewer", 2, 1)), "{decided:?}");
    for (nth, activity) in decided.iter().enumerate() {
        let expected = if nth % 2 == 0 { size("one_more", 1, 2) } else { size("one_fewer", 2, 1) };
        assert_eq!(*activity, expected, "{decided:?}");
    }

    // And nothing of what it says has changed by that.
    let said = server
        .rows("SELECT COUNT(*) AS n, COUNT(DISTINCT n) AS different, SUM(n) AS sum FROM crunched")
        .await;
    assert_eq!(said, [serde_json::json!({"n": rows, "different": rows, "sum": rows * (rows - 1) / 2})]);
    assert_eq!(server.terminate(), Some(0));
}
