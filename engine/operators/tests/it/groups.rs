//! Updating aggregates: what they emit adds up, at every step, to the batch result over the rows so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
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
fn without_an_order_the_first_and_the_last_are_those_that_came_so_of_what_is_still_there() {
    const ENDS: &[&str] = &[
        "first_value(n)",
        "last_value(n)",
        "first_value(n) IGNORE NULLS",
        "last_value(n) IGNORE NULLS",
        "last_value(n) FILTER (WHERE n > 0)",
    ];
    for seed in 0..6 {
        let keyed = seed % 3 != 2;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut pool = Scenario::random(seed, 400, 3_000).events();
        let keys: &[usize] = if keyed { &[1] } else { &[] };
        let mut runner = Runner::new(spec(keyed, ENDS, true), keys, 2);
        let (mut there, mut state) = (Vec::<Event>::new(), BTreeMap::new());
        for number in 0..40 {
            let (mut changed, mut weights) = (Vec::new(), Vec::new());
            for _ in 0..random.random_range(1..20) {
                if !there.is_empty() && random.random_bool(0.5) {
                    let any = &there[random.random_range(0..there.len())];
                    let is_equal =
                        |event: &Event| event.number == any.number && (!keyed || event.key == any.key);
                    // Of equal values the earliest goes.
                    let earliest = there.iter().position(is_equal).unwrap();
                    changed.push(there.remove(earliest));
                    weights.push(-1);
                } else if let Some(mut event) = pool.pop() {
                    event.number = event.number.map(|number| number % 4);
                    there.push(event.clone());
                    changed.push(event);
                    weights.push(1);
                }
            }
            let weights = Some(Int64Array::from(weights));
            let step = Step { batches: vec![Rows { weights, ..rows(&changed) }], watermark: number };
            fold(&mut state, runner.step(&step));
            runner.between(restarts(seed)(number as usize));
            let mut expected = batch_result(&there, keyed, ENDS);
            expected.sort();
            assert_eq!(state.keys().cloned().collect::<Vec<_>>(), expected, "{seed}, step {number}");
        }
    }
}

/// Changes of one group's values, and what the group's ends are then.
#[test]
fn the_last_value_by_arrival_is_right_whatever_comes_first() {
    let ends = ["first_value(n)", "last_value(n)", "last_value(distinct n)"];
    let cases: &[(&[(i64, i64)], &str)] = &[
        // The least is not the first, the greatest not the last.
        (&[(2, 1), (9, 1), (1, 1)], "2 | 1 | 1"),
        (&[(2, 1), (9, 1), (1, 1), (1, -1)], "2 | 9 | 9"),
        // A row is updated: it goes and comes.
        (&[(2, 1), (9, 1), (2, -1), (3, 1)], "9 | 3 | 3"),
        // One that comes again is the last; but what is distinct came once.
        (&[(7, 1), (9, 1), (7, 1)], "7 | 7 | 9"),
        (&[(7, 1), (9, 1), (7, 1), (7, -1)], "9 | 7 | 9"),
        (&[(7, 1), (9, 1), (7, 2), (7, -2)], "9 | 7 | 9"),
        // What is retracted before it comes does not come.
        (&[(4, -2), (4, 1), (5, 1), (6, 1), (4, 1)], "5 | 6 | 6"),
    ];
    for (changes, expected) in cases {
        for cut in 0..changes.len() {
            let mut runner = Runner::new(spec(false, &ends, true), &[], 1);
            let mut state = BTreeMap::new();
            for part in [&changes[..cut], &changes[cut..]] {
                let event =
                    |number| Event { number: Some(number), ..Scenario::random(0, 1, 0).events()[0].clone() };
                let events: Vec<_> = part.iter().map(|(number, _)| event(*number)).collect();
                let weights = Some(part.iter().map(|(_, weight)| *weight).collect::<Int64Array>());
                let batches = vec![Rows { weights, ..rows(&events) }];
                fold(&mut state, runner.step(&Step { batches, watermark: 0 }));
                runner.between(Between::Restart { full: true, workers: 1 });
            }
            assert_eq!(state.into_keys().collect::<Vec<_>>(), [*expected], "{changes:?}, cut at {cut}");
        }
    }
}

/// So many keys that they are looked up in an array, and that what has changed is written in the order in which it lies.
#[test]
fn many_keys_are_updated_as_few_are() {
    const KEYS: i64 = 100_003;
    const STEP_ROWS: i64 = 40_000;
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
    ]));
    let what = GroupAggregate {
        closes: None,
        revises: None,
        ttl: None,
        input: Arc::clone(&schema),
        keys: vec![0],
        aggregates: oracle::calls(&schema, &["count(*)", "sum(n)"]),
        retractions: false,
    };
    let mut runner = Runner::new(Arc::new(GroupAggregateSpec::try_new(what).unwrap()), &[0], 2);
    let key_of = |row: i64| Some(row * 7_919 % KEYS).filter(|key| *key != 5);
    let mut state: BTreeMap<Option<i64>, (i64, i64)> = BTreeMap::new();
    let betweens = [
        Between::Snapshot { full: false },
        Between::Restart { full: false, workers: 3 },
        Between::Restart { full: true, workers: 1 },
        Between::Nothing,
    ];
    for (nth, between) in (0..).zip(betweens) {
        let own = nth * STEP_ROWS..(nth + 1) * STEP_ROWS;
        let keys: ArrayRef = Arc::new(own.clone().map(key_of).collect::<Int64Array>());
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(own.clone()));
        let rows = Rows::new(RecordBatch::try_new(Arc::clone(&schema), vec![keys, numbers]).unwrap());
        let before = state.clone();
        let touched: BTreeSet<Option<i64>> = own.clone().map(key_of).collect();
        for row in own {
            let (count, sum) = state.entry(key_of(row)).or_default();
            (*count, *sum) = (*count + 1, *sum + row);
        }
        let expected = touched.iter().flat_map(|key| {
            let old = before.get(key).map(|old| (*key, *old, -1));
            old.into_iter().chain([(*key, state[key], 1)])
        });
        let said = runner.step(&Step { batches: vec![rows], watermark: nth }).unwrap();
        let [keys, counts, sums] =
            [0, 1, 2].map(|column| said.batch.column(column).as_primitive::<Int64Type>());
        let found = (0..said.len()).map(|row| {
            let key = keys.is_valid(row).then(|| keys.value(row));
            let weight = said.weights.as_ref().map_or(1, |weights| weights.value(row));
            (key, (counts.value(row), sums.value(row)), weight)
        });
        assert!(found.eq(expected), "step {nth}: {} rows", said.len());
        runner.between(between);
    }
    assert_eq!(runner.state_size().entries, state.len() as u64);
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
