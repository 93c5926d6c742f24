//! The disk fails at each operation in turn, or the power goes there: errors are clean, what was acknowledged is there,
//! and after opening the log again the work goes on.

use headwater_core::world::sim::SimWorld;
use headwater_core::world::{Errno, Fault, Op};
use headwater_log::{Log, LogError};

use super::script::{LARGE, SMALL, Script, Size};

/// How many operations that change the disk the whole script takes.
fn changes(seed: u64, size: Size) -> u64 {
    let machine = SimWorld::new(seed);
    let mut script = Script::new(size);
    let log = script.open(&machine.world()).unwrap();
    script.run(&*log).unwrap();
    script.check(&*script.reopened(&machine));
    machine.disk().faults().changes()
}

impl Script {
    /// The log, opened again without anything in the way.
    fn reopened(&self, machine: &SimWorld) -> std::sync::Arc<headwater_log::DiskLog> {
        machine.disk().faults().clear();
        self.open(&machine.world()).unwrap()
    }

    /// Runs until the end or the first error; answers with the error.
    fn run_into(&mut self, machine: &SimWorld) -> Option<LogError> {
        let log = match self.open(&machine.world()) {
            Ok(log) => log,
            Err(error) => return Some(error),
        };
        let error = self.run(&*log).err();
        if matches!(error, Some(LogError::Poisoned { .. })) {
            machine.disk().faults().clear();
            assert!(log.metrics().poisoned.is_some());
            // What was acknowledged is still read; nothing more is taken.
            if !self.is_closing() && log.stream_named("pairs").is_ok() {
                self.check_readable(&*log);
            }
        }
        error
    }

    fn check_readable(&self, log: &dyn Log) {
        let pairs = log.stream_named("pairs").unwrap().id;
        let bounds = log.bounds(pairs).unwrap();
        let spec = headwater_log::ReadSpec::all(pairs, headwater_core::ShardId(0));
        let values = super::script::read(log, spec).unwrap();
        assert_eq!(values.len() as u64, bounds[0].next.0);
        let late =
            headwater_log::Append::new(pairs, headwater_core::ShardId(0), super::script::rows(0..1, false));
        assert!(log.append(vec![late]).is_err(), "a poisoned log takes nothing");
    }

    /// Checks what is there, ends the script, and checks again.
    fn end(&mut self, machine: &SimWorld) {
        let log = self.reopened(machine);
        self.check(&*log);
        self.run(&*log).unwrap();
        drop(log);
        let log = self.reopened(machine);
        self.check(&*log);
        machine.tasks().settle();
        self.check(&*log);
    }
}

fn each_fails(size: Size, fault: impl Fn() -> Fault) {
    for nth in 0..changes(1, size) {
        let machine = SimWorld::new(1);
        let mut script = Script::new(size);
        machine.disk().faults().add(fault().nth(nth));
        let error = script.run_into(&machine);
        if let Some(error) = &error {
            let is_clean = matches!(error, LogError::Poisoned { .. } | LogError::Io { .. });
            assert!(is_clean, "operation {nth}: {error}");
        }
        script.end(&machine);
    }
}

#[test]
fn the_disk_is_full_at_each_operation() {
    each_fails(SMALL, || Fault::new(Op::CHANGES, Errno::NoSpace));
}

#[test]
fn the_disk_fails_at_each_operation() {
    each_fails(SMALL, || Fault::new(Op::CHANGES, Errno::Io));
}

#[test]
fn a_write_that_fails_has_written_a_part() {
    each_fails(SMALL, || Fault::new(&[Op::Write], Errno::NoSpace).after_bytes(100));
}

#[test]
fn a_sync_fails_and_then_succeeds() {
    each_fails(SMALL, || Fault::new(&[Op::Sync, Op::SyncDir], Errno::Io));
}

#[test]
fn the_disk_fails_at_each_operation_of_large_files() {
    each_fails(LARGE, || Fault::new(Op::CHANGES, Errno::Io));
}

#[test]
fn the_device_is_gone_at_each_operation_of_large_files() {
    each_fails(LARGE, || Fault::new(Op::CHANGES, Errno::Io).for_good());
}

fn power_goes_at_each(size: Size, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        for nth in 0..changes(seed, size) {
            let machine = SimWorld::new(seed);
            let mut script = Script::new(size);
            machine.disk().faults().add(Fault::new(Op::CHANGES, Errno::Io).nth(nth).for_good());
            let error = script.open(&machine.world()).and_then(|log| script.run(&*log)).err();
            // Where sealing has been interrupted, the script itself has come to its end.
            let _ = error;
            machine.power_loss();
            script.end(&machine);
        }
    }
}

#[test]
fn the_power_goes_at_each_operation() {
    power_goes_at_each(SMALL, 0..3);
}

#[test]
fn the_power_goes_at_each_operation_of_large_files() {
    power_goes_at_each(LARGE, 0..1);
}

/// A sync failed, the pages count as clean, and then the power goes: what was read after opening again must be durable.
#[test]
fn after_a_failed_sync_nothing_is_taken_for_durable() {
    let size = SMALL;
    for nth in 0..changes(1, size) {
        let machine = SimWorld::new(nth);
        let mut script = Script::new(size);
        machine.disk().faults().add(Fault::new(&[Op::Sync], Errno::Io).nth(nth));
        let _ = script.run_into(&machine);
        let log = script.reopened(&machine);
        let seen = log.stream_named("pairs").map(|info| log.bounds(info.id).unwrap());
        drop(log);
        machine.power_loss();
        let log = script.reopened(&machine);
        if let Ok(seen) = seen {
            let pairs = log.stream_named("pairs").unwrap().id;
            assert_eq!(log.bounds(pairs).unwrap(), seen, "sync {nth}: what was seen is lost");
        }
        script.check(&*log);
    }
}
