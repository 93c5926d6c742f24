//! What goes of journals and of the engine's own records, and what is still possible then.

use std::time::Duration;

use headwater_core::EventTime;
use headwater_log::{DiskLogOptions, ShardBounds};
use headwater_run::{Keep, ReplayReport, ReplaySpec, RunError};

use crate::machine::{Machine, text_of};

const SUMS: &str = "CREATE STREAM sums (window_end TIMESTAMP(3), device STRING, total BIGINT);
    CREATE JOB summing AS INSERT INTO sums SELECT window_end, device, SUM(value) \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device";

/// A machine whose log has a new file every minute.
pub fn machine(keep: Keep, retention: &str) -> Machine {
    let mut machine = Machine::new(3);
    machine.keep = keep;
    machine.log_options = DiskLogOptions {
        segment_age: Duration::from_secs(60),
        retention_interval: Duration::from_secs(10),
        ..DiskLogOptions::default()
    };
    machine.restart(1);
    machine.sql(&format!(
        "CREATE STREAM readings (device STRING NOT NULL, ts TIMESTAMP(3), value BIGINT, \
         WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) PARTITIONED BY (device) \
         WITH (shards = 2, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none'{retention})"
    ));
    machine
}

pub const DEVICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// A reading of each device a second, and a step of the job for each second.
pub fn live(machine: &Machine, seconds: std::ops::Range<i64>) {
    for second in seconds {
        let value = |device: &str| if device == "a" { second } else { 1 };
        machine.append(&DEVICES.map(|device| (device, second * 1_000, value(device))));
        machine.catch_up();
        machine.sim.clock().advance(Duration::from_secs(1));
        machine.turns(4);
    }
}

pub fn journal(machine: &Machine, job: &str) -> ShardBounds {
    let info = machine.log().stream_named(&format!("system.journal.{job}")).unwrap();
    machine.log().bounds(info.id).unwrap()[0]
}

fn replay_from(machine: &Machine, from: Option<i64>) -> Result<ReplayReport, RunError> {
    let from = from.map(|second| EventTime(second * 1_000_000_000));
    machine.engine().replay_here(&ReplaySpec { job: "summing".into(), from, ..ReplaySpec::default() })
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

/// The sums of all windows up to a second.
fn sums_to(end: i64) -> Vec<String> {
    let window = |start: i64| {
        let end = start + 10;
        let at = format!("1970-01-01T00:{:02}:{:02}", end / 60, end % 60);
        DEVICES.map(|device| {
            let total = if device == "a" { (start..end).sum() } else { 10 };
            format!("{at} {device} {total}")
        })
    };
    sorted((0..end).step_by(10).flat_map(window).collect())
}

#[test]
fn lines_go_with_the_rows_that_their_steps_took() {
    let mut machine = machine(Keep::default(), ", retention = '2 minutes'");
    machine.sql(SUMS);
    live(&machine, 0..900);
    let kept = journal(&machine, "summing");
    assert!(kept.first.0 > 200, "old lines are gone: {kept:?}");
    assert!(kept.next.0 - kept.first.0 > 128, "those whose rows are there stay: {kept:?}");
    // From the checkpoint on, however the process ends.
    machine.kill(2);
    live(&machine, 900..905);
    machine.lose_power(1);
    live(&machine, 905..910);
    machine.restart(3);
    live(&machine, 910..940);
    machine.catch_up();
    assert!(journal(&machine, "summing").first >= kept.first);
    machine.finish();
    assert_eq!(sorted(machine.rows("sums")), sums_to(940));
}

#[test]
fn without_a_limit_and_with_all_rows_all_lines_stay() {
    let machine = machine(Keep::default(), "");
    machine.sql(SUMS);
    live(&machine, 0..500);
    assert_eq!(journal(&machine, "summing").first.0, 0);
    let again: Vec<String> = replay_from(&machine, None).unwrap().rows.iter().flat_map(text_of).collect();
    assert_eq!(sorted(again), sorted(machine.rows("sums")));
}

/// A machine that keeps five minutes of its journals and all rows, after a quarter of an hour.
fn with_limit() -> Machine {
    let keep = Keep { journals: Some(Duration::from_secs(300)), ..Keep::default() };
    let machine = machine(keep, "");
    machine.sql(SUMS);
    live(&machine, 0..900);
    assert!(journal(&machine, "summing").first.0 > 200, "old lines are gone though the rows are there");
    machine
}

#[test]
fn a_replay_says_what_it_lacks_and_gives_all_that_it_can() {
    let mut machine = with_limit();
    for from in [None, Some(20)] {
        let error = replay_from(&machine, from).map(|_| ()).unwrap_err();
        assert_eq!(error.code().to_string(), "HW4026");
        let text = error.to_string();
        assert!(text.contains("begins with step ") && text.contains("(FROM)"), "{text}");
    }
    for workers in [1, 3] {
        machine.kill(workers);
        machine.catch_up();
        let again = replay_from(&machine, Some(700)).unwrap();
        let again: Vec<String> = again.rows.iter().flat_map(text_of).collect();
        let said = machine.rows("sums").into_iter().filter(|row| row.as_str() >= "1970-01-01T00:11:40");
        let said: Vec<String> = said.collect();
        assert!(said.len() > 30, "the test says something");
        assert_eq!(again, said, "in the same order");
    }
    // By steps of its own all of it is there, as the rows are.
    let query = SUMS.split_once("INSERT INTO sums ").unwrap().1.to_owned();
    let spec = ReplaySpec { job: "summing".into(), query: Some(query), ..ReplaySpec::default() };
    let all = machine.engine().replay_here(&spec).unwrap();
    let all: Vec<String> = all.rows.iter().flat_map(text_of).collect();
    assert_eq!(sorted(all)[..480], sums_to(800)[..]);
}

#[test]
fn a_job_without_any_checkpoint_says_that_its_journal_does_not_go_back_to_the_beginning() {
    let mut machine = with_limit();
    machine.engine().close_here().unwrap();
    let checkpoints: Vec<_> = machine.sim.disk().image().files.into_keys().collect();
    for path in checkpoints.iter().filter(|path| path.to_string_lossy().contains("/checkpoints/summing/")) {
        machine.sim.world().disk.remove(path).unwrap();
    }
    machine.kill(1);
    let job = machine.engine().jobs().into_iter().find(|job| job.name == "summing").unwrap();
    let error = job.error.unwrap();
    assert_eq!(job.state.as_str(), "failed");
    assert!(error.contains("HW4013") && error.contains("no checkpoint to go on from"), "{error}");
}

/// The columns of its target are no part of what its state follows from.
#[test]
fn a_job_whose_first_steps_are_gone_goes_on_when_its_target_changes() {
    let mut machine = with_limit();
    for (nth, change) in ["ADD COLUMN note STRING", "MODIFY window_end TIMESTAMP(6)"].into_iter().enumerate()
    {
        machine.sql(&format!("ALTER STREAM sums {change}"));
        let from = 900 + nth as i64 * 40;
        live(&machine, from..from + 20);
        machine.kill(2);
        live(&machine, from + 20..from + 40);
    }
    machine.finish();
    assert_eq!(machine.query("SELECT window_end, device, total FROM sums"), sums_to(980));
}

#[test]
fn a_replacement_that_needs_all_steps_is_refused_and_others_are_done() {
    let machine = with_limit();
    machine.sql(
        "CREATE MATERIALIZED VIEW totals AS SELECT device, SUM(value) AS total FROM readings GROUP BY device",
    );
    live(&machine, 900..1_800);
    assert!(journal(&machine, "totals").first.0 > 200);
    let other = "CREATE OR REPLACE MATERIALIZED VIEW totals AS SELECT device, SUM(value * 2) AS total FROM readings GROUP BY device";
    let error = machine.engine().define_here(other).unwrap_err();
    assert_eq!(error.code().to_string(), "HW4020");
    assert!(error.to_string().contains("steps that are gone from its journal"), "{error}");
    // The state of windows follows from the last minutes.
    machine.sql(
        "CREATE OR REPLACE JOB summing AS INSERT INTO sums SELECT window_end, device, SUM(value) * 2 \
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, device",
    );
    live(&machine, 1_800..1_850);
    let newest = machine.rows("sums").into_iter().filter(|row| row.starts_with("1970-01-01T00:30:40 b"));
    assert_eq!(newest.collect::<Vec<_>>(), ["1970-01-01T00:30:40 b 20"]);
}

#[test]
fn records_go_when_they_are_old_and_histories_that_are_state_do_not() {
    let keep = Keep { records: Some(Duration::from_secs(600)), ..Keep::default() };
    let mut machine = machine(keep, "");
    machine.sql(SUMS);
    live(&machine, 0..20);
    machine.append(&[("a", 1_000, 7)]);
    machine.catch_up();
    machine.run_for(300);
    assert_eq!(machine.rows("system.late_rows").len(), 1, "it stays for ten minutes");
    machine.run_for(600);
    assert!(machine.rows("system.late_rows").is_empty());
    let retention =
        |machine: &Machine, name: &str| machine.log().stream_named(name).unwrap().spec.retention.age;
    for name in ["system.late_rows", "system.dead_letters", "system.job_metrics"] {
        assert_eq!(retention(&machine, name), Some(Duration::from_secs(600)), "{name}");
    }
    for name in ["system.catalog", "system.alarm_history", "system.scaling_activities"] {
        assert_eq!(retention(&machine, name), None, "{name}");
    }
    // Another configuration takes effect with the next start.
    machine.keep.records = None;
    machine.restart(1);
    assert_eq!(retention(&machine, "system.late_rows"), None);
}

/// A machine that takes no checkpoint, so that all lines stay while the rows go.
fn without_checkpoints() -> Machine {
    let mut machine = machine(Keep::default(), ", retention = '2 minutes'");
    machine.checkpoint_interval = Duration::from_secs(1_000_000);
    machine.restart(1);
    machine
}

fn first_rows(machine: &Machine) -> Vec<u64> {
    let info = machine.log().stream_named("readings").unwrap();
    machine.log().bounds(info.id).unwrap().iter().map(|bounds| bounds.first.0).collect()
}

#[test]
fn a_replay_whose_rows_are_gone_says_from_when_on_it_can_be_done() {
    let mut machine = without_checkpoints();
    machine.sql(SUMS);
    live(&machine, 0..900);
    assert_eq!(journal(&machine, "summing").first.0, 0, "all lines are there");
    assert!(first_rows(&machine).iter().all(|first| *first > 500), "{:?}", first_rows(&machine));
    let mut since = String::new();
    for from in [None, Some(20)] {
        let error = replay_from(&machine, from).map(|_| ()).unwrap_err();
        assert_eq!(error.code().to_string(), "HW4026");
        let text = error.to_string();
        assert!(text.contains("rows of readings are gone that job summing took"), "{text}");
        since = text.split("results from ").nth(1).unwrap()[..20].to_owned();
    }
    let minutes: i64 = since[14..16].parse().unwrap();
    let seconds: i64 = since[17..19].parse().unwrap();
    let second = minutes * 60 + seconds + 1;
    assert!((600..880).contains(&second), "{since}");
    let again = replay_from(&machine, Some(second)).unwrap();
    let again: Vec<String> = again.rows.iter().flat_map(text_of).collect();
    let from = format!("1970-01-01T00:{:02}:{:02}", second / 60, second % 60);
    let said: Vec<String> =
        machine.rows("sums").into_iter().filter(|row| row.as_str() >= from.as_str()).collect();
    assert!(said.len() > 6, "the test says something: {since}");
    assert_eq!(again, said, "in the same order");
    // By steps of its own it is what is there.
    let query = SUMS.split_once("INSERT INTO sums ").unwrap().1.to_owned();
    let spec = ReplaySpec { job: "summing".into(), query: Some(query), ..ReplaySpec::default() };
    assert!(!machine.engine().replay_here(&spec).unwrap().rows.is_empty());
    // There is no checkpoint, and its state cannot be made again.
    machine.kill(1);
    let job = machine.engine().jobs().into_iter().find(|job| job.name == "summing").unwrap();
    let error = job.error.unwrap();
    assert_eq!(job.state.as_str(), "failed");
    assert!(error.contains("HW4013") && error.contains("took rows of readings that are gone"), "{error}");
}

#[test]
fn a_job_that_began_with_the_rows_that_were_left_is_replayed_from_there() {
    let mut machine = without_checkpoints();
    live(&machine, 0..900);
    machine.kill(1);
    machine.catch_up();
    machine.sql("CREATE MATERIALIZED VIEW doubled AS SELECT device, ts, value * 2 AS twice FROM readings");
    let first = first_rows(&machine);
    assert!(first.iter().all(|first| *first > 500), "{first:?}");
    machine.catch_up();
    let replay = |machine: &Machine| {
        let spec = ReplaySpec { job: "doubled".into(), ..ReplaySpec::default() };
        machine.engine().replay_here(&spec).map(|report| report.rows.iter().flat_map(text_of).collect())
    };
    let again: Vec<String> = replay(&machine).unwrap();
    assert!(again.len() > 500, "{}", again.len());
    assert_eq!(sorted(again), sorted(machine.rows("doubled")));
    machine.kill(1);
    machine.catch_up();
    assert_eq!(first_rows(&machine), first);
    assert_eq!(sorted(replay(&machine).unwrap()), sorted(machine.rows("doubled")));
    live(&machine, 900..1_200);
    assert!(first_rows(&machine) > first);
    let error = replay(&machine).unwrap_err();
    assert!(error.to_string().contains("rows of readings are gone that job doubled took"), "{error}");
}
