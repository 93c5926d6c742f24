//! Windows in processing time: by when rows arrived, whatever their own time, and closed by the clock when nothing arrives.

use std::time::Duration;

use headwater_simulation::seeds;

use crate::machine::{Machine, Reading};

const QUERIES: [&str; 11] = [
    "SELECT device, window_start, window_end, COUNT(*) AS n, SUM(value) AS total FROM \
     TUMBLE(TABLE readings, DESCRIPTOR(at), INTERVAL '10' SECOND) GROUP BY device, window_start, window_end",
    "SELECT window_end, MAX(value) AS most FROM \
     HOP(TABLE readings, DESCRIPTOR(at), INTERVAL '2' SECOND, INTERVAL '5' SECOND) WHERE value > 3 GROUP BY window_start, window_end",
    "SELECT device, window_end, COUNT(*) AS n FROM \
     CUMULATE(TABLE readings, DESCRIPTOR(at), INTERVAL '3' SECOND, INTERVAL '12' SECOND) GROUP BY device, window_start, window_end",
    "SELECT device, window_start, window_end, COUNT(*) AS n FROM \
     SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(at), INTERVAL '4' SECOND) GROUP BY device, window_start, window_end",
    "SELECT device, window_time, SUM(value) AS total FROM COUNT_WINDOW(TABLE readings PARTITION BY device, DESCRIPTOR(at), 3) \
     GROUP BY device, window_time, window_number",
    "SELECT window_start, COUNT(*) AS n FROM TUMBLE(TABLE (SELECT device, PROCTIME() AS moment FROM readings), DESCRIPTOR(moment), \
     INTERVAL '10' SECOND) GROUP BY window_start, window_end",
    "SELECT device, window_start, COUNT(*) AS n FROM TUMBLE(TABLE (SELECT *, PROCTIME() AS moment FROM large), DESCRIPTOR(moment), \
     INTERVAL '10' SECOND) GROUP BY device, window_start, window_end",
    "SELECT * FROM readings MATCH_RECOGNIZE (PARTITION BY device ORDER BY at, value MEASURES FIRST(A.value) AS a, B.value AS b, \
     COUNT(A.value) AS n ONE ROW PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN (A+ B) DEFINE A AS A.value < 5, B AS B.value > 5)",
    // Windows that come out before their end, too; what they hold is changed by rows of their time alone.
    "SELECT device, window_end, COUNT(*) AS n FROM TUMBLE(TABLE readings, DESCRIPTOR(at), INTERVAL '12' SECOND) \
     GROUP BY device, window_start, window_end EMIT EVERY INTERVAL '3' SECOND",
    "SELECT window_end, MAX(value) AS most FROM HOP(TABLE readings, DESCRIPTOR(at), INTERVAL '2' SECOND, INTERVAL '6' SECOND) \
     GROUP BY window_start, window_end EMIT EVERY INTERVAL '2' SECOND",
    "SELECT device, window_end, SUM(value) AS total FROM TUMBLE(TABLE readings, DESCRIPTOR(at), INTERVAL '10' SECOND) \
     GROUP BY device, window_start, window_end EMIT CHANGES",
];

fn create(machine: &Machine, shards: u32) {
    machine.sql(&format!(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, at AS PROCTIME(), \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
         WITH (shards = {shards}, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')"
    ));
    machine.sql("CREATE VIEW some AS SELECT device, value FROM readings WHERE value <> 5");
    machine
        .sql("CREATE VIEW large AS SELECT UPPER(device) AS device, value FROM some AS s WHERE s.value > 2");
}

fn life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any(seed, 20);
    create(&machine, 1 + seed as u32 % 3);
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    for _ in 0..25 {
        // Their own times go back and forth, and say nothing.
        let reading =
            |_| (["a", "b", "c"][random.index(3)], random.below(1_000_000) as i64, random.below(9) as i64);
        let readings: Vec<Reading> = (0..random.index(6)).map(reading).collect();
        if !readings.is_empty() {
            machine.append(&readings);
        }
        machine.turns(random.index(30));
        let workers = 1 + random.index(4);
        match random.below(8) {
            0 => machine.kill(workers),
            1 => machine.restart(workers),
            2 => machine.lose_power(workers),
            _ => machine.sim.clock().advance(Duration::from_millis(random.below(3_000))),
        }
    }
    machine.catch_up();
    machine.run_for(20);
    let batch = query.split(" EMIT").next().unwrap_or(query);
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(batch), "{query}");
    assert!(machine.rows("system.late_rows").is_empty(), "no row is late");
    machine.engine().close_here().unwrap();
}

#[test]
fn windows_in_processing_time_are_those_of_arrival_whatever_strikes() {
    seeds::each(
        "-p headwater-run windows_in_processing_time_are_those_of_arrival_whatever_strikes",
        0..54,
        |seed, _story| life(seed, QUERIES[seed as usize % QUERIES.len()]),
    );
}

#[test]
fn a_window_closes_by_the_clock() {
    let machine = Machine::new(9);
    create(&machine, 4);
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {}", QUERIES[0]));
    machine.append(&[("a", 500_000, 1), ("a", 1, 2), ("b", 77, 3)]);
    machine.catch_up();
    assert!(machine.rows("result").is_empty());
    machine.run_for(13);
    let totals: Vec<String> = machine.query("SELECT device, n, total FROM result");
    assert_eq!(totals, ["a 2 3", "b 1 3"], "nothing has arrived since, and yet the window is over");
    machine.append(&[("a", 2, 5)]);
    machine.run_for(13);
    assert_eq!(machine.query("SELECT device, n, total FROM result"), ["a 1 5", "a 2 3", "b 1 3"]);
}

#[test]
fn what_a_jobs_clock_says_of_a_row_is_when_it_was_recorded_also_after_a_kill() {
    let mut machine = Machine::new(3);
    machine.create_readings(1);
    let columns = "NOW() AS a, LOCALTIMESTAMP AS b, CURRENT_DATE AS c, HOUR(CURRENT_ROW_TIMESTAMP()) AS d";
    machine.sql(&format!(
        "CREATE MATERIALIZED VIEW result AS SELECT device, {columns} FROM readings WHERE ts < NOW() AND device <> 'c'"
    ));
    machine.append(&[("a", 1_000, 1), ("c", 1_000, 1)]);
    machine.catch_up();
    machine.sim.clock().advance(Duration::from_secs(100_000));
    machine.append(&[("b", 2_000, 2)]);
    machine.kill(2);
    machine.catch_up();
    let recorded = "CAST(_arrival AS TIMESTAMP(3))";
    let expected = machine.query(&format!(
        "SELECT device, {recorded} AS a, {recorded} AS b, CAST(_arrival AS DATE) AS c, HOUR(_arrival) AS d FROM readings WHERE device <> 'c'"
    ));
    assert_eq!(expected.len(), 2);
    assert_eq!(machine.query("SELECT * FROM result"), expected);
}
