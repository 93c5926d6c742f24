//! Sessions against a straight computation that keeps every row.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_operators::{OperatorSpec, Rows, SessionAggregate, SessionAggregateSpec};

use crate::data::{Event, SECOND, Scenario, batch, rows, schema};
use crate::harness::{Between, Runner, Step, lines, run, weighted_lines};
use crate::oracle;
use crate::windows::{
    AGGREGATES, group_by_window, output, per_key, per_key_clocks, restarts, strip_operator, without_clocks,
    without_weights,
};

fn session(gap: i64, keyed: bool, aggregates: &[&str]) -> SessionAggregate {
    let keys = if keyed { vec![1] } else { Vec::new() };
    SessionAggregate {
        gap,
        input: schema(),
        time: 0,
        output: output(keys.len(), aggregates.len()),
        keys,
        aggregates: oracle::calls(&schema(), aggregates),
        per_key: None,
        early: false,
        lateness: 0,
    }
}

fn spec(what: SessionAggregate) -> Arc<dyn OperatorSpec> {
    Arc::new(SessionAggregateSpec::try_new(what).unwrap())
}

/// Rows and late rows: each row joins the sessions that are open by its own clock and within reach.
fn expect(gap: i64, keyed: bool, events: &[Event]) -> (Vec<String>, Vec<String>) {
    let mut sessions: BTreeMap<Option<String>, Vec<(i64, i64, Vec<Event>)>> = BTreeMap::new();
    let mut late = Vec::new();
    for event in events {
        let line = lines(&batch(std::slice::from_ref(event)))[0].clone();
        let Some(time) = event.nanos() else {
            late.push(format!("null event time: {line}"));
            continue;
        };
        let all = sessions.entry(event.key.clone().filter(|_| keyed)).or_default();
        let near = |session: &(i64, i64, Vec<Event>)| {
            session.1 > event.clock && session.0 <= time + gap && time <= session.1
        };
        let (near, apart): (Vec<_>, Vec<_>) = std::mem::take(all).into_iter().partition(near);
        *all = apart;
        if near.is_empty() && time + gap <= event.clock {
            late.push(line);
            continue;
        }
        let mut merged = (time, time + gap, vec![event.clone()]);
        for (start, end, rows) in near {
            merged = (merged.0.min(start), merged.1.max(end), [rows, merged.2].concat());
        }
        all.push(merged);
    }
    let of =
        |(start, end, rows): (i64, i64, Vec<Event>)| rows.into_iter().map(move |row| ((start, end), row));
    let counted: Vec<_> = sessions.into_values().flatten().flat_map(of).collect();
    late.sort();
    (group_by_window(&counted, keyed, AGGREGATES), late)
}

#[test]
fn sessions_equal_the_straight_computation() {
    for seed in 0..16 {
        let keyed = seed % 4 != 3;
        let gap = if keyed { (1 + seed as i64 % 5) * SECOND } else { SECOND / 4 };
        let scenario = Scenario::random(seed, 400, if seed % 2 == 0 { 9_000 } else { 1_500 });
        let (expected, late) = expect(gap, keyed, &scenario.events());
        let spec = spec(session(gap, keyed, AGGREGATES));
        let keys: &[usize] = if keyed { &[1] } else { &[] };
        let (straight, found_late) = run(&spec, keys, &scenario.cut(seed), 1, |_| Between::Nothing);
        assert_eq!(without_weights(&straight), expected, "{seed}");
        assert_eq!(strip_operator(found_late), late, "{seed}");
        let (restarted, found_late) = run(&spec, keys, &scenario.cut(seed + 1), 3, restarts(seed));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}");
        assert_eq!(strip_operator(found_late), late, "{seed}");
    }
}

/// Rows by how often they are there.
fn fold(rows: &[Rows]) -> Vec<String> {
    let mut all: BTreeMap<String, i64> = BTreeMap::new();
    for line in weighted_lines(rows) {
        let (weight, line) = line.split_once(' ').unwrap();
        *all.entry(line.to_owned()).or_default() += weight.parse::<i64>().unwrap();
    }
    assert!(all.values().all(|weight| *weight == 0 || *weight == 1), "{all:?}");
    all.into_iter().filter(|(_, weight)| *weight == 1).map(|(line, _)| line).collect()
}

#[test]
fn sessions_that_come_out_early_add_up_to_those_that_close() {
    let mut retracted = 0;
    for seed in 0..24 {
        let keyed = seed % 4 != 3;
        let gap = if keyed { (1 + seed as i64 % 5) * SECOND } else { SECOND / 4 };
        let lateness = if seed % 3 == 2 { 2 * SECOND } else { 0 };
        let scenario = Scenario::random(700 + seed, 400, if seed % 2 == 0 { 9_000 } else { 1_500 });
        let mut events = scenario.events();
        events.iter_mut().for_each(|event| event.clock = event.clock.saturating_sub(lateness));
        let (mut expected, late) = expect(gap, keyed, &events);
        expected.sort();
        let spec = spec(SessionAggregate { early: true, lateness, ..session(gap, keyed, AGGREGATES) });
        let keys: &[usize] = if keyed { &[1] } else { &[] };
        let (straight, found_late) = run(&spec, keys, &scenario.cut(seed), 1, |_| Between::Nothing);
        assert_eq!(fold(&straight), expected, "{seed}");
        assert_eq!(strip_operator(found_late), late, "{seed}");
        let (restarted, found_late) = run(&spec, keys, &scenario.cut(seed), 3, restarts(seed));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}");
        assert_eq!(strip_operator(found_late), late, "{seed}");
        retracted += weighted_lines(&straight).iter().filter(|line| line.starts_with('-')).count();
    }
    assert!(retracted > 100, "{retracted}");
}

#[test]
fn each_key_has_its_own_time() {
    for seed in 0..6 {
        let scenario = without_clocks(&Scenario::random(300 + seed, 500, 6_000));
        let events = per_key_clocks(&scenario.events(), 2 * SECOND);
        let passing: Vec<Event> = events.into_iter().filter(|event| event.flag == Some(true)).collect();
        let (mut expected, late) = expect(2 * SECOND, true, &passing);
        let what =
            SessionAggregate { per_key: Some(per_key(2_000)), ..session(2 * SECOND, true, AGGREGATES) };
        let spec = spec(what);
        let (straight, found_late) = run(&spec, &[1], &scenario.cut(seed), 1, |_| Between::Nothing);
        let (restarted, _) = run(&spec, &[1], &scenario.cut(seed + 1), 4, restarts(seed));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}");
        assert_eq!(strip_operator(found_late), late);
        let mut found = without_weights(&straight);
        assert!(straight.len() > 3, "sessions close before the end");
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{seed}");
    }
}

fn event(ms: i64, clock_ms: i64) -> Event {
    Event {
        ts: Some(ms),
        key: Some("a".into()),
        number: Some(1),
        float: None,
        text: None,
        flag: None,
        clock: clock_ms * 1_000_000,
    }
}

#[test]
fn a_session_longer_than_a_hundred_gaps_survives_restarts() {
    let spec = spec(session(SECOND, true, &["count(*)", "sum(n)"]));
    let mut runner = Runner::new(spec, &[1], 1);
    for number in 0..300 {
        let now = number * 900;
        let step = Step { batches: vec![rows(&[event(now, now - 500)])], watermark: (now - 100) * 1_000_000 };
        assert!(runner.step(&step).is_none(), "the session is still open");
        runner.between(Between::Restart { full: number % 50 == 0, workers: 1 + number as u32 % 3 });
        assert_eq!(runner.state_size().entries, 1, "one session, however many rows");
    }
    let last = runner.step(&Step { batches: Vec::new(), watermark: i64::MAX }).unwrap();
    let line = lines(&last.batch).remove(0);
    assert!(line.ends_with("| a | 300 | 300"), "{line}");
    assert_eq!(runner.state_size().entries, 0);
}

#[test]
fn rows_exactly_a_gap_apart_are_one_session_and_a_late_bridge_merges() {
    let spec = spec(session(SECOND, true, &["count(*)"]));
    let steps = [
        Step {
            batches: vec![rows(&[event(0, -9_000), event(1_000, -9_000), event(2_001, -9_000)])],
            watermark: -9,
        },
        Step { batches: Vec::new(), watermark: i64::MAX },
    ];
    let (found, _) = run(&spec, &[1], &steps, 1, |_| Between::Nothing);
    let counts = |found: &[String]| -> Vec<String> {
        found.iter().map(|line| line.rsplit(" | ").next().unwrap().to_owned()).collect()
    };
    assert_eq!(counts(&without_weights(&found)), ["2", "1"]);
    let steps = [
        Step {
            batches: vec![rows(&[event(0, -9_000), event(1_800, -9_000), event(900, -9_000)])],
            watermark: -9,
        },
        Step { batches: Vec::new(), watermark: i64::MAX },
    ];
    let (found, _) = run(&spec, &[1], &steps, 1, |_| Between::Nothing);
    assert_eq!(counts(&without_weights(&found)), ["3"]);
}
