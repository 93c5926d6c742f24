//! Materialized views whose rows change.

use std::sync::Arc;

use futures::TryStreamExt;
use headwater_core::World;
use headwater_run::{Answer, Engine, NoConnectors, TailFrom};

use crate::machine::{in_memory, text_of};

async fn rows(engine: &Engine, sql: &str) -> Vec<String> {
    let answers = engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    match answers.into_iter().last() {
        Some(Answer::Rows(rows)) => {
            let batches: Vec<_> = rows.try_collect().await.unwrap();
            batches.iter().flat_map(text_of).collect()
        }
        _ => Vec::new(),
    }
}

/// Asks until the answer is as expected, at most for a while.
async fn eventually(engine: &Engine, sql: &str, expect: &[&str]) {
    for _ in 0..12_000 {
        if rows(engine, sql).await == expect {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(rows(engine, sql).await, expect, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_follows_its_stream() {
    let engine = Engine::open(World::real(), in_memory(), Arc::new(NoConnectors)).unwrap();
    engine
        .execute(
            "CREATE STREAM readings (device STRING, ts TIMESTAMP, value DOUBLE) WITH (shards = 2);
             CREATE MATERIALIZED VIEW newest AS
             SELECT device, MAX(ts) AS ts, LAST_VALUE(value ORDER BY ts) AS value, COUNT(*) AS n
             FROM readings GROUP BY device;
             INSERT INTO readings VALUES ('a', TIMESTAMP '2026-01-01 00:00:00', 1.5), ('b', TIMESTAMP '2026-01-01 00:00:01', 2.5)",
        )
        .await
        .unwrap();
    let newest = "SELECT device, value, n FROM newest ORDER BY device";
    eventually(&engine, newest, &["a 1.5 1", "b 2.5 1"]).await;
    rows(&engine, "INSERT INTO readings VALUES ('a', TIMESTAMP '2026-01-01 00:01:00', 3.5), ('a', TIMESTAMP '2025-01-01 00:00:00', 9.5)").await;
    eventually(&engine, newest, &["a 3.5 3", "b 2.5 1"]).await;
    assert_eq!(rows(&engine, "SELECT COUNT(*) FROM readings").await, ["4"]);
    assert_eq!(rows(&engine, "SELECT value FROM readings WHERE _sequence = 0 AND _shard = 0").await.len(), 1);
    assert_eq!(rows(&engine, "SELECT name, state, target FROM system.jobs").await, ["newest running newest"]);
    assert_eq!(rows(&engine, "SHOW VIEWS").await, ["newest materialized view"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_of_a_query_resumes_where_it_was() {
    let engine = Engine::open(World::real(), in_memory(), Arc::new(NoConnectors)).unwrap();
    let insert = |from: i64| {
        let values: Vec<String> =
            (from..from + 10).map(|second| format!("(to_timestamp({second}), {second})")).collect();
        format!("INSERT INTO readings VALUES {}", values.join(", "))
    };
    engine
        .execute("CREATE STREAM readings (ts TIMESTAMP, value BIGINT, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none')")
        .await
        .unwrap();
    engine.execute(&insert(0)).await.unwrap();
    let query = "SELECT window_end, SUM(value) AS total FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '4' SECOND)) \
                 GROUP BY window_start, window_end";
    let mut tail = engine.tail_query(query, TailFrom::Earliest).unwrap();
    let first = tail.try_next().await.unwrap().unwrap();
    assert_eq!(text_of(&first.rows), ["1970-01-01T00:00:04 6", "1970-01-01T00:00:08 22"]);
    drop(tail);
    engine.execute(&insert(10)).await.unwrap();
    let mut tail = engine.tail_query(query, TailFrom::Resume(first.resume)).unwrap();
    let second = tail.try_next().await.unwrap().unwrap();
    assert_eq!(
        text_of(&second.rows),
        ["1970-01-01T00:00:12 38", "1970-01-01T00:00:16 54"],
        "8 and 9 were not forgotten"
    );
    engine.close().await.unwrap();
}

/// On a real clock, which goes on between two steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_rests_while_time_goes_on_by_itself() {
    let open = move || Engine::open(World::real(), in_memory(), Arc::new(NoConnectors));
    let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    for sql in [
        "CREATE STREAM s (k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('scan.watermark.idle-timeout' = '100 ms')",
        "CREATE TRIGGER silent ON s PARTITION BY k WHEN frozen(INTERVAL '1' HOUR)",
        "CREATE MATERIALIZED VIEW w AS SELECT window_start, COUNT(*) AS n FROM \
         TABLE(TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY window_start, window_end",
        "INSERT INTO s VALUES ('a', TIMESTAMP '2026-01-01 00:00:00')",
    ] {
        rows(&engine, sql).await;
    }
    // Time goes on all the same: the window closes.
    eventually(&engine, "SELECT n FROM w", &["1"]).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let steps = rows(&engine, "SELECT MAX(steps) < 30 FROM system.jobs").await;
    assert_eq!(steps, ["true"], "{:?}", engine.jobs());
    engine.close().await.unwrap();
}
