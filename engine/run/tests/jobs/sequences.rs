//! Sequences of events in windows and without, over rows out of order, with restarts: what the same query gives as a batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;
use crate::views_and_batches;

const CALLS: &str = "sequenceCount('(?1).*(?2)')(ts, value = 1, value = 2) AS n, \
    sequence_match('(?1)(?t<=3)(?2)(?3)', ts, value = 1, value = 2, value = 3) AS m, \
    windowFunnel(5, 'strict_increase')(ts, value = 1, value = 2, value = 3) AS f, \
    windowFunnel(INTERVAL '4' SECOND, 'strict_order', 'strict_once')(ts, value < 3, value > 1, value = 3) AS g, \
    retention(value = 1, value = 2, value = 4) AS r";

/// Three shards of readings, each out of order by up to two seconds, some of one moment.
fn append(machine: &Machine, random: &SimRandom, from: i64) {
    let (mut devices, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..40 {
        devices.push(format!("d{}", random.below(6)));
        times.push(from + (row - random.below(8) as i64) * 250);
        values.push(1 + random.below(4) as i64);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(devices)),
        Arc::new(TimestampMillisecondArray::from(times)),
        Arc::new(Int64Array::from(values)),
    ];
    machine.append_to("readings", columns);
}

fn life(seed: u64) {
    let mut machine = Machine::new(seed);
    let random = machine.sim.random("life");
    machine.create_readings(3);
    let windowed = |table: &str| {
        format!("SELECT device, window_start, {CALLS} FROM {table} GROUP BY device, window_start, window_end")
    };
    let tumble = "TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '8' SECOND))";
    let hop = "TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '9' SECOND))";
    let plain = format!("SELECT device, {CALLS} FROM readings GROUP BY device");
    let over_all =
        "SELECT sequence_count('(?1)(?2)', ts, value = 1, value = 2) AS n FROM readings".to_owned();
    let queries = [
        ("tumbling", windowed(tumble)),
        ("hopping", windowed(hop)),
        ("plain", plain),
        ("over_all", over_all),
    ];
    views_and_batches::live(&mut machine, &random, &queries, append);
}

#[test]
fn streams_say_what_batches_say() {
    seeds::each("-p headwater-run streams_say_what_batches_say", 0..6, |seed, _story| life(seed));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_files_are_read_without_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::io::Write::write_all(&mut std::fs::File::create(dir.path().join(name)).unwrap(), bytes).unwrap();
    };
    // More than a split, lines that lie across its end, and a last line without a line feed.
    let long: String =
        (0..400_000).map(|n| format!("{n} ERROR in unit {}; ERROR again\r\n", n % 7)).collect();
    write("a.log", long.as_bytes());
    write("b.log", b"no such thing\nERROR \xff\n\nlast ERROR");
    let options = headwater_run::EngineOptions { step_rows_max: 1_000, ..crate::machine::in_memory() };
    let world = headwater_core::World::real();
    let engine = headwater_run::Engine::open(world, options, Arc::new(headwater_run::NoConnectors)).unwrap();
    let ask = async |sql: &str| {
        let answers = engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
        let Some(headwater_run::Answer::Rows(rows)) = answers.into_iter().last() else { panic!("{sql}") };
        let batches: Vec<_> = futures::TryStreamExt::try_collect(rows).await.unwrap();
        batches.iter().flat_map(crate::machine::text_of).collect::<Vec<_>>()
    };
    let at = dir.path().to_str().unwrap();
    let counts = format!(
        "SELECT count(*), sequence_count(line, 'ERROR', 'lines'), sequence_count(line, 'ERROR'), \
         sequence_count(line, 'unit [35];', 'regex'), count(*) FILTER (WHERE line = '') FROM read_text('{at}/*.log')"
    );
    assert_eq!(ask(&counts).await, ["400004 400002 800002 114286 1"]);
    let some = format!("SELECT line FROM read_text('file://{at}/b.log') WHERE line LIKE 'ERROR%' LIMIT 1");
    assert_eq!(ask(&some).await, ["ERROR \u{fffd}"]);
    let all =
        format!("SELECT max(sequence_occurrences(line, 'R', 'overlapping')) FROM read_text('{at}/a.log')");
    assert_eq!(ask(&all).await, ["6"]);
    assert!(engine.execute("SELECT * FROM read_text(1)").await.is_err());
    // A job needs a table, from which it goes on.
    let job = format!("CREATE MATERIALIZED VIEW errors AS SELECT line FROM read_text('{at}/b.log')");
    let refused = engine.execute(&job).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("make a table of the same place: CREATE TABLE lines"), "{refused}");
    let nothing = engine.execute(&format!("SELECT count(*) FROM read_text('{at}/*.txt')")).await.unwrap();
    let Some(headwater_run::Answer::Rows(rows)) = nothing.into_iter().last() else { panic!("no rows") };
    let error = futures::TryStreamExt::try_collect::<Vec<_>>(rows).await.unwrap_err().to_string();
    assert!(error.contains("*.txt") && error.contains("nothing lies there"), "{error}");
    engine.close().await.unwrap();
}

/// The ready jobs of `queries/sequences` over a year of weather, with kills in between, against `tests/oracle/sequences.py`.
#[test]
fn the_ready_jobs_tell_what_the_oracle_tells() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let mut machine = Machine::new(1);
    for file in ["1_streams", "2_more_than_n_an_hour", "3_fronts"] {
        machine.sql(&read(&format!("queries/sequences/{file}.sql")));
    }
    let weather = read("fixtures/weather/weather.csv");
    let (header, lines) = weather.split_once('\n').unwrap();
    let place = |name: &str| header.split(',').position(|column| column == name).unwrap();
    let numbers = ["wind_dir", "precip", "pressure"].map(place);
    let time_of = |line: &str| {
        let time = line.rsplit(',').next().unwrap();
        arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(time).unwrap() / 1_000_000
    };
    let mut lines: Vec<(i64, &str)> = lines.lines().map(|line| (time_of(line), line)).collect();
    lines.sort();
    let random = machine.sim.random("test");
    for (nth, chunk) in lines.chunks(700).enumerate() {
        let times: ArrayRef =
            Arc::new(TimestampMillisecondArray::from_iter_values(chunk.iter().map(|row| row.0)));
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(chunk.iter().map(|row| row.1)));
        machine.append_to("log_lines", vec![Arc::clone(&times), text]);
        let cell = |line: &str, nth: usize| line.split(',').nth(nth).unwrap().to_owned();
        let origins = StringArray::from_iter_values(chunk.iter().map(|row| cell(row.1, place("origin"))));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(origins), times];
        columns.extend(numbers.map(|column| {
            let values = chunk.iter().map(|row| cell(row.1, column).parse::<f64>().ok());
            Arc::new(values.collect::<arrow::array::Float64Array>()) as ArrayRef
        }));
        machine.append_to("weather_hours", columns);
        machine.turns(random.index(20));
        if nth % 8 == 3 {
            machine.kill(1 + random.index(3));
        }
    }
    machine.finish_streams(&["log_lines", "weather_hours"]);
    for name in ["sequence_alerts", "fronts"] {
        let expected = read(&format!("queries/sequences/expected/{name}.csv"));
        let mut expected: Vec<String> = expected.lines().skip(1).map(|line| line.replace(',', " ")).collect();
        let mut rows = machine.rows(name);
        expected.sort();
        rows.sort();
        assert_eq!(rows, expected, "{name}");
    }
    let states = machine.query("SELECT name, state, progress FROM system.jobs");
    assert_eq!(states, ["count_fronts completed 1.0", "more_than_n_an_hour completed 1.0"]);
}
