//! Tests of how a query's tail goes on.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use headwater_core::World;
use headwater_plan::Statement;

use super::*;
use crate::{Engine, EngineOptions, NoConnectors};

const STEP_ROWS: usize = 40;

fn open(engine: &Engine, sql: &str, from: TailFrom) -> QueryTail {
    let inner = &engine.0;
    let parsed = headwater_plan::parse_one(sql).unwrap();
    let Statement::Query(query) = &parsed.statement else { panic!("{sql} is no query") };
    QueryTail::open(inner, inner.plan_query(query).unwrap(), from).unwrap().0
}

/// Takes turns until there is nothing to do, and answers with the values and the last place.
fn drain(tail: &mut QueryTail) -> (Vec<RecordBatch>, String, usize) {
    let (mut rows, mut resume, mut turns) = (Vec::new(), String::new(), 0);
    loop {
        let before: u64 = positions(&tail.pipeline).iter().flatten().map(|next| next.0).sum();
        match tail.next().unwrap() {
            Next::Rows(batch) => {
                rows.push(batch.rows);
                resume = batch.resume;
            }
            Next::Again => turns += 1,
            Next::Wait(_) => return (rows, resume, turns),
        }
        let after: u64 = positions(&tail.pipeline).iter().flatten().map(|next| next.0).sum();
        assert!(after - before <= STEP_ROWS as u64, "a step took {} rows", after - before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_to_a_place_is_gone_in_steps() {
    let options = EngineOptions {
        checkpoint_interval: Duration::from_secs(1),
        step_rows_max: STEP_ROWS,
        ..EngineOptions::in_memory()
    };
    let engine = Engine::open(World::real(), options, Arc::new(NoConnectors)).unwrap();
    let insert = |from: i64| {
        let value = |second: i64| format!("(to_timestamp({second}), {second})");
        let values: Vec<String> = (from..from + 1_000).map(value).collect();
        format!("INSERT INTO s VALUES {}", values.join(", "))
    };
    let create =
        "CREATE STREAM s (ts TIMESTAMP, v BIGINT, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none')";
    for sql in [create, &insert(0)] {
        engine.execute(sql).await.unwrap();
    }
    let sql = "SELECT window_end, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE s, DESCRIPTOR(ts), INTERVAL '64' SECOND)) \
               GROUP BY window_start, window_end";
    let (rows, place, turns) = drain(&mut open(&engine, sql, TailFrom::Earliest));
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1_000 / 64);
    assert!(turns >= 1_000 / STEP_ROWS, "{turns} turns");
    let (rows, _, turns) = drain(&mut open(&engine, sql, TailFrom::Resume(place.clone())));
    assert!(rows.is_empty() && turns >= 960 / STEP_ROWS, "{turns} turns: {rows:?}");
    engine.execute(&insert(1_000)).await.unwrap();
    let (rows, ..) = drain(&mut open(&engine, sql, TailFrom::Resume(place)));
    let counts: Vec<i64> =
        rows.iter().flat_map(|rows| rows.column(1).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(counts, vec![64; 2_000 / 64 - 1_000 / 64], "the window that was open is whole");
    engine.close().await.unwrap();
}
