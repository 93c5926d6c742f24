//! Updating aggregates: what they emit adds up, at every step, to the batch result over the rows so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Int64Array;
use headwater_operators::{Changes, GroupAggregate, GroupAggregateSpec, OperatorSpec, Rows};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::data::{Event, Scenario, batch, rows, schema};
use crate::harness::{Between, Runner, Step, run, weighted_lines};
use crate::oracle;
use crate::windows::{AGGREGATES, restarts};

fn spec(keyed: bool, aggregates: &[&str], retractions: bool) -> Arc<dyn OperatorSpec> {
    let what = GroupAggregate {
        closes: None,
        revises: None,
        ttl: None,
        input: schema(),
        keys: if keyed { vec![1] } else { Vec::new() },
        aggregates: oracle::calls(&schema(), aggregates),
        retractions,
    };
    Arc::new(GroupAggregateSpec::try_new(what).unwrap())
}

fn batch_result(events: &[Event], keyed: bool, aggregates: &[&str]) -> Vec<String> {
    let list = match (keyed, aggregates.is_empty()) {
        (true, true) => "k".to_owned(),
        (true, false) => format!("k, {}", aggregates.join(", ")),
        (false, _) => aggregates.join(", "),
    };
    let group = if keyed { "GROUP BY k ORDER BY k NULLS FIRST" } else { "" };
    crate::harness::lines(&oracle::query(batch(events), &format!("SELECT {list} FROM t {group}")))
}

/// Adds changes up; a retraction must find its row.
fn fold(state: &mut BTreeMap<String, i64>, change: Option<Rows>) {
    for line in change.iter().flat_map(|change| weighted_lines(std::slice::from_ref(change))) {
        let (weight, row) = line.split_once(' ').unwrap();
        let count = state.entry(row.to_owned()).or_insert(0);
        *count += weight.parse::<i64>().unwrap();
        assert!(*count >= 0, "a retraction of what is not there: {line}");
    }
    state.retain(|_, count| *count != 0);
    assert!(state.values().all(|count| *count == 1), "one row per key");
}

#[test]
fn additions_add_up_to_the_batch_result() {
    for seed in 0..6 {
        let keyed = seed % 3 != 2;
        let scenario = Scenario::random(seed, 250, 3_000);
        let keys: &[usize] = if keyed { &[1] } else { &[] };
        let mut runner = Runner::new(spec(keyed, AGGREGATES, false), keys, 3);
        let (mut seen, mut state) = (Vec::new(), BTreeMap::new());
        for (number, (step, (events, _))) in scenario.cut(seed).iter().zip(&scenario.steps).enumerate() {
            seen.extend(events.clone());
            fold(&mut state, runner.step(step));
            runner.between(restarts(seed)(number));
            if !seen.is_empty() && number % 3 == 0 {
                let mut expected = batch_result(&seen, keyed, AGGREGATES);
                expected.sort();
                assert_eq!(state.keys().cloned().collect::<Vec<_>>(), expected, "{seed}, step {number}");
            }
        }
    }
}

#[test]
fn retractions_take_away_what_additions_gave() {
    for seed in 0..6 {
        let keyed = seed % 3 != 2;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut pool = Scenario::random(seed, 300, 3_000).events();
        let keys: &[usize] = if keyed { &[1] } else { &[] };
        let mut runner = Runner::new(spec(keyed, AGGREGATES, true), keys, 2);
        let (mut there, mut state) = (Vec::<Event>::new(), BTreeMap::new());
        for number in 0..40 {
            let (mut changed, mut weights) = (Vec::new(), Vec::new());
            for _ in 0..random.random_range(1..20) {
                if !there.is_empty() && random.random_bool(0.2 + 0.02 * number as f64) {
                    changed.push(there.swap_remove(random.random_range(0..there.len())));
                    weights.push(-1);
                } else if let Some(event) = pool.pop() {
                    there.push(event.clone());
                    changed.push(event);
                    weights.push(1);
                }
            }
            let weights = Some(Int64Array::from(weights));
            let step = Step { batches: vec![Rows { weights, ..rows(&changed) }], watermark: number };
            fold(&mut state, runner.step(&step));
            runner.between(restarts(seed)(number as usize));
            let mut expected = batch_result(&there, keyed, AGGREGATES);
            expected.sort();
            assert_eq!(state.keys().cloned().collect::<Vec<_>>(), expected, "{seed}, step {number}");
        }
        // Take all away: nothing is left, neither outside nor inside.
        let weights = Some(Int64Array::from(vec![-1; there.len()]));
        fold(
            &mut state,
            runner.step(&Step { batches: vec![Rows { weights, ..rows(&there) }], watermark: 99 }),
        );
        if keyed {
            assert!(state.is_empty());
            assert_eq!(runner.state_size().entries, 0);
        } else {
            assert_eq!(state.keys().cloned().collect::<Vec<_>>(), batch_result(&[], false, AGGREGATES));
        }
    }
}

#[test]
fn the_order_of_changes_does_not_depend_on_workers_batches_or_restarts() {
    for seed in 0..4 {
        let scenario = Scenario::random(seed, 300, 3_000);
        let spec = spec(true, AGGREGATES, false);
        let (straight, _) = run(&spec, &[1], &scenario.cut(1), 1, |_| Between::Nothing);
        let (restarted, _) = run(&spec, &[1], &scenario.cut(2), 4, restarts(seed));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight));
        assert!(weighted_lines(&straight).iter().any(|line| line.starts_with('-')));
    }
}

#[test]
fn distinct_is_append_only_and_an_equal_result_says_nothing() {
    let scenario = Scenario::random(3, 200, 1_000);
    let distinct = spec(true, &[], false);
    assert_eq!((distinct.name(), distinct.changes()), ("Distinct", Changes::AppendOnly));
    let (found, _) = run(&distinct, &[1], &scenario.cut(3), 2, restarts(3));
    assert!(
        found
            .iter()
            .all(|rows| weighted_lines(std::slice::from_ref(rows)).iter().all(|l| l.starts_with('+')))
    );
    let mut found: Vec<_> = weighted_lines(&found).into_iter().map(|line| line[3..].to_owned()).collect();
    found.sort();
    let mut expected = batch_result(&scenario.events(), true, &[]);
    expected.sort();
    assert_eq!(found, expected);

    let max = spec(true, &["max(n)"], false);
    assert_eq!(max.changes(), Changes::Updating { key: vec![0] });
    let mut runner = Runner::new(max, &[1], 1);
    let event = |number| {
        let event = Event { key: Some("a".into()), number: Some(number), ..scenario.events()[0].clone() };
        Step { batches: vec![rows(&[event])], watermark: 0 }
    };
    let mut changes = |number| runner.step(&event(number)).map(|rows| weighted_lines(&[rows]));
    assert_eq!(changes(5), Some(vec!["+1 a | 5".to_owned()]));
    assert_eq!(changes(3), None);
    assert_eq!(changes(7), Some(vec!["-1 a | 5".to_owned(), "+1 a | 7".to_owned()]));
}
