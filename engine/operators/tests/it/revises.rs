//! Groups that end with the watermark and are revised before or after it, and groups that are forgotten after a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Int64Array;
use headwater_operators::{
    Changes, Closing, GroupAggregate, GroupAggregateSpec, OperatorSpec, Revises, Rows, StateBound,
};

use crate::data::{Event, SECOND, Scenario, batch, rows, schema};
use crate::harness::{Between, Runner, Step, lines, run, weighted_lines};
use crate::oracle;
use crate::windows::restarts;

const LATENESS: i64 = 2 * SECOND;

fn spec(closes: Option<Closing>, revises: Option<Revises>, ttl: Option<i64>) -> Arc<dyn OperatorSpec> {
    Arc::new(GroupAggregateSpec::try_new(what(closes, revises, ttl)).unwrap())
}

fn what(closes: Option<Closing>, revises: Option<Revises>, ttl: Option<i64>) -> GroupAggregate {
    GroupAggregate {
        closes,
        revises,
        ttl,
        input: schema(),
        keys: if closes.is_some() { vec![0, 1] } else { vec![1] },
        aggregates: oracle::calls(&schema(), &["count(*)", "sum(n)"]),
        retractions: false,
    }
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

/// The steps of a scenario, in which rows are taken back in the step that brings them or in the next one; and the rows that are left.
/// Rows have the clock of those that come out of an operator: the watermark of the step before.
fn with_retractions(scenario: &Scenario, seed: u64, lateness: i64) -> (Vec<Step>, Vec<Event>) {
    let (mut steps, mut left) = (Vec::new(), Vec::new());
    let (mut clock, mut leaving): (i64, Vec<Event>) = (i64::MIN, Vec::new());
    for (events, watermark) in &scenario.steps {
        let at = |event: &Event| Event { clock, ..event.clone() };
        let is_in_time = |event: &Event| event.nanos().is_some_and(|time| clock < time + lateness);
        let added: Vec<Event> = events.iter().map(at).collect();
        let (soon, next): (Vec<_>, Vec<_>) = added
            .iter()
            .enumerate()
            .filter(|(nth, _)| (*nth as u64 + seed).is_multiple_of(2))
            .partition(|(nth, _)| (*nth as u64 / 2 + seed).is_multiple_of(3));
        let gone: Vec<Event> =
            leaving.iter().map(at).chain(soon.into_iter().map(|(_, event)| event.clone())).collect();
        leaving = next.into_iter().map(|(_, event)| event.clone()).collect();
        left.extend(added.iter().filter(|event| is_in_time(event)).cloned());
        for event in gone.iter().filter(|event| is_in_time(event)) {
            let same = |other: &Event| Event { clock: event.clock, ..other.clone() } == *event;
            // What was late itself is not there.
            if let Some(place) = left.iter().position(same) {
                left.swap_remove(place);
            }
        }
        let minus = Rows { weights: Some(Int64Array::from_value(-1, gone.len())), ..rows(&gone) };
        let batches = if added.is_empty() { vec![minus] } else { vec![rows(&added), minus] };
        steps.push(Step { batches, watermark: *watermark });
        clock = *watermark;
    }
    (steps, left)
}

#[test]
fn windows_of_rows_that_are_taken_back_hold_what_is_left_of_them() {
    for seed in 0..18 {
        let lateness = if seed % 2 == 0 { 0 } else { LATENESS };
        let revises = [None, Some(Revises::Late(lateness)), Some(Revises::Always)][seed as usize % 3];
        let closing = Closing { column: 0, after: lateness - 1 };
        let aggregates = oracle::calls(&schema(), &["count(*)", "sum(n)", "max(n)", "count(DISTINCT s)"]);
        let what = GroupAggregate { aggregates, retractions: true, ..what(Some(closing), revises, None) };
        let spec: Arc<dyn OperatorSpec> = Arc::new(GroupAggregateSpec::try_new(what).unwrap());
        let is_final = revises.is_none();
        assert_eq!(spec.changes() == Changes::AppendOnly, is_final);
        let (steps, left) = with_retractions(&windows(seed), seed, lateness);
        let query = "SELECT ts, k, count(*), sum(n), max(n), count(DISTINCT s) FROM t GROUP BY ts, k";
        let mut expected = lines(&oracle::query(batch(&left), query));
        expected.sort();
        let (straight, late) = run(&spec, &[0, 1], &steps, 1, |_| Between::Nothing);
        let (restarted, late_again) = run(&spec, &[0, 1], &steps, 4, restarts(seed));
        for found in [&straight, &restarted] {
            let mut state = BTreeMap::new();
            found.iter().for_each(|rows| fold(&mut state, rows));
            assert_eq!(state.into_keys().collect::<Vec<_>>(), expected, "{seed}: {revises:?}");
            assert!(!is_final || weighted_lines(found).iter().all(|line| line.starts_with("+1 ")), "{seed}");
        }
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}: {revises:?}");
        assert!(late == late_again && !late.is_empty());
    }
}

/// Of windows that have lost all their rows nothing is kept but until their end, and nothing that was added up before.
#[test]
fn a_window_that_is_emptied_begins_anew() {
    let event = |float: f64| Event {
        ts: Some(10_000),
        key: Some("a".into()),
        number: None,
        float: Some(float),
        text: None,
        flag: None,
        clock: i64::MIN,
    };
    let aggregates = oracle::calls(&schema(), &["sum(f)"]);
    let closing = Closing { column: 0, after: -1 };
    let what = GroupAggregate { aggregates, retractions: true, ..what(Some(closing), None, None) };
    let spec: Arc<dyn OperatorSpec> = Arc::new(GroupAggregateSpec::try_new(what).unwrap());
    for between in [Between::Nothing, Between::Restart { full: false, workers: 2 }] {
        let mut runner = Runner::new(Arc::clone(&spec), &[0, 1], 1);
        let mut step = |float: f64, weight: i64, seconds: i64| {
            let rows = Rows { weights: Some(Int64Array::from(vec![weight])), ..rows(&[event(float)]) };
            let said = runner.step(&Step { batches: vec![rows], watermark: seconds * SECOND });
            runner.between(between);
            (said.map(|rows| lines(&rows.batch)).unwrap_or_default(), runner.state_size().entries)
        };
        // A third that was added to a large number and taken back leaves something.
        assert_eq!(step(1e16, 1, 1), (vec![], 1));
        assert_eq!(step(1.0 / 3.0, 1, 2), (vec![], 1));
        assert_eq!(step(1e16, -1, 3), (vec![], 1));
        assert_eq!(step(1.0 / 3.0, -1, 4), (vec![], 0));
        assert_eq!(step(0.5, 1, 5), (vec![], 1));
        let said = runner.step(&Step { batches: Vec::new(), watermark: 10 * SECOND });
        assert_eq!(
            said.map(|rows| lines(&rows.batch)),
            Some(vec!["1970-01-01T00:00:10 | a | 0.5".to_owned()])
        );
        assert_eq!(runner.state_size().entries, 0);
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
