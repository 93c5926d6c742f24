//! A job without state writes down the steps in which it says nothing now and then, and loses no row by that.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, StringArray};
use headwater_core::ShardId;
use headwater_core::hash::{hash_rows, shard_of};

use crate::machine::Machine;

const WARM: &str = "CREATE STREAM warm (second TIMESTAMP(3), value BIGINT);
    CREATE JOB warming AS INSERT INTO warm SELECT ts, value FROM readings WHERE value >= 100";

fn append(machine: &Machine, second: i64, value: i64) {
    machine.append(&[("a", second * 1_000, value)]);
    machine.catch_up();
}

fn lines(machine: &Machine) -> usize {
    machine.rows("system.journal.warming").len()
}

#[test]
fn steps_that_say_nothing_share_a_line() {
    let machine = Machine::new(1);
    machine.create_readings(1);
    machine.sql(WARM);
    append(&machine, 0, 1);
    assert_eq!(lines(&machine), 1, "where it began is known from its first step on");
    (1..20).for_each(|second| append(&machine, second, 2));
    assert_eq!(lines(&machine), 1);
    append(&machine, 20, 100);
    assert_eq!((lines(&machine), machine.rows("warm").len()), (2, 1), "what it says is there with a line");
    append(&machine, 21, 3);
    machine.run_for(3);
    assert_eq!(lines(&machine), 3, "a line does not wait for long");
    append(&machine, 22, 4);
    machine.sql("PAUSE JOB warming");
    machine.turns(200);
    assert_eq!(lines(&machine), 4, "nor when the job pauses");
    assert_eq!(machine.engine().jobs()[0].rows_in, 23);
}

#[test]
fn many_rows_are_written_down_though_nothing_is_said_of_them() {
    let mut machine = Machine::new(4);
    machine.step_rows_max = 40_000;
    machine.restart(1);
    machine.create_readings(1);
    machine.sql(WARM);
    let rows: Vec<_> = (0..30_000).map(|nth| ("a", nth, 1)).collect();
    for _ in 0..4 {
        machine.append(&rows);
        machine.catch_up();
    }
    assert!((2..=4).contains(&lines(&machine)), "{} lines", lines(&machine));
}

#[test]
fn steps_before_and_after_a_shard_wakes_are_done_again_one_by_one() {
    let mut machine = Machine::new(3);
    machine.checkpoint_interval = Duration::from_secs(100_000);
    machine.restart(1);
    machine.sql(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
         WITH (shards = 2, 'scan.watermark.idle-timeout' = '5 seconds', 'clock.guard' = 'none')",
    );
    machine.sql(WARM);
    let of_shard = |shard: u32| {
        let is_there = |device: &&str| {
            let key: ArrayRef = Arc::new(StringArray::from(vec![*device]));
            shard_of(hash_rows(&[key]).unwrap()[0], 2) == ShardId(shard)
        };
        ["a", "b", "c", "d", "e", "f", "g", "h"].into_iter().find(is_there).unwrap()
    };
    let append = |machine: &Machine, shard, second: i64, value| {
        machine.append(&[(of_shard(shard), second * 1_000, value)]);
        machine.catch_up();
    };
    append(&machine, 0, 0, 1);
    machine.run_for(10);
    let idle = lines(&machine);
    // Time is that of shard 0 alone until shard 1, which has fallen asleep, wakes with a row of long ago.
    append(&machine, 0, 100, 1);
    assert_eq!(lines(&machine), idle);
    append(&machine, 1, 50, 2);
    append(&machine, 1, 51, 3);
    assert_eq!(lines(&machine), idle + 1, "what was before it woke is written down");
    append(&machine, 0, 101, 100);
    append(&machine, 0, 102, 4);
    let watermark = machine.engine().jobs()[0].watermark;
    assert!(watermark.0 >= 98_000_000_000, "{watermark}");
    machine.kill(1);
    machine.catch_up();
    assert_eq!(machine.query("SELECT value FROM warm"), ["100"]);
    let job = &machine.engine().jobs()[0];
    assert_eq!((job.rows_in, job.watermark), (6, watermark));
}

#[test]
fn killed_whenever_every_row_is_passed_on_once() {
    for seed in 0..30_u64 {
        let mut machine = Machine::new(seed);
        machine.create_readings(2);
        machine.sql(WARM);
        let mut state = seed * 7 + 1;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut expected = Vec::new();
        for second in 0..60 {
            let value = if draw(6) == 0 { 100 + draw(50) as i64 } else { draw(100) as i64 };
            machine.append(&[(["a", "b", "c"][draw(3) as usize], second * 1_000, value)]);
            if value >= 100 {
                expected.push(value);
            }
            machine.turns(draw(30) as usize);
            match draw(12) {
                0 => machine.kill(1 + draw(3) as usize),
                1 => machine.lose_power(1),
                2 => machine.restart(2),
                3 => machine.sim.clock().advance(Duration::from_millis(700)),
                _ => {}
            }
        }
        machine.catch_up();
        let mut passed = machine.query("SELECT value FROM warm");
        let mut expected: Vec<String> = expected.iter().map(i64::to_string).collect();
        passed.sort();
        expected.sort();
        assert_eq!(passed, expected, "seed {seed}");
        assert_eq!(machine.engine().jobs()[0].rows_in, 60, "seed {seed}");
    }
}
