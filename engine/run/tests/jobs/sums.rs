//! Sums of whole numbers that do not fit: whatever strikes, and in whatever order rows come and go, a view holds what the batch gives.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;

const QUERIES: [&str; 6] = [
    "SELECT k, SUM(v) AS s, COUNT(*) AS n FROM a GROUP BY k",
    "SELECT SUM(v) AS s, SUM(DISTINCT v) AS d FROM a",
    // The sums of the inner query come and go in that of the outer one.
    "SELECT n, SUM(s) AS s FROM (SELECT k, COUNT(*) % 3 AS n, SUM(v) AS s FROM a GROUP BY k) AS t GROUP BY n",
    "SELECT k, window_start, SUM(v) AS s, SUM(v) FILTER (WHERE v > 0) AS f FROM \
     TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '5' SECOND) GROUP BY k, window_start, window_end",
    "SELECT k, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM a",
    "SELECT k, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM a",
];

fn append(machine: &Machine, random: &SimRandom, time: &mut i64) {
    let rows = 1 + random.index(6);
    let large = [i64::MAX, i64::MIN, i64::MAX - 1, i64::MAX / 2 + 7, -(i64::MAX / 3), 1, -2];
    let key = |_| ["x", "y"][random.index(2)];
    let times = (0..rows).map(|_| {
        *time += 1 + random.below(700) as i64;
        *time
    });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values((0..rows).map(key))),
        Arc::new(Int64Array::from_iter_values((0..rows).map(|_| large[random.index(large.len())]))),
        Arc::new(TimestampMillisecondArray::from_iter_values(times)),
    ];
    machine.append_to("a", columns);
}

fn life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any(seed, 20);
    machine.sql(
        "CREATE STREAM a (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) \
         PARTITIONED BY (k) WITH ('clock.guard' = 'none')",
    );
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 100_000;
    for _ in 0..10 {
        append(&machine, &random, &mut time);
        machine.turns(random.index(30));
        machine.strike(&random);
    }
    machine.catch_up();
    machine.finish_streams(&["a"]);
    let found = machine.query("SELECT * FROM result");
    assert!(!found.is_empty(), "{query}");
    assert_eq!(found, machine.query(query), "{query}");
    machine.engine().close_here().unwrap();
}

#[test]
fn sums_that_do_not_fit_wrap_around_in_a_stream_as_in_a_batch() {
    seeds::each(
        "-p headwater-run sums_that_do_not_fit_wrap_around_in_a_stream_as_in_a_batch",
        0..QUERIES.len() as u64 * 3,
        |seed, _story| life(seed, QUERIES[seed as usize % QUERIES.len()]),
    );
}
