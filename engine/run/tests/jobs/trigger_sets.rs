//! Triggers that share a job: what one of them says does not depend on the others, nor on what happens to them.

use headwater_core::world::sim::SimRandom;
use headwater_run::{JobState, ReplaySpec};

use crate::machine::{Machine, Reading, text_of};

const DEVICES: [&str; 5] = ["a", "b", "c", "d", "e"];

const CONDITIONS: [&str; 6] = [
    "value > 60 FOR INTERVAL '3' SECOND UNTIL value < 30",
    "frozen(INTERVAL '4' SECOND)",
    "value > ago(value, INTERVAL '2' SECOND) + 40 REARM AFTER INTERVAL '5' SECOND",
    "gt(value, 70)",
    "device = 'c' AND value > prev(value)",
    "lte(value, 20) UNTIL value > 50",
];

fn readings(seed: u64, count: usize) -> Vec<Reading> {
    let random = SimRandom::new(seed).fork("readings");
    let mut seconds = 0;
    let reading = |_| {
        seconds += random.below(2) as i64;
        let device = DEVICES[random.index(DEVICES.len())];
        (device, 1_000_000_000_000 + seconds * 1_000, random.below(100) as i64)
    };
    (0..count).map(reading).collect()
}

fn journals(machine: &Machine) -> Vec<String> {
    let streams = machine.log().streams().into_iter().map(|info| info.spec.name.to_string());
    streams.filter(|name| name.starts_with("system.journal.")).collect()
}

/// A replay gives what a trigger has said, in the same order.
fn check_replay(machine: &Machine, trigger: &str) {
    let spec = ReplaySpec { job: trigger.to_owned(), ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    let again: Vec<String> = report.rows.iter().flat_map(text_of).collect();
    assert_eq!(again, machine.rows(trigger), "{trigger}");
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn triggers_over_a_stream_have_one_journal() {
    let machine = Machine::new(4);
    machine.create_readings(2);
    for nth in 0..20 {
        machine.sql(&format!("CREATE TRIGGER t{nth} ON readings WHEN gt(value, {})", nth * 5));
    }
    machine.sql("CREATE TRIGGER all_of_them ON readings PARTITION BY () WHEN value > 50");
    machine.append(&readings(1, 50));
    machine.catch_up();
    assert_eq!(journals(&machine).len(), 2, "{:?}", journals(&machine));
    let shown = machine.engine().jobs();
    assert_eq!(shown.len(), 21, "each is shown as a job");
    assert!(shown.iter().all(|job| job.rows_in == 50 && job.state == JobState::Running));
    (0..20).for_each(|nth| machine.sql(&format!("DROP TRIGGER t{nth}")));
    assert_eq!(journals(&machine).len(), 1, "the set goes with the last of its triggers");
    machine.sql("DROP TRIGGER all_of_them");
    assert!(journals(&machine).is_empty() && machine.engine().jobs().is_empty());
}

#[test]
fn a_trigger_that_comes_later_begins_with_what_is_appended_from_then_on() {
    let mut machine = Machine::new(8);
    machine.create_readings(3);
    machine.sql("CREATE TRIGGER first ON readings WHEN gt(value, 50)");
    let all = readings(2, 120);
    // The set has taken none of these when the second one comes.
    machine.append(&all[..40]);
    machine.sql("CREATE TRIGGER second ON readings WHEN gt(value, 50)");
    machine.append(&all[40..80]);
    machine.kill(2);
    machine.append(&all[80..]);
    machine.finish();
    let expect = |from: usize| {
        let mut above = std::collections::BTreeMap::new();
        let crossed = all[from..].iter().filter(|(device, _, value)| {
            let is = *value > 50;
            !above.insert(*device, is).unwrap_or(false) && is
        });
        crossed.count()
    };
    assert_eq!((machine.rows("first").len(), machine.rows("second").len()), (expect(0), expect(40)));
    check_replay(&machine, "first");
    check_replay(&machine, "second");
}

#[test]
fn one_that_is_paused_goes_on_alone_and_the_others_go_on_together() {
    let mut machine = Machine::new(9);
    machine.create_readings(2);
    for (nth, when) in CONDITIONS.iter().enumerate() {
        machine.sql(&format!("CREATE TRIGGER t{nth} ON readings WHEN {when}"));
        machine.sql(&format!("CREATE TRIGGER calm{nth} ON readings WHEN {when}"));
    }
    let all = readings(3, 300);
    for (turn, rows) in all.chunks(20).enumerate() {
        machine.append(rows);
        machine.catch_up();
        let nth = turn % CONDITIONS.len();
        match turn {
            0..6 => machine.sql(&format!("PAUSE TRIGGER t{nth}")),
            6..12 => machine.sql(&format!("RESUME TRIGGER t{nth}")),
            12 => machine.kill(2),
            _ => {}
        }
    }
    machine.finish();
    for (nth, when) in CONDITIONS.iter().enumerate() {
        let (paused, calm) = (machine.rows(&format!("t{nth}")), machine.rows(&format!("calm{nth}")));
        assert!(calm.len() > 3, "{when}");
        assert_eq!(sorted(paused), sorted(calm), "{when}");
        check_replay(&machine, &format!("t{nth}"));
        check_replay(&machine, &format!("calm{nth}"));
    }
}

#[test]
fn a_pause_that_is_taken_back_at_once_changes_nothing() {
    let machine = Machine::new(5);
    machine.create_readings(1);
    machine.sql("CREATE TRIGGER t ON readings WHEN value > 50");
    machine.sql("PAUSE TRIGGER t");
    machine.sql("RESUME TRIGGER t");
    machine.append(&readings(5, 50));
    machine.catch_up();
    assert_eq!(journals(&machine).len(), 1);
    assert!(!machine.rows("t").is_empty());
}

/// A condition that cannot be evaluated for some row is that trigger's own affair.
#[test]
fn a_column_added_to_the_stream_leaves_its_triggers_as_they_were() {
    let mut machine = Machine::new(10);
    machine.create_readings(1);
    for (name, start) in [("together", "latest"), ("alone", "earliest")] {
        let create = format!("CREATE TRIGGER {name} ON readings WHEN value > 50 FOR INTERVAL '2' SECOND");
        machine.sql(&format!("{create} WITH (start = '{start}')"));
    }
    let insert = |machine: &Machine, minute: u32, unit: &str| {
        let row = |second: u32, value: u32| {
            format!("('a', TIMESTAMP '2027-01-01 00:{minute:02}:{second:02}', {value}{unit})")
        };
        machine.insert("readings", &format!("VALUES {}, {}, {}", row(1, 60), row(5, 61), row(9, 1)));
        machine.catch_up();
    };
    insert(&machine, 1, "");
    machine.sql("ALTER STREAM readings ADD COLUMN unit STRING");
    machine.sql("CREATE TRIGGER later ON readings WHEN value > 50 AND unit = 'C'");
    let counts = |machine: &Machine| ["together", "alone", "later"].map(|name| machine.rows(name).len());
    insert(&machine, 2, ", 'C'");
    assert_eq!(counts(&machine), [2, 2, 2]);
    machine.kill(2);
    machine.catch_up();
    insert(&machine, 3, ", 'F'");
    insert(&machine, 4, ", 'C'");
    assert_eq!(counts(&machine), [4, 4, 4]);
    assert!(machine.rows("later")[0].contains('C'));
    machine.sql("PAUSE TRIGGER together");
    machine.sql("RESUME TRIGGER together");
    insert(&machine, 5, ", 'C'");
    machine.restart(1);
    machine.sql("CREATE OR REPLACE TRIGGER together ON readings WHEN value > 60");
    insert(&machine, 6, ", 'C'");
    assert_eq!(counts(&machine), [6, 6, 8]);
    check_replay(&machine, "alone");
    check_replay(&machine, "later");
}

/// Those that begin later are not always those whose names come later.
#[test]
fn after_a_restart_each_begins_with_its_own_first_row() {
    let mut machine = Machine::new(9);
    machine.create_readings(1);
    machine.sql("CREATE TRIGGER first ON readings WHEN value >= 0");
    let rows = readings(8, 90);
    machine.append(&rows[..10]);
    machine.catch_up();
    // Nothing is read from here on, so that the others begin ahead of the set.
    machine.sql("CREATE TRIGGER z ON readings WHEN value >= 0");
    machine.append(&rows[10..50]);
    machine.sql("CREATE TRIGGER a ON readings WHEN value >= 0");
    machine.append(&rows[50..]);
    machine.kill(2);
    machine.catch_up();
    let count = |name: &str| machine.rows(name).len();
    assert_eq!((count("first"), count("z"), count("a")), (90, 80, 40));
}

#[test]
fn one_goes_on_behind_a_row_that_its_condition_cannot_be_computed_for() {
    let mut machine = Machine::new(5);
    machine.create_readings(1);
    machine.sql(
        "CREATE TRIGGER good ON readings WHEN value >= 0;
         CREATE TRIGGER high ON readings WHEN 100 / value > 3;
         CREATE TRIGGER same ON readings WHEN 100 / value > 3;
         CREATE TRIGGER held ON readings WHEN 100 / value > 3 FOR INTERVAL '2' SECOND;
         CREATE TRIGGER more ON readings WHEN 100 / value > prev(100 / value);
         CREATE TRIGGER until ON readings WHEN value = 60 UNTIL 100 / value = 4;
         CREATE TRIGGER alone ON readings WHEN 100 / value > 3 WITH (start = 'earliest')",
    );
    let values = [10, 0, 60, 20, 0, 25, 1];
    let rows: Vec<Reading> = (1..).zip(values).map(|(second, value)| ("a", second * 1_000, value)).collect();
    machine.append(&rows);
    machine.catch_up();
    let letters = "SELECT source, COUNT(*) FROM system.dead_letters WHERE code = 'HW4001' GROUP BY source ORDER BY source";
    let said = |machine: &Machine| {
        let names = ["good", "high", "same", "held", "more", "until", "alone"];
        names.map(|name| machine.rows(name).len())
    };
    // NULL is neither true nor false: who holds goes on holding. What is compared with a NULL that was remembered is NULL.
    let expect = [7, 4, 4, 2, 2, 1, 4];
    let told = [("alone", 2), ("held", 2), ("high", 2), ("more", 2), ("same", 2), ("until", 1)];
    let told = told.map(|(name, rows)| format!("job {name} {rows}"));
    for _ in 0..2 {
        assert_eq!(said(&machine), expect);
        assert_eq!(machine.query(letters), told);
        machine.kill(2);
        machine.catch_up();
    }
    let one =
        machine.query("SELECT stream, reason, CAST(payload AS STRING) FROM system.dead_letters LIMIT 1");
    assert!(one[0].starts_with("readings Trigger: ") && one[0].contains("ivide by zero"), "{one:?}");
    assert!(one[0].contains(r#""value":0"#), "{one:?}");
    for name in ["high", "held", "more", "alone"] {
        check_replay(&machine, name);
    }
    let query = Some("CREATE TRIGGER other ON readings WHEN 100 / (value - 60) > 3".to_owned());
    let spec = ReplaySpec { job: "high".into(), query, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    assert_eq!((report.rows_in, report.uncomputed), (7, 1));
}

#[test]
fn one_that_fails_leaves_the_others_alone() {
    let mut machine = Machine::new(3);
    machine.create_readings(1);
    machine.sql("CREATE TRIGGER good ON readings WHEN value > 50 FOR INTERVAL '2' SECOND");
    machine.define_spin();
    machine.sql("CREATE TRIGGER bad ON readings WHEN spin(value) > 80");
    let settle = |machine: &Machine| {
        for _ in 0..2_000 {
            machine.turns(1);
        }
    };
    let mut rows = readings(6, 100);
    rows.iter_mut().filter(|row| row.2 == 7).for_each(|row| row.2 = 8);
    machine.append(&rows[..50]);
    machine.catch_up();
    let before = machine.rows("bad").len();
    machine.append(&[(rows[49].0, rows[49].1, 7)]);
    settle(&machine);
    machine.append(&rows[50..]);
    settle(&machine);
    let check = |machine: &Machine| {
        let jobs = machine.engine().jobs();
        let of = |name: &str| jobs.iter().find(|job| job.name == name).unwrap();
        assert_eq!((of("bad").state, of("good").state), (JobState::Failed, JobState::Running));
        assert!(
            of("bad").error.as_ref().is_some_and(|error| error.contains("out of fuel")),
            "{:?}",
            of("bad")
        );
        assert_eq!((machine.rows("bad").len(), of("good").lag), (before, 0));
    };
    check(&machine);
    let good = machine.rows("good").len();
    machine.kill(1);
    settle(&machine);
    check(&machine);
    assert_eq!(machine.rows("good").len(), good, "what was said is said once");
    // The set's checkpoint is behind the row that it fails at.
    machine.restart(1);
    settle(&machine);
    check(&machine);
    machine.append(&readings(7, 20));
    settle(&machine);
    check(&machine);
    // With another condition it goes on where it failed.
    machine.sql("CREATE OR REPLACE TRIGGER bad ON readings WHEN value = 7");
    machine.catch_up();
    assert_eq!(machine.rows("bad").len(), before + 1);
    machine.sql("DROP TRIGGER bad");
    machine.catch_up();
}

/// Those of a set beside the same ones as jobs of their own, which they are if they begin with the oldest row: created before there is
/// one, both judge the same rows.
#[test]
fn a_set_says_what_jobs_of_their_own_say() {
    for seed in 0..6 {
        let mut machine = Machine::new(seed + 40);
        machine.create_readings(2);
        for (nth, when) in CONDITIONS.iter().enumerate() {
            machine.sql(&format!("CREATE TRIGGER t{nth} ON readings WHEN {when}"));
            machine
                .sql(&format!("CREATE TRIGGER own{nth} ON readings WHEN {when} WITH (start = 'earliest')"));
        }
        assert_eq!(journals(&machine).len(), CONDITIONS.len() + 1);
        let random = machine.sim.random("test");
        for (turn, rows) in readings(seed, 240).chunks(15).enumerate() {
            let other = random.index(CONDITIONS.len());
            match turn % 4 {
                0 => machine.sql(&format!("CREATE TRIGGER x{turn} ON readings WHEN {}", CONDITIONS[other])),
                2 => machine.sql(&format!("DROP TRIGGER x{}", turn - 2)),
                _ => {}
            }
            if turn == 9 {
                machine.catch_up();
                for name in ["t0", "own0"] {
                    let when = "value > 70 FOR INTERVAL '3' SECOND UNTIL value < 20";
                    let start = if name == "t0" { "latest" } else { "earliest" };
                    machine.sql(&format!(
                        "CREATE OR REPLACE TRIGGER {name} ON readings WHEN {when} WITH (start = '{start}')"
                    ));
                }
            }
            machine.append(rows);
            machine.turns(random.index(9));
            if random.chance(1, 4) {
                let workers = 1 + random.index(3);
                if random.chance(1, 2) { machine.kill(workers) } else { machine.lose_power(workers) }
            }
        }
        machine.finish();
        for (nth, when) in CONDITIONS.iter().enumerate() {
            let (of_set, own) = (machine.rows(&format!("t{nth}")), machine.rows(&format!("own{nth}")));
            assert!(own.len() > 3, "{when}");
            assert_eq!(sorted(of_set), sorted(own), "seed {seed}, {when}");
        }
        check_replay(&machine, "t1");
    }
}

/// Triggers come, pause, go on and go while the machine is killed: those that stay say what they say on a calm machine.
#[test]
fn what_one_says_does_not_depend_on_what_happens() {
    for seed in 0..4 {
        let all = readings(seed, 260);
        let live = |wild: bool| {
            let mut machine = Machine::new(seed + 20);
            machine.create_readings(3);
            let random = machine.sim.random("test");
            let mut next = 0;
            for (turn, rows) in all.chunks(13).enumerate() {
                if turn % 3 == 0 && next < CONDITIONS.len() {
                    // Nothing is on its way, so that a calm machine and a wild one begin with the same row.
                    machine.catch_up();
                    machine.sql(&format!("CREATE TRIGGER t{next} ON readings WHEN {}", CONDITIONS[next]));
                    next += 1;
                }
                if wild {
                    let other = random.index(CONDITIONS.len());
                    match random.index(6) {
                        0 => machine.sql(&format!(
                            "CREATE TRIGGER IF NOT EXISTS x{other} ON readings WHEN {}",
                            CONDITIONS[other]
                        )),
                        1 => machine.sql(&format!("DROP TRIGGER IF EXISTS x{other}")),
                        2 if other < next => machine.sql(&format!("PAUSE TRIGGER t{other}")),
                        3 => (0..next).for_each(|nth| machine.sql(&format!("RESUME TRIGGER t{nth}"))),
                        _ => {}
                    }
                }
                machine.append(rows);
                machine.turns(random.index(9));
                if wild && random.chance(1, 4) {
                    let workers = 1 + random.index(4);
                    if random.chance(1, 2) { machine.kill(workers) } else { machine.lose_power(workers) }
                }
            }
            (0..next).for_each(|nth| machine.sql(&format!("RESUME TRIGGER t{nth}")));
            machine.finish();
            machine
        };
        let (calm, wild) = (live(false), live(true));
        for (nth, when) in CONDITIONS.iter().enumerate() {
            let name = format!("t{nth}");
            assert_eq!(sorted(wild.rows(&name)), sorted(calm.rows(&name)), "seed {seed}, {when}");
            check_replay(&wild, &name);
        }
    }
}

/// A trigger that came while its set lagged, replaced by one over a view, of whose rows nobody tells the place.
#[test]
fn one_over_a_view_judges_nothing_before_the_first_row_either() {
    for lags in [true, false] {
        let machine = Machine::new(11);
        machine.create_readings(1);
        machine.sql(
            "CREATE VIEW warm AS SELECT device, ts, value, _shard, _sequence FROM readings WHERE value > 50",
        );
        machine.sql("CREATE TRIGGER other ON readings WHEN gt(value, 50)");
        let at = |seconds: i64, value: i64| ("a", 1_000_000_000_000 + seconds * 1_000, value);
        machine.append(&[at(0, 60)]);
        if !lags {
            machine.catch_up();
        }
        machine.sql("CREATE TRIGGER t ON readings WHEN value > 50 FOR INTERVAL '1' HOUR");
        machine.append(&[at(8, 60)]);
        machine.sql("CREATE OR REPLACE TRIGGER t ON warm PARTITION BY device WHEN value > 50 FOR INTERVAL '10' SECOND");
        machine.append(&[at(40, 60)]);
        machine.finish();
        let rows = machine.rows("t");
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(rows[0].starts_with("2001-09-09T01:46:58 held 2001-09-09T01:46:48 "), "{rows:?}");
        check_replay(&machine, "t");
    }
}
