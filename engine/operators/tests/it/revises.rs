//! Groups that end with the watermark and are revised before or after it, and groups that are forgotten after a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_operators::{
    Changes, Closing, GroupAggregate, GroupAggregateSpec, OperatorSpec, Revises, Rows, StateBound,
};

use crate::data::{Event, SECOND, Scenario, batch, rows, schema};
use crate::harness::{Between, Runner, Step, lines, run, weighted_lines};
use crate::oracle;
use crate::windows::restarts;

const LATENESS: i64 = 2 * SECOND;

fn spec(closes: Option<Closing>, revises: Option<Revises>, ttl: Option<i64>) -> Arc<dyn OperatorSpec> {
    let what = GroupAggregate {
        closes,
        revises,
        ttl,
        input: schema(),
        keys: if closes.is_some() { vec![0, 1] } else { vec![1] },
        aggregates: oracle::calls(&schema(), &["count(*)", "sum(n)"]),
        retractions: false,
    };
    Arc::new(GroupAggregateSpec::try_new(what).unwrap())
}

fn fold(state: &mut BTreeMap<String, i64>, change: &Rows) {
    for line in weighted_lines(std::slice::from_ref(change)) {
        let (weight, row) = line.split_once(' ').unwrap();
        let count = state.entry(row.to_owned()).or_insert(0);
        *count += weight.parse::<i64>().unwrap();
        assert!((0..=1).contains(count), "one row for each group: {line}");
    }
    state.retain(|_, count| *count != 0);
}

/// Times in whole seconds, which stand for windows' ends.
fn windows(seed: u64) -> Scenario {
    let mut scenario = Scenario::random(seed, 300, 4_000);
    for event in scenario.steps.iter_mut().flat_map(|(events, _)| events) {
        event.ts = event.ts.map(|ts| ts.div_euclid(1_000) * 1_000);
    }
    scenario
}

#[test]
fn windows_that_are_revised_hold_the_batch_result_in_the_end() {
    for seed in 0..12 {
        let lateness = if seed % 2 == 0 { 0 } else { LATENESS };
        let revises = if seed % 3 == 0 { Revises::Always } else { Revises::Late(lateness) };
        let closing = Closing { column: 0, after: lateness - 1 };
        let spec = spec(Some(closing), Some(revises), None);
        assert_eq!(spec.changes(), Changes::Updating { key: vec![0, 1] });
        assert_eq!(spec.state_bound(), StateBound::Watermark);
        let scenario = windows(seed);
        let in_time = |event: &&Event| event.nanos().is_some_and(|time| event.clock < time + lateness);
        let kept: Vec<Event> = scenario.events().iter().filter(in_time).cloned().collect();
        let mut expected =
            lines(&oracle::query(batch(&kept), "SELECT ts, k, count(*), sum(n) FROM t GROUP BY ts, k"));
        expected.sort();
        let (straight, late) = run(&spec, &[0, 1], &scenario.cut(1), 1, |_| Between::Nothing);
        assert_eq!(late.len(), scenario.events().len() - kept.len());
        let (restarted, _) = run(&spec, &[0, 1], &scenario.cut(2), 4, restarts(seed));
        for found in [&straight, &restarted] {
            let mut state = BTreeMap::new();
            found.iter().for_each(|rows| fold(&mut state, rows));
            assert_eq!(state.into_keys().collect::<Vec<_>>(), expected, "{seed}: {revises:?}");
        }
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}: {revises:?}");
    }
}

#[test]
fn a_window_is_not_said_before_its_end_and_forgotten_after_its_lateness() {
    let event = |ts, number| Event {
        ts: Some(ts),
        key: Some("a".into()),
        number: Some(number),
        float: None,
        text: None,
        flag: None,
        clock: i64::MIN,
    };
    let closing = Closing { column: 0, after: LATENESS - 1 };
    let mut runner = Runner::new(spec(Some(closing), Some(Revises::Late(LATENESS)), None), &[0, 1], 1);
    let mut step = |events: &[Event], seconds: i64| {
        let step = Step { batches: vec![rows(events)], watermark: seconds * SECOND };
        let said = runner.step(&step).map(|rows| weighted_lines(&[rows])).unwrap_or_default();
        (said, runner.state_size().entries)
    };
    assert_eq!(step(&[event(10_000, 1)], 9), (vec![], 1));
    let first = "1970-01-01T00:00:10 | a | 1 | 1";
    assert_eq!(step(&[], 10), (vec![format!("+1 {first}")], 1));
    let second = "1970-01-01T00:00:10 | a | 2 | 3";
    assert_eq!(step(&[event(10_000, 2)], 11), (vec![format!("-1 {first}"), format!("+1 {second}")], 1));
    assert_eq!(step(&[], 12), (vec![], 0));
    let late = Event { clock: 12 * SECOND, ..event(10_000, 2) };
    assert_eq!(step(&[late], 13), (vec![], 0));
}

#[test]
fn groups_without_rows_for_long_are_forgotten_in_memory() {
    let spec = spec(None, None, Some(10 * SECOND));
    assert_eq!(spec.state_bound(), StateBound::Watermark);
    let event = |ts: i64, key: String| Event {
        ts: Some(ts),
        key: Some(key),
        number: Some(1),
        float: None,
        text: None,
        flag: None,
        clock: i64::MIN,
    };
    let lives = |between: &dyn Fn(i64) -> Between| {
        let mut runner = Runner::new(Arc::clone(&spec), &[1], 2);
        let (mut sizes, mut said) = (Vec::new(), Vec::new());
        for round in 0..100_i64 {
            // Ever new keys, one that comes all the time, and one that comes back after it has been forgotten.
            let mut events: Vec<Event> =
                (0..20).map(|nth| event(round * 1_000, format!("{round} {nth}"))).collect();
            events.push(event(round * 1_000, "always".into()));
            if round % 30 == 0 {
                events.push(event(round * 1_000, "seldom".into()));
            }
            let step = Step { batches: vec![rows(&events)], watermark: round * SECOND };
            said.extend(
                runner.step(&step).iter().flat_map(|rows| weighted_lines(std::slice::from_ref(rows))),
            );
            runner.between(between(round));
            sizes.push(runner.state_size().entries);
        }
        (sizes, said)
    };
    let (sizes, said) = lives(&|_| Between::Nothing);
    assert_eq!(sizes[39], sizes[99], "{sizes:?}");
    assert!(said.contains(&"+1 always | 100 | 100".to_owned()));
    let seldom: Vec<&String> = said.iter().filter(|line| line.contains("seldom")).collect();
    assert_eq!(seldom, ["+1 seldom | 1 | 1"; 4], "it begins anew, and what was said stays said");
    let (restarted_sizes, restarted) = lives(&|round| restarts(5)(round as usize));
    assert_eq!((restarted_sizes, restarted), (sizes, said));
}
