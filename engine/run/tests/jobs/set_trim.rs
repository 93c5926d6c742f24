//! What goes of the journals of triggers that share a job, and of those that have left such a set.

use std::time::Duration;

use headwater_run::{JobState, Keep, ReplaySpec};

use crate::journal_trim::{DEVICES, journal, live, machine};
use crate::machine::{Machine, text_of};

/// Fires every ten seconds for device a, and for no other.
const WHEN: &str = "value % 10 = 6";

fn five_minutes() -> Keep {
    Keep { journals: Some(Duration::from_secs(300)), ..Keep::default() }
}

/// The journal of the only set.
fn set(machine: &Machine) -> String {
    let names = machine.log().streams().into_iter().map(|info| info.spec.name.to_string());
    let sets: Vec<String> = names.filter(|name| name.contains("journal.system.triggers.")).collect();
    assert_eq!(sets.len(), 1, "{sets:?}");
    sets[0].strip_prefix("system.journal.").unwrap().to_owned()
}

/// A quarter of an hour in which triggers come, pause, go on and go.
fn lived(keep: Keep) -> Machine {
    let machine = machine(keep, "");
    for name in ["stays", "alone", "dropped"] {
        machine.sql(&format!("CREATE TRIGGER {name} ON readings WHEN {WHEN}"));
    }
    live(&machine, 0..100);
    machine.sql("PAUSE TRIGGER alone");
    live(&machine, 100..110);
    machine.sql("RESUME TRIGGER alone");
    live(&machine, 110..200);
    machine.sql(&format!("CREATE TRIGGER late ON readings WHEN {WHEN}"));
    live(&machine, 200..300);
    machine.sql("DROP TRIGGER dropped");
    live(&machine, 300..900);
    machine
}

#[test]
fn lines_of_a_set_go_and_its_triggers_stay_who_they_are() {
    let (mut machine, calm) = (lived(five_minutes()), lived(Keep::default()));
    let set = set(&machine);
    assert!(journal(&machine, &set).first.0 > 200, "{:?}", journal(&machine, &set));
    assert!(journal(&machine, "alone").first.0 > 200, "{:?}", journal(&machine, "alone"));
    assert_eq!(journal(&calm, &set).first.0, 0);
    // From the checkpoint on, however the process ends; those that come have ranks of their own, and others still leave.
    machine.kill(2);
    for machine in [&machine, &calm] {
        live(machine, 900..905);
        machine.sql(&format!("CREATE TRIGGER later ON readings WHEN {WHEN}"));
        live(machine, 905..930);
    }
    machine.lose_power(1);
    for machine in [&machine, &calm] {
        live(machine, 930..935);
        machine.sql("PAUSE TRIGGER late");
        live(machine, 935..940);
    }
    machine.restart(3);
    for machine in [&machine, &calm] {
        machine.sql("RESUME TRIGGER late");
        live(machine, 940..1_500);
    }
    // Behind the lines in which they were carried over.
    let again = journal(&machine, &set).first;
    machine.kill(1);
    live(&machine, 1_500..1_520);
    live(&calm, 1_500..1_520);
    machine.finish();
    calm.finish();
    assert!(again.0 > 1_000, "{again:?}");
    for (name, firings) in [("stays", 152), ("alone", 152), ("late", 132), ("later", 62)] {
        assert_eq!(machine.rows(name).len(), firings, "{name}");
        assert_eq!(machine.rows(name), calm.rows(name), "{name}");
    }
}

#[test]
fn a_replay_of_a_trigger_says_that_its_first_steps_are_gone() {
    let mut machine = lived(five_minutes());
    machine.sql(&format!("CREATE TRIGGER later ON readings WHEN {WHEN}"));
    live(&machine, 900..930);
    machine.kill(2);
    machine.catch_up();
    let replay = |job: &str| {
        let spec = ReplaySpec { job: job.to_owned(), ..ReplaySpec::default() };
        machine.engine().replay_here(&spec)
    };
    for name in ["stays", "alone", "late"] {
        let error = replay(name).map(|_| ()).unwrap_err();
        assert_eq!(error.code().to_string(), "HW4026", "{name}: {error}");
    }
    // All steps of this one are there.
    let again: Vec<String> = replay("later").unwrap().rows.iter().flat_map(text_of).collect();
    assert_eq!(again.len(), 3);
    assert_eq!(again, machine.rows("later"));
}

/// Who has failed does the set's steps again when he goes on, so that they must be there.
#[test]
fn the_steps_stay_that_a_trigger_needs_which_has_failed() {
    let mut machine = machine(five_minutes(), "");
    machine.sql(&format!("CREATE TRIGGER good ON readings WHEN {WHEN}"));
    machine.define_spin();
    machine.sql("CREATE TRIGGER bad ON readings WHEN spin(value - 198) > 1000 OR value % 10 = 6");
    let set = set(&machine);
    let go_on = |machine: &Machine, seconds: std::ops::Range<i64>| {
        for second in seconds {
            let value = |device: &str| if device == "a" { second } else { 1 };
            machine.append(&DEVICES.map(|device| (device, second * 1_000, value(device))));
            machine.sim.clock().advance(Duration::from_secs(1));
            machine.turns(60);
        }
    };
    let state = |machine: &Machine, name: &str| {
        machine.engine().jobs().into_iter().find(|job| job.name == name).unwrap().state
    };
    go_on(&machine, 0..700);
    assert_eq!((state(&machine, "good"), state(&machine, "bad")), (JobState::Running, JobState::Failed));
    assert_eq!(journal(&machine, &set).first.0, 0, "in the life in which it failed");
    machine.kill(2);
    go_on(&machine, 700..1_000);
    assert_eq!((state(&machine, "good"), state(&machine, "bad")), (JobState::Running, JobState::Failed));
    assert_eq!(journal(&machine, &set).first.0, 0, "in a later one");
    machine.sql(&format!("CREATE OR REPLACE TRIGGER bad ON readings WHEN {WHEN}"));
    live(&machine, 1_000..1_400);
    assert!(journal(&machine, &set).first.0 > 200, "{:?}", journal(&machine, &set));
    machine.kill(1);
    live(&machine, 1_400..1_420);
    machine.finish();
    let fired = |name: &str| machine.rows(name).len();
    assert_eq!((fired("good"), fired("bad")), (142, 142));
}
