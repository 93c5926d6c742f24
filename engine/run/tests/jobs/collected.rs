//! COLLECT: how often each value is there, in windows and without, over rows that are added and over those that are taken back; and rows as
//! values of columns.

use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::json::append;
use crate::machine::Machine;
use crate::views_and_batches;

const CALLS: &str = "COLLECT(value) AS a, COLLECT(DISTINCT value) AS b, COLLECT(value) FILTER (WHERE value < 9) AS c, \
    CAST(COLLECT(ROW(device, value % 2)) AS STRING) AS d";

fn life(seed: u64) {
    let mut machine = Machine::new(seed);
    let random: SimRandom = machine.sim.random("life");
    machine.step_rows_max = 1 + random.index(25);
    machine.create_readings(3);
    machine.restart(1 + random.index(3));
    let counts = "(SELECT device, COUNT(*) AS value FROM readings GROUP BY device) AS t";
    let queries = [
        (
            "hopping",
            format!(
                "SELECT device, window_start, {CALLS} \
                 FROM HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '9' SECOND) \
                 GROUP BY device, window_start, window_end"
            ),
        ),
        ("plain", format!("SELECT device, {CALLS} FROM readings GROUP BY device")),
        ("taken_back", format!("SELECT value % 3 AS k, {CALLS} FROM {counts} GROUP BY value % 3")),
        ("of_all", format!("SELECT {CALLS} FROM {counts}")),
    ];
    views_and_batches::live(&mut machine, &random, &queries, append);
}

#[test]
fn what_is_collected_is_in_a_stream_what_it_is_in_a_batch() {
    seeds::each(
        "-p headwater-run what_is_collected_is_in_a_stream_what_it_is_in_a_batch",
        0..6,
        |seed, _story| {
            life(seed);
        },
    );
}

#[test]
fn what_is_taken_back_is_collected_no_more() {
    let mut machine = Machine::new(3);
    machine.create_readings(2);
    machine.sql(
        "CREATE MATERIALIZED VIEW counts AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device;
         CREATE MATERIALIZED VIEW collected AS SELECT CAST(COLLECT(n) AS STRING) AS all_of_them FROM counts",
    );
    machine.append(&[("a", 1_000, 1), ("b", 1_000, 2), ("c", 1_000, 2)]);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM collected"), ["{1=3}"]);
    machine.append(&[("a", 2_000, 3)]);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM collected"), ["{1=2, 2=1}"]);
    machine.kill(2);
    machine.append(&[("b", 3_000, 4), ("c", 3_000, 4)]);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM collected"), ["{2=3}"]);
}

#[test]
fn rows_go_into_columns_of_rows_by_the_places_of_their_fields() {
    let machine = Machine::new(4);
    machine.create_readings(2);
    machine.sql(
        "CREATE STREAM pairs (r ROW<name STRING, times BIGINT>, xs ARRAY<ROW<x BIGINT>>);
         CREATE JOB pairing AS INSERT INTO pairs SELECT ROW(device, value), [ROW(value), ROW(value + 1)] FROM readings",
    );
    machine.execute("INSERT INTO pairs VALUES (('z', 7), [ROW(8)])").unwrap();
    machine.append(&[("a", 1_000, 1)]);
    machine.catch_up();
    let query = "SELECT r.name, r.times, xs[1].x FROM pairs ORDER BY 1";
    assert_eq!(machine.query(query), ["a 1 1", "z 7 8"]);
    assert_eq!(machine.query("SELECT p.r.* FROM pairs AS p ORDER BY 1"), ["a 1", "z 7"]);
    let slip = "CREATE STREAM swapped (r ROW<f1 STRING, f0 BIGINT>); \
        CREATE JOB swapping AS INSERT INTO swapped SELECT ROW(device, value) FROM readings";
    let error = machine.engine().define_here(slip).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("ROW<f0 STRING, f1 BIGINT> into r ROW<f1 STRING, f0 BIGINT>"), "{error}");
}
