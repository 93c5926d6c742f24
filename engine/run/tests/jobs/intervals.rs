//! Joins whose sides' times are tied by an interval, of two streams and of three: when all is said, a view holds what the batch gives,
//! whatever strikes, and the state has ended with the watermark.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;

const STREAMS: [&str; 3] = ["a", "b", "c"];

fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    let around = "b.ts BETWEEN a.ts - INTERVAL '2' SECOND AND a.ts + INTERVAL '1' SECOND";
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        queries
            .push(format!("SELECT a.k, a.n, b.k AS o, b.n AS m FROM a {kind} b ON a.k = b.k AND {around}"));
        queries.push(format!(
            "SELECT a.k, a.n, b.n AS m FROM a {kind} b ON a.k = b.k AND {around} AND a.n < b.n"
        ));
        queries.push(format!(
            "SELECT a.k, a.n, b.n AS m FROM a {kind} b ON a.k = b.k AND b.ts = a.ts - INTERVAL '1' SECOND AND a.n <> b.n"
        ));
        // A third side is tied to the first, or to the second.
        queries.push(format!(
            "SELECT a.k, a.n, b.n AS m, c.n AS o FROM a JOIN b ON a.k = b.k AND {around} \
             {kind} c ON c.k = a.k AND c.ts BETWEEN a.ts AND a.ts + INTERVAL '3' SECOND"
        ));
        queries.push(format!(
            "SELECT a.k, a.n, b.n AS m, c.n AS o FROM a LEFT JOIN b ON a.k = b.k AND {around} \
             {kind} c ON c.k = a.k AND a.ts > c.ts - INTERVAL '2' SECOND AND a.ts <= c.ts"
        ));
    }
    queries.push(
        "SELECT a.k, a.n, b.n AS m, c.n AS o FROM a, b, c WHERE a.k = b.k AND b.k = c.k \
         AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '3' SECOND AND c.ts BETWEEN b.ts AND b.ts + INTERVAL '2' SECOND"
            .to_owned(),
    );
    for not in ["", "NOT "] {
        queries.push(format!(
            "SELECT k, n FROM a WHERE {not}EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND {around} AND b.n > a.n)"
        ));
    }
    for function in ["COUNT(*) AS n, SUM(m) AS m", "MAX(n) AS n, COUNT(m) AS m"] {
        queries.push(format!(
            "SELECT k, window_start, {function} FROM TUMBLE(TABLE (SELECT a.k, a.ts, a.n, b.n AS m FROM a LEFT JOIN b ON a.k = b.k AND {around}), \
             DESCRIPTOR(ts), INTERVAL '5' SECOND) GROUP BY k, window_start, window_end"
        ));
    }
    // Flink's windows of old, over what is joined.
    queries.extend([
        format!(
            "SELECT a.k, TUMBLE_END(a.ts, INTERVAL '5' SECOND) AS e, SUM(a.n) AS n, SUM(b.n) AS m FROM a LEFT JOIN b \
             ON a.k = b.k AND {around} GROUP BY a.k, TUMBLE(a.ts, INTERVAL '5' SECOND) HAVING SUM(a.n) > 3"
        ),
        format!(
            "SELECT HOP_START(a.ts, INTERVAL '2' SECOND, INTERVAL '5' SECOND) AS s, COUNT(*) AS n, MAX(b.n) AS m FROM a, b \
             WHERE a.k = b.k AND {around} AND b.n > 2 GROUP BY HOP(a.ts, INTERVAL '2' SECOND, INTERVAL '5' SECOND)"
        ),
        format!(
            "SELECT b.k AS device, SESSION_END(a.ts, INTERVAL '1' SECOND) AS e, COUNT(*) AS n FROM a JOIN b \
             ON a.k = b.k AND {around} GROUP BY SESSION(a.ts, INTERVAL '1' SECOND), b.k"
        ),
    ]);
    queries
}

fn append(machine: &Machine, random: &SimRandom, time: &mut i64) {
    for stream in STREAMS {
        let rows = random.index(5);
        let key = |_| random.chance(9, 10).then(|| ["x", "y", "z"][random.index(3)]);
        // No more disorder than the watermark allows for.
        let times = (0..rows).map(|_| {
            *time += random.below(300) as i64;
            // Now and then two are just as far apart as a query asks.
            (*time - random.below(1_500) as i64) / 200 * 200
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..rows).map(key).collect::<StringArray>()),
            Arc::new((0..rows).map(|_| Some(random.below(9) as i64)).collect::<Int64Array>()),
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        ];
        if rows > 0 {
            machine.append_to(stream, columns);
        }
    }
}

fn life(seed: u64, query: &str) {
    let mut machine = Machine::new(seed);
    let random = machine.sim.random("life");
    machine.step_rows_max = 1 + random.index(30);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
    machine.restart(1 + random.index(4));
    for stream in STREAMS {
        machine.sql(&format!(
            "CREATE STREAM {stream} (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) \
             PARTITIONED BY (k) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')"
        ));
    }
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 100_000;
    for _ in 0..20 {
        append(&machine, &random, &mut time);
        machine.turns(random.index(40));
        let workers = 1 + random.index(4);
        match random.below(6) {
            0 => machine.kill(workers),
            1 => machine.restart(workers),
            2 => machine.lose_power(workers),
            _ => {}
        }
    }
    machine.catch_up();
    machine.finish_streams(&STREAMS);
    assert_eq!(machine.rows("system.late_rows").len(), 0, "{query}");
    let found = machine.query("SELECT * FROM result");
    assert!(!found.is_empty(), "{query}");
    assert_eq!(found, machine.query(query), "{query}");
    assert_eq!(machine.engine().jobs()[0].state_entries, 0, "{query}");
    machine.engine().close_here().unwrap();
}

#[test]
fn joins_by_intervals_hold_what_the_batch_gives_and_then_nothing() {
    let queries = queries();
    seeds::each(
        "-p headwater-run joins_by_intervals_hold_what_the_batch_gives_and_then_nothing",
        0..queries.len() as u64 * 2,
        |seed, _story| life(seed, &queries[seed as usize % queries.len()]),
    );
}
