//! Triggers from their statement to their firings: on which rows, over restarts, replayed, and inserted elsewhere.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use headwater_core::EventTime;
use headwater_core::hash::{hash_rows, shard_of};
use headwater_core::world::sim::SimRandom;
use headwater_run::ReplaySpec;

use crate::machine::{Machine, Reading, text_of};

const DEVICES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn reading(device: &'static str, seconds: i64, value: i64) -> Reading {
    (device, 1_000_000_000_000 + seconds * 1_000, value)
}

/// When, cause, since, device, value of each firing; times in seconds.
fn firings(machine: &Machine, trigger: &str) -> Vec<String> {
    let seconds = |text: &str| {
        let time = text.trim_start_matches("2001-09-09T0").trim_end_matches('Z');
        let mut parts = time.split(':').map(|part| part.parse::<f64>().unwrap());
        let (hours, minutes, seconds) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        hours * 3_600.0 + minutes * 60.0 + seconds - 6_400.0
    };
    let row = |text: String| {
        let words: Vec<&str> = text.split(' ').collect();
        format!("{} {} {} {} {}", seconds(words[0]), words[1], seconds(words[2]), words[3], words[5])
    };
    machine.rows(trigger).into_iter().map(row).collect()
}

/// Creates the stream and a trigger, appends the readings one by one, and compares what fired.
fn check(trigger: &str, readings: &[Reading], expect: &[&str]) {
    let machine = Machine::new(7);
    machine.create_readings(2);
    machine.sql(&format!("CREATE TRIGGER t ON readings WHEN {trigger}"));
    for reading in readings {
        machine.append(&[*reading]);
        machine.catch_up();
    }
    // Another device's rows let time go on.
    for shard in 0..20 {
        let device = ["u", "v", "w", "x", "y", "z"][shard % 6];
        machine.append(&[reading(device, 1_000, 0)]);
    }
    machine.catch_up();
    let mut fired = firings(&machine, "t");
    fired.retain(|line| !["u", "v", "w", "x", "y", "z"].contains(&line.split(' ').nth(3).unwrap()));
    assert_eq!(fired, expect, "{trigger}");
}

#[test]
fn a_condition_fires_on_every_row_and_a_crossing_once() {
    let rows = [reading("a", 0, 31), reading("a", 10, 35), reading("a", 20, 30), reading("a", 30, 31)];
    check("value > 30", &rows, &["0 row 0 a 31", "10 row 10 a 35", "30 row 30 a 31"]);
    check("gt(value, 30)", &rows, &["0 row 0 a 31", "30 row 30 a 31"]);
    check("gte(value, 31)", &rows, &["0 row 0 a 31", "30 row 30 a 31"]);
    check("lt(value, 31)", &rows, &["20 row 20 a 30"]);
    check("lte(value, 31)", &rows, &["0 row 0 a 31", "20 row 20 a 30"]);
    check("eq(value, 31)", &rows, &["0 row 0 a 31", "30 row 30 a 31"]);
    check("change(value)", &rows, &["10 row 10 a 35", "20 row 20 a 30", "30 row 30 a 31"]);
    check("value > prev(value) + 3", &rows, &["10 row 10 a 35"]);
    check("value < ago(value, INTERVAL '15' SECOND)", &rows, &["20 row 20 a 30", "30 row 30 a 31"]);
    check("value > 30 UNTIL value <= 30", &rows, &["0 row 0 a 31", "30 row 30 a 31"]);
    check(
        "value > 30 REARM AFTER INTERVAL '10' SECOND",
        &rows,
        &["0 row 0 a 31", "10 row 10 a 35", "30 row 30 a 31"],
    );
}

#[test]
fn time_fires_by_itself() {
    let rows = [reading("a", 0, 31), reading("a", 10, 35), reading("a", 100, 30), reading("a", 110, 31)];
    check("value > 30 FOR INTERVAL '15' SECOND", &rows, &["15 held 0 a 35", "125 held 110 a 31"]);
    check("gt(value, 30) FOR 15 SECONDS", &rows, &["15 held 0 a 35", "125 held 110 a 31"]);
    check("frozen(INTERVAL '30' SECOND)", &rows, &["40 silence 10 a 35", "140 silence 110 a 31"]);
    check("frozen(value, '30 seconds')", &rows, &["40 silence 10 a 35", "140 silence 110 a 31"]);
    check("live(INTERVAL '30' SECOND)", &rows, &["100 row 100 a 30"]);
    check("live(value, INTERVAL '30' SECOND)", &rows, &["100 row 100 a 30"]);
}

#[test]
fn what_time_has_come_to_fires_though_the_input_ends_with_the_same_rows() {
    let machine = Machine::new(6);
    machine.create_readings(1);
    machine.sql("CREATE TRIGGER t ON readings WHEN frozen(INTERVAL '30' SECOND)");
    // No step is taken in between.
    machine.append(&[reading("a", 0, 31), reading("b", 100, 31)]);
    machine.finish();
    assert_eq!(firings(&machine, "t"), ["30 silence 0 a 31"]);
}

/// Two shards end, and the clock of one is ahead of the other's: time comes to what it says, in whichever step its rows were taken, and no
/// further.
#[test]
fn what_fires_before_the_end_does_not_depend_on_where_steps_were_cut() {
    let shard = |device: &'static str| {
        let key: ArrayRef = Arc::new(StringArray::from(vec![device]));
        shard_of(hash_rows(&[key]).unwrap()[0], 2)
    };
    let (slow, fast) = ("a", DEVICES.into_iter().find(|device| shard(device) != shard("a")).unwrap());
    let (behind, ahead) = (reading(slow, 40, 31), reading(fast, 100, 31));
    for parts in [&[&[behind, ahead][..]][..], &[&[behind], &[ahead]], &[&[ahead], &[behind]]] {
        let machine = Machine::new(6);
        machine.create_readings(2);
        machine.sql("CREATE TRIGGER t ON readings WHEN frozen(INTERVAL '30' SECOND)");
        for part in parts {
            // The rows before are taken in a step of their own, those of the last part in one with the news of the end.
            machine.catch_up();
            machine.append(part);
        }
        machine.finish();
        assert_eq!(firings(&machine, "t"), ["70 silence 40 a 31"], "{parts:?}");
        let spec = ReplaySpec { job: "t".into(), diff: true, ..ReplaySpec::default() };
        let report = machine.engine().replay_here(&spec).unwrap();
        assert_eq!((report.in_both, report.only_before.len(), report.only_now.len()), (1, 0, 0));
        // What it would have said of a stretch is not by the journal: the inputs are ended anew.
        let spec = ReplaySpec { from: Some(EventTime(0)), diff: false, ..spec };
        let report = machine.engine().replay_here(&spec).unwrap();
        assert_eq!(report.rows.iter().map(|rows| rows.num_rows()).sum::<usize>(), 1);
    }
}

#[test]
fn keys_are_judged_by_themselves_and_all_rows_together_if_asked() {
    let rows = [reading("a", 0, 31), reading("b", 1, 31), reading("a", 2, 32), reading("b", 3, 29)];
    check("gt(value, 30)", &rows, &["0 row 0 a 31", "1 row 1 b 31"]);
    let machine = Machine::new(7);
    machine.create_readings(1);
    machine.sql("CREATE TRIGGER t ON readings PARTITION BY () WHEN gt(value, 30)");
    machine.append(&rows);
    machine.catch_up();
    assert_eq!(firings(&machine, "t"), ["0 row 0 a 31"]);
}

#[test]
fn a_trigger_begins_with_the_rows_that_come_after_it_unless_told_otherwise() {
    let mut machine = Machine::new(3);
    machine.create_readings(2);
    machine.append(&[reading("a", 0, 40), reading("b", 0, 41)]);
    machine.sql("CREATE TRIGGER new ON readings WHEN value > 30");
    machine.sql("CREATE TRIGGER old ON readings WHEN value > 30 WITH (start = 'earliest')");
    // Without a checkpoint, and with rows that came while nobody looked.
    machine.append(&[reading("a", 1, 42)]);
    machine.kill(2);
    machine.append(&[reading("b", 1, 43)]);
    machine.catch_up();
    assert_eq!(firings(&machine, "new"), ["1 row 1 a 42", "1 row 1 b 43"]);
    assert_eq!(firings(&machine, "old").len(), 4);
    let spec = ReplaySpec { job: "new".into(), diff: true, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    assert_eq!((report.in_both, report.only_before.len(), report.only_now.len()), (2, 0, 0));
}

#[test]
fn firings_go_into_another_stream_with_the_step_that_made_them() {
    let machine = Machine::new(5);
    machine.create_readings(1);
    machine.sql("CREATE STREAM alerts (device STRING, text STRING NOT NULL, value DOUBLE)");
    machine.sql(
        "CREATE TRIGGER t ON readings WHEN gt(value, 30) \
         EXECUTE INSERT INTO alerts VALUES (device, 'too hot: ' || CAST(value AS STRING), value)",
    );
    machine.sql("CREATE STREAM by_name (cause STRING, value BIGINT, other STRING)");
    machine.sql("CREATE TRIGGER n ON readings WHEN gt(value, 30) EXECUTE INSERT INTO by_name");
    machine.append(&[reading("a", 0, 31), reading("a", 1, 30)]);
    machine.catch_up();
    assert_eq!(machine.rows("alerts"), ["a too hot: 31 31.0"]);
    assert_eq!(machine.rows("by_name"), ["row 31 null"]);
}

#[test]
fn a_test_is_marked_and_a_pause_loses_nothing() {
    let mut machine = Machine::new(5);
    machine.create_readings(1);
    machine.sql("CREATE TRIGGER t ON readings WHEN value > 30");
    machine.append(&[reading("a", 0, 20)]);
    machine.sql("TEST TRIGGER t");
    let rows = machine.rows("t");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].contains(" test ") && rows[0].contains(" a "), "{rows:?}");
    let fired = |machine: &Machine| machine.query("SELECT firings FROM system.triggers");
    assert_eq!(fired(&machine), ["0"], "a test is no firing");
    machine.sql("PAUSE TRIGGER t");
    machine.append(&[reading("a", 1, 31)]);
    machine.catch_up();
    assert_eq!(machine.rows("t").len(), 1);
    machine.sql("RESUME TRIGGER t");
    machine.catch_up();
    assert_eq!(machine.rows("t").len(), 2);
    machine.kill(1);
    machine.catch_up();
    assert_eq!(fired(&machine), ["1"], "neither as one of a set nor alone, nor after a crash");
    machine.sql("DROP TRIGGER t");
    assert!(machine.log().stream_named("t").is_err());
    assert!(machine.engine().define_here("PAUSE TRIGGER t").is_err());
}

#[test]
fn a_test_is_of_the_row_that_came_last_in_whatever_shard() {
    let machine = Machine::new(5);
    machine.create_readings(3);
    machine.sql("CREATE TRIGGER t ON readings WHEN value > 30");
    for (nth, device) in (0..).zip(["a", "b", "c", "d", "e", "f", "a"]) {
        machine.run_for(1);
        machine.append(&[reading(device, 100 - nth, nth)]);
        machine.catch_up();
        machine.sql("TEST TRIGGER t");
        let tested = machine.query("SELECT device, value FROM t WHERE cause = 'test'");
        assert_eq!(tested.len(), nth as usize + 1);
        assert!(tested.contains(&format!("{device} {nth}")), "{tested:?}");
    }
}

/// Killed at any moment, at any number of workers, with what waits for time in the state: the same firings; and a replay gives
/// them again.
#[test]
fn firings_are_the_same_whatever_happens_to_the_machine() {
    let triggers = [
        "value > 60 FOR INTERVAL '3' SECOND UNTIL value < 30",
        "frozen(INTERVAL '4' SECOND)",
        "value > ago(value, INTERVAL '2' SECOND) + 40 REARM AFTER INTERVAL '5' SECOND",
        "gt(value, 70)",
    ];
    for seed in 0..4 {
        let random = SimRandom::new(seed).fork("readings");
        let mut seconds = 0;
        let readings: Vec<Reading> = (0..250)
            .map(|_| {
                seconds += random.below(2) as i64;
                reading(DEVICES[random.index(DEVICES.len())], seconds, random.below(100) as i64)
            })
            .collect();
        let live = |kills: bool, workers: usize| {
            let mut machine = Machine::new(seed * 10 + workers as u64);
            machine.restart(workers);
            machine.create_readings(3);
            for (nth, when) in triggers.iter().enumerate() {
                machine.sql(&format!("CREATE TRIGGER t{nth} ON readings WHEN {when}"));
            }
            let random = machine.sim.random("test");
            for chunk in readings.chunks(9) {
                machine.append(chunk);
                machine.turns(random.index(9));
                if kills && random.chance(1, 5) {
                    let workers = 1 + random.index(4);
                    if random.chance(1, 2) { machine.kill(workers) } else { machine.lose_power(workers) }
                }
            }
            machine.finish();
            machine
        };
        let calm = live(false, 1);
        for workers in [1, 3] {
            let machine = live(true, workers);
            for nth in 0..triggers.len() {
                let name = format!("t{nth}");
                let (mut expect, mut rows) = (calm.rows(&name), machine.rows(&name));
                let spec = ReplaySpec { job: name.clone(), ..ReplaySpec::default() };
                let report = machine.engine().replay_here(&spec).unwrap();
                let again: Vec<String> = report.rows.iter().flat_map(text_of).collect();
                assert_eq!(again, rows, "seed {seed}, {name}");
                assert!(expect.len() > 3, "{name} says something: {expect:?}");
                // Devices may fire in another order, where steps were cut elsewhere.
                expect.sort();
                rows.sort();
                assert_eq!(rows, expect, "seed {seed}, {workers} workers, {name}");
            }
        }
    }
}
