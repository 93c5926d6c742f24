//! Scaling groups: what they decide over a real series is what a straight computation decides, each decision once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampNanosecondArray};
use headwater_core::ShardId;
use headwater_log::Append;
use headwater_run::ReplaySpec;

use crate::machine::{Machine, text_of};
use crate::metrics::{append, columns, create_series, expected, file, scaled, series};

/// The ready group over the recorded CPU, killed now and then if `strikes` says so.
fn ready(seed: u64, strikes: bool) -> Machine {
    let mut machine = Machine::new(seed);
    machine.step_rows_max = 200;
    machine.checkpoint_interval = std::time::Duration::from_millis(300);
    machine.restart(2);
    machine.sql(&file("queries/cpu/1_stream.sql").replace("'2 minutes'", "'1 day', 'clock.guard' = 'none'"));
    machine.sql(&file("queries/cpu/2_alarms.sql"));
    machine.sql(&file("queries/cpu/3_group.sql"));
    let random = machine.sim.random("feed");
    for part in series("cpu").chunks(300) {
        append(&machine, "cpu", part);
        machine.turns(random.index(60));
        match random.below(4) {
            0 if strikes => machine.kill(1 + random.index(3)),
            1 if strikes => machine.lose_power(1 + random.index(3)),
            _ => {}
        }
    }
    machine.engine().end_stream_here("cpu").unwrap();
    machine.catch_up();
    machine
}

/// Lines of a file of the oracle, without the heading.
fn lines(path: &str) -> Vec<String> {
    file(path).lines().skip(1).map(str::to_owned).collect()
}

fn assert_as_expected(machine: &Machine) {
    let names = ["at", "by", "before", "after", "scaled", "reason", "group"];
    let mut activities = Vec::new();
    let mut reasons: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for row in columns(machine, "system.scaling_activities", &names) {
        let [at, by, before, after, scaled, reason, group] = &row[..] else {
            unreachable!("as many are asked for")
        };
        assert_eq!(group, "servers");
        if scaled == "true" {
            activities.push(format!("{},{by},{before},{after}", at.trim_end_matches('Z')));
            continue;
        }
        let known = [
            ("in cooldown", "in cooldown"),
            ("at the maximum of 2", "at the maximum"),
            ("at the minimum of 1", "at the minimum"),
        ];
        let why = known.iter().find(|(said, _)| reason.contains(said)).unwrap_or_else(|| panic!("{reason}"));
        *reasons.entry((by.clone(), why.1)).or_default() += 1;
    }
    assert_eq!(activities, lines("queries/cpu/expected/activities.csv"));
    let reasons: Vec<String> =
        reasons.iter().map(|((by, why), times)| format!("{by},{why},{times}")).collect();
    assert_eq!(reasons, lines("queries/cpu/expected/reasons.csv"));
}

#[test]
fn the_ready_group_decides_what_the_straight_computation_decides() {
    let machine = ready(1, false);
    assert_as_expected(&machine);
    let spec = ReplaySpec { job: "servers".into(), diff: true, ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    assert!(report.in_both > 20_000 && report.only_before.is_empty() && report.only_now.is_empty());
}

#[test]
fn a_group_decides_once_whatever_strikes() {
    for seed in 2..4 {
        assert_as_expected(&ready(seed, true));
    }
}

/// The groups of `tests/oracle/scaling.py`.
const GROUPS: &str = "
    CREATE ALARM cpu_hot ON cpu STATISTIC average(value) PERIOD '5 minutes'
        WITH (comparison = '>', threshold = 70, evaluation_periods = 2);
    CREATE ALARM cpu_cold ON cpu STATISTIC average(value) PERIOD '5 minutes'
        WITH (comparison = '<', threshold = 50, evaluation_periods = 2);
    CREATE ALARM load_hot ON load STATISTIC average(value) PERIOD '5 minutes'
        WITH (comparison = '>', threshold = 48, evaluation_periods = 2);
    CREATE ALARM load_cold ON load STATISTIC average(value) PERIOD '5 minutes'
        WITH (comparison = '<', threshold = 40, evaluation_periods = 2);
    CREATE SCALING POLICY cpu_out ON ALARM cpu_hot WITH (type = step, adjustment = PercentChangeInCapacity,
        steps = '0..10: 10, 10..20: 20, 20..: 50', min_adjustment_magnitude = 2);
    CREATE SCALING POLICY cpu_in ON ALARM cpu_cold WITH (type = step, adjustment = PercentChangeInCapacity,
        steps = '-10..0: -10, ..-10: -30');
    CREATE SCALING POLICY load_out ON ALARM load_hot WITH (type = step, adjustment = PercentChangeInCapacity,
        steps = '0..10: 10, 10..20: 20, 20..: 50', min_adjustment_magnitude = 2);
    CREATE SCALING POLICY load_in ON ALARM load_cold WITH (type = step, adjustment = PercentChangeInCapacity,
        steps = '-10..0: -10, ..-10: -30');
    CREATE SCALING POLICY load_hold ON load STATISTIC average(value) PERIOD '5 minutes' WITH (type = target, target = 44);
    CREATE SCALING POLICY network_hold ON network STATISTIC average(value) PERIOD '5 minutes' WITH (type = target, target = 300000);
    CREATE SCALING GROUP cpu_steps POLICIES (cpu_out, cpu_in) WITH (min = 2, max = 40, desired = 10, warmup = '10 minutes');
    CREATE SCALING GROUP load_steps POLICIES (load_out, load_in) WITH (min = 2, max = 40, desired = 10, warmup = '10 minutes');
    CREATE SCALING GROUP load_target POLICIES (load_hold) WITH (min = 1, max = 60, desired = 20, warmup = '7 minutes');
    CREATE SCALING GROUP network_target POLICIES (network_hold) WITH (min = 1, max = 100, desired = 10, warmup = '5 minutes');
";

/// Step policies and target tracking over three recorded series, with crashes in between.
#[test]
fn steps_and_targets_decide_what_the_straight_computation_decides() {
    let mut machine = Machine::new(11);
    machine.step_rows_max = 500;
    machine.checkpoint_interval = std::time::Duration::from_millis(300);
    machine.restart(2);
    let names = ["cpu", "load", "network"];
    names.iter().for_each(|name| create_series(&machine, name));
    machine.sql(GROUPS);
    let random = machine.sim.random("feed");
    let all = names.map(series);
    for from in (0..all[0].len()).step_by(400) {
        for (name, samples) in names.iter().zip(&all) {
            append(&machine, name, &samples[from..(from + 400).min(samples.len())]);
            machine.turns(random.index(40));
        }
        if random.chance(1, 4) {
            machine.kill(1 + random.index(3));
        }
    }
    names.iter().for_each(|name| machine.engine().end_stream_here(name).unwrap());
    machine.catch_up();
    let (decided, expected) = (scaled(&machine), expected("fixtures/cloudwatch/scaling.csv"));
    assert_eq!(expected.len(), 4);
    for (group, activities) in &expected {
        assert_eq!(decided.get(group), Some(activities), "{group}");
    }
}

#[test]
fn another_group_is_tried_over_history() {
    let machine = ready(6, false);
    let query = "CREATE SCALING GROUP more POLICIES (add_one, remove_one) WITH (min = 1, max = 5, cooldown = '1 hour')";
    let spec = ReplaySpec { job: "servers".into(), query: Some(query.into()), ..ReplaySpec::default() };
    let report = machine.engine().replay_here(&spec).unwrap();
    let rows: Vec<String> =
        report.rows.iter().flat_map(text_of).filter(|row| row.contains(" true ")).collect();
    assert!(rows[..4].iter().all(|row| row.contains(" add_one ")), "{:?}", &rows[..4]);
    let hours: Vec<&str> = rows[..4].iter().map(|row| &row[..16]).collect();
    assert_eq!(hours, ["2014-04-10T00:10", "2014-04-10T01:10", "2014-04-10T02:10", "2014-04-10T03:10"]);
    assert!(machine.engine().catalog().get("more").is_none());
}

/// A load that doubles at 12:00 and halves at 13:00; a target of 50; two more from 12:30 on by the clock.
#[test]
fn targets_and_schedules_go_together() {
    let machine = Machine::new(7);
    create_series(&machine, "load");
    machine.sql(
        "CREATE SCALING POLICY hold ON load STATISTIC average(value) PERIOD '1 minute' WITH (type = target, target = 50);
         CREATE SCALING POLICY lunch SCHEDULE '30 12 * * *' WITH (min = 6);
         CREATE SCALING GROUP workers POLICIES (hold, lunch) WITH (min = 1, max = 10, desired = 2, warmup = '5 minutes')",
    );
    let noon = 12 * 60;
    // Per instance, as if there were always two of them: the group's decisions do not change the recording.
    let value = |minute: i64| if (noon..noon + 60).contains(&minute) { 80.0 } else { 40.0 };
    let samples: Vec<_> = (noon - 10..noon + 90).map(|minute| (minute * 60_000, value(minute))).collect();
    append(&machine, "load", &samples);
    machine.engine().end_stream_here("load").unwrap();
    machine.catch_up();
    let rows = columns(&machine, "system.scaling_activities", &["scaled", "at", "by", "before", "after"]);
    let scaled = rows.into_iter().filter(|row| row[0] == "true");
    let scaled: Vec<String> = scaled.map(|row| row[1..].join(" ").replace("1970-01-01T", "")).collect();
    assert_eq!(
        scaled,
        [
            // Three minutes above the target: ceil(2 * 80 / 50) are 4, and then 7 of the 4 that have warmed up.
            "12:03:00Z hold 2 4",
            "12:08:00Z hold 4 7",
            "12:13:00Z hold 7 10",
            // Fifteen minutes below 45: ceil(10 * 40 / 50) are 8, then 7, then 6, where the schedule has put the minimum.
            "13:15:00Z hold 10 8",
            "13:16:00Z hold 8 7",
            "13:17:00Z hold 7 6",
        ]
    );
}

/// The clocks of Berlin are an hour ahead in that winter. An alarm that never is on tells the time.
#[test]
fn scheduled_actions_have_time_zones_starts_and_ends() {
    let mut machine = Machine::new(10);
    create_series(&machine, "load");
    machine.sql(
        "CREATE ALARM never ON load STATISTIC average(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 100);
         CREATE SCALING POLICY idle ON ALARM never WITH (by = 1);
         CREATE SCALING POLICY morning SCHEDULE '0 8 * * *' WITH (desired = 4, time_zone = 'Europe/Berlin');
         CREATE SCALING POLICY launch SCHEDULE AT '1970-01-01 07:30:00' WITH (min = 5);
         CREATE SCALING POLICY rush SCHEDULE '*/10 * * * *'
         WITH (max = 6, desired = 6, start_time = '1970-01-01 08:05:00', end_time = '1970-01-01 08:20:00');
         CREATE SCALING GROUP workers POLICIES (idle, morning, launch, rush) WITH (min = 1, max = 10, desired = 2)",
    );
    for hour in 6..9 {
        let samples: Vec<_> = (hour * 60..hour * 60 + 60).map(|minute| (minute * 60_000, 40.0)).collect();
        append(&machine, "load", &samples);
        machine.catch_up();
        machine.kill(2);
    }
    machine.catch_up();
    let rows = columns(&machine, "system.scaling_activities", &["at", "by", "before", "after", "reason"]);
    let said: Vec<String> = rows.into_iter().map(|row| row.join(" ").replace("1970-01-01T", "")).collect();
    assert_eq!(
        said,
        [
            "07:00:00Z morning 2 4 scheduled, 0 8 * * * in Europe/Berlin",
            "07:30:00Z launch 4 5 scheduled, at 07:30:00Z",
            "08:05:00Z rush 5 6 scheduled, */10 * * * * from 08:05:00Z until 08:20:00Z",
            "08:10:00Z rush 6 6 scheduled, */10 * * * * from 08:05:00Z until 08:20:00Z: the size is what is asked for",
            "08:20:00Z rush 6 6 scheduled, */10 * * * * from 08:05:00Z until 08:20:00Z: the size is what is asked for",
        ]
    );
}

/// Nothing has a metric here: what the engine measures of the group itself tells it the time.
#[test]
fn a_group_of_schedules_alone_goes_by_the_clock() {
    let mut machine = Machine::new(12);
    machine.sql(
        "CREATE SCALING POLICY even SCHEDULE '*/2 * * * *' WITH (desired = 3);
         CREATE SCALING POLICY odd SCHEDULE '1-59/2 * * * *' WITH (desired = 1);
         CREATE SCALING GROUP workers POLICIES (even, odd) WITH (min = 1, max = 5)",
    );
    machine.run_for(150);
    machine.kill(2);
    machine.run_for(150);
    let rows = columns(&machine, "system.scaling_activities", &["at", "by", "after"]);
    let minute = |row: &Vec<String>| row[0][14..16].parse::<u64>().unwrap();
    assert!((4..=6).contains(&rows.len()), "one a minute, through a restart: {rows:?}");
    for (row, next) in rows.iter().zip(&rows[1..]) {
        assert_eq!((minute(row) + 1) % 60, minute(next), "{rows:?}");
    }
    for row in &rows {
        let expected = if minute(row) % 2 == 0 { ["even", "3"] } else { ["odd", "1"] };
        assert_eq!(row[1..], expected, "{rows:?}");
    }
}

#[test]
fn what_cannot_scale_is_refused() {
    let machine = Machine::new(8);
    machine.create_readings(1);
    machine.sql(
        "CREATE ALARM hot ON readings STATISTIC max(value) PERIOD '1 minute' DIMENSIONS (device) WITH (comparison = '>', threshold = 1);
         CREATE ALARM all_hot ON readings STATISTIC max(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 1);
         CREATE COMPOSITE ALARM both AS ALARM(all_hot);
         CREATE SCALING POLICY nightly SCHEDULE '0 0 * * *' WITH (desired = 1);",
    );
    let refused = |sql: &str, why: &str| {
        let error = machine.engine().define_here(sql).unwrap_err().to_string();
        assert!(error.contains(why), "{sql}\n{error}");
    };
    refused("CREATE SCALING POLICY p ON ALARM hot WITH (by = 1)", "a group has one size");
    refused("CREATE SCALING POLICY p ON ALARM hott WITH (by = 1)", "did you mean 'hot'?");
    refused(
        "CREATE SCALING POLICY p ON ALARM both WITH (type = step, steps = '0..: 1')",
        "no metric that a step",
    );
    refused(
        "CREATE SCALING POLICY p ON ALARM all_hot WITH (type = step, steps = '0..5: 1')",
        "without an upper bound",
    );
    refused(
        "CREATE SCALING POLICY p ON ALARM all_hot WITH (by = 1, cool_down = '1 s')",
        "did you mean 'cooldown'?",
    );
    refused(
        "CREATE SCALING GROUP g POLICIES (hot) WITH (min = 0, max = 1)",
        "'hot' is an alarm, not a scaling policy",
    );
    machine.sql("CREATE SCALING POLICY p ON ALARM all_hot WITH (by = 1); CREATE SCALING GROUP g POLICIES (p) WITH (min = 0, max = 1)");
    refused("DROP ALARM all_hot", "is used by");
    refused("DROP SCALING POLICY p", "is used by scaling group g");
    refused("CREATE COMPOSITE ALARM c AS ALARM(c)", "refer to itself");
    machine.sql("DROP SCALING GROUP g; DROP SCALING POLICY p; DROP COMPOSITE ALARM both; DROP ALARM all_hot");
}

/// Who carries decisions out says when they are done: until then a simple policy waits, and its cooldown counts from then.
#[test]
fn an_external_actuator_says_when_an_activity_is_over() {
    let mut machine = Machine::new(9);
    create_series(&machine, "cpu");
    machine.sql(
        "CREATE ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 70);
         CREATE SCALING POLICY more ON ALARM high WITH (by = 1, cooldown = '2 minutes');
         CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 9, actuator = external)",
    );
    let minutes = |from: i64, to: i64| (from..to).map(|minute| (minute * 60_000, 90.0)).collect::<Vec<_>>();
    append(&machine, "cpu", &minutes(0, 6));
    machine.catch_up();
    machine.kill(2);
    report(&machine, 1, 6 * 60);
    machine.catch_up();
    append(&machine, "cpu", &minutes(6, 12));
    machine.catch_up();
    let rows = columns(&machine, "system.scaling_activities", &["at", "after", "reason"]);
    let said: Vec<String> = rows.into_iter().map(|row| row.join(" ").replace("1970-01-01T00:", "")).collect();
    assert_eq!(
        said,
        [
            "01:00Z 2 simple, +1",
            "02:00Z 2 simple, +1: activity 1 is in progress",
            "03:00Z 2 simple, +1: activity 1 is in progress",
            "04:00Z 2 simple, +1: activity 1 is in progress",
            "05:00Z 2 simple, +1: in cooldown until 08:00Z",
            "06:00Z 2 simple, +1: in cooldown until 08:00Z",
            "07:00Z 2 simple, +1: in cooldown until 08:00Z",
            "08:00Z 3 simple, +1",
            "09:00Z 3 simple, +1: activity 2 is in progress",
            "10:00Z 3 simple, +1: activity 2 is in progress",
        ]
    );
}

/// Reports an activity as done at a second.
pub fn report(machine: &Machine, activity: i64, second: i64) {
    let info = machine.log().stream_named("system.scaling_progress").unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from(vec![second * 1_000_000_000]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["servers"])),
        Arc::new(Int64Array::from(vec![activity])),
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(StringArray::from(vec!["launched"])),
    ];
    let rows = headwater_run::fit_columns(&info.spec.schema, columns).unwrap();
    machine.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
}

/// Milliseconds of 1970 and a value, row by row.
async fn feed(engine: &headwater_run::Engine, minutes: std::ops::Range<i64>, value: f64) {
    let rows: Vec<String> =
        minutes.map(|minute| format!("(to_timestamp({}), {value})", minute * 60)).collect();
    engine.execute(&format!("INSERT INTO cpu VALUES {}", rows.join(", "))).await.unwrap();
}

/// Waits until a query answers this.
async fn wait_for(engine: &headwater_run::Engine, sql: &str, expected: &[&str]) {
    let mut rows = Vec::new();
    for _ in 0..12_000 {
        rows = columns_of(engine, sql).await;
        if rows == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(rows, expected, "{sql}");
}

fn on_disk(dir: &std::path::Path) -> headwater_run::Engine {
    let options = headwater_run::EngineOptions { data: Some(dir.to_owned()), ..crate::machine::in_memory() };
    headwater_run::Engine::open(headwater_core::World::real(), options, Arc::new(headwater_run::NoConnectors))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_is_set_by_hand_once_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let engine = on_disk(dir.path());
    let sql = "CREATE STREAM cpu (ts TIMESTAMP, value DOUBLE, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
        CREATE ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 70);
        CREATE SCALING POLICY more ON ALARM high WITH (by = 1, cooldown = '10 minutes');
        CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 4);";
    engine.execute(sql).await.unwrap();
    feed(&engine, 0..3, 90.0).await;
    let shown =
        "SELECT \"by\", before, after, scaled FROM system.scaling_activities WHERE scaled ORDER BY _sequence";
    wait_for(&engine, shown, &["more 1 2 true"]).await;
    let refused = async |engine: &headwater_run::Engine, set: &str, why: &str| {
        let sql = format!("ALTER SCALING GROUP servers SET ({set})");
        let error = engine.execute(&sql).await.err().unwrap().to_string();
        assert!(error.contains(why), "{set}: {error}");
    };
    refused(&engine, "desired = 5", "the size must lie within the bounds 1 to 4").await;
    refused(&engine, "desired = 3, honor_cooldown = true", "in cooldown until 1970-01-01T00:11:00Z").await;
    refused(&engine, "min = 5", "the minimum would be greater than the maximum").await;
    engine.execute("ALTER SCALING GROUP servers SET (desired = 3)").await.unwrap();
    engine.execute("ALTER SCALING GROUP servers SET (max = 6, desired = 5)").await.unwrap();
    engine.execute("ALTER SCALING GROUP servers SET (desired = 5)").await.unwrap();
    let all = ["more 1 2 true", "ALTER SCALING GROUP 2 3 true", "ALTER SCALING GROUP 3 5 true"];
    wait_for(&engine, shown, &all).await;
    engine.close().await.unwrap();

    // What was said is in the journal: the next life goes on from there, and a replay comes to the same.
    let engine = on_disk(dir.path());
    let groups = columns_of(&engine, "SHOW SCALING GROUPS").await;
    assert!(groups[0].starts_with("servers 5 1 6 "), "{groups:?}");
    feed(&engine, 3..14, 90.0).await;
    wait_for(&engine, shown, &[&all[..], &["more 5 6 true"]].concat()).await;
    let spec = ReplaySpec { job: "servers".into(), diff: true, ..ReplaySpec::default() };
    let report = engine.replay(spec).await.unwrap();
    assert!(report.in_both > 4 && report.only_before.is_empty() && report.only_now.is_empty());
    let nobody =
        engine.execute("ALTER SCALING GROUP others SET (desired = 1)").await.err().unwrap().to_string();
    assert!(nobody.contains("there is no scaling group 'others'"), "{nobody}");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_set_by_hand_and_all_who_hear_the_alarm_hear_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = on_disk(dir.path());
    let sql = "CREATE STREAM cpu (ts TIMESTAMP, value DOUBLE, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
        CREATE ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 70);
        CREATE STREAM fleet (ts TIMESTAMP, host STRING, value DOUBLE, WATERMARK FOR ts AS ts);
        CREATE ALARM of_hosts ON fleet STATISTIC average(value) PERIOD '1 minute' DIMENSIONS (host) WITH (comparison = '>', threshold = 70);
        CREATE COMPOSITE ALARM trouble AS ALARM(high);
        CREATE SCALING POLICY more ON ALARM high WITH (by = 1);
        CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 4);";
    engine.execute(sql).await.unwrap();
    feed(&engine, 0..4, 10.0).await;
    wait_for(
        &engine,
        "SELECT max(at) FROM system.alarm_history WHERE alarm = 'high'",
        &["1970-01-01T00:03:00Z"],
    )
    .await;
    wait_for(&engine, "SELECT count(*) FROM system.jobs WHERE lag > 0", &["0"]).await;
    engine.execute("ALTER ALARM high SET STATE 'ALARM' REASON 'a drill'").await.unwrap();
    let of = |alarm: &str| {
        format!(
            "SELECT before, after, reason FROM system.alarm_history WHERE alarm = '{alarm}' AND changed ORDER BY _sequence DESC LIMIT 1"
        )
    };
    wait_for(&engine, &of("high"), &["OK ALARM a drill"]).await;
    wait_for(&engine, "SELECT after FROM system.alarm_history WHERE alarm = 'trouble' AND changed ORDER BY _sequence DESC LIMIT 1", &["ALARM"]).await;
    let scaled = "SELECT \"by\", before, after FROM system.scaling_activities WHERE scaled";
    wait_for(&engine, scaled, &["more 1 2"]).await;
    // It lasts until the next evaluation.
    feed(&engine, 4..6, 10.0).await;
    let states = "SELECT before, after FROM system.alarm_history WHERE alarm = 'high' AND changed ORDER BY _sequence DESC LIMIT 1";
    wait_for(&engine, states, &["ALARM OK"]).await;
    wait_for(&engine, &states.replace("'high'", "'trouble'"), &["ALARM OK"]).await;

    engine
        .execute("ALTER COMPOSITE ALARM trouble SET STATE 'INSUFFICIENT_DATA' REASON 'away'")
        .await
        .unwrap();
    wait_for(&engine, &of("trouble"), &["OK INSUFFICIENT_DATA away"]).await;
    for (sql, why) in [
        ("ALTER ALARM hihg SET STATE 'OK' REASON 'x'", "did you mean 'high'?"),
        ("ALTER ALARM high FOR 'host=a' SET STATE 'OK' REASON 'x'", "has no dimensions"),
        ("ALTER ALARM of_hosts SET STATE 'OK' REASON 'x'", "say which with FOR 'host=...'"),
    ] {
        let error = engine.execute(sql).await.err().unwrap().to_string();
        assert!(error.contains(why), "{sql}: {error}");
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_reported_in_sql() {
    let world = headwater_core::World::real();
    let engine = headwater_run::Engine::open(
        world,
        crate::machine::in_memory(),
        Arc::new(headwater_run::NoConnectors),
    )
    .unwrap();
    let sql = "CREATE STREAM cpu (ts TIMESTAMP, value DOUBLE, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
        CREATE ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 70);
        CREATE SCALING POLICY more ON ALARM high WITH (by = 1, cooldown = '2 minutes');
        CREATE SCALING GROUP servers POLICIES (more) WITH (min = 1, max = 9, actuator = external);
        INSERT INTO system.scaling_progress VALUES (to_timestamp(60), 'servers', 1, true, 'one launched');";
    engine.execute(sql).await.unwrap();
    let rows = columns_of(&engine, "SHOW SCALING GROUPS").await;
    assert_eq!(rows, ["servers 1 1 9 more external null null"]);
    assert_eq!(columns_of(&engine, "SELECT detail FROM system.scaling_progress").await, ["one launched"]);
    engine.close().await.unwrap();
}

async fn columns_of(engine: &headwater_run::Engine, sql: &str) -> Vec<String> {
    use futures::TryStreamExt;
    match engine.execute(sql).await.unwrap().into_iter().last() {
        Some(headwater_run::Answer::Rows(rows)) => {
            let batches: Vec<_> = rows.try_collect().await.unwrap();
            batches.iter().flat_map(text_of).collect()
        }
        _ => Vec::new(),
    }
}
