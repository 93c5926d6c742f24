//! Whole jobs by seed on a disk that is full at times and fails at times, besides all that strikes in [`crate::simulation`]. When there is
//! space again, and a process whose log could not go on has been started anew, a job goes on: no reading is lost or counted twice. Readings
//! come from a producer that sends a group again when it has had no answer.
//!
//! `HEADWATER_SEEDS=from..to` runs other seeds than the usual ones.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use headwater_core::world::sim::SimRandom;
use headwater_core::world::{Errno, Fault, Op};
use headwater_run::JobState;
use headwater_simulation::seeds;

use crate::machine::{Machine, Reading};
use crate::simulation::{SHARDS, Windows, any_readings, shard_of_device, strike};

/// What was met.
#[derive(Default)]
struct Seen {
    /// Operations of disks that failed, not counting those that found no space.
    struck: Cell<u64>,
    /// Logs that could not go on.
    poisoned: Cell<u64>,
    /// Jobs that failed though the log was well.
    failed: Cell<u64>,
    /// Troubles after which everything went on by itself.
    went_on: Cell<u64>,
    /// Groups that were sent again.
    again: Cell<u64>,
}

fn count(what: &Cell<u64>) {
    what.set(what.get() + 1);
}

/// The disk is about to be full, or to fail.
fn trouble(machine: &Machine, random: &SimRandom) {
    let disk = machine.sim.disk();
    let errno = if random.chance(1, 2) { Errno::NoSpace } else { Errno::Io };
    let fault = match random.below(6) {
        0 | 1 => return disk.set_capacity(Some(disk.used() + random.below(4_000))),
        2 => Fault::new(&[Op::Sync, Op::SyncDir], Errno::Io).nth(random.below(6)),
        3 => Fault::new(&[Op::Read], Errno::Io).nth(random.below(20)),
        4 => Fault::new(Op::CHANGES, errno).nth(random.below(40)).for_good().after_bytes(random.index(200)),
        _ => Fault::new(Op::CHANGES, errno).nth(random.below(40)).after_bytes(random.index(200)),
    };
    disk.faults().add(fault);
}

/// There is space again and the disk works. Whoever watches over the process starts it anew if it could not go on.
fn heal(machine: &mut Machine, random: &SimRandom, seen: &Seen) {
    let disk = machine.sim.disk();
    disk.faults().clear();
    disk.set_capacity(None);
    let is_poisoned = machine.log().metrics().poisoned.is_some();
    let has_failed = machine.engine().jobs().iter().any(|job| job.state == JobState::Failed);
    if !is_poisoned && !has_failed {
        return count(&seen.went_on);
    }
    count(if is_poisoned { &seen.poisoned } else { &seen.failed });
    let workers = 1 + random.index(4);
    if random.chance(1, 2) { machine.kill(workers) } else { machine.lose_power(workers) }
}

fn send(machine: &mut Machine, random: &SimRandom, readings: &[Reading], sequence: u64, seen: &Seen) {
    for _ in 0..5 {
        if machine.try_append(readings, sequence).is_ok() {
            return;
        }
        count(&seen.again);
        heal(machine, random, seen);
    }
    panic!("a healthy log takes no readings");
}

fn life(seed: u64, seen: &Seen) {
    let mut machine = Machine::new(seed);
    if seed % 2 == 1 {
        machine.use_threads();
    }
    let random = machine.sim.random("life");
    let windows = Windows::any(&random);
    machine.step_rows_max = 1 + random.index(60);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(300));
    machine.restart(1 + random.index(4));
    machine.create_readings(SHARDS);
    machine.sql(&windows.query());
    let (mut shards, mut time): (BTreeMap<u32, Vec<Reading>>, i64) = (BTreeMap::new(), 5_000);
    for part in 1..=25 {
        let readings = any_readings(&random, &mut time);
        let has_trouble = random.chance(1, 2);
        if has_trouble {
            trouble(&machine, &random);
        }
        send(&mut machine, &random, &readings, part, seen);
        for reading in readings {
            shards.entry(shard_of_device(reading.0)).or_default().push(reading);
        }
        machine.turns(random.index(80));
        if has_trouble {
            heal(&mut machine, &random, seen);
        }
        strike(&mut machine, &random);
    }
    machine.finish();
    let (rows, late) = windows.over(&shards);
    assert_eq!(machine.rows("result"), rows);
    assert_eq!(machine.rows("system.late_rows").len() as u64, late);
    seen.struck.set(seen.struck.get() + machine.sim.disk().faults().struck());
    machine.engine().close_here().unwrap();
}

#[test]
fn a_job_goes_on_when_the_disk_is_well_again() {
    let seen = Seen::default();
    seeds::each("-p headwater-run a_job_goes_on_when_the_disk_is_well_again", 0..200, |seed, _story| {
        life(seed, &seen)
    });
    if seeds::are_usual() {
        let all = [&seen.struck, &seen.poisoned, &seen.failed, &seen.went_on, &seen.again].map(Cell::get);
        assert!(all.iter().all(|met| *met >= 10), "too little was met to say something: {all:?}");
    }
}
