//! Alarms and scaling groups over an idle server, an office with gaps in its record, an auto-scaling group and a city's taxis: live through
//! crashes, and replayed, they decide what a straight computation decides (`tests/oracle/recorded.py`), and what a batch query does.

use std::time::Duration;

use headwater_run::ReplaySpec;

use crate::machine::{Machine, text_of};
use crate::metrics::{append, changes, columns, create_series, expected, samples, scaled};

const SERIES: [(&str, &str); 4] = [
    ("idle", "fixtures/cloudwatch/idle.csv"),
    ("ambient", "fixtures/machines/ambient.csv"),
    ("autoscaled", "fixtures/machines/autoscaled.csv"),
    ("taxi", "fixtures/machines/taxi.csv"),
];

/// One point for each period, as a query gives them.
fn points(series: &str, statistic: &str, minutes: u32) -> String {
    format!(
        "(SELECT window_end, {statistic} AS value FROM TABLE(TUMBLE(TABLE {series}, DESCRIPTOR(ts), INTERVAL '{minutes}' MINUTE))
          GROUP BY window_start, window_end)"
    )
}

/// The alarms of the oracle.
fn create_alarms(machine: &Machine) {
    machine.sql(
        "CREATE ALARM idle_spike ON idle STATISTIC maximum(value) PERIOD '5 minutes' WITH (comparison = '>', threshold = 0.2);
         CREATE ALARM idle_flat ON idle STATISTIC average(value) PERIOD '1 hour' WITH (comparison = '<', threshold = 0.13345,
           evaluation_periods = 3, datapoints_to_alarm = 2, treat_missing_data = notBreaching, history = changes)",
    );
    let hourly = [
        (
            "ambient_hot",
            "ambient",
            "AVG(value)",
            "comparison = '>', threshold = 75, evaluation_periods = 3, datapoints_to_alarm = 2",
        ),
        ("ambient_cool", "ambient", "AVG(value)", "comparison = '<', threshold = 68, evaluation_periods = 3"),
        (
            "ambient_gone",
            "ambient",
            "COUNT(*)",
            "comparison = '<', threshold = 1, evaluation_periods = 2, treat_missing_data = breaching",
        ),
        (
            "ambient_kept",
            "ambient",
            "AVG(value)",
            "comparison = '<', threshold = 66, evaluation_periods = 4, datapoints_to_alarm = 3, treat_missing_data = ignore",
        ),
        (
            "taxi_rush",
            "taxi",
            "SUM(value)",
            "comparison = '>', threshold = 50000, evaluation_periods = 3, datapoints_to_alarm = 2",
        ),
        (
            "taxi_empty",
            "taxi",
            "SUM(value)",
            "comparison = '<', threshold = 8000, evaluation_periods = 2, treat_missing_data = notBreaching",
        ),
    ];
    for (name, series, statistic, rule) in hourly {
        let points = points(series, statistic, 60);
        machine.sql(&format!("CREATE ALARM {name} ON {points} WITH (period = '1 hour', {rule})"));
    }
    let five = points("autoscaled", "AVG(value)", 5);
    for (name, rule) in [
        ("fleet_hot", "comparison = '>', threshold = 70, evaluation_periods = 3"),
        ("fleet_busy", "comparison = '>', threshold = 60, evaluation_periods = 2, history = changes"),
        ("fleet_bored", "comparison = '<', threshold = 25, evaluation_periods = 2, history = changes"),
    ] {
        machine.sql(&format!("CREATE ALARM {name} ON {five} WITH (period = '5 minutes', {rule})"));
    }
}

/// The groups of the oracle.
fn create_groups(machine: &Machine) {
    let half_hours = points("taxi", "SUM(value)", 30);
    machine.sql(&format!(
        "CREATE SCALING POLICY cool_more ON ALARM ambient_hot WITH (by = 1);
         CREATE SCALING POLICY cool_less ON ALARM ambient_cool WITH (by = -1);
         CREATE SCALING POLICY autoscaled_out ON ALARM fleet_busy WITH (type = step, adjustment = PercentChangeInCapacity,
           steps = '0..10: 10, 10..20: 20, 20..: 50', min_adjustment_magnitude = 2);
         CREATE SCALING POLICY autoscaled_in ON ALARM fleet_bored WITH (type = step, adjustment = PercentChangeInCapacity,
           steps = '-10..0: -10, ..-10: -30');
         CREATE SCALING POLICY taxi_hold ON {half_hours} WITH (type = target, target = 15000, period = '30 minutes');
         CREATE SCALING GROUP cooling POLICIES (cool_more, cool_less) WITH (min = 1, max = 4, cooldown = '3 hours');
         CREATE SCALING GROUP fleet POLICIES (autoscaled_out, autoscaled_in) WITH (min = 2, max = 40, desired = 10, warmup = '10 minutes');
         CREATE SCALING GROUP cabs POLICIES (taxi_hold) WITH (min = 1, max = 200, desired = 20, warmup = '45 minutes')"
    ));
}

/// Appends all series in parts, side by side, with a crash now and then.
fn feed(machine: &mut Machine) {
    let random = machine.sim.random("feed");
    let all = SERIES.map(|(name, path)| (name, samples(path)));
    let parts = 12;
    for part in 0..parts {
        for (name, samples) in &all {
            let bound = |part: usize| samples.len() * part / parts;
            append(machine, name, &samples[bound(part)..bound(part + 1)]);
            machine.turns(random.index(40));
        }
        match random.below(4) {
            0 => machine.kill(1 + random.index(3)),
            1 => machine.lose_power(1 + random.index(3)),
            _ => {}
        }
    }
    SERIES.iter().for_each(|(name, _)| machine.engine().end_stream_here(name).unwrap());
    machine.catch_up();
}

#[test]
fn recorded_series_are_decided_as_the_straight_computation_decides() {
    let mut machine = Machine::new(31);
    machine.step_rows_max = 700;
    machine.checkpoint_interval = Duration::from_millis(300);
    machine.restart(2);
    SERIES.iter().for_each(|(name, _)| create_series(&machine, name));
    create_alarms(&machine);
    create_groups(&machine);
    feed(&mut machine);

    let (said, expect) = (changes(&machine), expected("fixtures/machines/alarms.csv"));
    assert_eq!(expect.len(), 9);
    for (alarm, expect) in &expect {
        assert_eq!(said.get(alarm), Some(expect), "{alarm}");
    }
    let (done, expect) = (scaled(&machine), expected("fixtures/machines/scaling.csv"));
    assert_eq!(expect.len(), 3);
    for (group, expect) in &expect {
        assert_eq!(done.get(group), Some(expect), "{group}");
    }
    as_a_batch_query_says(&machine);
    for job in ["idle_spike", "ambient_kept", "fleet_hot", "taxi_rush", "cooling", "fleet", "cabs"] {
        let spec = ReplaySpec { job: job.into(), diff: true, ..ReplaySpec::default() };
        let report = machine.engine().replay_here(&spec).unwrap();
        let only: Vec<String> = report.only_before.iter().chain(&report.only_now).flat_map(text_of).collect();
        assert_eq!(only, Vec::<String>::new(), "{job}");
        assert!(report.in_both > 20, "{job}: {}", report.in_both);
    }
}

/// The auto-scaling group's record has no gaps, so that the newest three points decide, and nothing else.
fn as_a_batch_query_says(machine: &Machine) {
    let batch = machine.query(
        "SELECT point + INTERVAL '5 minutes' AS at, CASE WHEN SUM(high) OVER three = 3 THEN 'ALARM' ELSE 'OK' END AS after,
           COUNT(*) OVER three AS points
         FROM (SELECT date_bin(INTERVAL '5 minutes', ts) AS point, CAST(AVG(value) > 70 AS INT) AS high FROM autoscaled GROUP BY 1)
         WINDOW three AS (ORDER BY point ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    );
    let whole = |row: String| row.strip_suffix(" 3").map(|row| row.replacen(' ', "Z ", 1));
    let mut batch: Vec<String> = batch.into_iter().filter_map(whole).collect();
    batch.sort();
    let own = columns(machine, "system.alarm_history", &["alarm", "at", "after"]);
    let own = own.into_iter().filter(|row| row[0] == "fleet_hot").map(|row| row[1..].join(" "));
    // The first two evaluations have fewer points behind them.
    let live: Vec<String> = own.skip(2).collect();
    assert!(batch.iter().filter(|row| row.ends_with("ALARM")).count() > 20);
    assert_eq!(live, batch);
}
