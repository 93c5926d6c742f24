//! Rows for which an expression cannot be computed: they go to the dead letters or are NULL, and stop nobody.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use headwater_run::JobState;
use headwater_simulation::seeds;

use crate::machine::Machine;

/// What became of a job's rows: code, job, reason and row.
const LETTERS: &str = "SELECT code, source, reason, CAST(payload AS STRING) FROM system.dead_letters";

fn readings(values: &[i64]) -> Vec<(&'static str, i64, i64)> {
    (1..).zip(values).map(|(second, value)| ("a", second * 1_000, *value)).collect()
}

/// A machine whose one job has come to its end over these values.
fn after(job: &str, values: &[i64]) -> Machine {
    let machine = Machine::new(2);
    machine.create_readings(1);
    machine.sql(job);
    machine.append(&readings(values));
    machine.finish();
    machine
}

fn reasons(machine: &Machine) -> Vec<String> {
    machine.query("SELECT reason FROM system.dead_letters")
}

#[test]
fn a_row_that_cannot_be_computed_goes_to_the_dead_letters() {
    let job = "CREATE STREAM shares (value BIGINT, share BIGINT);
        CREATE JOB j AS INSERT INTO shares SELECT value, 100 / value FROM readings";
    let machine = after(job, &[1, 0, 50, 0, 200]);
    assert_eq!(machine.query("SELECT * FROM shares"), ["1 100", "200 0", "50 2"]);
    let letters = machine.query(LETTERS);
    assert_eq!(letters.len(), 2, "{letters:#?}");
    assert!(letters[0].starts_with("HW4001 job j Project: "), "{letters:#?}");
    assert!(letters[0].contains("ivide by zero") && letters[0].contains(r#""value":0"#), "{letters:#?}");
    let whence = "SELECT stream, record FROM system.dead_letters";
    assert_eq!(machine.query(whence), ["readings 1", "readings 2"]);
}

#[test]
fn whatever_it_is_that_fails() {
    let cases = [
        ("CAST(CASE WHEN value = 0 THEN 'none' ELSE '7' END AS INT)", "none"),
        ("CAST(value * 3000000000 - 3 AS INT)", "2999999997"),
        ("value % (value - 1)", "ivide by zero"),
        (
            "CAST(CASE WHEN value = 0 THEN '2026-02-30 00:00:00' ELSE '2026-02-03 00:00:00' END AS TIMESTAMP(3))",
            "2026-02-30",
        ),
        ("CAST(1 AS DECIMAL(10, 2)) / CAST(value AS DECIMAL(10, 2))", "ivide by zero"),
    ];
    for (expr, reason) in cases {
        let job = format!("CREATE MATERIALIZED VIEW v AS SELECT value, {expr} AS x FROM readings");
        let machine = after(&job, &[0, 1]);
        let letters = reasons(&machine);
        assert!(letters.len() == 1 && letters[0].contains(reason), "{expr}: {letters:?}");
        assert_eq!(machine.rows("v").len(), 1, "{expr}");
    }
}

#[test]
fn what_becomes_of_a_row_does_not_depend_on_the_rows_beside_it() {
    // For a row by itself AND looks no further than its left side.
    let job =
        "CREATE MATERIALIZED VIEW v AS SELECT value FROM readings WHERE value <> 0 AND 100 / value > 10";
    let machine = after(job, &[0, 5, 0, 20, 7, 0]);
    assert_eq!((machine.query("SELECT * FROM v"), reasons(&machine)), (vec!["5".into(), "7".into()], vec![]));
    let job = "CREATE MATERIALIZED VIEW v AS SELECT value FROM readings WHERE 100 / value > 10";
    let machine = after(job, &[0, 5, 0, 20, 7, 0]);
    assert_eq!((machine.query("SELECT * FROM v").len(), reasons(&machine).len()), (2, 3));
}

#[test]
fn it_belongs_to_no_group() {
    let windows = "TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)";
    let queries = [
        format!("SELECT device, SUM(100 / value) AS s, COUNT(*) AS n FROM {windows} GROUP BY device, window_start, window_end"),
        "SELECT device, SUM(100 / value) AS s, COUNT(*) AS n FROM readings GROUP BY device".to_owned(),
        "SELECT device, SUM(100 / value) FILTER (WHERE value < 100) AS s, COUNT(*) AS n FROM readings GROUP BY device".to_owned(),
    ];
    for query in queries {
        let machine = after(&format!("CREATE MATERIALIZED VIEW v AS {query}"), &[1, 0, 50]);
        assert_eq!(machine.query("SELECT * FROM v"), ["a 102 2"], "{query}");
        assert_eq!(reasons(&machine).len(), 1, "{query}");
    }
    // What a FILTER leaves out is not computed.
    let query = "SELECT device, SUM(100 / value) FILTER (WHERE value > 0) AS s, COUNT(*) AS n FROM readings GROUP BY device";
    let machine = after(&format!("CREATE MATERIALIZED VIEW v AS {query}"), &[1, 0, 50]);
    assert_eq!((machine.query("SELECT * FROM v"), reasons(&machine)), (vec!["a 102 3".into()], vec![]));
}

#[test]
fn over_rows_that_change_it_is_taken_back_with_them() {
    let job = "CREATE MATERIALIZED VIEW v AS SELECT device, 100 / (n - 2) AS x FROM (SELECT device, COUNT(*) AS n FROM readings GROUP BY device)";
    let machine = Machine::new(2);
    machine.create_readings(1);
    machine.sql(job);
    for value in 1..5 {
        machine.append(&[("a", value * 1_000, value)]);
        machine.catch_up();
        let expect: &[&str] = [&["a -100"][..], &[], &["a 100"], &["a 50"]][value as usize - 1];
        assert_eq!(machine.query("SELECT * FROM v"), expect, "{value}");
    }
    assert_eq!(reasons(&machine).len(), 1);
}

#[test]
fn a_condition_on_a_pair_or_a_sequence_that_cannot_be_computed_is_not_true() {
    let join = "CREATE MATERIALIZED VIEW v AS SELECT a.value, b.value AS other FROM readings a JOIN readings b \
        ON a.device = b.device AND 10 / (a.value - b.value) > 2";
    let machine = after(join, &[1, 4, 9]);
    assert_eq!((machine.query("SELECT * FROM v"), reasons(&machine)), (vec!["4 1".into()], vec![]));
    let pattern = "CREATE MATERIALIZED VIEW v AS SELECT * FROM readings MATCH_RECOGNIZE (PARTITION BY device ORDER BY ts \
        MEASURES A.value AS value PATTERN (A) DEFINE A AS 100 / A.value > 30)";
    let machine = after(pattern, &[0, 2, 0, 50, 3]);
    assert_eq!(
        (machine.query("SELECT value FROM v"), reasons(&machine)),
        (vec!["2".into(), "3".into()], vec![])
    );
}

#[test]
fn a_row_without_a_value_that_its_target_wants_is_a_dead_letter() {
    let job = "CREATE STREAM evens (device STRING, value BIGINT NOT NULL);
        CREATE JOB j AS INSERT INTO evens SELECT device, CASE WHEN value % 2 = 0 THEN value END FROM readings";
    let machine = after(job, &[1, 2, 3, 4]);
    assert_eq!(machine.query("SELECT value FROM evens"), ["2", "4"]);
    let letters = reasons(&machine);
    assert!(letters.len() == 2 && letters[0].contains("value is NOT NULL"), "{letters:?}");
}

#[test]
fn a_number_that_outgrows_its_type_is_null() {
    let most = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))";
    let exprs = [
        (format!("{most} + value"), ["99999999999999999999999999999999999999", "null"]),
        (format!("-{most} - value"), ["-99999999999999999999999999999999999999", "null"]),
        (
            format!("{most} * CAST(value + 1 AS DECIMAL(38, 0))"),
            ["99999999999999999999999999999999999999", "null"],
        ),
        ("CAST(value * 1000 AS DECIMAL(5, 2))".to_owned(), ["0.00", "null"]),
        ("CAST(value * 1000.5 AS DECIMAL(5, 2))".to_owned(), ["0.00", "null"]),
        (
            "CAST(value AS DECIMAL(38, 18)) * CAST(2.5 AS DECIMAL(38, 18))".to_owned(),
            ["0.000000", "2.500000"],
        ),
    ];
    for (expr, expect) in exprs {
        let query = format!("SELECT {expr} AS x FROM readings");
        let machine = after(&format!("CREATE MATERIALIZED VIEW v AS {query}"), &[0, 1]);
        let said = machine.query("SELECT x FROM v");
        assert_eq!(said, expect, "{expr}");
        assert_eq!(said, machine.query(&query), "{expr}");
        assert!(reasons(&machine).is_empty(), "{expr}");
    }
}

#[test]
fn a_sum_of_decimals_that_outgrows_its_type_is_null_until_it_fits_again_and_one_of_whole_numbers_wraps() {
    let most = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))";
    let sums = [
        format!("SUM({most})"),
        format!("SUM(CASE WHEN value < 3 THEN {most} ELSE -{most} END)"),
        "SUM(9223372036854775807 + 0 * value)".to_owned(),
    ];
    let expect = [
        ["99999999999999999999999999999999999999", "null", "null"],
        ["99999999999999999999999999999999999999", "null", "99999999999999999999999999999999999999"],
        ["9223372036854775807", "-2", "9223372036854775805"],
    ];
    for (sum, expect) in sums.iter().zip(expect) {
        let machine = Machine::new(3);
        machine.create_readings(1);
        machine.sql(&format!(
            "CREATE MATERIALIZED VIEW v AS SELECT device, {sum} AS s FROM readings GROUP BY device"
        ));
        for (value, expect) in (1..4).zip(expect) {
            machine.append(&[("a", value * 1_000, value)]);
            machine.catch_up();
            assert_eq!(machine.query("SELECT s FROM v"), [expect], "{sum}");
        }
    }
    // Into a sink of fewer digits, as in Flink.
    let job = "CREATE STREAM totals (device STRING, total DECIMAL(4, 1));
        CREATE JOB j AS INSERT INTO totals SELECT device, CAST(value AS DECIMAL(10, 2)) FROM readings";
    let machine = after(job, &[12, 1_200]);
    assert_eq!(machine.query("SELECT total FROM totals"), ["12.0", "null"]);
}

#[test]
fn a_column_that_cannot_be_computed_makes_a_dead_letter_of_its_row() {
    let machine = Machine::new(2);
    machine.sql(
        "CREATE STREAM parts (device STRING, whole BIGINT, part BIGINT, share AS whole / part);
         CREATE MATERIALIZED VIEW v AS SELECT device, share FROM parts;
         CREATE MATERIALIZED VIEW wholes AS SELECT device, whole FROM parts",
    );
    let columns = |values: [i64; 3]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let devices = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    machine.append_to("parts", vec![devices, columns([10, 20, 30]), columns([5, 0, 6])]);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM v"), ["a 2", "c 5"]);
    assert_eq!(
        machine.query("SELECT * FROM wholes"),
        ["a 10", "b 20", "c 30"],
        "who does not ask is not concerned"
    );
    let letters = machine.query(LETTERS);
    assert!(letters.len() == 1 && letters[0].starts_with("HW4001 job v Project: "), "{letters:?}");
}

#[test]
fn a_row_whose_time_cannot_be_computed_is_in_no_window() {
    let machine = Machine::new(2);
    machine.sql(
        "CREATE STREAM lines (device STRING, at STRING, ts AS CAST(at AS TIMESTAMP(3)), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
         CREATE MATERIALIZED VIEW v AS SELECT window_end, COUNT(*) AS n FROM
           TUMBLE(TABLE lines, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_start, window_end",
    );
    // Past the gate at which such rows are held back.
    let text = |values: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let times = ["2026-03-01 10:00:01", "soon", "2026-03-01 10:00:02"];
    machine.append_to("lines", vec![text(["a", "b", "c"]), text(times)]);
    machine.finish_streams(&["lines"]);
    assert_eq!(machine.query("SELECT * FROM v"), ["2026-03-01T10:01:00 2"]);
    let letters = machine.query(LETTERS);
    assert!(letters.len() == 1 && letters[0].starts_with("HW4001 job v computed column: "), "{letters:?}");
    assert!(letters[0].contains("soon"), "{letters:?}");
}

#[test]
fn whatever_strikes_each_dead_letter_is_there_once() {
    let life = |seed: u64| {
        let mut machine = Machine::new(seed);
        let random = machine.sim.random("life");
        machine.step_rows_max = 1 + random.index(30);
        machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
        machine.restart(1 + random.index(4));
        machine.use_threads();
        machine.create_readings(1 + (seed % 3) as u32);
        machine.sql(
            "CREATE MATERIALIZED VIEW v AS SELECT device, value, 100 / value AS x FROM readings;
             CREATE MATERIALIZED VIEW sums AS SELECT device, SUM(100 / value) AS x, COUNT(*) AS n FROM readings GROUP BY device",
        );
        let mut time = 0;
        for _ in 0..12 {
            let rows = (0..random.index(9)).map(|_| {
                time += 100;
                (["a", "b", "c"][random.index(3)], time, random.below(4) as i64)
            });
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                machine.append(&rows);
            }
            machine.turns(random.index(30));
            let workers = 1 + random.index(4);
            match random.below(6) {
                0 => machine.kill(workers),
                1 => machine.restart(workers),
                2 => machine.lose_power(workers),
                _ => machine.sim.clock().advance(Duration::from_millis(random.below(3_000))),
            }
        }
        machine.finish();
        let of = |query: &str| machine.query(query);
        let good = "FROM readings WHERE value <> 0";
        assert_eq!(of("SELECT * FROM v"), of(&format!("SELECT device, value, 100 / value {good}")));
        let sums = format!("SELECT device, SUM(100 / value), COUNT(*) {good} GROUP BY device");
        assert_eq!(of("SELECT * FROM sums"), of(&sums));
        let bad = of("SELECT device, COUNT(*) * 2 FROM readings WHERE value = 0 GROUP BY device");
        let letters =
            "SELECT CAST(payload AS STRING) ->> 'device' AS d, COUNT(*) FROM system.dead_letters GROUP BY 1";
        assert_eq!(of(letters), bad);
        assert!(machine.engine().jobs().iter().all(|job| job.state == JobState::Finished));
        machine.engine().close_here().unwrap();
    };
    seeds::each("-p headwater-run whatever_strikes_each_dead_letter_is_there_once", 0..30, |seed, _story| {
        life(seed)
    });
}
