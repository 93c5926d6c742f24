//! Checkpoints on an S3-compatible server. `tests/run` starts one and names it in `HEADWATER_TEST_S3`; without it there is
//! nothing to test against, and the test says so.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::World;
use headwater_log::DiskLogOptions;
use headwater_run::{Engine, EngineOptions, JobStatus, NoConnectors};

fn options(data: &std::path::Path, prefix: &str) -> EngineOptions {
    EngineOptions {
        data: Some(data.to_owned()),
        workers: 2,
        checkpoint_interval: Duration::from_millis(20),
        checkpoints: Some(format!("s3://headwater-tests/{prefix}")),
        state_memory: None,
        query_memory: None,
        step_rows_max: 10_000,
        step_bytes_max: 1 << 20,
        threaded_rows_min: EngineOptions::THREADED_ROWS_MIN,
        keep: headwater_run::Keep::default(),
        log: DiskLogOptions::default(),
    }
}

async fn until(engine: &Engine, reached: impl Fn(&JobStatus) -> bool) -> JobStatus {
    for _ in 0..12_000 {
        if let Some(job) = engine.jobs().into_iter().find(&reached) {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the job does not get there: {:?}", engine.jobs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_from_a_checkpoint_in_a_bucket() {
    if std::env::var("HEADWATER_TEST_S3").is_err() {
        println!("left out: HEADWATER_TEST_S3 names no server");
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let prefix = format!("checkpoints-{}", std::process::id());
    let open = || Engine::open(World::real(), options(data.path(), &prefix), Arc::new(NoConnectors)).unwrap();
    let insert = |from: i64| {
        let values: Vec<String> =
            (from..from + 10).map(|second| format!("(to_timestamp({second}), {second})")).collect();
        format!("INSERT INTO readings VALUES {}", values.join(", "))
    };
    let engine = open();
    engine
        .execute(
            "CREATE STREAM readings (ts TIMESTAMP, value BIGINT, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
             CREATE MATERIALIZED VIEW sums AS SELECT window_end, SUM(value) AS total \
             FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '8' SECOND)) GROUP BY window_start, window_end",
        )
        .await
        .unwrap();
    engine.execute(&insert(0)).await.unwrap();
    until(&engine, |job| job.rows_out == 1 && job.checkpoint == Some(job.steps)).await;
    engine.close().await.unwrap();
    drop(engine);
    // The local directory has no checkpoint: what the job knows of the open window comes from the bucket.
    assert!(!data.path().join("checkpoints").exists());
    let engine = open();
    let restored = until(&engine, |job| job.checkpoint.is_some()).await;
    assert_eq!(restored.rows_in, 10);
    engine.execute(&insert(10)).await.unwrap();
    until(&engine, |job| job.rows_out == 2).await;
    engine.close().await.unwrap();
}
