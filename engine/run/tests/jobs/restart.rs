//! Stop, restart, restore.

use std::time::Duration;

use headwater_core::EventTime;
use headwater_core::world::Open;
use headwater_run::JobStatus;

use crate::machine::{Machine, Reading};

const SUMS: &str = "CREATE STREAM sums (window_end TIMESTAMP(3), device STRING, total BIGINT);
    CREATE JOB summing AS INSERT INTO sums SELECT window_end, device, SUM(value) \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device";

fn second_by_second(from: i64, to: i64) -> Vec<Reading> {
    (from..to).map(|second| ("a", second * 1_000, second)).collect()
}

#[test]
fn a_stop_in_the_middle_of_a_window_loses_nothing() {
    let mut machine = Machine::new(1);
    machine.create_readings(2);
    machine.sql(SUMS);
    machine.append(&second_by_second(0, 15));
    machine.catch_up();
    machine.restart(3);
    machine.append(&second_by_second(15, 40));
    machine.finish();
    let sums: Vec<i64> = (0..4).map(|window| (window * 10..window * 10 + 10).sum()).collect();
    let expect: Vec<String> =
        sums.iter().enumerate().map(|(nth, sum)| format!("1970-01-01T00:00:{}0 a {sum}", nth + 1)).collect();
    assert_eq!(machine.rows("sums"), expect);
    let job = &machine.engine().jobs()[0];
    assert_eq!((job.rows_in, job.rows_out), (40, 4), "counters go on over a restart");
}

#[test]
fn what_is_defined_is_there_after_a_loss_of_power() {
    let mut machine = Machine::new(2);
    machine.create_readings(2);
    machine.sql(SUMS);
    machine.sql("CREATE VIEW big AS SELECT * FROM sums WHERE total > 10; PAUSE JOB summing");
    machine.lose_power(1);
    let catalog = machine.engine().catalog();
    assert_eq!(catalog.names().collect::<Vec<_>>(), ["big", "readings", "summing", "sums"]);
    machine.turns(50);
    assert_eq!(machine.engine().jobs()[0].state.as_str(), "paused");
    machine.append(&second_by_second(0, 40));
    machine.turns(200);
    assert!(machine.rows("sums").is_empty());
    machine.sql("RESUME JOB summing");
    machine.catch_up();
    assert!(!machine.rows("sums").is_empty() || machine.engine().jobs()[0].rows_in == 40);
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let mut machine = Machine::new(3);
    machine.create_readings(1);
    machine.sql(SUMS);
    for part in 0..6 {
        machine.append(&second_by_second(part * 7, part * 7 + 7));
        machine.catch_up();
        machine.restart(1);
    }
    machine.engine().close_here().unwrap();
    let image = machine.sim.disk().image();
    let newest =
        image.files.keys().filter(|path| path.to_string_lossy().contains("/ck-")).max().unwrap().to_owned();
    machine.sim.disk().corrupt(&newest, 40, 0x10).unwrap();
    machine.kill(2);
    machine.append(&second_by_second(42, 60));
    machine.finish();
    let totals: Vec<String> = machine.rows("sums");
    assert_eq!(totals.len(), 6, "{totals:?}");
    assert!(totals[4].ends_with(&(40..50).sum::<i64>().to_string()), "{totals:?}");
}

#[test]
fn dropping_a_job_forgets_its_state() {
    let machine = Machine::new(4);
    machine.create_readings(1);
    machine.sql(SUMS);
    machine.append(&second_by_second(0, 15));
    machine.catch_up();
    assert_eq!(machine.rows("sums").len(), 1);
    machine.sql("DROP JOB summing");
    assert!(machine.engine().jobs().is_empty());
    machine.sql(SUMS.split_once(';').unwrap().1);
    machine.catch_up();
    assert_eq!(machine.rows("sums").len(), 2, "a new job of the same name reads from the beginning");
}

#[test]
fn a_job_does_not_go_on_from_what_a_crash_left_of_one_that_was_dropped() {
    let mut machine = Machine::new(4);
    machine.create_readings(1);
    machine.sql(SUMS);
    machine.append(&second_by_second(0, 25));
    machine.catch_up();
    machine.restart(1);
    let of_the_job = |path: &std::path::Path| path.to_string_lossy().contains("/checkpoints/summing/");
    let mut left = machine.sim.disk().image().files;
    left.retain(|path, _| of_the_job(path));
    assert!(!left.is_empty());
    machine.sql("DROP JOB summing");
    // As if there had been no time to remove its checkpoints.
    let disk = machine.sim.world().disk;
    for (path, bytes) in &left {
        let file = disk.open(path, Open::Create).unwrap();
        file.write_all_at(&mut [std::io::IoSlice::new(bytes)], 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir(path.parent().unwrap()).unwrap();
    }
    machine.lose_power(1);
    machine.sql(SUMS.split_once(';').unwrap().1);
    machine.append(&second_by_second(25, 30));
    machine.finish();
    assert_eq!(machine.rows("sums").len(), 2 + 3, "a new job of the same name reads from the beginning");
}

fn status(machine: &Machine) -> JobStatus {
    machine.engine().jobs().remove(0)
}

/// What a job says of itself before its first turn is what it goes on from: a checkpoint, or nothing.
#[test]
fn a_job_that_was_just_started_knows_how_far_it_is_behind() {
    for checkpoints in [Duration::from_millis(1), Duration::from_secs(3_600)] {
        let mut machine = Machine::new(5);
        machine.step_rows_max = 2;
        machine.checkpoint_interval = checkpoints;
        machine.restart(1);
        machine.create_readings(1);
        machine.sql(SUMS);
        assert_eq!((status(&machine).lag, status(&machine).shown_state()), (0, "pending"));
        machine.append(&second_by_second(0, 20));
        machine.catch_up();
        machine.run_for(1);
        machine.append(&second_by_second(20, 60));
        // The log is ahead before the job has a turn.
        assert_eq!((status(&machine).rows_in, status(&machine).lag), (20, 40));
        while status(&machine).rows_in < 30 {
            machine.turns(1);
        }
        let before = status(&machine);
        machine.kill(3);
        let restored = status(&machine);
        assert_eq!(restored.rows_in + restored.lag, 60, "{restored:?}");
        assert!(restored.rows_in <= before.rows_in && restored.lag >= 60 - before.rows_in, "{restored:?}");
        assert_eq!(restored.steps, restored.checkpoint.unwrap_or(0));
        if checkpoints < Duration::from_secs(1) {
            assert!(restored.rows_in > 0 && restored.state_entries > 0, "{restored:?}");
            assert!(restored.watermark > EventTime::MIN, "{restored:?}");
        } else {
            assert_eq!((restored.checkpoint, restored.rows_in), (None, 0));
            assert!(restored.is_restoring && restored.shown_state() == "restoring", "{restored:?}");
        }
        machine.catch_up();
        let after = status(&machine);
        assert_eq!((after.rows_in, after.lag, after.is_restoring), (60, 0, false), "{after:?}");
        machine.finish();
        assert_eq!(machine.rows("sums").len(), 6);
        machine.engine().close_here().unwrap();
    }
}

/// No row counts before its results are in the log, nor does one wait when they are.
#[test]
fn a_job_has_come_as_far_as_its_results_show() {
    for seed in 0..8 {
        let mut machine = Machine::new(seed);
        machine.step_rows_max = 3;
        machine.restart(1);
        machine.create_readings(1);
        machine.sql(
            "CREATE STREAM copies (device STRING, value BIGINT);
             CREATE JOB copying AS INSERT INTO copies SELECT device, value FROM readings",
        );
        machine.append(&second_by_second(0, 60));
        let mut shown = std::collections::BTreeSet::new();
        for _ in 0..10_000 {
            let (job, there) = (status(&machine), machine.rows("copies").len() as u64);
            assert_eq!((job.rows_in, job.rows_out, job.lag), (there, there, 60 - there), "seed {seed}");
            assert_eq!(job.steps == 0, there == 0, "seed {seed}: {job:?}");
            shown.insert(there);
            if there == 60 {
                break;
            }
            machine.turns(1);
        }
        assert!(shown.len() > 5 && shown.contains(&60), "seed {seed}: {shown:?}");
        machine.engine().close_here().unwrap();
    }
}

/// Steps in which only time went on take no rows, and are done again all the same.
#[test]
fn a_job_is_restoring_until_the_last_step_of_its_journal_is_done_again() {
    let mut machine = Machine::new(6);
    machine.checkpoint_interval = Duration::from_secs(3_600);
    machine.restart(1);
    machine.create_readings(1);
    machine.sql(SUMS);
    machine.append(&second_by_second(0, 5));
    machine.catch_up();
    for seconds in [6, 7, 8, 11] {
        machine.engine().advance_stream("readings", EventTime(seconds * 1_000_000_000)).unwrap();
        machine.catch_up();
    }
    let before = status(&machine);
    assert!(before.steps >= 5 && !before.is_restoring, "{before:?}");
    machine.kill(2);
    let (mut turns, mut without_rows) = (0, 0);
    while status(&machine).is_restoring {
        assert!(status(&machine).steps < before.steps && turns < 1_000);
        without_rows += u64::from(status(&machine).lag == 0);
        machine.turns(1);
        turns += 1;
    }
    assert!(without_rows >= 4, "{without_rows}");
    let after = status(&machine);
    assert_eq!((after.steps, after.watermark, after.lag), (before.steps, before.watermark, 0));
    assert_eq!(after.shown_state(), "running");
    // What stands still is behind, too.
    machine.sql("PAUSE JOB summing");
    machine.turns(50);
    machine.append(&second_by_second(12, 15));
    assert_eq!((status(&machine).lag, status(&machine).shown_state()), (3, "paused"));
    machine.lose_power(1);
    assert_eq!((status(&machine).lag, status(&machine).shown_state()), (8, "paused"));
    machine.sql("RESUME JOB summing");
    machine.catch_up();
    assert_eq!(status(&machine).lag, 0);
    machine.engine().close_here().unwrap();
}
