//! Alarms: what they say over real series is what a straight evaluation says, and a decision is made once, whatever strikes.

use std::sync::Arc;

use futures::TryStreamExt;
use headwater_core::World;
use headwater_core::world::sim::SimRandom;
use headwater_run::{Answer, Engine, NoConnectors, ReplaySpec};

use crate::machine::{Machine, in_memory, text_of};
use crate::metrics::{Sample, append, changes, columns, create_series, expected, file, series};

/// The alarms of `tests/oracle/alarms.py`.
const ALARMS: &str = "
    CREATE ALARM cpu_high ON cpu STATISTIC average(value) PERIOD INTERVAL '5' MINUTE
      WITH (comparison = '>', threshold = 95, evaluation_periods = 2);
    CREATE ALARM cpu_slow ON cpu STATISTIC average(value) PERIOD INTERVAL '1' HOUR
      WITH (comparison = '>=', threshold = 95, evaluation_periods = 3, datapoints_to_alarm = 2, treat_missing_data = missing);
    CREATE ALARM cpu_low ON cpu STATISTIC minimum(value) PERIOD '15 minutes'
      WITH (comparison = 'LessThanOrEqualToThreshold', threshold = 50, evaluation_periods = 3, treat_missing_data = notBreaching);
    CREATE ALARM busy ON requests STATISTIC sum(value) PERIOD '15 minutes'
      WITH (comparison = '>', threshold = 300, evaluation_periods = 2);
    CREATE ALARM busy_p90 ON requests STATISTIC p90(value) PERIOD '1 hour'
      WITH (comparison = '>', threshold = 198.77, evaluation_periods = 3, datapoints_to_alarm = 2, treat_missing_data = ignore);
    CREATE ALARM quiet ON requests STATISTIC sum(value) PERIOD '5 minutes'
      WITH (comparison = '<', threshold = 10, evaluation_periods = 3, treat_missing_data = breaching);
    CREATE ALARM quiet_kept ON requests STATISTIC maximum(value) PERIOD '5 minutes'
      WITH (comparison = '<', threshold = 20, evaluation_periods = 4, datapoints_to_alarm = 3, treat_missing_data = ignore);
    CREATE ALARM quiet_missing ON requests STATISTIC average(value) PERIOD '5 minutes'
      WITH (comparison = '<', threshold = 20, evaluation_periods = 4, datapoints_to_alarm = 3, history = changes);
    CREATE ALARM quiet_fine ON requests STATISTIC samplecount(value) PERIOD '10 minutes'
      WITH (comparison = '<', threshold = 2, evaluation_periods = 3, datapoints_to_alarm = 2, treat_missing_data = notBreaching);";

/// Appends two series in parts of random length, with turns between them; `strike` is called after each part.
fn feed(machine: &mut Machine, random: &SimRandom, strike: impl Fn(&mut Machine, &SimRandom)) {
    let series: [(&str, Vec<Sample>); 2] = [("cpu", series("cpu")), ("requests", series("requests"))];
    let mut done = [0, 0];
    while series.iter().zip(&done).any(|((_, samples), done)| *done < samples.len()) {
        let which = random.index(2);
        let (name, samples) = &series[which];
        let part = (random.index(700) + 1).min(samples.len() - done[which]);
        append(machine, name, &samples[done[which]..done[which] + part]);
        done[which] += part;
        machine.turns(random.index(60));
        strike(machine, random);
    }
    for name in ["cpu", "requests"] {
        machine.engine().end_stream_here(name).unwrap();
    }
    machine.catch_up();
}

fn create(machine: &Machine) {
    create_series(machine, "cpu");
    create_series(machine, "requests");
    machine.sql(ALARMS);
}

#[track_caller]
fn assert_as_expected(machine: &Machine) {
    let (said, expect) = (changes(machine), expected("fixtures/cloudwatch/alarms.csv"));
    for (alarm, expect) in &expect {
        assert_eq!(said.get(alarm), Some(expect), "{alarm}");
    }
    assert_eq!(said.len(), expect.len());
}

#[test]
fn alarms_over_real_series_say_what_the_straight_evaluation_says() {
    let mut machine = Machine::new(1);
    machine.step_rows_max = 10_000;
    machine.restart(2);
    create(&machine);
    let random = machine.sim.random("feed");
    feed(&mut machine, &random, |_, _| {});
    assert_as_expected(&machine);
    let report = machine
        .engine()
        .replay_here(&ReplaySpec { job: "busy".into(), diff: true, ..ReplaySpec::default() })
        .unwrap();
    assert!(report.in_both > 20_000, "an evaluation each minute: {}", report.in_both);
    assert!(report.only_before.is_empty() && report.only_now.is_empty(), "a replay says the same");
}

#[test]
fn no_decision_is_lost_or_repeated_whatever_strikes() {
    for seed in 2..4 {
        let mut machine = Machine::new(seed);
        machine.step_rows_max = 300;
        machine.checkpoint_interval = std::time::Duration::from_millis(200);
        machine.restart(2);
        create(&machine);
        let random = machine.sim.random("feed");
        feed(&mut machine, &random, |machine, random| match random.below(6) {
            0 => machine.kill(1 + random.index(3)),
            1 => machine.lose_power(1 + random.index(3)),
            2 => machine.restart(1 + random.index(3)),
            _ => {}
        });
        assert_as_expected(&machine);
        let evaluated = columns(&machine, "system.alarm_history", &["alarm", "at"]);
        let mut once = evaluated.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), evaluated.len(), "each evaluation is there once");
    }
}

#[test]
fn another_threshold_is_tried_over_history() {
    let machine = Machine::new(6);
    create_series(&machine, "cpu");
    machine.sql(ALARMS.split_inclusive(';').next().unwrap());
    append(&machine, "cpu", &series("cpu"));
    machine.catch_up();
    let replay = |threshold: u32| {
        let query = format!(
            "CREATE ALARM other ON cpu STATISTIC average(value) PERIOD INTERVAL '5' MINUTE \
             WITH (comparison = '>', threshold = {threshold}, evaluation_periods = 2, history = changes)"
        );
        let spec = ReplaySpec { job: "cpu_high".into(), query: Some(query), ..ReplaySpec::default() };
        let report = machine.engine().replay_here(&spec).unwrap();
        report.rows.iter().flat_map(text_of).filter(|row| row.contains(" OK ALARM ")).count()
    };
    let (now, lower, higher) = (replay(95), replay(70), replay(100));
    assert_eq!(
        now,
        expected("fixtures/cloudwatch/alarms.csv")["cpu_high"]
            .iter()
            .filter(|line| line.ends_with("OK,ALARM"))
            .count()
    );
    assert!(lower > 0 && lower < now && higher == 0, "{lower} {now} {higher}");
    assert!(machine.engine().catalog().get("other").is_none());
}

#[test]
fn the_ready_alarms_say_what_they_promise() {
    let machine = Machine::new(7);
    machine
        .sql(&file("queries/cpu/1_stream.sql").replace("'2 minutes'", "'2 minutes', 'clock.guard' = 'none'"));
    machine.sql(&file("queries/cpu/2_alarms.sql"));
    append(&machine, "cpu", &series("cpu"));
    machine.engine().end_stream_here("cpu").unwrap();
    machine.catch_up();
    assert_eq!(changes(&machine), expected("queries/cpu/expected/changes.csv"));
}

/// Alarms with dimensions over a query, and a composite one over them, killed in between: `a` is hot from 60 to 180 s, `b` never,
/// and `c` ends after a minute.
#[test]
fn dimensions_have_a_state_each_and_composites_follow() {
    let run = |workers: usize, kill: bool| {
        let mut machine = Machine::new(8);
        machine.create_readings(1);
        machine.restart(workers);
        machine.sql(
            "CREATE ALARM hot ON (SELECT window_end, device, MAX(value) AS value FROM TABLE(TUMBLE(TABLE readings, \
               DESCRIPTOR(ts), INTERVAL '30' SECOND)) GROUP BY window_start, window_end, device)
               WITH (period = '30 s', comparison = '>', threshold = 50, history = changes);
             CREATE ALARM silent ON readings STATISTIC count(value) PERIOD '30 s' DIMENSIONS (device)
               WITH (comparison = '<', threshold = 1, evaluation_periods = 2, treat_missing_data = breaching, history = changes);
             CREATE COMPOSITE ALARM trouble AS ALARM(hot) OR ALARM(silent) WITH (history = changes);
             CREATE COMPOSITE ALARM calm AS NOT ALARM(trouble) AND NOT INSUFFICIENT_DATA(hot) WITH (history = changes);",
        );
        for second in (0..300).step_by(10) {
            let value = |device| if device == "a" && (60..180).contains(&second) { 90 } else { 10 };
            let devices = if second < 60 { vec!["a", "b", "c"] } else { vec!["a", "b"] };
            let rows: Vec<_> =
                devices.into_iter().map(|device| (device, second * 1_000, value(device))).collect();
            machine.append(&rows);
            machine.turns(30);
            if kill && second % 40 == 0 {
                machine.kill(workers);
            }
        }
        machine.finish();
        let mut rows =
            columns(&machine, "system.alarm_history", &["alarm", "dimensions", "at", "before", "after"]);
        rows.sort();
        rows.into_iter().map(|row| row.join(" ").replace("1970-01-01T00:", "")).collect::<Vec<_>>()
    };
    let expect = [
        "calm device=a 00:10Z INSUFFICIENT_DATA OK",
        "calm device=a 00:30Z OK ALARM",
        "calm device=a 01:30Z ALARM OK",
        "calm device=a 03:30Z OK ALARM",
        "calm device=b 00:10Z INSUFFICIENT_DATA OK",
        "calm device=b 00:30Z OK ALARM",
        "calm device=c 00:10Z INSUFFICIENT_DATA OK",
        "calm device=c 00:30Z OK ALARM",
        "calm device=c 02:30Z ALARM OK",
        "hot device=a 00:30Z INSUFFICIENT_DATA OK",
        "hot device=a 01:30Z OK ALARM",
        "hot device=a 03:30Z ALARM OK",
        "hot device=b 00:30Z INSUFFICIENT_DATA OK",
        "hot device=c 00:30Z INSUFFICIENT_DATA OK",
        "hot device=c 02:30Z OK INSUFFICIENT_DATA",
        "silent device=a 00:10Z INSUFFICIENT_DATA OK",
        "silent device=b 00:10Z INSUFFICIENT_DATA OK",
        "silent device=c 00:10Z INSUFFICIENT_DATA OK",
        // Two points are wanted among four, half a minute apart: the last that is there ends at 01:20.
        "silent device=c 03:00Z OK ALARM",
        "trouble device=a 00:10Z INSUFFICIENT_DATA OK",
        "trouble device=a 01:30Z OK ALARM",
        "trouble device=a 03:30Z ALARM OK",
        "trouble device=b 00:10Z INSUFFICIENT_DATA OK",
        "trouble device=c 00:10Z INSUFFICIENT_DATA OK",
        "trouble device=c 03:00Z OK ALARM",
    ];
    let rows = run(1, false);
    assert_eq!(rows, expect);
    for (workers, kill) in [(1, true), (3, false), (3, true)] {
        assert_eq!(run(workers, kill), rows, "{workers} workers, {kill}");
    }
}

async fn rows(engine: &Engine, sql: &str) -> Vec<String> {
    let answers = engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    match answers.into_iter().last() {
        Some(Answer::Rows(rows)) => {
            let batches: Vec<_> = rows.try_collect().await.unwrap();
            batches.iter().flat_map(text_of).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_shown_and_explained() {
    let engine = Engine::open(World::real(), in_memory(), Arc::new(NoConnectors)).unwrap();
    engine
        .execute(
            "CREATE STREAM cpu (ts TIMESTAMP, value DOUBLE, WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
             CREATE ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute'
               WITH (comparison = '>', threshold = 70, evaluation_periods = 2, unit = 'Percent');
             CREATE ALARM never ON cpu STATISTIC average(value) PERIOD '1 minute' WHERE value > 1000
               WITH (comparison = '>', threshold = 70);",
        )
        .await
        .unwrap();
    let values: Vec<String> = [50, 80, 90, 60]
        .iter()
        .enumerate()
        .map(|(nth, value)| format!("(to_timestamp({}), {value})", nth * 60))
        .collect();
    engine.execute(&format!("INSERT INTO cpu VALUES {}", values.join(", "))).await.unwrap();
    engine.end_stream("cpu").await.unwrap();
    engine.wait_bounded().await.unwrap();
    let shown = rows(&engine, "SHOW ALARMS").await;
    assert_eq!(
        shown,
        ["high  OK 1970-01-01T00:04:00Z 60 1970-01-01T00:04:00Z", "never  INSUFFICIENT_DATA null null null"]
    );
    let story = rows(&engine, "EXPLAIN ALARM high AT '1970-01-01 00:03:30'").await;
    assert_eq!(
        story,
        [
            "high at 1970-01-01T00:03:00Z: ALARM, was OK",
            "  rule: Average(value) of cpu in Percent, over 1m > 70 at 2 of 2 points, missing data: missing",
            "  points, oldest first: [null, 50, 80, 90]",
            "  breaching: 2",
            "  because 2 of the newest 2 points breach, 2 are needed",
        ]
    );
    let story = rows(&engine, "EXPLAIN ALARM never").await;
    assert_eq!(story, ["never has not been evaluated: INSUFFICIENT_DATA"]);
    let error = engine.execute("EXPLAIN ALARM cpu").await.err().unwrap().to_string();
    assert!(error.starts_with("'cpu' is a stream, not an alarm"), "{error}");
    assert_eq!(rows(&engine, "SELECT COUNT(*) FROM system.alarm_history WHERE changed").await, ["3"]);
    let in_use = engine.execute("DROP STREAM cpu").await.err().unwrap().to_string();
    assert!(in_use.contains("is used by alarm high"), "{in_use}");
    // What an alarm of the same name said before is not this one's.
    engine.execute("DROP ALARM high").await.unwrap();
    let anew = "CREATE ALARM high ON cpu STATISTIC average(value) PERIOD '1 minute' WHERE value > 1000 \
                WITH (comparison = '>', threshold = 99)";
    engine.execute(anew).await.unwrap();
    assert_eq!(rows(&engine, "SHOW ALARMS").await[0], "high  INSUFFICIENT_DATA null null null");
    let story = rows(&engine, "EXPLAIN ALARM high").await;
    assert_eq!(story, ["high has not been evaluated: INSUFFICIENT_DATA"]);
    engine.execute("DROP ALARM high; DROP ALARM never; DROP STREAM cpu").await.unwrap();
    assert!(rows(&engine, "SHOW ALARMS").await.is_empty());
    let closed = engine.execute("INSERT INTO system.alarm_history SELECT * FROM system.alarm_history").await;
    assert!(closed.err().unwrap().to_string().contains("takes no rows from outside"));
    engine.close().await.unwrap();
}

/// No checkpoint that was written can be read any more.
pub fn lose_checkpoints(machine: &Machine) {
    machine.engine().close_here().unwrap();
    let image = machine.sim.disk().image();
    let all: Vec<_> = image.files.keys().filter(|path| path.to_string_lossy().contains("/ck-")).collect();
    assert!(!all.is_empty());
    all.into_iter().for_each(|path| machine.sim.disk().corrupt(path, 40, 0x10).unwrap());
}

/// An update keeps the state: what changes with it is told with the next evaluation.
#[test]
fn a_replaced_alarm_keeps_its_states_through_crashes() {
    for (seed, forget) in [(21, true), (22, false), (22, true)] {
        let mut machine = Machine::new(seed);
        machine.create_readings(1);
        let alarm = |threshold: i64| {
            format!(
                "CREATE OR REPLACE ALARM hot ON readings STATISTIC max(value) PERIOD '1 minute' DIMENSIONS (device)
                 WITH (comparison = '>', threshold = {threshold}, evaluation_periods = 2, history = changes)"
            )
        };
        let minutes = |range: std::ops::Range<i64>| {
            let both = range.flat_map(|minute| [("a", minute * 60_000, 50), ("b", minute * 60_000, 90)]);
            both.collect::<Vec<_>>()
        };
        machine.sql(&alarm(70));
        machine.append(&minutes(0..5));
        machine.catch_up();
        machine.sql(&alarm(40));
        if forget {
            lose_checkpoints(&machine);
        }
        machine.kill(2);
        machine.append(&minutes(5..8));
        machine.catch_up();
        machine.sql(&alarm(95));
        machine.append(&minutes(8..11));
        machine.catch_up();
        let rows = columns(&machine, "system.alarm_history", &["at", "dimensions", "before", "after"]);
        let said: Vec<String> = rows.iter().map(|row| row.join(" ").replace("1970-01-01T00:", "")).collect();
        assert_eq!(
            said,
            [
                "01:00Z device=a INSUFFICIENT_DATA OK",
                "02:00Z device=b INSUFFICIENT_DATA ALARM",
                // The first evaluations by the new rules, not the replacements.
                "04:00Z device=a OK ALARM",
                "07:00Z device=a ALARM OK",
                "07:00Z device=b ALARM OK",
            ],
            "seed {seed}"
        );
    }
}

/// The service takes neither NaN nor what is beyond 2^360: a sensor that says so does not hide what else a minute has.
#[test]
fn what_is_no_number_is_no_sample() {
    let machine = Machine::new(24);
    create_series(&machine, "cpu");
    let statistics = [
        ("average", "85.0"),
        ("maximum", "90.0"),
        ("minimum", "80.0"),
        ("p50", "85.0"),
        ("samplecount", "2.0"),
        ("sum", "170.0"),
    ];
    for (statistic, _) in statistics {
        machine.sql(&format!(
            "CREATE ALARM of_{statistic} ON cpu STATISTIC {statistic}(value) PERIOD '1 minute'
             WITH (comparison = '>', threshold = 0)"
        ));
    }
    let first = [f64::NAN, 80.0, f64::INFINITY, -f64::NAN, 90.0, -1e110, f64::NEG_INFINITY];
    let first = (1..).map(|second| second * 1_000).zip(first);
    append(&machine, "cpu", &first.chain([(70_000, f64::NAN), (300_000, 1.0)]).collect::<Vec<_>>());
    machine.catch_up();
    let rows = columns(&machine, "system.alarm_history", &["at", "alarm", "value"]);
    let said = |at: &str| -> Vec<(String, String)> {
        let mut of_minute: Vec<_> =
            rows.iter().filter(|row| row[0] == at).map(|row| (row[1].clone(), row[2].clone())).collect();
        of_minute.sort();
        of_minute
    };
    let expect = |value: fn(&str) -> &str| {
        statistics.map(|(name, number)| (format!("of_{name}"), value(number).to_owned())).to_vec()
    };
    assert_eq!(said("1970-01-01T00:01:00Z"), expect(|number| number));
    assert_eq!(said("1970-01-01T00:02:00Z"), expect(|_| ""), "no point");

    machine.create_readings(1);
    let text = "CREATE ALARM a ON readings STATISTIC avg(device) PERIOD '1 minute' WITH (comparison = '>', threshold = 1)";
    let error = machine.engine().define_here(text).unwrap_err().to_string();
    assert!(error.contains("Average takes numbers, and 'device' is STRING"), "{error}");
    machine.sql(&text.replace("avg(device)", "samplecount(device)"));
}
