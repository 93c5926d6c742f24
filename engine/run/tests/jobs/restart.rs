//! Stop, restart, restore.

use headwater_core::world::Open;

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
