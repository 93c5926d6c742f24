//! Columns that are computed when a stream is read: whatever strikes, a view over them holds what the batch gives; event time that is
//! computed is judged as one that is a column.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use headwater_simulation::seeds;

use crate::machine::Machine;

const STREAM: &str = "CREATE STREAM readings (device STRING NOT NULL, tenfold AS value * 10, ms BIGINT, value BIGINT, \
    ts AS TO_TIMESTAMP_LTZ(ms, 3), kind AS IF(value > 5, 'high', 'low'), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) \
    PARTITIONED BY (device)";

const QUERIES: [&str; 9] = [
    "SELECT * FROM readings",
    "SELECT value, tenfold + 1 AS more FROM readings WHERE kind = 'high' AND tenfold < 80",
    "SELECT device, window_start, window_end, COUNT(*) AS n, SUM(tenfold) AS total FROM \
     TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY device, window_start, window_end",
    "SELECT kind, window_end, MAX(value) AS most FROM \
     HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '5' SECOND) WHERE value > 3 GROUP BY kind, window_start, window_end",
    "SELECT device, window_start, window_end, COUNT(*) AS n FROM \
     SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '4' SECOND) GROUP BY device, window_start, window_end",
    "SELECT device, tumble(INTERVAL '10 seconds') AS w, COUNT(*) AS n FROM readings GROUP BY device, w",
    "SELECT device, ts, SUM(tenfold) OVER (PARTITION BY device ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s FROM readings",
    "SELECT a.device, a.tenfold, b.kind FROM readings AS a JOIN readings AS b ON a.device = b.device \
     AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '3' SECOND",
    "SELECT kind, COUNT(*) AS n, SUM(tenfold) AS total FROM readings GROUP BY kind",
];

fn append(machine: &Machine, rows: &[(&str, i64, i64)]) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    machine.append_to("readings", columns);
}

fn query_of(seed: u64) -> &'static str {
    QUERIES[seed as usize % QUERIES.len()]
}

/// `time_of` computes the time of a row.
fn life(seed: u64, time_of: &str) {
    let query = query_of(seed);
    let (mut machine, random) = Machine::any(seed, 30);
    let stream = STREAM.replace("TO_TIMESTAMP_LTZ(ms, 3)", time_of);
    machine.sql(&format!("{stream} WITH (shards = {}, 'clock.guard' = 'none')", 1 + seed % 3));
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 1_000_000;
    for _ in 0..12 {
        let rows: Vec<_> = (0..random.index(9))
            .map(|_| {
                time += random.below(1_500) as i64;
                (["a", "b", "c"][random.index(3)], time - random.below(2_000) as i64, random.below(9) as i64)
            })
            .collect();
        if !rows.is_empty() {
            append(&machine, &rows);
        }
        machine.turns(random.index(30));
        machine.strike(&random);
        machine.sim.clock().advance(Duration::from_millis(random.below(3_000)));
    }
    machine.finish();
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "{query}");
    assert!(machine.rows("system.late_rows").is_empty());
    machine.engine().close_here().unwrap();
}

#[test]
fn over_computed_columns_a_view_holds_what_the_batch_gives() {
    seeds::each(
        "-p headwater-run over_computed_columns_a_view_holds_what_the_batch_gives",
        0..QUERIES.len() as u64 * 2,
        |seed, _story| life(seed, "TO_TIMESTAMP_LTZ(ms, 3)"),
    );
}

#[test]
fn over_the_time_of_recording_as_event_time_a_view_holds_what_the_batch_gives() {
    seeds::each(
        "-p headwater-run over_the_time_of_recording_as_event_time_a_view_holds_what_the_batch_gives",
        0..QUERIES.len() as u64 * 2,
        |seed, _story| {
            // Which of the rows that came together come first is not said, and matters to the frames of OVER.
            if !query_of(seed).contains(" OVER (") {
                life(seed, ["LOCALTIMESTAMP", "IF(value < 0, NULL, NOW())"][seed as usize % 2]);
            }
        },
    );
}

#[test]
fn a_row_that_tells_no_time_of_its_own_may_have_that_of_its_recording() {
    let machine = Machine::new(4);
    machine.sql(
        "CREATE STREAM events (n BIGINT, ms BIGINT, ts AS IF(n = 9, NULL, COALESCE(TO_TIMESTAMP_LTZ(ms, 3), CURRENT_TIMESTAMP)), \
         WATERMARK FOR ts AS ts) WITH ('clock.guard' = '1 hour')",
    );
    let now = machine.sim.world().clock.now().millis();
    machine
        .execute(&format!(
            "INSERT INTO events VALUES (1, {now}), (2, NULL), (3, {}), (9, NULL)",
            now + 4_000_000
        ))
        .unwrap();
    let same = "SELECT n, ts = CAST(_arrival AS TIMESTAMP(3)) FROM events WHERE ms IS NULL";
    assert_eq!(machine.query(same), ["2 true"]);
    assert_eq!(machine.query("SELECT n FROM events"), ["1", "2"]);
    let dead = "SELECT code, field, COUNT(*) AS n FROM system.dead_letters GROUP BY code, field";
    assert_eq!(machine.query(dead), ["HW2109 ts 1", "HW2110 ts 1"]);
    let error = machine
        .execute("CREATE STREAM d (id STRING, at AS NOW(), PRIMARY KEY (id) NOT ENFORCED) WITH (format = 'debezium-json')")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("'at' is computed from when a row was recorded, but rows of 'd' change"),
        "{error}"
    );
}

#[test]
fn computed_columns_stand_where_they_were_declared_and_take_no_rows() {
    let mut machine = Machine::new(3);
    machine.sql(&format!("{STREAM} WITH ('clock.guard' = 'none')"));
    machine.execute("INSERT INTO readings VALUES ('a', 1000, 3), ('b', 61500, 7)").unwrap();
    let all = ["a 30 1000 3 1970-01-01T00:00:01Z low", "b 70 61500 7 1970-01-01T00:01:01.500Z high"];
    assert_eq!(machine.query("SELECT * FROM readings"), all);
    assert_eq!(
        machine.query("SELECT r.*, _sequence IS NOT NULL AS here FROM readings AS r"),
        all.map(|row| format!("{row} true"))
    );
    assert_eq!(machine.rows("readings"), ["a 1000 3", "b 61500 7"], "they are not stored");
    let described = machine.query("DESCRIBE readings");
    assert_eq!(described.len(), 6);
    assert!(
        described
            .iter()
            .any(|row| row.starts_with("ts TIMESTAMP_LTZ(3) ") && row.ends_with("ts - INTERVAL '2' SECOND"))
    );
    let error =
        machine.execute("INSERT INTO readings (device, kind) VALUES ('c', 'low')").unwrap_err().to_string();
    assert!(error.contains("'kind' of 'readings' is computed from others"), "{error}");
    // A column that is added comes last, and jobs go on.
    machine.sql("CREATE MATERIALIZED VIEW high AS SELECT device, kind FROM readings WHERE tenfold > 50");
    machine.sql("ALTER STREAM readings ADD COLUMN note STRING");
    let error = machine.execute("ALTER STREAM readings ADD COLUMN kind STRING").unwrap_err().to_string();
    assert!(error.contains("has a column 'kind' already"), "{error}");
    machine.kill(2);
    machine.execute("INSERT INTO readings VALUES ('c', 2000, 9, 'new')").unwrap();
    machine.catch_up();
    assert_eq!(
        machine.query("SELECT * FROM readings WHERE kind = 'high' AND value > 7"),
        ["c 90 2000 9 1970-01-01T00:00:02Z high new"]
    );
    assert_eq!(machine.query("SELECT * FROM high"), ["b high", "c high"]);
}

#[test]
fn a_computed_time_is_held_against_the_clock_when_rows_come_in() {
    let mut machine = Machine::new(2);
    machine.sql(
        "CREATE STREAM events (text STRING, n BIGINT, ts AS CAST(text AS TIMESTAMP(3)), WATERMARK FOR ts AS ts) \
         WITH ('clock.guard' = '1 hour')",
    );
    let now = machine.sim.world().clock.now().millis() / 1000;
    let at = |seconds: i64| format!("CAST(to_timestamp({}) AS STRING)", now + seconds);
    let insert = |machine: &Machine| {
        let rows = format!("({}, 1), ({}, 2), (NULL, 3), ('soon', 4), ({}, 5)", at(0), at(90_000), at(3_000));
        machine.execute(&format!("INSERT INTO events VALUES {rows}")).unwrap();
    };
    insert(&machine);
    assert_eq!(machine.query("SELECT n FROM events"), ["1", "5"]);
    let dead = "SELECT code, field, COUNT(*) AS n FROM system.dead_letters GROUP BY code, field";
    assert_eq!(machine.query(dead), ["HW2109 ts 1", "HW2110 ts 2"]);
    // What computes it is known after a restart, too, and gone with the stream.
    machine.kill(1);
    insert(&machine);
    assert_eq!(machine.query(dead), ["HW2109 ts 2", "HW2110 ts 4"]);
    machine.execute("DROP STREAM events; CREATE STREAM events (text STRING, n BIGINT)").unwrap();
    insert(&machine);
    assert_eq!(machine.query("SELECT COUNT(*) FROM events"), ["5"]);
}

#[test]
fn functions_of_the_users_compute_columns_and_stay_while_they_do() {
    let machine = Machine::new(5);
    machine.sql(
        "CREATE FUNCTION celsius(f DOUBLE) RETURNS DOUBLE RETURN (f - 32) / 1.8;
         CREATE STREAM rooms (id BIGINT, f DOUBLE, c AS celsius(f))",
    );
    machine.execute("INSERT INTO rooms VALUES (1, 212)").unwrap();
    machine.sql("CREATE OR REPLACE FUNCTION celsius(f DOUBLE) RETURNS DOUBLE RETURN 0.0");
    assert_eq!(
        machine.query("SELECT * FROM rooms"),
        ["1 212.0 100.0"],
        "the definition is that of its making"
    );
    let error = machine.execute("DROP FUNCTION celsius").unwrap_err().to_string();
    assert!(error.contains("used by stream rooms"), "{error}");
    machine.execute("DROP STREAM rooms; DROP FUNCTION celsius").unwrap();
}

#[test]
fn changes_lead_to_rows_with_computed_columns() {
    let machine = Machine::new(6);
    machine.sql(
        "CREATE STREAM devices (id STRING, watts DOUBLE, kilo AS watts / 1000, PRIMARY KEY (id) NOT ENFORCED) WITH (format = 'debezium-json');
         CREATE MATERIALIZED VIEW total AS SELECT SUM(kilo) AS kilo FROM devices",
    );
    machine.execute("INSERT INTO devices VALUES ('a', 40), ('b', 2000), ('a', 60)").unwrap();
    machine.catch_up();
    let rows = ["a 60.0 0.06", "b 2000.0 2.0"];
    assert_eq!(machine.query("SELECT * FROM devices"), rows);
    assert_eq!(machine.query("SELECT * FROM total"), ["2.06"]);
}
