//! Checkpoints on an S3-compatible server. `tests/run` starts one and names it in `HEADWATER_TEST_S3`; without it there is
//! nothing to test against, and the test says so.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::World;
use headwater_run::{Engine, EngineOptions, JobStatus, NoConnectors};

fn options(data: &std::path::Path, prefix: &str) -> EngineOptions {
    EngineOptions {
        data: Some(data.to_owned()),
        workers: 2,
        checkpoint_interval: Duration::from_millis(20),
        checkpoints: Some(format!("s3://headwater-tests/{prefix}")),
        ..EngineOptions::in_memory()
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

/// Lines of objects, one of them compressed, are counted where they lie.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_objects_are_counted_where_they_lie() {
    if std::env::var("HEADWATER_TEST_S3").is_err() {
        println!("left out: HEADWATER_TEST_S3 names no server");
        return;
    }
    let base = format!("s3://headwater-tests/lines-{}", std::process::id());
    let place = headwater_objects::Location::parse(&base).unwrap();
    // What `gzip` makes of "ERROR two ERROR" and "ok".
    let packed: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x73\x0d\x0a\xf2\x0f\x52\x28\x29\xcf\x57\x70\x05\xb1\xb8\
        \xf2\xb3\x01\x37\x5c\xda\x4b\x12\x00\x00\x00";
    let objects = [
        ("2026-03-01.txt", b"ERROR one\nok\naaaa\n".as_slice()),
        ("2026-03-02.txt.gz", packed),
        ("other.txt", b"ERROR\n"),
    ];
    for (name, bytes) in objects {
        place.put(name, bytes.to_vec().into()).await.unwrap();
    }
    let engine = Engine::open(World::real(), crate::machine::in_memory(), Arc::new(NoConnectors)).unwrap();
    let counts = format!(
        "SELECT count(*), sequence_count(line, 'ERROR', 'lines'), sequence_count(line, 'ERROR'), sequence_count(line, 'aa', 'overlapping') \
         FROM read_text('{base}/2026-03-*')"
    );
    let answers = engine.execute(&counts).await.unwrap();
    let Some(headwater_run::Answer::Rows(rows)) = answers.into_iter().last() else { panic!("no rows") };
    let batches: Vec<_> = futures::TryStreamExt::try_collect(rows).await.unwrap();
    let counted: Vec<String> = batches.iter().flat_map(crate::machine::text_of).collect();
    assert_eq!(counted, ["5 2 3 3"]);
    engine.close().await.unwrap();
}
