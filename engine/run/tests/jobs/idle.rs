//! Shards that are silent while others are busy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_run::ReplaySpec;

use crate::machine::{Machine, Reading, text_of};

const RESULT: &str = "CREATE MATERIALIZED VIEW result AS SELECT window_end, device, COUNT(*) AS n \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device";

/// A machine with a stream of four shards, which are idle after two seconds.
fn machine(seed: u64, step_rows_max: usize) -> Machine {
    let mut machine = Machine::new(seed);
    machine.step_rows_max = step_rows_max;
    machine.restart(1);
    machine.sql(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
         WITH (shards = 4, 'scan.watermark.idle-timeout' = '2 s', 'clock.guard' = 'none')",
    );
    machine.sql(RESULT);
    machine
}

/// How many steps declared a shard idle that was not, and took rows of another.
fn busy_steps_with_idle_shards(machine: &Machine) -> usize {
    let lines = machine.rows("system.journal.result");
    let mut idle_of: BTreeMap<String, bool> = BTreeMap::new();
    let (mut declaring, mut busy) = (BTreeSet::new(), BTreeSet::new());
    for line in &lines {
        let fields: Vec<&str> = line.split(' ').collect();
        let (step, is_idle) = (fields[0].to_owned(), fields[4] == "true");
        // Now and then a line says of all shards how they are.
        if is_idle && idle_of.insert(fields[2].to_owned(), is_idle) != Some(true) {
            declaring.insert(step);
        } else if !is_idle {
            idle_of.insert(fields[2].to_owned(), is_idle);
            busy.insert(step);
        }
    }
    declaring.intersection(&busy).count()
}

/// Every step finds rows: nothing ever waits, and the silent shards are idle all the same.
#[test]
fn a_silent_shard_falls_idle_beside_one_that_always_has_rows() {
    let machine = machine(1, 8);
    let readings: Vec<Reading> = (0..600).map(|second| ("a", second * 1_000, 1)).collect();
    machine.append(&readings);
    machine.turns(10);
    assert!(machine.rows("result").is_empty(), "three shards have no rows yet, and are awake");
    let shards = "SELECT idle, COUNT(*), COUNT(watermark) FROM system.watermarks WHERE shard IS NOT NULL GROUP BY idle";
    assert_eq!(machine.query(shards), ["false 4 1"]);
    machine.sim.clock().advance(Duration::from_secs(3));
    let mut said = 0;
    while machine.engine().jobs()[0].lag > 0 {
        said = machine.rows("result").len();
        machine.turns(1);
    }
    assert!(said > 40, "{said} windows were closed while there was always more to take");
    assert_eq!(busy_steps_with_idle_shards(&machine), 1);
    assert_eq!(machine.query(shards), ["false 1 1", "true 3 0"]);
    let job = "SELECT j.watermark = s.watermark, j.watermark FROM system.watermarks AS j, system.watermarks AS s \
               WHERE j.shard IS NULL AND NOT s.idle";
    assert_eq!(machine.query(job), ["true 1970-01-01T00:09:57Z"]);
}

/// What a busy step declares is in its line of the journal: done again after kills, and replayed, it is the same.
#[test]
fn what_busy_steps_declare_idle_is_done_again() {
    let mut declared = 0;
    for seed in 0..4 {
        let random = headwater_core::world::sim::SimRandom::new(seed).fork("idle");
        let mut machine = machine(seed, 1 + random.index(24));
        let (mut time, mut appended) = (1_000_000, 0);
        for _ in 0..80 {
            let mut readings: Vec<Reading> = Vec::new();
            for _ in 0..=random.below(20) {
                time += random.below(500) as i64;
                let back = if random.chance(1, 6) { random.below(9_000) as i64 } else { 0 };
                let device = if random.chance(1, 25) { ["b", "c", "d", "e"][random.index(4)] } else { "a" };
                readings.push((device, time - back, 1));
            }
            appended += readings.len();
            machine.append(&readings);
            machine.sim.clock().advance(Duration::from_millis(random.below(700)));
            machine.turns(random.index(4));
            match random.below(14) {
                0 => machine.kill(1 + random.index(4)),
                1 => machine.lose_power(1 + random.index(4)),
                2 => machine.restart(1 + random.index(4)),
                _ => {}
            }
        }
        machine.finish();
        declared += busy_steps_with_idle_shards(&machine);
        let rows = machine.rows("result");
        let counted =
            |row: &String| row.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let late = machine.rows("system.late_rows").len();
        assert_eq!(rows.iter().map(counted).sum::<usize>() + late, appended, "seed {seed}");
        for workers in [1, 3] {
            machine.restart(workers);
            let spec = ReplaySpec { job: "result".into(), ..ReplaySpec::default() };
            let report = machine.engine().replay_here(&spec).unwrap();
            let again: Vec<String> = report.rows.iter().flat_map(text_of).collect();
            assert_eq!(again, rows, "seed {seed}, {workers} workers");
        }
    }
    assert!(declared > 4, "{declared} steps declared a shard idle beside a busy one");
}

/// The shard that is ahead ends last, and is awake then: it does not fall idle again meanwhile.
#[test]
fn a_stream_that_ends_after_all_was_quiet_ends() {
    let machine = machine(1, 100);
    // Nothing in it waits for time, so that time stays where it is while all is quiet.
    machine.sql("CREATE MATERIALIZED VIEW plain AS SELECT value FROM readings");
    machine.append(&[("a", 100_000, 1), ("b", 50_000, 1)]);
    machine.run_for(3);
    machine.finish();
    assert_eq!(machine.rows("plain"), ["1", "1"]);
}
