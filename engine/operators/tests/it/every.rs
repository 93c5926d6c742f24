//! Changes that are said at intervals: what is said is the sum of what came in, and it is said at multiples of the interval only.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_operators::{Changes, EmitEvery, EmitEverySpec, OperatorSpec, Rows, StateBound};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::data::SECOND;
use crate::harness::{Between, Runner, Step, run, weighted_lines};
use crate::windows::restarts;

const INTERVAL: i64 = 10 * SECOND;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
    ]))
}

fn spec() -> Arc<dyn OperatorSpec> {
    let changes = Changes::Updating { key: vec![0] };
    let what = EmitEvery { input: schema(), changes, keys: vec![0], interval: INTERVAL };
    Arc::new(EmitEverySpec::try_new(what).unwrap())
}

/// Rows of a key, a number and a weight.
fn changes(rows: &[(String, Option<i64>, i64)]) -> Rows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, ..)| key))),
        Arc::new(rows.iter().map(|(_, number, _)| *number).collect::<Int64Array>()),
    ];
    let weights = Int64Array::from_iter_values(rows.iter().map(|(.., weight)| *weight));
    Rows { weights: Some(weights), ..Rows::new(RecordBatch::try_new(schema(), columns).unwrap()) }
}

/// Keys whose number changes now and then, which come and which go. The last watermark is the end of time.
fn steps(seed: u64) -> Vec<Step> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut numbers: BTreeMap<String, Option<i64>> = BTreeMap::new();
    let mut watermark = i64::MIN;
    let mut steps = Vec::new();
    for round in 0..60 {
        let mut batches = Vec::new();
        for _ in 0..random.random_range(0..3) {
            let mut rows = Vec::new();
            for _ in 0..random.random_range(1..20) {
                let key = format!("key {}", random.random_range(0..9));
                rows.extend(numbers.remove(&key).map(|number| (key.clone(), number, -1)));
                if random.random_bool(0.9) {
                    let number = random.random_bool(0.9).then(|| random.random_range(0..4));
                    rows.push((key.clone(), number, 1));
                    numbers.insert(key, number);
                }
            }
            batches.push(changes(&rows));
        }
        if round > 5 {
            watermark = watermark.max(0) + random.random_range(0..8) * SECOND;
        }
        steps.push(Step { batches, watermark });
    }
    steps.push(Step { batches: Vec::new(), watermark: i64::MAX });
    steps
}

fn add(sums: &mut BTreeMap<String, i64>, rows: &Rows) {
    for line in weighted_lines(std::slice::from_ref(rows)) {
        let (weight, row) = line.split_once(' ').unwrap();
        *sums.entry(row.to_owned()).or_insert(0) += weight.parse::<i64>().unwrap();
    }
    sums.retain(|_, sum| *sum != 0);
}

#[test]
fn what_is_said_is_the_sum_of_what_came_and_said_at_multiples_only() {
    assert_eq!(spec().state_bound(), StateBound::Watermark);
    let mut said_in = 0;
    for seed in 0..20 {
        let mut runner = Runner::new(spec(), &[0], 1);
        let (mut came, mut said) = (BTreeMap::new(), BTreeMap::new());
        let mut before = i64::MIN;
        for step in steps(seed) {
            step.batches.iter().for_each(|rows| add(&mut came, rows));
            let now = step.watermark;
            let passes =
                now == i64::MAX || (now > i64::MIN && now.div_euclid(INTERVAL) > before.div_euclid(INTERVAL));
            if let Some(rows) = runner.step(&step) {
                assert!(passes, "{seed}: said between multiples, at {now}");
                let lines = weighted_lines(std::slice::from_ref(&rows));
                let mut once = lines.clone();
                once.sort();
                once.dedup();
                assert_eq!(once.len(), lines.len(), "{seed}: a row is said once");
                add(&mut said, &rows);
                said_in += 1;
            }
            if passes {
                assert_eq!(said, came, "{seed}: at {now}");
                assert_eq!(runner.state_size().entries, 0);
            }
            before = now;
        }
    }
    assert!(said_in > 100, "something is said: {said_in}");
}

#[test]
fn restarts_and_workers_change_nothing() {
    for seed in 0..20 {
        let (straight, _) = run(&spec(), &[0], &steps(seed), 1, |_| Between::Nothing);
        for workers in [1, 4] {
            let (restarted, _) = run(&spec(), &[0], &steps(seed), workers, restarts(seed));
            assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}: {workers} workers");
        }
    }
}

#[test]
fn what_changes_all_the_time_is_held_once() {
    let mut runner = Runner::new(spec(), &[0], 1);
    for number in 0..1_000 {
        let old = (number > 0).then(|| ("a".to_owned(), Some(number - 1), -1));
        let rows: Vec<_> = old.into_iter().chain([("a".to_owned(), Some(number), 1)]).collect();
        let step = Step { batches: vec![changes(&rows)], watermark: 1 };
        // Whatever the first watermark has let out, retracting it and the newest row are all there is.
        runner.step(&step);
        assert!(runner.state_size().entries <= 2);
    }
    let rest = runner.step(&Step { batches: Vec::new(), watermark: INTERVAL }).unwrap();
    assert_eq!(weighted_lines(&[rest]), ["-1 a | 0", "+1 a | 999"]);
}
