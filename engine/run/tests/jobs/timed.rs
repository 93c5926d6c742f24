//! Joins, top-N and aggregates whose state ends with the watermark: when the streams have ended, they have said what the batch gives,
//! each row once, and nothing of them is left.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;

const WINDOWS: &str = "(SELECT * FROM TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '4' SECOND)) AS l";
const OTHERS: &str = "(SELECT * FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '4' SECOND)) AS r";
const COUNTS: &str = "(SELECT window_start, window_end, k, COUNT(*) AS n FROM \
    HOP(TABLE a, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '6' SECOND) GROUP BY window_start, window_end, k) AS c";

fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        queries.push(format!(
            "SELECT a.k, a.v, a.ts AS atime, b.v AS w, b.ts AS btime FROM a {kind} b ON a.k = b.k \
             AND a.ts BETWEEN b.ts - INTERVAL '3' SECOND AND b.ts + INTERVAL '1' SECOND"
        ));
        queries.push(format!(
            "SELECT l.k, l.v, l.ts AS atime, r.v AS w, r.ts AS btime FROM {WINDOWS} {kind} {OTHERS} \
             ON l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end AND l.v <= r.v"
        ));
        queries.push(format!(
            "SELECT l.k, l.v, r.k AS o, r.v AS w FROM {WINDOWS} {kind} {OTHERS} ON l.v = r.v AND l.window_end = r.window_end"
        ));
    }
    for not in ["", "NOT "] {
        queries.push(format!(
            "SELECT l.k, l.v, l.ts FROM {WINDOWS} WHERE {not}EXISTS (SELECT 1 FROM {OTHERS} \
             WHERE l.window_end = r.window_end AND l.v = r.v)"
        ));
        queries.push(format!(
            "SELECT a.k, a.v, a.ts FROM a WHERE {not}EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND b.v > a.v \
             AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '2' SECOND)"
        ));
    }
    // The first row at or after a row's time; of several at one time the greatest.
    for kind in ["ASOF JOIN", "ASOF LEFT JOIN"] {
        for sign in [">=", ">"] {
            queries.push(format!(
                "SELECT a.k, a.v, a.ts AS atime, b.v AS w, b.ts AS btime FROM a {kind} b ON a.k = b.k AND b.ts {sign} a.ts"
            ));
        }
    }
    queries.push(
        "SELECT a.k, a.v, a.ts AS atime, b.v AS w FROM a ASOF JOIN b MATCH_CONDITION (a.ts <= b.ts) ON a.k = b.k AND a.v < b.v".to_owned(),
    );
    queries.push("SELECT a.k, a.v, b.k AS o FROM a ASOF JOIN b MATCH_CONDITION (b.ts > a.ts)".to_owned());
    queries.push(
        "SELECT window_end, COUNT(*) AS n, SUM(v) AS v FROM TUMBLE(TABLE (SELECT a.v, b.ts AS btime FROM a ASOF JOIN b ON a.k = b.k \
         AND b.ts >= a.ts), DESCRIPTOR(btime), INTERVAL '5' SECOND) GROUP BY window_end"
            .to_owned(),
    );
    // Three ways: what the first join hands on is older than the watermark.
    queries.push(
        "SELECT x.k, x.v, y.v AS w, z.v AS u FROM a AS x, b AS y, a AS z WHERE x.k = y.k AND y.k = z.k \
         AND x.ts BETWEEN y.ts - INTERVAL '4' SECOND AND y.ts AND z.ts BETWEEN x.ts AND x.ts + INTERVAL '1' SECOND"
            .to_owned(),
    );
    queries.push(
        "SELECT window_end, COUNT(*) AS n, SUM(w) AS w FROM TUMBLE(TABLE (SELECT a.ts AS atime, b.v AS w FROM a JOIN b ON a.k = b.k \
         AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '3' SECOND), DESCRIPTOR(atime), INTERVAL '5' SECOND) GROUP BY window_end"
            .to_owned(),
    );
    queries.push(format!(
        "SELECT window_start, window_end, MAX(n) AS n FROM {COUNTS} GROUP BY window_start, window_end"
    ));
    queries.push(format!(
        "SELECT window_end, k, n, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end \
         ORDER BY n DESC, k) AS rn FROM {COUNTS}) AS t WHERE rn <= 2"
    ));
    queries.push(format!(
        "SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, window_start, window_end \
         ORDER BY ts DESC, v) AS rn FROM {WINDOWS}) AS t WHERE rn = 1"
    ));
    // The busiest keys of each window, by joining the counts with their own maximum.
    queries.push(format!(
        "SELECT c.window_end, c.k, c.n FROM {COUNTS} JOIN (SELECT window_end AS e, MAX(n) AS m FROM {COUNTS} GROUP BY window_end) AS m \
         ON c.window_end = m.e AND c.n >= m.m"
    ));
    queries.push(format!("SELECT DISTINCT window_end, n FROM {COUNTS}"));
    // By the start alone, also of windows of several sizes that begin there.
    queries.push(format!(
        "SELECT window_start, k, n, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY n DESC, k) AS rn \
         FROM {COUNTS}) AS t WHERE rn <= 2"
    ));
    queries.push(format!(
        "SELECT start, k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, start ORDER BY ts DESC, v) AS rn \
         FROM (SELECT k, v, ts, window_start AS start FROM {WINDOWS}) AS w) AS t WHERE rn = 1"
    ));
    queries.push(
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start ORDER BY n DESC, window_end) AS rn FROM \
         (SELECT window_start, window_end, COUNT(*) AS n FROM CUMULATE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '3' SECOND) \
         GROUP BY window_start, window_end) AS c) AS t WHERE rn = 2"
            .to_owned(),
    );
    queries.push(format!("SELECT window_start, MAX(n) AS n FROM {COUNTS} GROUP BY window_start"));
    queries.push(format!(
        "SELECT l.window_start, l.k, l.v, r.v AS w FROM {WINDOWS} LEFT JOIN {OTHERS} ON l.window_start = r.window_start AND l.k = r.k"
    ));
    queries
}

fn append(machine: &Machine, random: &SimRandom, time: &mut i64) {
    for stream in ["a", "b"] {
        let rows = random.index(10);
        if rows == 0 {
            continue;
        }
        let keys: StringArray =
            (0..rows).map(|_| random.chance(9, 10).then(|| ["a", "b", "c", "d"][random.index(4)])).collect();
        let values = (0..rows).map(|_| random.chance(9, 10).then(|| random.below(5) as i64));
        // Not more disorder than the watermark allows for: nothing is late.
        let times = (0..rows).map(|_| {
            *time += random.below(300) as i64;
            *time - random.below(2_000) as i64
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(keys),
            Arc::new(values.collect::<Int64Array>()),
            Arc::new(times.collect::<Vec<_>>().into_iter().map(Some).collect::<TimestampMillisecondArray>()),
        ];
        machine.append_to(stream, columns);
    }
}

fn life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any(seed, 40);
    for stream in ["a", "b"] {
        machine.sql(&format!(
            "CREATE STREAM {stream} (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
             PARTITIONED BY (k) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')"
        ));
    }
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 10_000;
    for _ in 0..12 {
        append(&machine, &random, &mut time);
        machine.turns(random.index(40));
        machine.strike(&random);
    }
    machine.finish_streams(&["a", "b"]);
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "{query}");
    assert_eq!(machine.rows("system.late_rows").len(), 0, "{query}");
    let jobs = machine.engine().jobs();
    assert!(jobs.iter().all(|job| job.state_entries == 0), "state is left: {query}\n{jobs:?}");
    machine.engine().close_here().unwrap();
}

#[test]
fn what_ends_with_the_watermark_says_what_the_batch_gives() {
    let queries = queries();
    seeds::each(
        "-p headwater-run what_ends_with_the_watermark_says_what_the_batch_gives",
        0..90,
        |seed, _story| life(seed, &queries[seed as usize % queries.len()]),
    );
}
