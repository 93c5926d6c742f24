//! Windows against a straight computation: every row into every window that is open by the row's clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use headwater_operators::{
    AggregateCall, AssignWindowsSpec, OperatorSpec, OutputColumn, PerKey, Rows, WindowAggregate,
    WindowAggregateSpec, WindowColumn, WindowFinalSpec, WindowKind, WindowPartialSpec,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::data::{Event, SECOND, Scenario, batch, schema};
use crate::harness::{Between, Step, forward, lines, run, weighted_lines};
use crate::oracle;

pub const AGGREGATES: &[&str] = &[
    "count(*)",
    "count(n)",
    "sum(n)",
    "sum(f)",
    "avg(f)",
    "min(n)",
    "max(f)",
    "min(s)",
    "max(s)",
    "bool_and(b)",
    "bool_or(b)",
    "count(distinct n)",
    "count(distinct s)",
    "sum(n) FILTER (WHERE b)",
    "sum(distinct n)",
    "median(f)",
    "first_value(s ORDER BY ts, n NULLS FIRST, s)",
    "last_value(s ORDER BY ts, n NULLS FIRST, s)",
    "last_value(s IGNORE NULLS ORDER BY ts, n NULLS FIRST, s)",
    "array_agg(n ORDER BY n NULLS FIRST)",
    "string_agg(s, ',' ORDER BY s)",
    "bit_xor(n)",
];

/// start, end, time, key, aggregates.
pub fn output(keys: usize, aggregates: usize) -> Vec<OutputColumn> {
    let column = |from, name: &str| OutputColumn { from, name: name.to_owned() };
    let mut columns = vec![
        column(WindowColumn::Start, "window_start"),
        column(WindowColumn::End, "window_end"),
        column(WindowColumn::Time, "window_time"),
    ];
    columns.extend((0..keys).map(|key| column(WindowColumn::Key(key), "k")));
    columns.extend((0..aggregates).map(|index| column(WindowColumn::Aggregate(index), &format!("a{index}"))));
    columns
}

fn window(kind: WindowKind, keyed: bool, calls: &[AggregateCall]) -> WindowAggregate {
    let keys = if keyed { vec![1] } else { Vec::new() };
    WindowAggregate {
        kind,
        input: schema(),
        time: 0,
        output: output(keys.len(), calls.len()),
        keys,
        aggregates: calls.to_vec(),
        per_key: None,
    }
}

/// All windows that a time lies in, found by trying every start around it.
fn windows_of(kind: WindowKind, time: i64) -> Vec<(i64, i64)> {
    let (size, every, offset) = match kind {
        WindowKind::Tumble { size, offset } => (size, size, offset),
        WindowKind::Hop { size, slide, offset } => (size, slide, offset),
        WindowKind::Cumulate { size, offset, .. } => (size, size, offset),
    };
    let first = (time - offset) / every - size / every - 2;
    let last = (time - offset) / every + 2;
    let mut windows = Vec::new();
    for start in (first..=last).map(|number| number * every + offset) {
        match kind {
            WindowKind::Cumulate { step, .. } => {
                let ends = (1..=size / step).map(|number| start + number * step);
                windows.extend(ends.filter(|end| start <= time && time < *end).map(|end| (start, end)));
            }
            _ if start <= time && time < start + size => windows.push((start, start + size)),
            _ => {}
        }
    }
    windows
}

/// What must come out: rows, and late rows.
fn expect(
    kind: WindowKind,
    keyed: bool,
    events: &[Event],
    aggregates: &[&str],
) -> (Vec<String>, Vec<String>) {
    let (mut counted, mut late) = (Vec::new(), Vec::new());
    for event in events {
        let Some(time) = event.nanos() else {
            late.push(format!("null event time: {}", lines(&batch(std::slice::from_ref(event)))[0]));
            continue;
        };
        let windows = windows_of(kind, time);
        let open: Vec<_> = windows.iter().copied().filter(|(_, end)| *end > event.clock).collect();
        if open.is_empty() && !windows.is_empty() {
            late.push(lines(&batch(std::slice::from_ref(event)))[0].clone());
        }
        counted.extend(open.into_iter().map(|window| (window, event.clone())));
    }
    late.sort();
    (group_by_window(&counted, keyed, aggregates), late)
}

/// DataFusion's result over rows that each belong to a window.
pub fn group_by_window(counted: &[((i64, i64), Event)], keyed: bool, aggregates: &[&str]) -> Vec<String> {
    let events: Vec<Event> = counted.iter().map(|(_, event)| event.clone()).collect();
    let rows = batch(&events);
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    let kind = DataType::Timestamp(TimeUnit::Millisecond, None);
    let times = |time: &dyn Fn(&(i64, i64)) -> i64| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from_iter_values(
            counted.iter().map(|(window, _)| time(window).div_euclid(1_000_000)),
        ))
    };
    for (name, column) in [
        ("ws", times(&|window| window.0)),
        ("we", times(&|window| window.1)),
        ("wt", times(&|window| window.1 - 1_000_000)),
    ] {
        fields.push(Arc::new(Field::new(name, kind.clone(), false)));
        columns.push(column);
    }
    let table = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let key = if keyed { ", k" } else { "" };
    let order = if keyed { ", k NULLS FIRST" } else { "" };
    let sql = format!(
        "SELECT ws, we, wt{key}, {} FROM t GROUP BY ws, we, wt{key} ORDER BY we, ws{order}",
        aggregates.join(", ")
    );
    lines(&oracle::query(table, &sql))
}

pub fn without_weights(rows: &[Rows]) -> Vec<String> {
    rows.iter().flat_map(|rows| lines(&rows.batch)).collect()
}

pub fn strip_operator(late: Vec<String>) -> Vec<String> {
    let strip = |line: String| match line.split_once(": ") {
        Some(("null event time", _)) | None => line,
        Some((_, rest)) => rest.to_owned(),
    };
    let mut late: Vec<_> = late.into_iter().map(strip).collect();
    late.sort();
    late
}

fn kinds() -> Vec<WindowKind> {
    vec![
        WindowKind::Tumble { size: 5 * SECOND, offset: 0 },
        WindowKind::Tumble { size: 7 * SECOND, offset: -2 * SECOND },
        WindowKind::Hop { size: 6 * SECOND, slide: 2 * SECOND, offset: 0 },
        WindowKind::Hop { size: 7 * SECOND, slide: 3 * SECOND, offset: SECOND },
        WindowKind::Hop { size: 2 * SECOND, slide: 5 * SECOND, offset: 0 },
        WindowKind::Cumulate { size: 12 * SECOND, step: 3 * SECOND, offset: SECOND },
    ]
}

/// Random restarts at random parallelism.
pub fn restarts(seed: u64) -> impl Fn(usize) -> Between {
    move |step| {
        let mut random = SmallRng::seed_from_u64(seed.wrapping_add(step as u64));
        let full = random.random_bool(0.3);
        match random.random_range(0..4) {
            0 => Between::Snapshot { full },
            1 => Between::Restart { full, workers: random.random_range(1..5) },
            _ => Between::Nothing,
        }
    }
}

#[test]
fn windows_equal_the_batch_result() {
    let calls = oracle::calls(&schema(), AGGREGATES);
    for (number, kind) in kinds().into_iter().enumerate() {
        for seed in 0..4 {
            let scenario = Scenario::random(seed * 100 + number as u64, 400, 9_000);
            let keyed = seed % 2 == 0;
            let (expected, late) = expect(kind, keyed, &scenario.events(), AGGREGATES);
            let what = window(kind, keyed, &calls);
            let keys: &[usize] = if keyed { &[1] } else { &[] };
            let steps = scenario.cut(seed);

            let one: Arc<dyn OperatorSpec> = Arc::new(WindowAggregateSpec::try_new(what.clone()).unwrap());
            let (rows, found_late) = run(&one, keys, &steps, 1, |_| Between::Nothing);
            assert_eq!(without_weights(&rows), expected, "{kind:?} {seed}");
            assert_eq!(strip_operator(found_late), late, "{kind:?} {seed}");

            // In two phases.
            let partial = WindowPartialSpec::try_new(what.clone()).unwrap();
            let two: Arc<dyn OperatorSpec> = Arc::new(WindowFinalSpec::try_new(what).unwrap());
            let (partials, found_late) = forward(&partial, &scenario.cut(seed + 1));
            let (rows, none) = run(&two, &partial.exchange_keys(), &partials, 3, restarts(seed));
            assert_eq!(without_weights(&rows), expected, "two phases, {kind:?} {seed}");
            assert_eq!(strip_operator(found_late), late, "two phases, {kind:?} {seed}");
            assert!(none.is_empty(), "what the first phase lets through is not late in the second: {none:?}");

            // With other batches, other parallelism, and restarts.
            let (straight, _) = run(&one, keys, &scenario.cut(seed + 2), 3, |_| Between::Nothing);
            let (restarted, other_late) = run(&one, keys, &scenario.cut(seed + 3), 2, restarts(seed + 7));
            assert_eq!(without_weights(&straight), expected);
            assert_eq!(weighted_lines(&restarted), weighted_lines(&straight));
            assert_eq!(strip_operator(other_late), late);
        }
    }
}

const MANY_KEYS: i64 = 140_000;

const STEP_ROWS: i64 = 84_000;

/// So many keys that a slice has an array, and that no row of a batch shares its key with another. Three windows, two at a time, in runs of
/// rows.
#[test]
fn many_keys_are_counted_as_few_are() {
    let window_of = |row: i64| row / 1_000 % 2 + row / (2 * STEP_ROWS);
    count_many(window_of, |key| Some(key - MANY_KEYS / 2).filter(|key| *key != 5));
}

/// One window, of which all groups have the numbers of their keys, and that is larger than a batch; then a few rows of the next, with keys
/// that are new among them; then that one alone. What comes out lies in order in an array, or has to be sorted.
#[test]
fn keys_of_a_window_alone_are_counted_as_others_are() {
    let window_of = |row: i64| match row / STEP_ROWS {
        0 => 0,
        1 if row % 7 > 0 => 0,
        _ => 1,
    };
    count_many(window_of, Some);
    count_many(window_of, |key| Some((key - 9) << 30));
    // All of it one window that closes at the end, and one after the other without a row between.
    count_many(|_| 1, Some);
    count_many(|row| row / (2 * STEP_ROWS), Some);
}

/// Counts rows of many keys, in one phase and in two, straight and with restarts in the middle.
fn count_many(window_of: impl Fn(i64) -> i64, key_of: impl Fn(i64) -> Option<i64>) {
    let kind = DataType::Timestamp(TimeUnit::Millisecond, None);
    let [ts, k, n] = [("ts", kind), ("k", DataType::Int64), ("n", DataType::Int64)]
        .map(|(name, kind)| Field::new(name, kind, true));
    let schema = Arc::new(Schema::new(vec![ts, k, n]));
    let key_of = |row: i64| key_of(row * 7_919 % MANY_KEYS);
    let batch_of = |rows: std::ops::Range<i64>| {
        let times = rows.clone().map(|row| window_of(row) * 10_000 + row % 10_000);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
            Arc::new(rows.clone().map(&key_of).collect::<Int64Array>()),
            Arc::new(Int64Array::from_iter_values(rows)),
        ];
        Rows::new(RecordBatch::try_new(Arc::clone(&schema), columns).unwrap())
    };
    let watermarks = [0, 10 * SECOND, 15 * SECOND, i64::MAX];
    let steps: Vec<Step> = (0..)
        .zip(watermarks)
        .map(|(step, watermark)| {
            let (from, half) = (step * STEP_ROWS, STEP_ROWS / 2);
            Step {
                batches: vec![batch_of(from..from + half), batch_of(from + half..from + 2 * half)],
                watermark,
            }
        })
        .collect();
    let mut expected: BTreeMap<(i64, Option<i64>), (i64, i64)> = BTreeMap::new();
    for row in 0..4 * STEP_ROWS {
        let (count, sum) = expected.entry((window_of(row), key_of(row))).or_default();
        (*count, *sum) = (*count + 1, *sum + row);
    }
    let expected: Vec<_> = expected.into_iter().map(|((_, key), (count, sum))| (key, count, sum)).collect();
    let what = WindowAggregate {
        kind: WindowKind::Tumble { size: 10 * SECOND, offset: 0 },
        input: Arc::clone(&schema),
        time: 0,
        keys: vec![1],
        output: output(1, 2),
        aggregates: oracle::calls(&schema, &["count(*)", "sum(n)"]),
        per_key: None,
    };
    let partial = WindowPartialSpec::try_new(what.clone()).unwrap();
    let one: Arc<dyn OperatorSpec> = Arc::new(WindowAggregateSpec::try_new(what.clone()).unwrap());
    let two: Arc<dyn OperatorSpec> = Arc::new(WindowFinalSpec::try_new(what).unwrap());
    let (partials, late) = forward(&partial, &steps);
    assert!(late.is_empty());
    assert!(partials.iter().flat_map(|step| &step.batches).all(|rows| rows.len() as i64 == STEP_ROWS / 2));
    let restart = |workers: u32| {
        move |step: usize| {
            if step < 3 { Between::Restart { full: step == 1, workers } } else { Between::Nothing }
        }
    };
    for (rows, late) in [
        run(&one, &[1], &steps, 1, |_| Between::Nothing),
        run(&one, &[1], &steps, 2, restart(1)),
        run(&two, &partial.exchange_keys(), &partials, 1, |_| Between::Nothing),
        run(&two, &partial.exchange_keys(), &partials, 1, restart(2)),
    ] {
        let found = rows.iter().flat_map(|rows| {
            let [keys, counts, sums] =
                [3, 4, 5].map(|column| rows.batch.column(column).as_primitive::<Int64Type>());
            keys.iter().zip(counts.values()).zip(sums.values()).map(|((key, count), sum)| (key, *count, *sum))
        });
        assert!(found.eq(expected.iter().copied()), "{} rows", rows.iter().map(Rows::len).sum::<usize>());
        assert!(late.is_empty(), "{} late rows", late.len());
    }
}

#[test]
fn assigned_windows_equal_the_straight_computation() {
    for (number, kind) in kinds().into_iter().enumerate() {
        let scenario = Scenario::random(number as u64, 300, 9_000);
        let spec = AssignWindowsSpec::try_new(kind, schema(), 0).unwrap();
        let (steps, late) = forward(&spec, &scenario.cut(number as u64));
        let found: Vec<_> = steps.iter().flat_map(|step| without_weights(&step.batches)).collect();
        let mut expected = Vec::new();
        for event in scenario.events() {
            let line = lines(&batch(std::slice::from_ref(&event))).remove(0);
            let windows = event.nanos().map(|time| windows_of(kind, time)).unwrap_or_default();
            for (start, end) in windows.into_iter().filter(|(_, end)| *end > event.clock) {
                let times = [start, end, end - 1_000_000].map(|nanos| {
                    let array = TimestampMillisecondArray::from(vec![nanos.div_euclid(1_000_000)]);
                    arrow::util::display::array_value_to_string(&array, 0).unwrap()
                });
                expected.push(format!("{line} | {}", times.join(" | ")));
            }
        }
        assert_eq!(found, expected, "{kind:?}");
        let (_, expected_late) = expect(kind, false, &scenario.events(), &["count(*)"]);
        assert_eq!(strip_operator(late), expected_late);
    }
}

/// Each row's clock as its key's rows before it tell it.
pub fn per_key_clocks(events: &[Event], delay: i64) -> Vec<Event> {
    let mut clocks = BTreeMap::new();
    let mut result = Vec::new();
    for event in events {
        let clock: &mut i64 = clocks.entry(event.key.clone()).or_insert(i64::MIN);
        result.push(Event { clock: *clock, ..event.clone() });
        if let Some(time) = event.nanos() {
            *clock = (*clock).max(time - delay);
        }
    }
    result
}

/// `ts - delay`, and `b` as a filter.
pub fn per_key(delay_ms: i64) -> PerKey {
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
    use datafusion::scalar::ScalarValue;
    let ts = Arc::new(Column::new("ts", 0));
    let delay = ScalarValue::new_interval_mdn(0, 0, delay_ms * 1_000_000);
    PerKey {
        candidate: Arc::new(BinaryExpr::new(ts, Operator::Minus, Arc::new(Literal::new(delay)))),
        pass: Some(Arc::new(Column::new("b", 5))),
    }
}

pub fn without_clocks(scenario: &Scenario) -> Scenario {
    let steps = scenario.steps.iter().map(|(events, watermark)| {
        let events = events.iter().map(|event| Event { clock: i64::MIN, ..event.clone() }).collect();
        (events, if *watermark == i64::MAX { i64::MAX } else { i64::MIN })
    });
    Scenario { steps: steps.collect() }
}

#[test]
fn each_key_has_its_own_time() {
    let calls = oracle::calls(&schema(), AGGREGATES);
    for (number, kind) in kinds().into_iter().enumerate() {
        let scenario = without_clocks(&Scenario::random(900 + number as u64, 500, 6_000));
        let events = per_key_clocks(&scenario.events(), 2_000_000_000);
        let passing: Vec<Event> = events.into_iter().filter(|event| event.flag == Some(true)).collect();
        let (mut expected, late) = expect(kind, true, &passing, AGGREGATES);
        let what = WindowAggregate { per_key: Some(per_key(2_000)), ..window(kind, true, &calls) };
        let spec: Arc<dyn OperatorSpec> = Arc::new(WindowAggregateSpec::try_new(what).unwrap());
        let (straight, found_late) = run(&spec, &[1], &scenario.cut(1), 1, |_| Between::Nothing);
        let (restarted, other_late) = run(&spec, &[1], &scenario.cut(2), 3, restarts(number as u64));
        assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{kind:?}");
        assert_eq!(strip_operator(found_late), late);
        assert_eq!(strip_operator(other_late), late);
        // Windows close when their key's time has come, so within the whole only the set is fixed.
        let mut found = without_weights(&straight);
        assert!(straight.len() > 3, "windows close before the end");
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{kind:?}");
    }
}

#[test]
fn a_disordered_batch_moves_nothing_back() {
    // The trap: a batch whose last row is old must not open a closed window again.
    let calls = oracle::calls(&schema(), &["count(*)"]);
    let kind = WindowKind::Tumble { size: 10 * SECOND, offset: 0 };
    let spec: Arc<dyn OperatorSpec> =
        Arc::new(WindowAggregateSpec::try_new(window(kind, false, &calls)).unwrap());
    let event = |seconds: i64, clock: i64| Event {
        ts: Some(seconds * 1000),
        key: None,
        number: None,
        float: None,
        text: None,
        flag: None,
        clock: clock * SECOND,
    };
    let steps = vec![
        Step {
            batches: vec![crate::data::rows(&[event(1, 0), event(25, 0), event(3, 25)])],
            watermark: 20 * SECOND,
        },
        // A watermark that goes back, rows whose clock is behind: closed stays closed.
        Step { batches: vec![crate::data::rows(&[event(4, 0), event(26, 0)])], watermark: 5 * SECOND },
        Step { batches: Vec::new(), watermark: i64::MAX },
    ];
    let (rows, late) = run(&spec, &[], &steps, 1, |_| Between::Nothing);
    let counts: Vec<String> =
        without_weights(&rows).iter().map(|line| line.rsplit(" | ").next().unwrap().into()).collect();
    assert_eq!(counts, ["1", "2"]);
    assert_eq!(late.len(), 2);
}

#[test]
fn bad_windows_are_refused() {
    let calls = oracle::calls(&schema(), &["count(*)"]);
    let refuse = |what: WindowAggregate, needle: &str| {
        let error = WindowAggregateSpec::try_new(what).unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
        assert_eq!(error.code().as_str(), "HW4004");
    };
    let tumble = WindowKind::Tumble { size: SECOND, offset: 0 };
    refuse(window(WindowKind::Tumble { size: 0, offset: 0 }, true, &calls), "not positive");
    refuse(window(WindowKind::Cumulate { size: 5, step: 2, offset: 0 }, true, &calls), "multiple");
    refuse(WindowAggregate { time: 2, ..window(tumble, true, &calls) }, "timestamp");
    let retraction = Rows {
        weights: Some(Int64Array::from(vec![-1])),
        ..Rows::new(batch(&Scenario::random(1, 5, 0).events()[..1]))
    };
    let spec = WindowAggregateSpec::try_new(window(tumble, true, &calls)).unwrap();
    let mut instance = spec.instantiate().unwrap();
    assert!(instance.on_batch(0, retraction, &mut Default::default()).is_err());
}
