//! `CREATE OR REPLACE`: what is kept, what is rebuilt, and that the results have no gap and no repeat, wherever it is struck.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_core::world::{Errno, Fault, Op};
use headwater_plan::Entry;
use headwater_run::JobState;
use headwater_simulation::seeds;

use crate::machine::{Machine, Reading};
use crate::simulation::{DEVICES, SHARDS, Windows, shard_of_device, strike};
use crate::updating::{Queries, append};

const SUMS: &str = "CREATE STREAM sums (window_end TIMESTAMP(3), device STRING, total BIGINT)";

/// A job that adds values up, and gives `more` beside, over the groups that `having` lets through.
fn job(verb: &str, more: &str, having: &str) -> String {
    format!(
        "{verb} JOB summing AS INSERT INTO sums SELECT window_end, device, SUM(value){more} FROM \
         TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device{having}"
    )
}

fn seconds(from: i64, to: i64) -> Vec<Reading> {
    (from..to).map(|second| ("a", second * 1_000, second)).collect()
}

fn sums(machine: &Machine) -> Vec<String> {
    let row = |row: String| row.trim_start_matches("1970-01-01T00:00:").to_owned();
    machine.rows("sums").into_iter().map(row).collect()
}

fn refused(machine: &Machine, sql: &str) -> String {
    machine.engine().define_here(sql).err().unwrap_or_else(|| panic!("done: {sql}")).to_string()
}

/// A machine that has added up 15 seconds, so that a window is open; `sums` has got a column since.
fn in_a_window(seed: u64) -> Machine {
    let machine = Machine::new(seed);
    machine.create_readings(1);
    machine.sql(SUMS);
    machine.sql(&job("CREATE", "", ""));
    machine.append(&seconds(0, 15));
    machine.catch_up();
    machine.sql("ALTER STREAM sums ADD COLUMN more BIGINT");
    machine
}

#[test]
fn a_change_behind_the_state_keeps_it() {
    let machine = in_a_window(1);
    let change = job("CREATE OR REPLACE", ", SUM(value) * 2", " HAVING SUM(value) <> 245");
    let plan = machine.query(&format!("EXPLAIN REPLACE {}", change.trim_start_matches("CREATE OR REPLACE ")));
    assert!(plan.iter().any(|line| line.starts_with("keep     TumbleFinal: ")), "{plan:#?}");
    assert!(plan.contains(&"reread   readings: 0 of 15 rows".to_owned()), "{plan:#?}");
    machine.sql(&change);
    machine.append(&seconds(15, 40));
    machine.finish();
    assert_eq!(sums(&machine), ["10 a 45 null", "20 a 145 290", "40 a 345 690"]);
    let job = &machine.engine().jobs()[0];
    assert_eq!((job.rows_in, job.rows_out), (40, 3), "counters go on");
}

#[test]
fn an_aggregate_more_is_built_from_the_windows_that_are_open() {
    let machine = in_a_window(4);
    machine.append(&seconds(15, 4_000));
    machine.catch_up();
    let change = job("CREATE OR REPLACE", ", COUNT(*)", "");
    let plan = machine.query(&format!("EXPLAIN REPLACE {change}"));
    assert!(plan.iter().any(|line| line.starts_with("rebuild  TumbleFinal: ")), "{plan:#?}");
    machine.sql(&change);
    machine.append(&seconds(4_000, 4_020));
    machine.finish();
    let rows = sums(&machine);
    let of = |window: i64| (window * 10..window * 10 + 10).sum::<i64>();
    assert_eq!(rows.len(), 402);
    let total = |row: &String| row.split(' ').nth(2).unwrap().parse::<i64>().unwrap();
    assert!(rows.iter().map(total).eq((0..402).map(of)), "{rows:?}");
    let (old, new): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.ends_with("null"));
    assert!(new.iter().all(|row| row.ends_with(" 10")) && new.len() == 3 && old.len() == 399, "{new:?}");
}

#[test]
fn of_history_as_much_is_read_as_the_state_reaches() {
    let machine = in_a_window(2);
    // Ten rows at a time, so that the log can leave batches out.
    for second in (20..4_000).step_by(10) {
        machine.append(&seconds(second, second + 10));
    }
    machine.catch_up();
    let reread = |more: &str| -> u64 {
        let plan = machine.query(&format!("EXPLAIN REPLACE {}", job("CREATE", more, "")));
        let line = plan.iter().find_map(|line| line.strip_prefix("reread   readings: ")).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    };
    let rows = reread(", COUNT(*)");
    assert!((10..=40).contains(&rows), "{rows} rows");
    assert_eq!(reread(", SUM(value) + 1"), 0);
}

#[test]
fn what_cannot_be_done_is_refused_and_the_job_goes_on() {
    let machine = in_a_window(7);
    machine.sql("CREATE STREAM others (window_end TIMESTAMP(3), device STRING, total BIGINT)");
    machine.sql("CREATE STREAM more (device STRING, ts TIMESTAMP(3), value BIGINT)");
    machine.sql("CREATE MATERIALIZED VIEW high AS SELECT device, value FROM readings WHERE value > 5");
    machine.catch_up();
    let elsewhere = job("CREATE OR REPLACE", "", "").replace("INTO sums", "INTO others");
    let text = refused(&machine, &elsewhere);
    assert!(text.starts_with("summing cannot be replaced in place: it writes into sums"), "{text}");
    let text = refused(
        &machine,
        "CREATE OR REPLACE JOB summing AS INSERT INTO sums (window_end, device, total) SELECT ts, device, value FROM more",
    );
    assert!(text.contains("reads more, which the one that runs does not"), "{text}");
    let view =
        |what: &str| format!("CREATE OR REPLACE MATERIALIZED VIEW high AS SELECT {what} FROM readings");
    let text = refused(&machine, &view("device"));
    assert!(text.contains("its rows have the columns (device Utf8 NOT NULL, value Int64)"), "{text}");
    let text = refused(&machine, &(view("device, value") + " WHERE value > 7"));
    assert!(text.contains("2 of its rows would have to be taken back"), "{text}");
    // What is only more can be added.
    machine.sql(&(view("device, value") + " WHERE value > 2"));
    assert!(refused(&machine, "CREATE OR REPLACE STREAM sums (a INT)").contains("JOB, FUNCTION, TRIGGER"));
    machine.append(&seconds(15, 20));
    machine.finish_streams(&["readings", "more"]);
    assert_eq!(sums(&machine), ["10 a 45 null", "20 a 145 null"]);
    let query = "SELECT device, value FROM readings WHERE value > 2";
    assert_eq!(machine.query("SELECT * FROM high"), machine.query(query));
}

#[test]
fn a_trigger_that_has_failed_goes_on_with_another_definition() {
    let machine = Machine::new(5);
    machine.create_readings(1);
    machine.define_spin();
    let of =
        |value: &str| format!("TRIGGER t ON readings WHEN spin({value}) % 2 = 0 WITH (start = 'earliest')");
    machine.sql(&format!("CREATE {}", of("value")));
    machine.append(&seconds(1, 3));
    machine.catch_up();
    machine.append(&[("a", 3_000, 7)]);
    machine.turns(200);
    assert_eq!(machine.engine().jobs()[0].state, JobState::Failed);
    machine.append(&seconds(4, 6));
    machine.sql(&format!("CREATE OR REPLACE {}", of("value + CAST(value = 7 AS INT)")));
    machine.finish();
    assert_eq!(machine.query("SELECT value FROM t"), ["2", "4", "7"]);
}

#[test]
fn a_trigger_keeps_what_it_knows_of_its_keys() {
    let machine = Machine::new(6);
    machine.create_readings(1);
    machine.append(&seconds(90, 99));
    machine.sql("CREATE TRIGGER t ON readings WHEN value > 100 UNTIL value < 50");
    machine.append(&seconds(99, 110));
    machine.catch_up();
    assert_eq!(machine.rows("t").len(), 1);
    // The same condition, done otherwise: the key stays as it is, and does not fire again.
    machine.sql("CREATE STREAM copies (device STRING, value BIGINT)");
    let action = "EXECUTE INSERT INTO copies (device, value) VALUES (device, value)";
    machine
        .sql(&format!("CREATE OR REPLACE TRIGGER t ON readings WHEN value > 100 UNTIL value < 50 {action}"));
    machine.append(&seconds(110, 115));
    machine.catch_up();
    assert_eq!((machine.rows("t").len(), machine.rows("copies").len()), (1, 0));
    // Another condition, over the rows since the trigger's beginning: it would have fired at 106, silently.
    let other = format!("CREATE OR REPLACE TRIGGER t ON readings WHEN value > 105 UNTIL value < 60 {action}");
    let plan = machine.query(&format!("EXPLAIN REPLACE {other}"));
    assert!(plan.contains(&"reread   readings: 16 of 25 rows".to_owned()), "{plan:#?}");
    machine.sql(&other);
    machine.append(&[("a", 200_000, 120), ("a", 201_000, 55), ("a", 202_000, 121)]);
    machine.catch_up();
    assert_eq!(machine.rows("t").len(), 2);
    assert_eq!(machine.rows("copies"), ["a 121"]);
}

#[test]
fn a_stream_that_gets_a_column_does_not_stop_who_writes_into_it() {
    let mut machine = in_a_window(8);
    machine.append(&seconds(15, 25));
    machine.catch_up();
    machine.lose_power(2);
    machine.append(&seconds(25, 40));
    machine.finish();
    assert_eq!(sums(&machine), ["10 a 45 null", "20 a 145 null", "30 a 245 null", "40 a 345 null"]);
}

/// The disk fails for good at each operation of a replacement in turn, and the power goes.
#[test]
fn a_crash_leaves_the_old_definition_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    for nth in 0.. {
        let mut machine = in_a_window(9);
        let faults = machine.sim.disk().faults();
        let before = faults.struck();
        faults.add(Fault::new(Op::CHANGES, Errno::Io).nth(nth).for_good());
        let done = machine.engine().define_here(&job("CREATE OR REPLACE", ", COUNT(*)", ""));
        machine.turns(30);
        let struck = machine.sim.disk().faults().struck() > before;
        machine.sim.disk().faults().clear();
        machine.lose_power(2);
        let catalog = machine.engine().catalog();
        let Some(Entry::Job(definition)) = catalog.get("summing") else { panic!("operation {nth}: no job") };
        let is_new = definition.query.text.contains("COUNT");
        assert!(is_new || done.is_err(), "operation {nth}: what was acknowledged is gone");
        machine.append(&seconds(15, 40));
        machine.finish();
        let more = if is_new { "10" } else { "null" };
        let rest = [(20, 145), (30, 245), (40, 345)].map(|(end, total)| format!("{end} a {total} {more}"));
        assert_eq!(sums(&machine), [&["10 a 45 null".to_owned()][..], &rest[..]].concat(), "operation {nth}");
        if is_new {
            new += 1
        } else {
            old += 1
        }
        if !struck {
            break;
        }
    }
    assert!(old > 3 && new > 0, "{old} times the old one, {new} times the new");
}

/// The checkpoint of a switch is lost: the new definition does the whole journal again, former eras included.
#[test]
fn without_its_checkpoint_a_definition_is_built_from_the_journal() {
    let mut machine = in_a_window(10);
    machine.append(&seconds(15, 25));
    machine.catch_up();
    machine.sql(&job("CREATE OR REPLACE", ", COUNT(*)", ""));
    machine.append(&seconds(25, 34));
    machine.catch_up();
    machine.sql(&job("CREATE OR REPLACE", ", MAX(value)", ""));
    machine.engine().close_here().unwrap();
    let image = machine.sim.disk().image();
    let checkpoints: Vec<_> =
        image.files.keys().filter(|path| path.to_string_lossy().contains("/ck-")).cloned().collect();
    assert!(!checkpoints.is_empty());
    for path in checkpoints {
        machine.sim.disk().corrupt(&path, 40, 0x10).unwrap();
    }
    machine.kill(3);
    machine.append(&seconds(34, 50));
    machine.finish();
    assert_eq!(
        sums(&machine),
        ["10 a 45 null", "20 a 145 null", "30 a 245 10", "40 a 345 39", "50 a 445 49"]
    );
}

/// Definitions of the same windows, each with a number: the state fits from 0 to 1, and not to 2 or 3.
fn definition(windows: Windows, nth: u64) -> String {
    let (low, having) = match nth {
        2 => ("CAST(NULL AS BIGINT)", ""),
        3 => ("MIN(value)", " HAVING MAX(value) IS NOT NULL"),
        _ => ("MIN(value)", ""),
    };
    format!(
        "JOB j AS INSERT INTO result SELECT device, window_end, COUNT(*), SUM(value), {low}, {nth} FROM {} \
         GROUP BY window_start, window_end, device{having}",
        windows.table()
    )
}

fn life(seed: u64) {
    let mut machine = Machine::new(seed);
    let random = machine.sim.random("life");
    let windows = Windows::any(&random);
    machine.step_rows_max = 1 + random.index(60);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(3_000));
    machine.restart(1 + random.index(4));
    machine.create_readings(SHARDS);
    machine.sql("CREATE STREAM result (device STRING, window_end TIMESTAMP(3), n BIGINT, total BIGINT, low BIGINT, nth BIGINT)");
    machine.sql(&format!("CREATE {}", definition(windows, 0)));
    // From which row on which definition speaks.
    let mut speaks = vec![(0, 0)];
    let mut shards: BTreeMap<u32, Vec<Reading>> = BTreeMap::new();
    let mut time = 5_000;
    for _ in 0..25 {
        let mut readings = Vec::new();
        for _ in 0..random.below(12) {
            time += random.below(900) as i64;
            let back = if random.chance(1, 4) { random.below(9_000) as i64 } else { 0 };
            let device = DEVICES[random.index(DEVICES.len())];
            readings.push((device, (time - back).max(0), random.below(1_000) as i64 - 500));
        }
        machine.append(&readings);
        readings.iter().for_each(|row| shards.entry(shard_of_device(row.0)).or_default().push(*row));
        machine.turns(random.index(40));
        strike(&mut machine, &random);
        if random.chance(1, 5) {
            let nth = random.below(4);
            machine.sql(&format!("CREATE OR REPLACE {}", definition(windows, nth)));
            speaks.push((machine.rows("result").len(), nth));
        }
    }
    machine.finish();
    let found = machine.rows("result");
    for (nth, row) in found.iter().enumerate() {
        let (_, speaker) = speaks.iter().rev().find(|(from, _)| *from <= nth).unwrap();
        assert!(
            row.ends_with(&format!(" {speaker}")),
            "row {nth}, {row}, is not of definition {speaker}: {speaks:?}"
        );
    }
    let without_number = |row: &String| row.rsplit_once(' ').unwrap().0.to_owned();
    let mut found: Vec<String> = found.iter().map(without_number).collect();
    let (mut expected, late) = windows.over(&shards);
    let low_unknown = |row: &String| row.rsplit_once(' ').unwrap().0.to_owned();
    if speaks.iter().any(|(_, nth)| *nth == 2) {
        found = found.iter().map(low_unknown).collect();
        expected = expected.iter().map(low_unknown).collect();
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{speaks:?}");
    assert_eq!(machine.rows("system.late_rows").len() as u64, late);
    machine.engine().close_here().unwrap();
}

#[test]
fn every_window_is_said_once_by_the_definition_of_its_time() {
    seeds::each(
        "-p headwater-run every_window_is_said_once_by_the_definition_of_its_time",
        0..40,
        |seed, _story| life(seed),
    );
}

/// A view whose query becomes another one made up at random: it holds what the batch gives, at once and later on.
fn life_of_a_view(seed: u64, replaced: &AtomicU64) {
    let mut machine = Machine::new(seed);
    let random = machine.sim.random("life");
    machine.step_rows_max = 1 + random.index(30);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
    machine.restart(1 + random.index(4));
    for stream in ["a", "b"] {
        machine.sql(&format!(
            "CREATE STREAM {stream} (k STRING, v BIGINT, w BIGINT, ts TIMESTAMP(3)) PARTITIONED BY (k) WITH (shards = 2)"
        ));
    }
    // Both streams are read from the first definition on, and rows change.
    let mut query =
        "SELECT DISTINCT k, v, w FROM (SELECT k, v, w FROM a UNION ALL SELECT k, w, v FROM b) AS q"
            .to_owned();
    query = format!("SELECT k, SUM(v) AS v, MAX(w) AS w FROM ({query}) AS q GROUP BY k");
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 0;
    for round in 0..9 {
        append(&machine, &random, &mut time);
        machine.turns(random.index(40));
        strike(&mut machine, &random);
        if round % 2 == 1 {
            let other = format!("SELECT k, v, w FROM ({}) AS q", Queries(&random).any(1 + seed as u32 % 3));
            match machine
                .engine()
                .define_here(&format!("CREATE OR REPLACE MATERIALIZED VIEW result AS {other}"))
            {
                Ok(()) => {
                    query = other;
                    replaced.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let error = error.to_string();
                    let known = ["has the columns", "have the columns", "which the one that runs does not"];
                    assert!(known.iter().any(|known| error.contains(known)), "{error}\n{other}");
                }
            }
        }
        machine.catch_up();
        let (found, expected) = (machine.query("SELECT * FROM result"), machine.query(&query));
        assert_eq!(found, expected, "round {round}: {query}");
    }
    machine.engine().close_here().unwrap();
}

#[test]
fn a_view_that_becomes_another_holds_what_the_batch_gives() {
    let replaced = AtomicU64::new(0);
    seeds::each(
        "-p headwater-run a_view_that_becomes_another_holds_what_the_batch_gives",
        0..20,
        |seed, _story| life_of_a_view(seed, &replaced),
    );
    assert!(replaced.into_inner() > 10 || !seeds::are_usual());
}
