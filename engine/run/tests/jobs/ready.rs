//! The ready jobs of `queries/machines` and `queries/stations`, with kills in between, against `tests/oracle/machines.py`; and alarms over
//! a recorded series against a batch query.

use headwater_run::ReplaySpec;

use crate::alerts::{append_readings, readings};
use crate::machine::{Machine, text_of};
use crate::metrics::{append, columns, file, samples};

fn feed(machine: &mut Machine) {
    let random = machine.sim.random("feed");
    // An hour comes twice.
    for (nth, part) in samples("fixtures/machines/temperature.csv").chunks(900).enumerate() {
        append(machine, "machine_temperature", part);
        machine.turns(random.index(20));
        if nth % 8 == 3 {
            machine.kill(1 + random.index(3));
        }
    }
    machine.catch_up();
}

#[test]
fn a_drift_is_told_before_the_machine_fails() {
    let mut machine = Machine::new(1);
    for name in ["1_stream", "2_drift"] {
        machine.sql(&file(&format!("queries/machines/{name}.sql")));
    }
    feed(&mut machine);
    let told: Vec<(String, f64)> = columns(&machine, "drifts", &["fired_at", "mean"])
        .into_iter()
        .map(|row| (row[0].clone(), row[1].parse().unwrap()))
        .collect();
    let expected = file("queries/machines/expected/drifts.csv");
    let expected: Vec<(String, f64)> = expected
        .lines()
        .skip(1)
        .map(|line| {
            let (time, mean) = line.split_once(',').unwrap();
            (time.to_owned(), mean.parse().unwrap())
        })
        .collect();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((at, mean), (expected_at, expected_mean)) in told.iter().zip(&expected) {
        assert!(at.starts_with(expected_at.as_str()), "{told:?}");
        assert!((mean - expected_mean).abs() < 1e-5, "{mean} {expected_mean}");
    }
    let spec = ReplaySpec { job: "drifting".into(), diff: true, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    assert_eq!((report.in_both, report.only_before.len(), report.only_now.len()), (4, 0, 0));
}

#[test]
fn the_hottest_station_of_each_day_is_kept() {
    let mut machine = Machine::new(2);
    for name in ["1_streams", "2_hottest"] {
        machine.sql(&file(&format!("queries/stations/{name}.sql")));
    }
    let random = machine.sim.random("feed");
    for (nth, part) in readings().chunks(700).enumerate() {
        append_readings(&machine, part);
        machine.turns(random.index(20));
        if nth % 8 == 3 {
            machine.kill(1 + random.index(3));
        }
    }
    machine.finish_streams(&["observations"]);
    let rows = machine.query("SELECT day, origin, max_temp FROM hottest_stations");
    let expected = file("queries/stations/expected/hottest_stations.csv");
    let expected: Vec<String> = expected.lines().skip(1).map(|line| line.replace(',', " ")).collect();
    assert_eq!(rows, expected);
}

/// Alarms over the machine's temperature, live and replayed, say what one query over all of it says: the mean of each hour, looked at each
/// minute that a new hour is whole, and the last three of them.
#[test]
fn alarms_over_a_recorded_series_decide_what_a_batch_query_decides() {
    let mut machine = Machine::new(3);
    machine.sql(&file("queries/machines/1_stream.sql"));
    machine.sql(
        "CREATE ALARM cold ON (SELECT window_end, AVG(value) AS value
           FROM TABLE(TUMBLE(TABLE machine_temperature, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end)
         WITH (period = '1 hour', comparison = '<', threshold = 65, evaluation_periods = 3, datapoints_to_alarm = 2)",
    );
    feed(&mut machine);
    let decided = |rows: Vec<Vec<String>>| -> Vec<String> {
        rows.into_iter().filter(|row| row[1] != "INSUFFICIENT_DATA").map(|row| row.join(" ")).collect()
    };
    let live = decided(columns(&machine, "system.alarm_history", &["at", "after"]));
    // Every hour of these weeks has samples, so that missing data does not come into it: two of the newest three decide.
    let batch = machine.query(
        "SELECT hour + INTERVAL '1 hour' AS at, CASE WHEN SUM(low) OVER three >= 2 THEN 'ALARM' ELSE 'OK' END AS after,
           COUNT(*) OVER three AS points
         FROM (SELECT date_trunc('hour', ts) AS hour, CAST(AVG(value) < 65 AS INT) AS low FROM machine_temperature GROUP BY 1)
         WINDOW three AS (ORDER BY hour ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    );
    let batch: Vec<String> = batch
        .into_iter()
        .filter_map(|row| row.strip_suffix(" 3").map(|row| row.replacen(' ', "Z ", 1)))
        .collect();
    assert!(batch.iter().filter(|row| row.ends_with("ALARM")).count() > 100);
    let in_both: Vec<&String> = live.iter().filter(|row| batch.contains(row)).collect();
    // The live ones begin with the first points, and end with the last hour that is over for certain.
    assert!(in_both.len() + 8 > batch.len(), "{} of {}", in_both.len(), batch.len());
    let differing: Vec<&String> = live.iter().skip(2).filter(|row| !batch.contains(row)).collect();
    assert_eq!(differing, Vec::<&String>::new());
    let spec = ReplaySpec { job: "cold".into(), diff: true, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    let only: Vec<String> = report.only_before.iter().chain(&report.only_now).flat_map(text_of).collect();
    assert_eq!(only, Vec::<String>::new());
    assert!(report.in_both as usize >= in_both.len());
}
