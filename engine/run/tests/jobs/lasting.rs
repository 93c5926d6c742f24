//! Joins, top-N and OVER whose rows are kept for a while: as long as the rows that belong together come within that time, a view holds what
//! the batch gives, and the state does not grow; under crashes and restarts with other workers, and in a replay.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_run::ReplaySpec;
use headwater_simulation::seeds;

use crate::machine::Machine;

const ROUNDS: i64 = 82;

const SETTING: &str = "SET 'ttl' = '20 s'; ";

/// A key is used for so many rounds of about a second each, and then never again.
const ROUNDS_OF_A_KEY: i64 = 5;

fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        for more in ["", " AND a.n + b.n > 9"] {
            queries.push(format!("SELECT a.k, a.n, b.k AS o, b.n AS m FROM a {kind} b ON a.k = b.k{more}"));
        }
        queries.push(format!(
            "SELECT l.k, l.total, r.k AS o, r.most FROM (SELECT k, SUM(n) AS total FROM a GROUP BY k) AS l {kind} \
             (SELECT k, MAX(n) AS most FROM b GROUP BY k HAVING MAX(n) > 3) AS r ON l.k = r.k"
        ));
    }
    for not in ["", "NOT "] {
        queries.push(format!(
            "SELECT k, n FROM a WHERE {not}EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND b.n > a.n)"
        ));
        queries.push(format!("SELECT k, n FROM a WHERE {not}EXISTS (SELECT 1 FROM b WHERE a.k = b.k)"));
    }
    queries.push("(SELECT k, n FROM a) INTERSECT (SELECT k, n FROM b)".to_owned());
    for (order, which, shown) in [
        ("ts DESC", "r = 1", "k, n"),
        ("ts", "r = 1", "k, n"),
        ("n DESC, ts", "r <= 3", "k, n, r"),
        ("n, ts DESC", "r BETWEEN 2 AND 3", "k, n"),
    ] {
        queries.push(format!(
            "SELECT {shown} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY {order}) AS r FROM a) AS t WHERE {which}"
        ));
    }
    queries.push(
        "SELECT k, m, total FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY total DESC, m) AS r FROM \
         (SELECT k, n % 3 AS m, SUM(n) AS total FROM a GROUP BY k, n % 3) AS g) AS t WHERE r <= 2"
            .to_owned(),
    );
    for function in [
        "SUM(n) OVER (PARTITION BY k ORDER BY n DESC, ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
        "COUNT(*) OVER (PARTITION BY k ORDER BY n)",
        "MAX(n) OVER (PARTITION BY k)",
    ] {
        queries.push(format!("SELECT k, n, {function} AS m FROM a"));
    }
    queries.push(
        "SELECT k, m, total, RANK() OVER (PARTITION BY k ORDER BY total DESC) AS r FROM \
         (SELECT k, n % 3 AS m, SUM(n) AS total FROM a GROUP BY k, n % 3) AS g"
            .to_owned(),
    );
    queries
}

fn append(machine: &Machine, random: &SimRandom, round: i64, time: &mut i64) {
    for stream in ["a", "b"] {
        let rows = 1 + random.index(6);
        let epoch = round / ROUNDS_OF_A_KEY;
        // NULL is a key of one time, too.
        let is_null = || epoch == 2 && random.chance(1, 3);
        let key = |_| (!is_null()).then(|| format!("{} {epoch}", ["x", "y"][random.index(2)]));
        let times = (0..rows).map(|_| {
            *time += random.below(300) as i64;
            *time - random.below(1_000) as i64
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..rows).map(key).collect::<StringArray>()),
            Arc::new(
                (0..rows)
                    .map(|_| random.chance(9, 10).then(|| random.below(9) as i64))
                    .collect::<Int64Array>(),
            ),
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        ];
        machine.append_to(stream, columns);
    }
}

/// Hints for single tables do what the setting does for all.
fn hinted_queries() -> Vec<String> {
    let mut queries = Vec::new();
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        queries.push(format!(
            "SELECT /*+ STATE_TTL('a' = '20 s', 'r' = '30 s') */ a.k, a.n, r.k AS o, r.n AS m FROM a {kind} b AS r ON a.k = r.k AND a.n <> r.n"
        ));
    }
    queries.push(
        "SELECT /*+ STATE_TTL('a' = '20 s') */ k, COUNT(*) AS n, MAX(n) AS m FROM a GROUP BY k".to_owned(),
    );
    queries.push(
        "SELECT /*+ STATE_TTL('l' = '25 s', 'b' = '20 s') */ l.k, l.total, b.n FROM \
         (SELECT /*+ STATE_TTL('a' = '15 s') */ k, SUM(n) AS total FROM a GROUP BY k) AS l JOIN b ON l.k = b.k"
            .to_owned(),
    );
    queries.push(
        "SELECT k, n FROM (SELECT /*+ STATE_TTL('a' = '20 s') */ *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n DESC, ts) AS r FROM a) AS t \
         WHERE r <= 2"
            .to_owned(),
    );
    queries.push(
        "SELECT /*+ STATE_TTL('x' = '20 s') */ k, n, SUM(n) OVER (PARTITION BY k ORDER BY n DESC) AS m FROM a AS x".to_owned(),
    );
    queries
}

fn life(seed: u64, setting: &str, query: &str) {
    let mut machine = Machine::new(seed);
    let random = machine.sim.random("life");
    machine.step_rows_max = 1 + random.index(40);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
    machine.restart(1 + random.index(4));
    for stream in ["a", "b"] {
        machine.sql(&format!(
            "CREATE STREAM {stream} (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) \
             WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')"
        ));
    }
    machine.sql(&format!("{setting}CREATE MATERIALIZED VIEW result AS {query}"));
    let (mut time, mut most) = (10_000, 0);
    for round in 0..ROUNDS {
        append(&machine, &random, round, &mut time);
        let workers = 1 + random.index(4);
        match random.below(6) {
            0 => machine.kill(workers),
            1 => machine.restart(workers),
            2 => machine.lose_power(workers),
            _ => {}
        }
        if random.chance(1, 2) {
            machine.catch_up();
        }
        most = most.max(machine.engine().jobs()[0].state_entries);
    }
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "{query}");
    let rows = machine.rows("a").len() + machine.rows("b").len();
    assert!(most < rows as u64 * 2 / 3, "{most} entries were kept of {rows} rows: {query}");
    let spec = ReplaySpec { job: "result".into(), diff: true, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    assert_eq!((report.only_before.len(), report.only_now.len()), (0, 0), "{query}");
    machine.finish_streams(&["a", "b"]);
    assert_eq!(machine.engine().jobs()[0].state_entries, 0, "{query}");
    machine.engine().close_here().unwrap();
}

#[test]
fn rows_that_come_in_time_are_joined_and_ranked_as_in_the_batch_and_then_forgotten() {
    let queries = queries();
    seeds::each(
        "-p headwater-run rows_that_come_in_time_are_joined_and_ranked_as_in_the_batch_and_then_forgotten",
        0..queries.len() as u64,
        |seed, _story| life(seed, SETTING, &queries[seed as usize % queries.len()]),
    );
}

#[test]
fn each_table_is_kept_as_long_as_its_hint_says() {
    let queries = hinted_queries();
    seeds::each(
        "-p headwater-run each_table_is_kept_as_long_as_its_hint_says",
        0..queries.len() as u64,
        |seed, _story| life(seed, "", &queries[seed as usize % queries.len()]),
    );
}

/// Rows of `a` or `b`: a key, a number and seconds.
fn row(machine: &Machine, stream: &str, key: &str, n: i64, seconds: i64) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![key])),
        Arc::new(Int64Array::from(vec![n])),
        Arc::new(TimestampMillisecondArray::from(vec![seconds * 1_000])),
    ];
    machine.append_to(stream, columns);
    machine.catch_up();
}

/// What a view of this query holds when rows have been forgotten and come again.
fn after_a_break(setting: &str, query: &str) -> Vec<String> {
    let machine = Machine::new(3);
    for stream in ["a", "b"] {
        machine.sql(&format!(
            "CREATE STREAM {stream} (k STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
             WITH (shards = 1, 'clock.guard' = 'none')"
        ));
    }
    machine.sql(&format!("{setting}CREATE MATERIALIZED VIEW result AS {query}"));
    for (stream, key, n, seconds) in [
        ("a", "x", 1, 10),
        ("b", "x", 2, 12),
        ("a", "y", 3, 14),
        // Twenty seconds without a row of x or y: what was said of them stays, and they begin anew.
        ("a", "z", 4, 40),
        ("b", "z", 5, 40),
        ("b", "x", 6, 41),
        ("b", "y", 7, 42),
        ("a", "x", 8, 43),
    ] {
        row(&machine, stream, key, n, seconds);
    }
    machine.query("SELECT * FROM result")
}

#[test]
fn what_was_said_of_forgotten_rows_stays() {
    let join = |kind: &str| format!("SELECT a.k, a.n, b.n AS m FROM a {kind} b ON a.k = b.k");
    assert_eq!(after_a_break(SETTING, &join("JOIN")), ["x 1 2", "x 8 6", "z 4 5"]);
    // The row of y had no match when it was forgotten; the match that came then is not its own.
    assert_eq!(after_a_break(SETTING, &join("LEFT JOIN")), ["x 1 2", "x 8 6", "y 3 null", "z 4 5"]);
    let newest = "SELECT k, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n) AS r FROM b) AS t WHERE r = 1";
    assert_eq!(after_a_break(SETTING, newest), ["x 2", "x 6", "y 7", "z 5"]);
    let sums = "SELECT k, n, SUM(n) OVER (PARTITION BY k ORDER BY n DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS m FROM b";
    assert_eq!(after_a_break(SETTING, sums), ["x 2 2", "x 6 6", "y 7 7", "z 5 5"]);
}

#[test]
fn a_hint_is_for_its_own_side() {
    let join =
        |hint: &str| format!("SELECT /*+ STATE_TTL({hint}) */ a.k, a.n, b.n AS m FROM a JOIN b ON a.k = b.k");
    let all = ["x 1 2", "x 1 6", "x 8 2", "x 8 6", "y 3 7", "z 4 5"];
    let left = ["x 1 2", "x 8 2", "x 8 6", "z 4 5"];
    let right = ["x 1 2", "x 1 6", "x 8 6", "y 3 7", "z 4 5"];
    assert_eq!(after_a_break("", &join("'a' = '20 s'")), left);
    assert_eq!(after_a_break("", &join("'b' = '20 s'")), right);
    assert_eq!(after_a_break(SETTING, &join("'a' = '0 s'")), right, "the hint is stronger than the setting");
    assert_eq!(after_a_break("", &join("'a' = '1 day', 'b' = '2 days'")), all);
}
