//! What a changing view has come to is noted down, so that its first query after a start does not fold all of its changelog. Whatever
//! becomes of the notes, it holds what the batch gives.

use std::path::PathBuf;
use std::time::Duration;

use headwater_core::world::{Errno, Fault, Op};
use headwater_core::{Sequence, ShardId};
use headwater_log::DiskLogOptions;
use headwater_simulation::seeds;

use crate::machine::Machine;

const QUERY: &str =
    "SELECT device, COUNT(*) AS n, SUM(value) AS total, MAX(value) AS top FROM readings GROUP BY device";

const DEVICES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn create(machine: &Machine) {
    machine.create_readings(2);
    machine.sql(&format!("CREATE MATERIALIZED VIEW newest AS {QUERY}"));
}

fn append(machine: &Machine, numbers: std::ops::Range<i64>) {
    for number in numbers {
        machine.append(&[(DEVICES[(number % 5) as usize], number * 100, number * 7 % 23)]);
        machine.catch_up();
    }
}

fn check(machine: &Machine) {
    assert_eq!(machine.query("SELECT * FROM newest"), machine.query(QUERY));
}

/// The files of notes.
fn notes(machine: &Machine) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = machine.sim.disk().image().files.into_keys().collect();
    files.retain(|path| path.to_string_lossy().contains("/checkpoints/system.view."));
    files
}

/// A machine with a long history, of which all but the last rows of the changelog are gone: so nobody can have read them.
fn without_history() -> Machine {
    let mut machine = Machine::new(6);
    machine.log_options = DiskLogOptions { segment_bytes: 16 << 10, ..DiskLogOptions::default() };
    machine.restart(1);
    create(&machine);
    append(&machine, 0..400);
    machine.run_for(5);
    let changelog = machine.log().stream_named("newest").unwrap();
    let next = machine.log().bounds(changelog.id).unwrap()[0].next;
    assert!(next.0 > 700, "each row changes the view: {next}");
    machine.log().trim(changelog.id, ShardId(0), Sequence(next.0 - 100)).unwrap();
    assert!(machine.log().bounds(changelog.id).unwrap()[0].first.0 > 400);
    machine
}

#[test]
fn the_first_query_after_a_start_reads_no_more_than_has_changed_since_the_note() {
    let mut machine = without_history();
    for workers in [2, 1] {
        machine.restart(workers);
        check(&machine);
        machine.kill(workers);
        append(&machine, 400..410);
        check(&machine);
    }
    assert!(notes(&machine).len() <= 2, "older ones are removed");
}

#[test]
fn without_a_note_that_is_whole_all_of_it_is_read() {
    let mut machine = Machine::new(6);
    create(&machine);
    for part in 0..3 {
        append(&machine, part * 20..part * 20 + 20);
        machine.run_for(3);
    }
    let found = notes(&machine);
    assert_eq!(found.len(), 2, "{found:?}");
    // The newest, then the older one, too.
    for path in found.iter().rev() {
        machine.sim.disk().corrupt(path, 50, 0x20).unwrap();
        machine.kill(1);
        check(&machine);
        append(&machine, 60..62);
        check(&machine);
    }
    for path in notes(&machine) {
        machine.sim.world().disk.remove(&path).unwrap();
    }
    machine.kill(1);
    check(&machine);
}

/// The older of two notes is enough where the newest is damaged and what lies before both is gone.
#[test]
fn a_damaged_note_is_passed_over() {
    let mut machine = without_history();
    append(&machine, 400..406);
    machine.run_for(3);
    let newest = notes(&machine).into_iter().max().unwrap();
    machine.sim.disk().corrupt(&newest, 50, 0x20).unwrap();
    machine.kill(1);
    check(&machine);
}

#[test]
fn notes_go_with_their_view() {
    let machine = Machine::new(6);
    create(&machine);
    append(&machine, 0..60);
    machine.run_for(3);
    assert!(!notes(&machine).is_empty());
    machine.sql("DROP MATERIALIZED VIEW newest");
    assert!(notes(&machine).is_empty());
    // One of the same name is another.
    machine
        .sql("CREATE MATERIALIZED VIEW newest AS SELECT device, MAX(ts) AS ts FROM readings GROUP BY device");
    machine.catch_up();
    let batch = machine.query("SELECT device, MAX(ts) AS ts FROM readings GROUP BY device");
    assert_eq!(machine.query("SELECT * FROM newest"), batch);
}

/// A note is being written when the process is killed, the power goes, or the disk is full or fails.
#[test]
fn in_the_middle_of_a_note_anything_may_happen() {
    seeds::each("-p headwater-run in_the_middle_of_a_note_anything_may_happen", 0..60, |seed, _story| {
        let mut machine = Machine::new(seed);
        let random = machine.sim.random("life");
        machine.checkpoint_interval = Duration::from_millis(1 + random.below(50));
        machine.keep.unfolded_rows = 1 + random.below(6);
        machine.restart(1);
        create(&machine);
        for part in 0..12 {
            if random.chance(1, 3) {
                let errno = if random.chance(1, 2) { Errno::NoSpace } else { Errno::Io };
                let fault = Fault::new(Op::CHANGES, errno).on("/system.view.").nth(random.below(12));
                machine.sim.disk().faults().add(fault);
            }
            for number in part * 6..part * 6 + 6 {
                machine.append(&[(DEVICES[random.index(5)], number * 100, random.below(40) as i64)]);
                machine.turns(random.index(30));
            }
            match random.below(4) {
                0 => machine.kill(1),
                1 => machine.lose_power(1),
                2 => machine.restart(1),
                _ => {}
            }
            machine.catch_up();
            check(&machine);
        }
    });
}
