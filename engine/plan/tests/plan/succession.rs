//! Which state a new definition takes over from an old one.

use std::sync::Arc;

use crate::fixture::{InMemory, catalog};
use headwater_operators::Reach;
use headwater_plan::{Catalog, Dataflow, Entry, Planner, Statement, Succession, Target, parse_one};

const DDL: &str = "
CREATE STREAM weather (station STRING, ts TIMESTAMP(3), temp DOUBLE, hour INT, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM raw (id BIGINT, value DOUBLE, at TIMESTAMP(3), WATERMARK FOR at AS at);
";

/// A metric alarm, and a composite one over it.
const ALARMS: &str = "
CREATE ALARM hot ON weather STATISTIC max(temp) PERIOD '1 minute' WITH (comparison = '>', threshold = 80, evaluation_periods = 3);
CREATE COMPOSITE ALARM trouble AS ALARM(hot);
CREATE SCALING POLICY more ON ALARM hot WITH (by = 1);
CREATE SCALING POLICY shop SCHEDULE '0 8 * * *' WITH (desired = 2);
CREATE SCALING GROUP fans POLICIES (more, shop) WITH (min = 1, max = 4);
";

/// The plans of an alarm or a group before and after a statement.
fn replaced(name: &str, statement: &str) -> (Dataflow, Dataflow) {
    let before = catalog(&format!("{DDL}{ALARMS}"));
    let after = before.apply(&parse_one(statement).unwrap()).unwrap().0;
    let plan = |catalog: &Catalog| {
        let tables = Arc::new(InMemory::default()) as _;
        match catalog.get(name).unwrap() {
            Entry::Alarm(alarm) => Planner::new().alarm(catalog, &tables, alarm),
            Entry::ScalingGroup(group) => Planner::new().scaling_group(catalog, &tables, group, true),
            other => panic!("{other:?}"),
        }
    };
    (plan(&before).unwrap(), plan(&after).unwrap())
}

fn plan(sql: &str) -> Dataflow {
    let Statement::Query(query) = parse_one(sql).unwrap().statement else { panic!("{sql}") };
    let tables = Arc::new(InMemory::default()) as _;
    Planner::new().stream(&catalog(DDL), &tables, &query, Target::Anywhere).unwrap()
}

/// The kept and the rebuilt operators, and the sources that are read again.
fn succession(old: &str, new: &str) -> (Vec<&'static str>, Vec<&'static str>, Vec<String>, Reach) {
    let (old, new) = (plan(old), plan(new));
    let found = Succession::of(Some(&old), &new);
    let name = |nth: usize| new.stages[nth].operators[0].name();
    let kept = found.kept().map(|(nth, _)| name(nth)).collect();
    let rebuilt = found.rebuilt().map(name).collect();
    let sources = new.sources.iter().zip(&found.rereads).filter(|(_, again)| **again);
    (kept, rebuilt, sources.map(|(source, _)| source.stream.to_string()).collect(), found.reach)
}

const HOURS: &str = "SELECT station, window_end, MAX(temp) AS m, COUNT(*) AS n FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY station, window_start, window_end";
const COUNTS: &str = "SELECT CAST(id AS STRING) AS station, window_end, MAX(value) AS m, COUNT(*) AS n \
     FROM TUMBLE(TABLE raw, DESCRIPTOR(at), INTERVAL '1' HOUR) GROUP BY id, window_start, window_end";

#[test]
fn what_is_the_same_is_kept_whatever_comes_behind() {
    let hour = Reach::Within(3_600_000_000_000);
    let behind = format!("SELECT station, m * 2, n FROM ({HOURS}) WHERE m > 3 AND n > 1");
    assert_eq!(succession(HOURS, &behind), (vec!["TumbleFinal"], vec![], vec![], Reach::Row));
    let more = HOURS.replace("COUNT(*) AS n", "COUNT(*) AS n, MIN(temp) AS l");
    assert_eq!(succession(HOURS, &more), (vec![], vec!["TumbleFinal"], vec!["weather".to_owned()], hour));
    // A condition on the key is one on the rows that come in.
    let fewer = format!("SELECT * FROM ({HOURS}) WHERE station = 'EWR'");
    assert_eq!(succession(HOURS, &fewer).1, ["TumbleFinal"]);
}

#[test]
fn of_two_branches_the_one_that_has_changed_is_rebuilt_alone() {
    let both = format!("{HOURS} UNION ALL {COUNTS}");
    let changed = format!("{HOURS} UNION ALL {}", COUNTS.replace("MAX", "MIN"));
    let (kept, rebuilt, sources, _) = succession(&both, &changed);
    assert_eq!((kept, rebuilt, sources), (vec!["TumbleFinal"], vec!["TumbleFinal"], vec!["raw".to_owned()]));
    // What feeds a stage that is rebuilt has to run again, whether or not it has changed.
    let joined = |on: &str| {
        format!(
            "SELECT l.station, r.n FROM ({HOURS}) AS l JOIN ({COUNTS}) AS r ON l.window_end = r.window_end AND l.{on} = r.{on}"
        )
    };
    let (kept, rebuilt, sources, _) = succession(&joined("station"), &joined("n"));
    assert_eq!((kept.len(), rebuilt.len(), sources.len()), (0, 3, 2), "{rebuilt:?}");
}

#[test]
fn state_that_follows_from_all_rows_is_built_from_all_rows() {
    let old = "SELECT station, COUNT(*) AS n FROM weather GROUP BY station";
    let (_, rebuilt, _, reach) =
        succession(old, "SELECT station, COUNT(temp) AS n FROM weather GROUP BY station");
    assert_eq!((rebuilt, reach), (vec!["GroupAggregate"], Reach::History));
    assert!(plan(old).is_the_same_as(&plan(old)));
    assert!(!plan(old).is_the_same_as(&plan("SELECT station, COUNT(*) AS m FROM weather GROUP BY station")));
}

/// What it had come to is told to an alarm or a group, so that no more of history matters than the points that an alarm looks at.
#[test]
fn alarms_and_groups_are_told_what_their_former_definitions_had_come_to() {
    let threshold = "CREATE OR REPLACE ALARM hot ON weather STATISTIC max(temp) PERIOD '1 minute' \
                     WITH (comparison = '>', threshold = 70, evaluation_periods = 3)";
    let names = |plan: &Dataflow, stages: &[usize]| -> Vec<&'static str> {
        stages.iter().map(|nth| plan.stages[*nth].operators[0].name()).collect()
    };
    for (name, told) in [
        ("hot", vec!["Alarm"]),
        ("trouble", vec!["Alarm", "CompositeAlarm"]),
        ("fans", vec!["Alarm", "ScalingGroup"]),
    ] {
        let (old, new) = replaced(name, threshold);
        let found = Succession::of(Some(&old), &new);
        let stages: Vec<usize> = found.told().map(|(nth, _)| nth).collect();
        assert_eq!(names(&new, &stages), told, "{name}");
        assert!(found.rereads.contains(&true), "{name} sees its points again");
        let minutes = |count: i64| Reach::Within(count * 60_000_000_000);
        // Five points, one more for the period under way, and the length of the period.
        assert_eq!(found.reach, minutes(7), "{name}");
    }
    for (name, statement) in [
        ("trouble", "CREATE OR REPLACE COMPOSITE ALARM trouble AS NOT ALARM(hot)"),
        ("fans", "CREATE OR REPLACE SCALING POLICY more ON ALARM hot WITH (by = 2)"),
        ("fans", "ALTER SCALING GROUP fans SET (cooldown = '1 minute', warmup = '2 minutes')"),
        ("fans", "CREATE OR REPLACE SCALING GROUP fans POLICIES (shop, more) WITH (min = 2, max = 5)"),
    ] {
        let (old, new) = replaced(name, statement);
        let found = Succession::of(Some(&old), &new);
        let stages: Vec<usize> = found.told().map(|(nth, _)| nth).collect();
        assert_eq!(stages, [new.stages.len() - 1], "{statement}");
        assert_eq!((found.rereads.contains(&true), found.rebuilt().next()), (false, None), "{statement}");
        assert!(found.kept().any(|(nth, _)| new.stages[nth].operators[0].name() == "Alarm"), "{statement}");
    }
}
