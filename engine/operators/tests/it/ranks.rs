//! Top-N and deduplication: what they emit adds up, at every step, to what ROW_NUMBER gives over the rows so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::compute::SortOptions;
use headwater_operators::{Changes, Closing, OperatorSpec, Rows, StateBound, TopN, TopNSpec};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::data::{Event, SECOND, Scenario, batch, rows, schema};
use crate::harness::{Between, Runner, Step, run, weighted_lines};
use crate::oracle;
use crate::windows::restarts;

fn what(skip: u32, take: u32, numbered: bool, changes: Changes, closes: Option<Closing>) -> TopN {
    TopN {
        input: schema(),
        partition: if closes.is_some() { vec![0, 1] } else { vec![1] },
        order: vec![
            (2, SortOptions { descending: true, nulls_first: false }),
            (4, SortOptions { descending: false, nulls_first: true }),
        ],
        skip,
        take,
        number: "rn".into(),
        numbered,
        changes,
        closes,
        revises: false,
        ttl: None,
    }
}

fn spec(
    skip: u32,
    take: u32,
    numbered: bool,
    changes: Changes,
    closes: Option<Closing>,
) -> Arc<dyn OperatorSpec> {
    Arc::new(TopNSpec::try_new(what(skip, take, numbered, changes, closes)).unwrap())
}

/// The same by DataFusion; ties are broken by the columns in their order, as the operator does.
fn expect(events: &[Event], partition: &str, skip: u32, take: u32, numbered: bool) -> BTreeMap<String, i64> {
    let ties = ["ts", "k", "n", "f", "s", "b"].map(|column| format!("{column} ASC NULLS FIRST")).join(", ");
    let number = if numbered { "rn" } else { "0" };
    let sql = format!(
        "SELECT ts, k, n, f, s, b, {number} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {partition} ORDER BY \
         n DESC NULLS LAST, s ASC NULLS FIRST, {ties}) AS rn FROM t) WHERE rn > {skip} AND rn <= {}",
        skip + take
    );
    let mut sums = BTreeMap::new();
    for line in crate::harness::lines(&oracle::query(batch(events), &sql)) {
        *sums.entry(line).or_insert(0) += 1;
    }
    sums
}

fn fold(state: &mut BTreeMap<String, i64>, change: Option<&Rows>) {
    for line in change.iter().flat_map(|change| weighted_lines(std::slice::from_ref(change))) {
        let (weight, row) = line.split_once(' ').unwrap();
        let count = state.entry(row.to_owned()).or_insert(0);
        *count += weight.parse::<i64>().unwrap();
        assert!(*count >= 0, "a retraction of what is not there: {line}");
    }
    state.retain(|_, count| *count != 0);
}

const STRETCHES: [(u32, u32); 4] = [(0, 1), (0, 3), (2, 2), (0, 50)];

#[test]
fn additions_give_the_first_rows() {
    for seed in 0..16 {
        let (skip, take) = STRETCHES[seed as usize % 4];
        let numbered = seed % 8 >= 4;
        let scenario = Scenario::random(seed, 250, 3_000);
        let mut runner = Runner::new(spec(skip, take, numbered, Changes::AppendOnly, None), &[1], 3);
        let (mut seen, mut state) = (Vec::new(), BTreeMap::new());
        for (number, (step, (events, _))) in scenario.cut(seed).iter().zip(&scenario.steps).enumerate() {
            seen.extend(events.clone());
            fold(&mut state, runner.step(step).as_ref());
            runner.between(restarts(seed)(number));
            if number % 3 == 0 && !seen.is_empty() {
                assert_eq!(state, expect(&seen, "k", skip, take, numbered), "{seed}, step {number}");
            }
        }
        assert_eq!(state, expect(&seen, "k", skip, take, numbered), "{seed}");
        let kept = runner.state_size().entries;
        let all = expect(&seen, "k", 0, skip + take, false).values().sum::<i64>();
        assert!(kept as i64 <= all, "no more is kept than can be seen: {kept} of {all}");
    }
}

#[test]
fn retractions_let_the_next_rows_in() {
    for seed in 0..12 {
        let (skip, take) = STRETCHES[seed as usize % 4];
        let numbered = seed % 8 >= 4;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut pool = Scenario::random(seed, 300, 3_000).events();
        let mut runner = Runner::new(spec(skip, take, numbered, Changes::Retracting, None), &[1], 2);
        let (mut there, mut state) = (Vec::<Event>::new(), BTreeMap::new());
        for number in 0..30 {
            let (mut changed, mut weights) = (Vec::new(), Vec::new());
            for _ in 0..random.random_range(1..20) {
                if !there.is_empty() && random.random_bool(0.4) {
                    changed.push(there.swap_remove(random.random_range(0..there.len())));
                    weights.push(-1);
                } else if let Some(event) = pool.pop() {
                    // Now and then the same row again.
                    let event =
                        if random.random_bool(0.1) { there.last().cloned().unwrap_or(event) } else { event };
                    there.push(event.clone());
                    changed.push(event);
                    weights.push(1);
                }
            }
            let weights = Some(Int64Array::from(weights));
            let step = Step { batches: vec![Rows { weights, ..rows(&changed) }], watermark: number };
            fold(&mut state, runner.step(&step).as_ref());
            runner.between(restarts(seed)(number as usize));
            if there.is_empty() {
                assert!(state.is_empty());
            } else {
                assert_eq!(state, expect(&there, "k", skip, take, numbered), "{seed}, step {number}");
            }
        }
        let weights = Some(Int64Array::from(vec![-1; there.len()]));
        let step = Step { batches: vec![Rows { weights, ..rows(&there) }], watermark: 99 };
        fold(&mut state, runner.step(&step).as_ref());
        assert_eq!((state.len(), runner.state_size().entries), (0, 0), "{seed}");
    }
}

#[test]
fn lists_of_a_window_come_out_once_at_its_end() {
    for seed in 0..8 {
        let (skip, take) = STRETCHES[seed as usize % 4];
        let closing = Closing { column: 0, after: -1 };
        let spec = spec(skip, take, true, Changes::AppendOnly, Some(closing));
        assert_eq!(spec.changes(), Changes::AppendOnly);
        // Times in whole seconds stand for windows.
        let mut scenario = Scenario::random(seed, 300, 3_000);
        for event in scenario.steps.iter_mut().flat_map(|(events, _)| events) {
            event.ts = event.ts.map(|ts| ts.div_euclid(1_000) * 1_000);
        }
        let in_time = |event: &&Event| event.nanos().is_some_and(|time| event.clock < time);
        let events = scenario.events();
        let expected: Vec<Event> = events.iter().filter(in_time).cloned().collect();
        let (straight, late) = run(&spec, &[0, 1], &scenario.cut(1), 1, |_| Between::Nothing);
        assert_eq!(late.len(), events.len() - expected.len());
        let mut state = BTreeMap::new();
        straight.iter().for_each(|rows| fold(&mut state, Some(rows)));
        assert_eq!(state, expect(&expected, "ts, k", skip, take, true), "{seed}");
        let (restarted, _) = run(&spec, &[0, 1], &scenario.cut(2), 4, restarts(seed));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}");
    }
}

/// A step of rows that come and go until their windows end, and what it leaves.
struct Revision {
    step: Step,
    /// The rows that were there and in time, of windows that have ended, too.
    there: Vec<Event>,
    late: usize,
    /// How many of them lie in windows that have not ended.
    open: usize,
}

/// Times in whole seconds stand for windows. Each step takes a second.
fn revisions(seed: u64, retracts: bool) -> Vec<Revision> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut pool = Scenario::random(seed, 400, 3_000).events();
    let (mut there, mut late) = (Vec::<Event>::new(), 0);
    let mut revision = |now: i64| {
        let (mut changed, mut weights) = (Vec::new(), Vec::new());
        for _ in 0..random.random_range(1..15) {
            let clock = now * SECOND;
            if retracts && !there.is_empty() && random.random_bool(0.4) {
                let place = random.random_range(0..there.len());
                let event = Event { clock, ..there[place].clone() };
                // What was said of a window that has ended stays.
                if event.nanos() > Some(clock) {
                    drop(there.swap_remove(place))
                } else {
                    late += 1
                }
                changed.push(event);
                weights.push(-1);
            } else if let Some(event) = pool.pop() {
                let event =
                    if random.random_bool(0.1) { there.last().cloned().unwrap_or(event) } else { event };
                let ts = (now + random.random_range(-1..4)) * 1_000;
                let event = Event { ts: Some(ts), clock, ..event };
                if ts > now * 1_000 {
                    there.push(event.clone())
                } else {
                    late += 1
                }
                changed.push(event);
                weights.push(1);
            }
        }
        let weights = retracts.then(|| Int64Array::from(weights));
        let watermark = (now + 1) * SECOND;
        let step = Step { batches: vec![Rows { weights, ..rows(&changed) }], watermark };
        let open = there.iter().filter(|event| event.nanos() > Some(watermark)).count();
        Revision { step, there: there.clone(), late, open }
    };
    (10..40).map(&mut revision).collect()
}

#[test]
fn lists_of_a_window_that_are_revised_hold_the_first_rows_until_it_ends_and_then_nothing() {
    let mut taken_back = 0;
    for seed in 0..16 {
        let (skip, take) = STRETCHES[seed as usize % 4];
        let (numbered, retracts) = (seed % 8 >= 4, seed % 3 != 0);
        let changes = if retracts { Changes::Retracting } else { Changes::AppendOnly };
        let closing = Some(Closing { column: 0, after: -1 });
        let what = TopN { revises: true, ..what(skip, take, numbered, changes, closing) };
        let spec: Arc<dyn OperatorSpec> = Arc::new(TopNSpec::try_new(what).unwrap());
        assert_ne!(spec.changes(), Changes::AppendOnly);
        assert_eq!(spec.state_bound(), StateBound::Watermark);
        let said = |workers: u32, between: &dyn Fn(usize) -> Between| {
            let mut runner = Runner::new(Arc::clone(&spec), &[0, 1], workers);
            let (mut state, mut lines) = (BTreeMap::new(), Vec::new());
            for (number, revision) in revisions(seed, retracts).iter().enumerate() {
                let change = runner.step(&revision.step);
                fold(&mut state, change.as_ref());
                lines.push(change.map(|change| weighted_lines(&[change])).unwrap_or_default());
                assert_eq!(
                    state,
                    expect(&revision.there, "ts, k", skip, take, numbered),
                    "{seed}, step {number}"
                );
                assert_eq!(runner.late.len(), revision.late, "{seed}, step {number}");
                runner.between(between(number));
                let kept = runner.state_size().entries;
                assert!(kept as usize <= revision.open, "{seed}, step {number}: {kept} of {}", revision.open);
            }
            assert!(
                runner
                    .step(&Step { batches: Vec::new(), watermark: 99 * SECOND })
                    .is_none_or(|rows| rows.is_empty())
            );
            assert_eq!(runner.state_size().entries, 0, "{seed}");
            lines
        };
        let straight = said(1, &|_| Between::Nothing);
        assert_eq!(said(4, &restarts(seed)), straight, "{seed}");
        taken_back += straight.iter().flatten().filter(|line| line.starts_with('-')).count();
    }
    assert!(taken_back > 100, "{taken_back} rows were taken back");
}

#[test]
fn the_order_of_changes_does_not_depend_on_workers_or_restarts() {
    for seed in 0..6 {
        let (skip, take) = STRETCHES[seed as usize % 4];
        let scenario = Scenario::random(seed, 300, 3_000);
        let spec = spec(skip, take, seed % 2 == 0, Changes::AppendOnly, None);
        let (straight, _) = run(&spec, &[1], &scenario.cut(1), 1, |_| Between::Nothing);
        let (restarted, _) = run(&spec, &[1], &scenario.cut(1), 4, restarts(seed));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight));
    }
}
