//! MATCH_RECOGNIZE in jobs: the queries of `queries/patterns`, straight and with kills in between, against
//! `tests/oracle/patterns.py`; and queries by seed, under crashes, against the same query as a batch.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::ShardId;
use headwater_core::world::sim::SimRandom;
use headwater_log::Append;
use headwater_simulation::seeds;

use crate::machine::Machine;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rows of a CSV file, in order of time: a key, milliseconds, numbers.
type Read = Vec<(String, i64, Vec<Option<f64>>)>;

fn read(file: &str, key: &str, time: &str, numbers: &[&str]) -> Read {
    let text = std::fs::read_to_string(root().join(file)).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let place = |name: &&str| header.iter().position(|column| column == name).unwrap();
    let (key, time) = (place(&key), place(&time));
    let numbers: Vec<usize> = numbers.iter().map(place).collect();
    let mut rows: Read = lines
        .map(|fields| {
            let nanos = arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(fields[time]).unwrap();
            let values = numbers.iter().map(|column| fields[*column].parse().ok());
            (fields[key].to_owned(), nanos / 1_000_000, values.collect())
        })
        .collect();
    rows.sort_by_key(|row| row.1);
    rows
}

fn append(machine: &Machine, stream: &str, rows: &[(String, i64, Vec<Option<f64>>)]) {
    let info = machine.log().stream_named(stream).unwrap();
    let numbers = info.spec.schema.fields().len() - 2;
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1))),
    ];
    for nth in 0..numbers {
        let column = Float64Array::from_iter(rows.iter().map(|row| row.2[nth]));
        columns.push(arrow::compute::cast(&column, info.spec.schema.field(2 + nth).data_type()).unwrap());
    }
    let rows = headwater_run::fit_columns(&info.spec.schema, columns).unwrap();
    machine.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
}

/// Defines all that `queries/patterns` does, lets the rows come, and compares every result.
fn check(killed: bool) {
    let mut machine = Machine::new(u64::from(killed));
    let folder = root().join("queries/patterns");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "sql"));
    files.sort();
    for file in files {
        machine.sql(&std::fs::read_to_string(file).unwrap());
    }
    let random = machine.sim.random("test");
    let rooms = read("queries/patterns/rooms.csv", "room", "ts", &["temp"]);
    let sky =
        read("fixtures/weather/weather.csv", "origin", "time_hour", &["pressure", "precip", "wind_dir"]);
    let steps = 30;
    for step in 0..steps {
        let part = |rows: &Read| rows.len() * step / steps..rows.len() * (step + 1) / steps;
        append(&machine, "rooms", &rooms[part(&rooms)]);
        append(&machine, "sky", &sky[part(&sky)]);
        machine.turns(random.index(60));
        if killed && step % 5 == 3 {
            machine.kill(1 + random.index(3));
        }
    }
    for stream in ["rooms", "sky"] {
        machine.engine().end_stream_here(stream).unwrap();
    }
    machine.catch_up();
    for file in std::fs::read_dir(folder.join("expected")).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let line = |line: &str| {
            let fields = line.split(',').map(|field| if field.is_empty() { "null" } else { field });
            fields.collect::<Vec<_>>().join(" ")
        };
        let mut expected: Vec<String> =
            std::fs::read_to_string(&file).unwrap().lines().skip(1).map(line).collect();
        let mut rows = match name {
            "fronts_by_month" => machine.query("SELECT * FROM fronts_by_month"),
            stream => machine.rows(stream),
        };
        expected.sort();
        rows.sort();
        assert_eq!(rows, expected, "{name}");
        assert!(!rows.is_empty(), "{name} says nothing");
    }
    assert_eq!(machine.rows("system.late_rows").len(), 0);
}

#[test]
fn the_ready_patterns_find_what_the_oracle_finds() {
    check(false);
}

#[test]
fn they_find_it_after_kills_with_other_workers_too() {
    check(true);
}

const QUERIES: &[&str] = &[
    "SELECT k, a, b, n FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES A.v AS a, LAST(B.v) AS b, COUNT(*) AS n \
     PATTERN (A B+) WITHIN INTERVAL '3' SECOND DEFINE B AS B.v > A.v)",
    "SELECT * FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES MATCH_NUMBER() AS nr, CLASSIFIER() AS c, FINAL SUM(v) AS s \
     ALL ROWS PER MATCH AFTER MATCH SKIP TO NEXT ROW PATTERN (A (B | C)*? D) WITHIN INTERVAL '2' SECOND \
     DEFINE A AS v < 3, B AS v > PREV(v), C AS v = 0, D AS v >= 4)",
    "SELECT k, x, y FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts, v DESC MEASURES FIRST(v) AS x, LAST(v) AS y \
     PATTERN ((A B?){2} C) DEFINE A AS v > NEXT(v), B AS v < 4, C AS v <> PREV(v, 2))",
    "SELECT n, at FROM s MATCH_RECOGNIZE (ORDER BY ts, k, v MEASURES COUNT(A.v) AS n, MATCH_ROWTIME() AS at \
     AFTER MATCH SKIP TO LAST B PATTERN (A+ B C) DEFINE A AS SUM(A.v) < 12, B AS B.v >= LAST(A.v), C AS v IS NOT NULL)",
    "WITH m AS (SELECT k, at, n FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES MATCH_ROWTIME() AS at, COUNT(*) AS n \
     PATTERN (A{1,3} B) WITHIN INTERVAL '4' SECOND DEFINE A AS v < 4, B AS v >= FIRST(v))) \
     SELECT window_end, k, SUM(n) AS n FROM TUMBLE(TABLE m, DESCRIPTOR(at), INTERVAL '5' SECOND) GROUP BY window_end, k",
    "SELECT k, p FROM s MATCH_RECOGNIZE (PARTITION BY k ORDER BY ts MEASURES PREV(FIRST(v)) AS p \
     PATTERN (permute(A, B, C)) WITHIN INTERVAL '6' SECOND DEFINE A AS v = 1, B AS v = 2, C AS v = 3) WHERE k = 'a'",
];

fn append_some(machine: &Machine, random: &SimRandom, time: &mut i64) {
    let rows = random.index(16);
    if rows == 0 {
        return;
    }
    let keys: StringArray =
        (0..rows).map(|_| random.chance(9, 10).then(|| ["a", "b", "c"][random.index(3)])).collect();
    let values = (0..rows).map(|_| random.chance(9, 10).then(|| random.below(6) as i64));
    let values = values.collect::<Int64Array>();
    // Not more disorder than the watermark allows for: nothing is late.
    let times = (0..rows).map(|_| {
        *time += random.below(400) as i64;
        *time - random.below(2_000) as i64
    });
    let times = TimestampMillisecondArray::from_iter_values(times);
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(values), Arc::new(times)];
    machine.append_to("s", columns);
}

fn life(seed: u64, query: &str) {
    let (mut machine, random) = Machine::any(seed, 40);
    machine.sql(
        "CREATE STREAM s (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) \
         PARTITIONED BY (k) WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')",
    );
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 10_000;
    for _ in 0..14 {
        append_some(&machine, &random, &mut time);
        machine.turns(random.index(40));
        machine.strike(&random);
    }
    machine.finish_streams(&["s"]);
    assert_eq!(machine.query("SELECT * FROM result"), machine.query(query), "{query}");
    assert_eq!(machine.rows("system.late_rows").len(), 0, "{query}");
    machine.engine().close_here().unwrap();
}

#[test]
fn a_pattern_finds_what_the_batch_finds_whatever_strikes() {
    seeds::each(
        "-p headwater-run a_pattern_finds_what_the_batch_finds_whatever_strikes",
        0..30,
        |seed, _story| life(seed, QUERIES[seed as usize % QUERIES.len()]),
    );
}
