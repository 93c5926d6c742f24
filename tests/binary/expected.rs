//! Compares results with those of the oracle, as sets of rows: every row there, none twice, no other.

use std::path::Path;

use crate::process::Server;

/// What is compared: the file under `queries/weather/expected`, and the query that must give its rows.
const RESULTS: [(&str, &str); 6] = [
    (
        "daily_temperature",
        "SELECT origin, day, readings, min_temp, max_temp, mean_temp FROM daily_temperature",
    ),
    ("moving_mean", "SELECT origin, until, readings, mean_temp FROM moving_mean"),
    ("heat_spells", "SELECT origin, first_hour, last_hour, hot_hours, max_temp FROM heat_spells"),
    ("freeze_spells", "SELECT origin, first_hour, last_hour, cold_hours, min_temp FROM freeze_spells"),
    ("newest_reading", "SELECT origin, time_hour, temp, humid, wind_speed, readings FROM newest_reading"),
    ("missing_hours", "SELECT origin, missing_hour FROM missing_hours"),
];

/// A field of a row.
#[derive(Clone, PartialEq, PartialOrd, Debug)]
enum Field {
    Null,
    Number(f64),
    Text(String),
}

/// Compares everything, and that nothing came late or was bad.
pub async fn compare_all(demo: &Server) {
    for (name, sql) in RESULTS {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../queries/weather/expected/{name}.csv"));
        let expected = rows_of(&std::fs::read_to_string(file).unwrap());
        let actual = rows_of(&demo.csv(sql).await);
        compare(name, &expected, &actual);
    }
    let lost = demo
        .csv("SELECT COUNT(*) FROM system.dead_letters UNION ALL SELECT COUNT(*) FROM system.late_rows")
        .await;
    assert_eq!(lost.lines().skip(1).collect::<Vec<_>>(), ["0", "0"], "dead letters, late rows");
    let stations = demo.csv("SELECT origin, lat FROM stations ORDER BY origin").await;
    assert_eq!(
        stations.lines().skip(1).collect::<Vec<_>>(),
        ["EWR,40.6925", "JFK,40.639751", "LGA,40.777245"]
    );
}

fn compare(name: &str, expected: &[Vec<Field>], actual: &[Vec<Field>]) {
    for (nth, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let same = expected.len() == actual.len() && expected.iter().zip(actual).all(|(a, b)| same(a, b));
        assert!(same, "{name}, row {nth}: expected {expected:?}, got {actual:?}");
    }
    assert_eq!(actual.len(), expected.len(), "{name}: the number of rows");
}

/// Sums of floating-point numbers depend on their order in the last digits.
fn same(a: &Field, b: &Field) -> bool {
    match (a, b) {
        (Field::Number(a), Field::Number(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

/// The rows of a CSV text without its header, sorted by their first two columns, which are a key.
fn rows_of(csv: &str) -> Vec<Vec<Field>> {
    let mut rows: Vec<Vec<Field>> =
        csv.lines().skip(1).map(|line| line.split(',').map(field_of).collect()).collect();
    rows.sort_by(|a, b| a.partial_cmp(b).expect("no NaN"));
    rows
}

fn field_of(text: &str) -> Field {
    if text.is_empty() {
        return Field::Null;
    }
    if let Ok(number) = text.parse() {
        return Field::Number(number);
    }
    // A time, with or without a fraction of nothing and a zone.
    let text = text.trim_end_matches('Z').replacen(' ', "T", 1);
    Field::Text(text.strip_suffix(".000").map_or(text.clone(), str::to_owned))
}

#[test]
fn a_difference_is_noticed() {
    let rows = rows_of("a,b\nEWR,2013-01-01T00:00:00,1.0\nEWR,2013-01-01T01:00:00,");
    compare("same", &rows, &rows_of("a,b\nEWR,2013-01-01 01:00:00.000Z,\nEWR,2013-01-01T00:00:00.000,1"));
    for other in [
        "a,b\nEWR,2013-01-01T00:00:00,1.001\nEWR,2013-01-01T01:00:00,",
        "a,b\nEWR,2013-01-01T00:00:00,1.0",
        "a,b\nEWR,2013-01-01T00:00:00,1.0\nEWR,2013-01-01T01:00:00,\nEWR,2013-01-01T01:00:00,",
        "a,b\nEWR,2013-01-01T00:00:00,1.0\nEWR,2013-01-01T01:00:00,0",
    ] {
        assert!(std::panic::catch_unwind(|| compare("other", &rows, &rows_of(other))).is_err(), "{other}");
    }
}
