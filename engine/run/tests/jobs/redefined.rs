//! Alarms, policies and groups under another definition: what they had come to stays, for all who compute them, and a decision stays done
//! once, through kills and without checkpoints.

use crate::alarms::lose_checkpoints;
use crate::machine::Machine;
use crate::metrics::{append, columns, create_series};
use crate::scaling::report;

/// A sample for each minute.
fn feed(machine: &Machine, minutes: std::ops::Range<i64>, value: f64) {
    append(machine, "cpu", &minutes.map(|minute| (minute * 60_000, value)).collect::<Vec<_>>());
    machine.catch_up();
}

/// What happens between a replacement and what follows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Strike {
    Nothing,
    Kill,
    /// Everything follows from the journal.
    Forget,
}

impl Strike {
    const ALL: [Self; 3] = [Self::Nothing, Self::Kill, Self::Forget];

    fn hit(self, machine: &mut Machine) {
        if self == Self::Forget {
            lose_checkpoints(machine);
        }
        if self != Self::Nothing {
            machine.kill(2);
            machine.catch_up();
        }
    }
}

fn said(machine: &Machine, stream: &str, names: &[&str]) -> Vec<String> {
    let rows = columns(machine, stream, names);
    rows.into_iter().map(|row| row.join(" ").replace("1970-01-01T00:", "")).collect()
}

const HIGH: &str =
    "ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute' WITH (comparison = '>', threshold = ";

#[test]
fn a_group_goes_on_under_other_policies_and_rules() {
    for strike in Strike::ALL {
        let mut machine = Machine::new(41);
        create_series(&machine, "cpu");
        machine.sql(&format!(
            "CREATE {HIGH} 70);
             CREATE SCALING POLICY more ON ALARM high WITH (by = 1);
             CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 9, cooldown = '10 minutes')"
        ));
        feed(&machine, 0..6, 90.0);
        machine.sql("CREATE OR REPLACE SCALING POLICY more ON ALARM high WITH (by = 2)");
        strike.hit(&mut machine);
        feed(&machine, 6..9, 90.0);
        machine.sql("ALTER SCALING GROUP servers SET (cooldown = '1 minute')");
        strike.hit(&mut machine);
        feed(&machine, 9..14, 90.0);
        machine.sql("CREATE OR REPLACE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 5, cooldown = '1 minute')");
        strike.hit(&mut machine);
        feed(&machine, 14..17, 90.0);
        assert_eq!(
            said(
                &machine,
                "system.scaling_activities",
                &["at", "by", "before", "after", "activity", "max", "reason"]
            ),
            [
                "01:00Z more 1 2 1 9 simple, +1",
                "02:00Z more 2 2  9 simple, +1: in cooldown until 11:00Z",
                "03:00Z more 2 2  9 simple, +1: in cooldown until 11:00Z",
                "04:00Z more 2 2  9 simple, +1: in cooldown until 11:00Z",
                // Another policy; the cooldown that it finds is the one that there was.
                "05:00Z more 2 2  9 simple, +2: in cooldown until 11:00Z",
                "06:00Z more 2 2  9 simple, +2: in cooldown until 11:00Z",
                "07:00Z more 2 2  9 simple, +2: in cooldown until 11:00Z",
                "08:00Z more 2 2  9 simple, +2: in cooldown until 11:00Z",
                "09:00Z more 2 2  9 simple, +2: in cooldown until 11:00Z",
                "10:00Z more 2 2  9 simple, +2: in cooldown until 11:00Z",
                // From here on it is a minute.
                "11:00Z more 2 4 2 9 simple, +2",
                "12:00Z more 4 6 3 9 simple, +2",
                // Bounds of the new definition bring the size within them, which is a decision.
                "12:00Z ALTER SCALING GROUP 6 5 4 5 by hand",
                "13:00Z more 5 5  5 simple, +2: at the maximum of 5",
                "14:00Z more 5 5  5 simple, +2: at the maximum of 5",
                "15:00Z more 5 5  5 simple, +2: at the maximum of 5",
            ],
            "{strike:?}"
        );
    }
}

#[test]
fn an_activity_under_way_stays_under_way() {
    for strike in Strike::ALL {
        let mut machine = Machine::new(42);
        create_series(&machine, "cpu");
        machine.sql(&format!(
            "CREATE {HIGH} 70);
             CREATE SCALING POLICY more ON ALARM high WITH (by = 1, cooldown = '2 minutes');
             CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 9, actuator = external)"
        ));
        feed(&machine, 0..4, 90.0);
        machine
            .sql("CREATE OR REPLACE SCALING POLICY more ON ALARM high WITH (by = 2, cooldown = '5 minutes')");
        strike.hit(&mut machine);
        feed(&machine, 4..6, 90.0);
        report(&machine, 1, 60 * 6);
        machine.catch_up();
        feed(&machine, 6..11, 90.0);
        assert_eq!(
            said(&machine, "system.scaling_activities", &["at", "after", "activity", "reason"]),
            [
                "01:00Z 2 1 simple, +1",
                "02:00Z 2  simple, +1: activity 1 is in progress",
                "03:00Z 2  simple, +2: activity 1 is in progress",
                "04:00Z 2  simple, +2: activity 1 is in progress",
                // Two minutes, as was said when it was decided.
                "05:00Z 2  simple, +2: in cooldown until 08:00Z",
                "06:00Z 2  simple, +2: in cooldown until 08:00Z",
                "07:00Z 2  simple, +2: in cooldown until 08:00Z",
                "08:00Z 4 2 simple, +2",
                "09:00Z 4  simple, +2: activity 2 is in progress",
            ],
            "{strike:?}"
        );
    }
}

#[test]
fn an_alarm_is_another_one_for_all_who_hear_it() {
    for strike in Strike::ALL {
        let mut machine = Machine::new(43);
        create_series(&machine, "cpu");
        machine.sql(&format!(
            "CREATE {HIGH} 70);
             CREATE COMPOSITE ALARM trouble AS ALARM(high) WITH (history = changes);
             CREATE COMPOSITE ALARM calm AS NOT ALARM(trouble) WITH (history = changes);
             CREATE SCALING POLICY more ON ALARM high WITH (by = 1);
             CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 9, cooldown = '2 minutes')"
        ));
        feed(&machine, 0..4, 50.0);
        machine.sql(&format!("CREATE OR REPLACE {HIGH} 40)"));
        strike.hit(&mut machine);
        feed(&machine, 4..7, 50.0);
        // It looks at once at what its alarms have said, and so does who names it.
        machine.sql("CREATE OR REPLACE COMPOSITE ALARM trouble AS OK(high) WITH (history = changes)");
        strike.hit(&mut machine);
        machine.sql(&format!("CREATE OR REPLACE {HIGH} 70)"));
        feed(&machine, 7..9, 50.0);
        let mut changes: Vec<_> =
            columns(&machine, "system.alarm_history", &["changed", "alarm", "at", "before", "after"])
                .into_iter()
                .filter(|row| row[0] == "true")
                .map(|row| row[1..].join(" ").replace("1970-01-01T00:", ""))
                .collect();
        changes.sort();
        assert_eq!(
            changes,
            [
                "calm 01:00Z INSUFFICIENT_DATA ALARM",
                "calm 03:00Z ALARM OK",
                "calm 05:00Z OK ALARM",
                "calm 06:00Z ALARM OK",
                "high 01:00Z INSUFFICIENT_DATA OK",
                "high 03:00Z OK ALARM",
                "high 06:00Z ALARM OK",
                "trouble 01:00Z INSUFFICIENT_DATA OK",
                "trouble 03:00Z OK ALARM",
                "trouble 05:00Z ALARM OK",
                "trouble 06:00Z OK ALARM",
            ],
            "{strike:?}"
        );
        assert_eq!(
            said(&machine, "system.scaling_activities", &["at", "before", "after", "reason"]),
            [
                "03:00Z 1 2 simple, +1",
                "04:00Z 2 2 simple, +1: in cooldown until 05:00Z",
                "05:00Z 2 3 simple, +1"
            ],
            "{strike:?}"
        );
    }
}

#[test]
fn what_another_definition_would_break_is_refused() {
    let machine = Machine::new(44);
    create_series(&machine, "cpu");
    create_series(&machine, "load");
    machine.sql(&format!(
        "CREATE {HIGH} 70);
         CREATE COMPOSITE ALARM trouble AS ALARM(high);
         CREATE COMPOSITE ALARM worse AS ALARM(trouble);
         CREATE SCALING POLICY steps ON ALARM high WITH (type = step, steps = '0..: 1');
         CREATE SCALING GROUP servers POLICIES (steps) WITH (min = 1, max = 9)"
    ));
    feed(&machine, 0..4, 90.0);
    let refused = |sql: &str, why: &str| {
        let error = machine.engine().define_here(sql).unwrap_err().to_string();
        assert!(error.contains(why), "{sql}\n{error}");
    };
    refused("CREATE OR REPLACE COMPOSITE ALARM trouble AS ALARM(worse)", "would refer to itself");
    refused(
        &format!("CREATE OR REPLACE {HIGH} 70)").replace("cpu", "load"),
        "reads load, which the one that runs does not",
    );
    refused("CREATE OR REPLACE COMPOSITE ALARM high AS NOT OK(calm)", "calm");
    machine.sql(
        &format!("CREATE {}", HIGH.replacen("high", "other", 1)).replace("threshold = ", "threshold = 1)"),
    );
    refused("CREATE OR REPLACE COMPOSITE ALARM high AS ALARM(other)", "no metric that a step");
    let group = "CREATE OR REPLACE SCALING GROUP servers POLICIES (steps) WITH (min = 1, max = 9, actuator = external)";
    refused(group, "carried out by dry_run, not by external");
    refused("ALTER SCALING GROUP servers SET (cooldown = '1 s', desired = 2)", "by a statement each");
    refused(
        "ALTER SCALING GROUP steps SET (cooldown = '1 s')",
        "'steps' is a scaling policy, not a scaling group",
    );
    // All of them go on as they were.
    feed(&machine, 4..6, 90.0);
    let told = columns(&machine, "system.alarm_history", &["alarm", "at", "after"]);
    let last =
        |alarm: &str| told.iter().filter(|row| row[0] == alarm).map(|row| row[1..].join(" ")).next_back();
    assert_eq!(last("high").as_deref(), Some("1970-01-01T00:04:00Z ALARM"));
    for alarm in ["trouble", "worse"] {
        // These are evaluated when an alarm changes.
        assert_eq!(last(alarm).as_deref(), Some("1970-01-01T00:01:00Z ALARM"), "{alarm}");
    }
}
