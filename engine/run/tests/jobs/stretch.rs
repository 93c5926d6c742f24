//! Replays of a stretch: no window is cut at its edges, and nothing differs from what the job said.

use headwater_core::EventTime;
use headwater_run::{ReplayReport, ReplaySpec};

use crate::machine::{Machine, Reading, text_of};

const QUERIES: [&str; 4] = [
    "SELECT device, window_start, COUNT(*) AS n, SUM(value) AS total FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) \
     GROUP BY device, window_start, window_end",
    "SELECT device, window_end, COUNT(*) AS n, SUM(value) AS total FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND, \
     INTERVAL '1' MINUTE)) GROUP BY device, window_start, window_end",
    "SELECT device, MIN(ts), COUNT(*) AS n, SUM(value) AS total FROM TABLE(SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), \
     INTERVAL '5' SECOND)) GROUP BY device, window_start, window_end",
    "SELECT device, ts, value, value * 2 FROM readings WHERE value % 3 = 0",
];

/// Ten minutes of two devices: a reading a second, but for a gap now and then, and some that come late.
fn readings() -> Vec<Reading> {
    let mut all: Vec<Reading> = Vec::new();
    for second in (0..600).filter(|second| second % 97 < 85) {
        for device in ["a", "b"] {
            all.push((device, second * 1_000, second));
            if second % 40 == 7 {
                all.push((device, (second - 5).max(0) * 1_000, -second));
                all.push((device, (second - 90).max(0) * 1_000, -second));
            }
        }
    }
    all
}

/// A machine on which the job has said all that it will, killed now and then on the way.
fn machine(query: &str) -> Machine {
    let mut machine = Machine::new(7);
    machine.create_readings(2);
    machine.sql(&format!(
        "CREATE STREAM result (device STRING, at TIMESTAMP(3), n BIGINT, total BIGINT); CREATE JOB job AS INSERT INTO result {query}"
    ));
    for (nth, some) in readings().chunks(150).enumerate() {
        machine.append(some);
        machine.turns(nth * 7 % 20);
        if nth % 3 == 2 {
            machine.kill(1 + nth % 2);
        }
    }
    machine.catch_up();
    machine
}

fn replay(machine: &Machine, spec: &ReplaySpec) -> ReplayReport {
    let seconds = |second: i64| Some(EventTime(second * 1_000_000_000));
    let spec = ReplaySpec { job: "job".into(), from: seconds(155), to: seconds(395), ..spec.clone() };
    machine.engine().replay_here(&spec).unwrap()
}

#[test]
fn what_the_job_said_of_a_stretch_it_says_again() {
    for query in QUERIES {
        let machine = machine(query);
        let report = replay(&machine, &ReplaySpec { diff: true, ..ReplaySpec::default() });
        let differences: Vec<String> =
            report.only_before.iter().chain(&report.only_now).flat_map(text_of).collect();
        assert!(differences.is_empty(), "{query}: {differences:?}");
        let within = |row: &&String| {
            let at = row.split(' ').nth(1).unwrap();
            ("1970-01-01T00:02:35".."1970-01-01T00:06:35").contains(&at)
        };
        let said = machine.rows("result").iter().filter(within).count() as u64;
        assert!(said > 3, "{query}: the test says something");
        assert_eq!(report.in_both, said, "{query}");
        let names: Vec<&str> = report.schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["device", "at", "n", "total"], "the target's columns");
    }
}

/// The same query as another definition has no journal: it reads around the stretch, and no window is cut. Rows that were late live
/// are late there, too, as the clocks have begun early enough.
#[test]
fn another_definition_reads_around_the_stretch() {
    for query in QUERIES {
        let machine = machine(query);
        let same = ReplaySpec { diff: true, query: Some(query.to_owned()), ..ReplaySpec::default() };
        let report = replay(&machine, &same);
        let differences: Vec<String> =
            report.only_before.iter().chain(&report.only_now).flat_map(text_of).collect();
        assert!(differences.is_empty(), "{query}: {differences:?}");
        assert!(report.in_both > 3, "{query}");
    }
    let machine = machine(QUERIES[0]);
    let other = QUERIES[0].replace("SUM(value)", "SUM(value) + 1");
    let report = replay(&machine, &ReplaySpec { diff: true, query: Some(other), ..ReplaySpec::default() });
    let count = |rows: &[arrow::array::RecordBatch]| rows.iter().map(|batch| batch.num_rows()).sum::<usize>();
    assert_eq!((count(&report.only_before), count(&report.only_now), report.in_both), (8, 8, 0));
    // Half of the log is not read: it lies too far away.
    assert!(report.rows_in < readings().len() as u64, "{}", report.rows_in);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let machine = machine(QUERIES[0]);
    let spec = |query: &str| ReplaySpec {
        job: "job".into(),
        diff: true,
        query: Some(query.to_owned()),
        ..ReplaySpec::default()
    };
    let error = machine.engine().replay_here(&spec("SELECT device FROM readings")).unwrap_err().to_string();
    assert!(error.contains("takes 4 columns"), "{error}");
    // Without a comparison it may be anything, under its own names.
    let free = ReplaySpec { diff: false, ..spec("SELECT device AS who FROM readings") };
    let report = machine.engine().replay_here(&free).unwrap();
    assert_eq!(report.schema.field(0).name(), "who");

    machine.sql(
        "CREATE MATERIALIZED VIEW timeless AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device",
    );
    machine.catch_up();
    let all = ReplaySpec { job: "timeless".into(), diff: true, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&all).unwrap();
    assert_eq!((report.in_both, report.only_before.len(), report.only_now.len()), (2, 0, 0));
    let some = ReplaySpec { from: Some(EventTime(0)), ..all };
    let error = machine.engine().replay_here(&some).unwrap_err().to_string();
    assert!(error.contains("no timestamp"), "{error}");
}
