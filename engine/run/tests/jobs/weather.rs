//! The jobs of `queries/weather` over the year of weather, straight and with kills in between behind which other numbers of workers go on
//! from the checkpoints, against `tests/oracle/weather.py`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};

use crate::machine::Machine;

/// Each is a file of expected rows, and a relation with the columns that its header names.
const RESULTS: [&str; 6] =
    ["daily_temperature", "moving_mean", "heat_spells", "freeze_spells", "newest_reading", "missing_hours"];

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(of)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The year, as columns of the stream `weather`, in the order of time.
fn year(fields: &[Arc<Field>]) -> Vec<ArrayRef> {
    let text = read(&folder("fixtures/weather/weather.csv"));
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let mut rows: Vec<Vec<&str>> = lines.collect();
    let time = header.iter().position(|name| *name == "time_hour").unwrap();
    rows.sort_by_key(|row| row[time]);
    let column = |field: &Arc<Field>| match header.iter().position(|name| name == field.name()) {
        Some(place) => {
            let value = |row: &Vec<&str>| Some(row[place]).filter(|text| *text != "NA").map(str::to_owned);
            let texts: ArrayRef = Arc::new(rows.iter().map(value).collect::<StringArray>());
            // Some of its whole numbers are written with a point.
            let texts = match field.data_type() {
                DataType::Int32 => cast(&texts, &DataType::Float64).unwrap(),
                _ => texts,
            };
            cast(&texts, field.data_type()).unwrap()
        }
        None => new_null_array(field.data_type(), rows.len()),
    };
    fields.iter().map(column).collect()
}

/// Runs the year, with something between the days.
fn run(seed: u64, between: &dyn Fn(&mut Machine, usize)) -> Machine {
    let mut machine = Machine::new(seed);
    machine.checkpoint_interval = Duration::from_micros(500);
    machine.restart(2);
    let files = std::fs::read_dir(folder("queries/weather")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "sql")).collect();
    files.sort();
    files.iter().for_each(|file| machine.sql(&read(file)));
    let schema = machine.log().stream_named("weather").unwrap().spec.schema.clone();
    let columns = year(schema.fields());
    let rows = columns[0].len();
    for (nth, from) in (0..rows).step_by(600).enumerate() {
        let part = columns.iter().map(|column| column.slice(from, 600.min(rows - from)));
        machine.append_to("weather", part.collect());
        between(&mut machine, nth);
    }
    machine.catch_up();
    machine.finish_streams(&["weather"]);
    machine
}

/// Sums of floating-point numbers depend on their order in the last digits.
fn same(found: &str, expected: &str) -> bool {
    let (found, expected) = (found.split(' '), expected.split(','));
    found.clone().count() == expected.clone().count()
        && found.zip(expected).all(|(a, b)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
            _ => a == b || (a == "null" && b.is_empty()),
        })
}

fn check(machine: &Machine, how: &str) {
    for name in RESULTS {
        let text = read(&folder(&format!("queries/weather/expected/{name}.csv")));
        let (header, lines) = text.split_once('\n').unwrap();
        let mut expected: Vec<&str> = lines.lines().collect();
        expected.sort_by_key(|line| line.replace(',', " "));
        let found = machine.query(&format!("SELECT {header} FROM {name}"));
        assert_eq!(found.len(), expected.len(), "{name}, {how}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(same(found, expected), "{name}, {how}: {found}, and {expected} was expected");
        }
    }
    assert_eq!(machine.rows("system.late_rows"), [""; 0], "{how}");
}

#[test]
fn other_numbers_of_workers_go_on_behind_kills_and_find_what_the_oracle_finds() {
    let straight = run(2, &|machine, _| machine.catch_up());
    check(&straight, "straight");
    let killed = run(3, &|machine, nth| {
        machine.turns(150 + nth * 7 % 90);
        if nth % 9 == 4 {
            let before = machine.workers;
            let saved = machine.engine().jobs().iter().filter(|job| job.checkpoint.is_some()).count();
            assert!(saved >= 4, "a job has something to go on from: {:?}", machine.engine().jobs());
            machine.kill([1, 4, 2, 3][nth / 9 % 4]);
            assert_ne!(machine.workers, before);
        }
    });
    check(&killed, "with kills");
}
