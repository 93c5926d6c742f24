//! The ready jobs of `queries/alerts` over a year of weather, with kills in between, against `tests/oracle/alerts.py`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMillisecondArray};
use headwater_core::ShardId;
use headwater_log::Append;

use crate::machine::Machine;

/// What is compared: the file of expected rows, and the columns of the stream of that name in their order.
const RESULTS: [&str; 5] =
    ["freeze_alerts", "stuck_sensors", "missing_stations", "returned_stations", "sudden_drops"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The year's readings in order of time: station, milliseconds, temperature, humidity, pressure.
pub fn readings() -> Vec<(String, i64, [Option<f64>; 3])> {
    let text = std::fs::read_to_string(root().join("fixtures/weather/weather.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let columns = ["temp", "humid", "pressure"].map(place);
    let (origin, time) = (place("origin"), place("time_hour"));
    let mut all: Vec<_> = lines
        .map(|fields| {
            let time = arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(fields[time]).unwrap();
            (fields[origin].to_owned(), time / 1_000_000, columns.map(|column| fields[column].parse().ok()))
        })
        .collect();
    all.sort_by_key(|reading| reading.1);
    all
}

/// Appends readings to `observations`.
pub fn append_readings(machine: &Machine, readings: &[(String, i64, [Option<f64>; 3])]) {
    let info = machine.log().stream_named("observations").unwrap();
    let number = |nth: usize| -> ArrayRef {
        Arc::new(readings.iter().map(|reading| reading.2[nth]).collect::<Float64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(readings.iter().map(|reading| &reading.0))),
        Arc::new(TimestampMillisecondArray::from_iter_values(readings.iter().map(|reading| reading.1))),
        number(0),
        number(1),
        number(2),
    ];
    let rows = headwater_run::fit_columns(&info.spec.schema, columns).unwrap();
    machine.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
}

#[test]
fn the_ready_alerts_tell_what_the_oracle_tells() {
    let mut machine = Machine::new(1);
    let mut files: Vec<_> =
        std::fs::read_dir(root().join("queries/alerts")).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "sql"));
    files.sort();
    for file in files {
        machine.sql(&std::fs::read_to_string(file).unwrap());
    }
    let random = machine.sim.random("test");
    for (nth, chunk) in readings().chunks(700).enumerate() {
        append_readings(&machine, chunk);
        machine.turns(random.index(20));
        if nth % 8 == 3 {
            machine.kill(1 + random.index(3));
        }
    }
    machine.catch_up();
    for name in RESULTS {
        let expected = root().join(format!("queries/alerts/expected/{name}.csv"));
        let expected = std::fs::read_to_string(expected).unwrap();
        let mut expected: Vec<String> = expected.lines().skip(1).map(|line| line.replace(',', " ")).collect();
        let mut rows = machine.rows(name);
        expected.sort();
        rows.sort();
        assert_eq!(rows, expected, "{name}");
    }
}
