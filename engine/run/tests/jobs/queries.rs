//! What queries that run once take of a machine: memory up to a bound, and a thread only while they compute.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use headwater_core::World;
use headwater_run::{Answer, Engine, EngineOptions, NoConnectors};

use crate::machine::{Machine, in_memory};

const ROWS: i64 = 480_000;
/// Less than the rows take twice over, and enough to merge files.
const LIMIT: u64 = 64 << 20;

/// A machine with rows that do not fit into the memory for queries.
fn machine() -> Machine {
    let mut machine = Machine::new(0);
    machine.query_memory = Some(LIMIT);
    machine.restart(1);
    machine.sql("CREATE STREAM a (k STRING, v BIGINT) PARTITIONED BY (k) WITH (shards = 3)");
    for part in 0..24 {
        let values = || (part * ROWS / 24..(part + 1) * ROWS / 24).map(|v| v * 7_919 % ROWS);
        let keys = StringArray::from_iter_values(values().map(|v| format!("{v:06}{}", "x".repeat(100))));
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(Int64Array::from_iter_values(values()))];
        machine.append_to("a", columns);
    }
    machine
}

async fn stream(engine: &Engine, sql: &str) -> SendableRecordBatchStream {
    match engine.execute(sql).await.unwrap().pop() {
        Some(Answer::Rows(rows)) => rows,
        _ => panic!("no rows: {sql}"),
    }
}

fn files(machine: &Machine) -> usize {
    machine.sim.disk().image().files.keys().filter(|path| path.starts_with("/data/query-spill")).count()
}

#[test]
fn a_sort_that_does_not_fit_goes_to_the_disk_and_leaves_nothing_there() {
    let mut machine = machine();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let values = runtime.block_on(async {
        let mut rows = stream(machine.engine(), "SELECT k, v FROM a ORDER BY k").await;
        let mut values = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.unwrap();
            if values.is_empty() {
                assert!(files(&machine) > 0, "it is on the disk");
            }
            values.extend_from_slice(batch.column(1).as_primitive::<Int64Type>().values());
        }
        values
    });
    assert!(values.into_iter().eq(0..ROWS));
    assert_eq!(files(&machine), 0);
    // An aggregation of as many groups, too.
    let sums = "SELECT count(*), sum(n) FROM (SELECT k, count(*) AS n FROM a GROUP BY k)";
    assert_eq!(machine.query(sums), [format!("{ROWS} {ROWS}")]);
    // What a process leaves behind that is killed in the middle is removed by the next.
    runtime.block_on(async {
        let mut rows = stream(machine.engine(), "SELECT k, v FROM a ORDER BY k").await;
        rows.next().await.unwrap().unwrap();
        assert!(files(&machine) > 0);
        std::mem::forget(rows);
    });
    machine.kill(1);
    assert_eq!(files(&machine), 0);
}

fn options() -> EngineOptions {
    EngineOptions { workers: 1, query_memory: Some(LIMIT), ..in_memory() }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_disk_what_does_not_fit_is_an_error_and_the_engine_goes_on() {
    let engine = Engine::open(World::real(), options(), Arc::new(NoConnectors)).unwrap();
    let many = "SELECT repeat(CAST(value AS VARCHAR), 20) AS k FROM generate_series(1, 1500000) ORDER BY k";
    let failed = stream(&engine, many).await.map(|batch| batch.err()).collect::<Vec<_>>().await;
    let error = failed.into_iter().flatten().next().expect("it does not fit").to_string();
    assert!(error.contains("Resources exhausted"), "{error}");
    let few = stream(&engine, "SELECT value FROM generate_series(1, 3) ORDER BY value").await;
    let rows: Vec<_> = few.map(|batch| batch.unwrap().num_rows()).collect().await;
    assert_eq!(rows.iter().sum::<usize>(), 3);
    engine.close().await.unwrap();
}

/// More queries, of more shards, than there are threads: their answers are begun and not read on.
#[test]
fn answers_that_are_read_slowly_keep_no_thread() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = tokio::task::spawn_blocking(|| {
            Engine::open(World::real(), options(), Arc::new(NoConnectors)).unwrap()
        });
        let engine = engine.await.unwrap();
        engine.execute("CREATE STREAM s (k BIGINT) PARTITIONED BY (k) WITH (shards = 8)").await.unwrap();
        let insert = "INSERT INTO s SELECT value FROM generate_series(1, 100)";
        for _ in 0..8 {
            engine.execute(insert).await.unwrap();
        }
        let mut slow = Vec::new();
        for _ in 0..8 {
            let mut rows = stream(&engine, "SELECT k FROM s").await;
            let first = tokio::time::timeout(Duration::from_secs(120), rows.next()).await;
            assert!(first.expect("the answer begins").unwrap().unwrap().num_rows() > 0);
            slow.push(rows);
        }
        let appended = tokio::time::timeout(Duration::from_secs(120), engine.execute(insert)).await;
        appended.expect("there is a thread to append on").unwrap();
        // Each answer is whole all the same, and of the rows that there were.
        for rows in slow {
            let rest: Vec<_> = rows.map(|batch| batch.unwrap().num_rows()).collect().await;
            assert!((700..800).contains(&rest.iter().sum::<usize>()), "{rest:?}");
        }
        engine.close().await.unwrap();
    });
}
