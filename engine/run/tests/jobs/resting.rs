//! What the system tables say of jobs in a directory that is only looked at.

use std::time::Duration;

use crate::machine::{Machine, Reading};

const JOBS: &str = "CREATE STREAM sums (window_end TIMESTAMP(3), device STRING, total BIGINT);
    CREATE JOB summing AS INSERT INTO sums SELECT window_end, device, SUM(value) \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device;
    CREATE MATERIALIZED VIEW newest AS SELECT device, COUNT(*) AS n FROM readings GROUP BY device;
    CREATE TRIGGER high ON readings WHEN gt(value, 20);
    CREATE TRIGGER highest ON readings WHEN gt(value, 35);
    CREATE TRIGGER again ON readings WHEN gt(value, 30) WITH ('start' = 'earliest')";

/// How far jobs are, their names aside.
const PLACES: &str = "SELECT name, target, lag, watermark, steps FROM system.jobs";
/// What they have counted.
const COUNTS: &str = "SELECT name, rows_in, rows_out, rows_late, progress FROM system.jobs";

fn seconds(range: std::ops::Range<i64>) -> Vec<Reading> {
    range.map(|second| (if second % 2 == 0 { "a" } else { "b" }, second * 1_000, second)).collect()
}

/// A machine whose jobs have taken rows in several steps, some of them too late, and under two definitions.
fn machine(checkpoint_interval: Duration) -> Machine {
    let mut machine = Machine::new(5);
    machine.checkpoint_interval = checkpoint_interval;
    machine.restart(1);
    machine.create_readings(2);
    machine.sql(JOBS);
    for part in 0..4 {
        machine.append(&seconds(part * 10..part * 10 + 10));
        machine.run_for(2);
    }
    machine.append(&seconds(3..5));
    machine.catch_up();
    machine
}

#[test]
fn jobs_at_rest_are_shown_as_they_were_when_they_stopped() {
    let mut machine = machine(Duration::from_secs(1));
    machine.sql("CREATE OR REPLACE MATERIALIZED VIEW newest AS SELECT device, COUNT(*) AS n FROM readings WHERE value > 0 GROUP BY device");
    machine.append(&seconds(40..50));
    machine.catch_up();
    machine.sql("PAUSE JOB summing");
    machine.turns(200);
    let before = (machine.query(PLACES), machine.query(COUNTS));
    assert!(before.1.contains(&"summing 52 8 2 1.0".to_owned()), "{before:?}");
    let watermarks = machine.query("SELECT * FROM system.watermarks");
    machine.stop_and_look();
    assert_eq!((machine.query(PLACES), machine.query(COUNTS)), before);
    assert_eq!(machine.query("SELECT * FROM system.watermarks"), watermarks);
    let states = "SELECT DISTINCT state, name = 'summing' FROM system.jobs";
    assert_eq!(machine.query(states), ["at rest false", "paused true"]);
    let checkpoints = "SELECT DISTINCT c.newest_step = j.steps, c.steps_since, c.taken, c.micros_sum \
                       FROM system.checkpoints AS c JOIN system.jobs AS j ON j.name = c.job";
    assert_eq!(machine.query(checkpoints), ["true 0 null null"]);
    // What only a process has nobody knows.
    let known = "SELECT COUNT(*), COUNT(workers), COUNT(state_entries), COUNT(state_bytes), COUNT(state_spilled_bytes), COUNT(error) \
                 FROM system.jobs";
    assert_eq!(machine.query(known), ["5 0 0 0 0 0"]);
    assert_eq!(
        machine.query("SELECT name, rows_in, keys FROM system.triggers WHERE name = 'high'"),
        ["high 52 null"]
    );
    // Rows that come meanwhile wait for all of them.
    machine.append(&seconds(50..53));
    assert_eq!(machine.query("SELECT DISTINCT lag FROM system.jobs"), ["3"]);
    machine.restart(2);
    machine.catch_up();
    let counted = "SELECT rows_in FROM system.jobs WHERE name = 'newest'";
    assert_eq!(machine.query(counted), ["55"]);
}

#[test]
fn of_jobs_that_were_killed_nobody_says_more_than_is_known() {
    let mut machine = machine(Duration::from_secs(3_600));
    let before = (machine.query(PLACES), machine.query(COUNTS));
    machine.kill_and_look();
    assert_eq!(machine.query(PLACES), before.0);
    // Without a checkpoint nothing says where the shards' clocks are.
    let shards = "SELECT job, COUNT(*), COUNT(watermark), COUNT(idle) FROM system.watermarks WHERE shard IS NOT NULL GROUP BY job";
    let of_two_shards = |job: &str| format!("{job} 2 0 2");
    assert_eq!(machine.query(shards), ["again", "high", "highest", "newest", "summing"].map(of_two_shards));
    // The rows of steps that are in the journal alone have to be counted again, but those that a trigger of a set has judged.
    let unknown = "SELECT name, rows_in, rows_late, progress IS NULL FROM system.jobs WHERE name <> 'high' AND name <> 'highest'";
    assert_eq!(
        machine.query(unknown),
        ["again null null true", "newest null null true", "summing null null true"]
    );
    let triggers = "SELECT name, rows_in, rows_out FROM system.jobs WHERE name LIKE 'high%'";
    assert_eq!(machine.query(triggers), ["high 42 2", "highest 42 2"]);
    assert_eq!(
        machine.query("SELECT COUNT(newest_step), MIN(steps_since) > 3 FROM system.checkpoints"),
        ["0 true"]
    );
    machine.kill(1);
    machine.catch_up();
    assert_eq!((machine.query(PLACES), machine.query(COUNTS)), before);
}

#[test]
fn checkpoints_that_cannot_be_read_are_told() {
    let mut machine = machine(Duration::from_secs(1));
    machine.engine().close_here().unwrap();
    let image = machine.sim.disk().image();
    let of_job = |path: &&std::path::PathBuf| path.to_string_lossy().contains("checkpoints/summing/ck-");
    let all: Vec<_> = image.files.keys().filter(of_job).cloned().collect();
    assert!(!all.is_empty());
    all.iter().for_each(|path| machine.sim.disk().corrupt(path, 40, 0x10).unwrap());
    machine.kill_and_look();
    // As if there were none: the journal says how far it is.
    let shown = "SELECT lag, steps > 3, rows_in, error FROM system.jobs WHERE name = 'summing'";
    assert_eq!(machine.query(shown), ["0 true null null"]);
}
