//! Joins: what they emit adds up, at every step, to the join of both sides' rows so far; and with times, in the end, to that of the rows
//! that were in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use headwater_operators::{
    Changes, Clocks, Join, JoinClosing, JoinInput, JoinKind, JoinSpec, JoinTime, OperatorSpec, Rows,
    StateBound,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::harness::{Between, Runner, weighted_lines};
use crate::windows::restarts;

const KINDS: [JoinKind; 7] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::Semi,
    JoinKind::Anti,
    JoinKind::Mark,
];

const MILLI: i64 = 1_000_000;

/// A key, a number, a time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Row {
    key: Option<i64>,
    number: i64,
    time: i64,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("n", DataType::Int64, false),
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

fn rows(rows: &[Row], weights: Option<Vec<i64>>, clock: i64) -> Rows {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.number))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.time))),
    ];
    let batch = RecordBatch::try_new(schema(), columns).unwrap();
    let clocks = Clocks::PerRow(TimestampNanosecondArray::from(vec![clock; rows.len()]));
    Rows { batch, weights: weights.map(Int64Array::from), clocks }
}

fn column(index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new("", index))
}

/// The left number is less than the right one.
fn less() -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(column(1), Operator::Lt, column(4)))
}

fn spec(
    kind: JoinKind,
    residual: Option<Arc<dyn PhysicalExpr>>,
    changes: Changes,
    times: [Option<JoinTime>; 2],
) -> Arc<dyn OperatorSpec> {
    let side =
        |time| JoinInput { schema: schema(), keys: vec![0], changes: changes.clone(), time, complete: None };
    let what = Join {
        kind,
        left: side(times[0]),
        right: side(times[1]),
        residual,
        null_equals_null: false,
        closes: None,
        ttl: [None; 2],
    };
    Arc::new(JoinSpec::try_new(what).unwrap())
}

fn text(row: &Row) -> String {
    let key = row.key.map_or("NULL".to_owned(), |key| key.to_string());
    let time = format!("1970-01-01T00:{:02}:{:02}", row.time / 60_000, row.time / 1_000 % 60);
    let time = if row.time % 1_000 == 0 { time } else { format!("{time}.{:03}", row.time % 1_000) };
    format!("{key} | {} | {time}", row.number)
}

/// The join of two sides, straight.
fn expect(
    kind: JoinKind,
    left: &[Row],
    right: &[Row],
    matches: impl Fn(&Row, &Row) -> bool,
) -> BTreeMap<String, i64> {
    const NULLS: &str = "NULL | NULL | NULL";
    let pairs = |a: &Row, b: &Row| a.key.is_some() && a.key == b.key && matches(a, b);
    let mut lines = Vec::new();
    for a in left {
        let found: Vec<&Row> = right.iter().filter(|b| pairs(a, b)).collect();
        match kind {
            JoinKind::Semi if !found.is_empty() => lines.push(text(a)),
            JoinKind::Anti if found.is_empty() => lines.push(text(a)),
            JoinKind::Semi | JoinKind::Anti => {}
            JoinKind::Mark => lines.push(format!("{} | {}", text(a), !found.is_empty())),
            JoinKind::Left | JoinKind::Full if found.is_empty() => {
                lines.push(format!("{} | {NULLS}", text(a)))
            }
            _ => lines.extend(found.into_iter().map(|b| format!("{} | {}", text(a), text(b)))),
        }
    }
    if matches!(kind, JoinKind::Right | JoinKind::Full) {
        let lonely = right.iter().filter(|b| !left.iter().any(|a| pairs(a, b)));
        lines.extend(lonely.map(|b| format!("{NULLS} | {}", text(b))));
    }
    let mut sums = BTreeMap::new();
    lines.into_iter().for_each(|line| *sums.entry(line).or_insert(0) += 1);
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

/// Random changes to two sides.
struct Sides {
    random: SmallRng,
    there: [Vec<Row>; 2],
    keys: i64,
}

impl Sides {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let keys = random.random_range(1..8);
        Self { random, there: [Vec::new(), Vec::new()], keys }
    }

    fn change(&mut self, side: usize, retract: f64) -> (usize, Rows) {
        let (mut changed, mut weights) = (Vec::new(), Vec::new());
        for _ in 0..self.random.random_range(0..9) {
            if !self.there[side].is_empty() && self.random.random_bool(retract) {
                let place = self.random.random_range(0..self.there[side].len());
                changed.push(self.there[side].swap_remove(place));
                weights.push(-1);
            } else {
                let key = self.random.random_bool(0.9).then(|| self.random.random_range(0..self.keys));
                let row = Row { key, number: self.random.random_range(0..6), time: 0 };
                self.there[side].push(row);
                changed.push(row);
                weights.push(1);
            }
        }
        (side, rows(&changed, (retract > 0.0).then_some(weights), i64::MIN))
    }
}

#[test]
fn changes_add_up_to_the_join() {
    for seed in 0..12 {
        for kind in KINDS {
            let residual = (seed % 2 == 1).then(less);
            let retract = if seed % 3 == 0 { 0.0 } else { 0.4 };
            let changes = if retract > 0.0 { Changes::Retracting } else { Changes::AppendOnly };
            let spec = spec(kind, residual.clone(), changes, [None, None]);
            let mut runner = Runner::of_two(spec, [&[0], &[0]], 1 + seed as u32 % 3);
            let mut sides = Sides::new(seed);
            let mut state = BTreeMap::new();
            for step in 0..25 {
                let batches: Vec<_> = (0..4).map(|_| sides.random.random_range(0..2)).collect::<Vec<usize>>();
                let batches: Vec<_> = batches.into_iter().map(|side| sides.change(side, retract)).collect();
                fold(&mut state, runner.step_inputs(&batches, step).as_ref());
                runner.between(restarts(seed)(step as usize));
                let matches = |a: &Row, b: &Row| residual.is_none() || a.number < b.number;
                let expected = expect(kind, &sides.there[0], &sides.there[1], matches);
                assert_eq!(state, expected, "{kind:?}, seed {seed}, step {step}");
            }
            // Take all away: nothing is left, neither outside nor inside.
            if retract > 0.0 {
                let away = |side: usize| {
                    (side, rows(&sides.there[side], Some(vec![-1; sides.there[side].len()]), i64::MIN))
                };
                fold(&mut state, runner.step_inputs(&[away(1), away(0)], 99).as_ref());
                assert_eq!((state.len(), runner.state_size().entries), (0, 0), "{kind:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn what_a_join_says_does_not_depend_on_workers_or_restarts() {
    for seed in 0..6 {
        for kind in KINDS {
            let residual = (seed % 2 == 1).then(less);
            let said = |workers: u32, restart: bool| {
                let spec = spec(kind, residual.clone(), Changes::Retracting, [None, None]);
                let mut runner = Runner::of_two(spec, [&[0], &[0]], workers);
                let mut sides = Sides::new(seed);
                let mut lines = Vec::new();
                for step in 0..25 {
                    let batches: Vec<_> = (0..3).map(|nth| sides.change(nth % 2, 0.3)).collect();
                    lines.extend(runner.step_inputs(&batches, step).map(|rows| weighted_lines(&[rows])));
                    runner.between(if restart { restarts(seed)(step as usize) } else { Between::Nothing });
                }
                lines
            };
            assert_eq!(said(1, false), said(4, true), "{kind:?}, seed {seed}");
        }
    }
}

/// Times of left and right are at most so far apart: `-before <= left - right <= after`, in milliseconds.
fn in_interval(before: i64, after: i64) -> ([Option<JoinTime>; 2], Arc<dyn PhysicalExpr>) {
    let time = |keep: i64| Some(JoinTime { column: 2, keep: keep * MILLI, late_after: 0 });
    let millis = |index| -> Arc<dyn PhysicalExpr> {
        let kind = DataType::Int64;
        Arc::new(datafusion::physical_expr::expressions::CastExpr::new(column(index), kind, None))
    };
    let difference: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(millis(2), Operator::Minus, millis(5)));
    let bound = |op, value: i64| -> Arc<dyn PhysicalExpr> {
        let value = datafusion::physical_expr::expressions::lit(value);
        Arc::new(BinaryExpr::new(Arc::clone(&difference), op, value))
    };
    let residual =
        BinaryExpr::new(bound(Operator::GtEq, -before), Operator::And, bound(Operator::LtEq, after));
    ([time(before), time(after)], Arc::new(residual))
}

#[test]
fn an_interval_join_says_in_the_end_what_the_rows_in_time_give() {
    for seed in 0..12 {
        for kind in KINDS {
            let mut random = SmallRng::seed_from_u64(seed);
            let (before, after) =
                [(5_000, 0), (0, 4_000), (3_000, 3_000), (-1_000, 6_000)][seed as usize % 4];
            let (times, residual) = in_interval(before, after);
            let spec = spec(kind, Some(residual), Changes::AppendOnly, times);
            assert_eq!(spec.changes(), Changes::AppendOnly);
            let mut runner = Runner::of_two(spec, [&[0], &[0]], 1 + seed as u32 % 3);
            let (mut state, mut in_time) = (BTreeMap::new(), [Vec::new(), Vec::new()]);
            let (mut now, mut late) = (20_000, 0);
            let mut watermark = i64::MIN;
            for step in 0..40 {
                let mut batches = Vec::new();
                for side in [0, 1, 0, 1] {
                    let mut batch = Vec::new();
                    for _ in 0..random.random_range(0..5) {
                        now += random.random_range(0..300);
                        let back = if random.random_bool(0.3) { random.random_range(0..4_000) } else { 0 };
                        let key = random.random_bool(0.9).then(|| random.random_range(0..4));
                        batch.push(Row { key, number: random.random_range(0..99), time: now - back });
                    }
                    for row in &batch {
                        if row.time * MILLI < watermark { late += 1 } else { in_time[side].push(*row) }
                    }
                    batches.push((side, rows(&batch, None, watermark)));
                }
                let next = (now - 2_000) * MILLI;
                fold(&mut state, runner.step_inputs(&batches, next).as_ref());
                watermark = next;
                runner.between(restarts(seed)(step));
            }
            fold(&mut state, runner.step_inputs(&[], i64::MAX).as_ref());
            let matches = |a: &Row, b: &Row| (-before..=after).contains(&(a.time - b.time));
            assert_eq!(state, expect(kind, &in_time[0], &in_time[1], matches), "{kind:?}, seed {seed}");
            assert_eq!((runner.late.len(), runner.state_size().entries), (late, 0), "{kind:?}, seed {seed}");
        }
    }
}

#[test]
fn the_state_of_an_interval_join_does_not_grow() {
    let (times, residual) = in_interval(5_000, 1_000);
    let spec = spec(JoinKind::Full, Some(residual), Changes::AppendOnly, times);
    let mut runner = Runner::of_two(spec, [&[0], &[0]], 2);
    let mut sizes = Vec::new();
    for step in 0..6_000_i64 {
        let row = |key| Row { key: Some(key), number: step, time: step * 1_000 };
        let batches = [
            (0, rows(&[row(step), row(1), row(1)], None, i64::MIN)),
            (1, rows(&[row(step), row(2)], None, i64::MIN)),
        ];
        runner.step_inputs(&batches, step * 1_000 * MILLI);
        sizes.push(runner.state_size());
    }
    assert_eq!(sizes[5_999].entries, sizes[100].entries);
    let memory = |steps: std::ops::Range<usize>| sizes[steps].iter().map(|size| size.bytes).max().unwrap();
    // Memory that doubles as it grows is now just full and now half empty; what leaks would have trebled.
    let (before, after) = (memory(0..2_000), memory(4_000..6_000));
    assert!(after < 2 * before, "{after} bytes after {before}");
}

#[test]
fn the_null_row_of_an_outer_join_is_retracted() {
    let row = |number| Row { key: Some(1), number, time: 0 };
    let spec = spec(JoinKind::Left, None, Changes::Retracting, [None, None]);
    assert_eq!(spec.changes(), Changes::Retracting);
    let mut runner = Runner::of_two(spec, [&[0], &[0]], 1);
    let mut said = |side: usize, number: i64, weight: i64| {
        let batch = (side, rows(&[row(number)], Some(vec![weight]), 0));
        runner.step_inputs(&[batch], 0).map_or(Vec::new(), |rows| weighted_lines(&[rows]))
    };
    let (zero, nulls) = ("1970-01-01T00:00:00", "NULL | NULL | NULL");
    let alone = format!("1 | 7 | {zero} | {nulls}");
    let paired = |number: i64| format!("1 | 7 | {zero} | 1 | {number} | {zero}");
    assert_eq!(said(0, 7, 1), [format!("+1 {alone}")]);
    assert_eq!(said(1, 5, 1), [format!("-1 {alone}"), format!("+1 {}", paired(5))]);
    assert_eq!(said(1, 6, 1), [format!("+1 {}", paired(6))]);
    assert_eq!(said(1, 5, -1), [format!("-1 {}", paired(5))]);
    assert_eq!(said(1, 6, -1), [format!("-1 {}", paired(6)), format!("+1 {alone}")]);
    assert_eq!(said(0, 7, -1), [format!("-1 {alone}")]);
}

#[test]
fn a_retraction_may_come_before_its_addition() {
    // Two ways of different length lead to a join: what is retracted may come by the shorter one.
    let row = |number| Row { key: Some(1), number, time: 0 };
    for kind in KINDS {
        let spec = spec(kind, Some(less()), Changes::Retracting, [None, None]);
        let mut runner = Runner::of_two(spec, [&[0], &[0]], 1);
        let mut state = BTreeMap::new();
        let mut said = |batches: &[(usize, i64, i64)]| {
            let batches: Vec<_> = batches
                .iter()
                .map(|(side, number, weight)| (*side, rows(&[row(*number)], Some(vec![*weight]), 0)))
                .collect();
            fold(&mut state, runner.step_inputs(&batches, 0).as_ref());
        };
        said(&[(0, 1, 1), (1, 5, 1)]);
        said(&[(1, 5, -1), (0, 1, -1), (1, 6, -1), (0, 2, 1), (1, 6, 1), (0, 1, 1), (1, 5, 1), (0, 2, -1)]);
        assert_eq!(state, expect(kind, &[row(1)], &[row(5)], |a, b| a.number < b.number), "{kind:?}");
    }
}

/// Changes to both sides of a window join, of rows whose times stand for windows; each step takes a second.
struct Windowed {
    random: SmallRng,
    /// For how many seconds a window takes rows behind its end.
    lateness: i64,
    /// The rows that came in time, of windows that have ended, too.
    there: [Vec<Row>; 2],
    late: usize,
}

impl Windowed {
    fn change(&mut self, side: usize, now: i64) -> (usize, Rows) {
        let is_open = |row: &Row| row.time + self.lateness * 1_000 > now * 1_000;
        let (mut changed, mut weights) = (Vec::new(), Vec::new());
        for _ in 0..self.random.random_range(0..6) {
            if !self.there[side].is_empty() && self.random.random_bool(0.4) {
                let place = self.random.random_range(0..self.there[side].len());
                let row = self.there[side][place];
                // What was said of a window that has ended stays.
                if is_open(&row) {
                    self.there[side].swap_remove(place);
                } else {
                    self.late += 1;
                }
                changed.push(row);
                weights.push(-1);
            } else {
                let key = self.random.random_bool(0.9).then(|| self.random.random_range(0..4));
                let time = (now + self.random.random_range(-3..4)) * 1_000;
                let row = Row { key, number: self.random.random_range(0..6), time };
                if is_open(&row) {
                    self.there[side].push(row)
                } else {
                    self.late += 1;
                }
                changed.push(row);
                weights.push(1);
            }
        }
        (side, rows(&changed, Some(weights), now * 1_000 * MILLI))
    }

    /// Rows of windows that have not ended at this watermark.
    fn open(&self, seconds: i64) -> usize {
        let is_open = |row: &&Row| row.time + self.lateness * 1_000 > seconds * 1_000;
        self.there.iter().flatten().filter(is_open).count()
    }
}

#[test]
fn a_window_join_of_rows_that_change_holds_the_join_until_the_window_ends_and_then_nothing() {
    let (mut late, mut taken_back) = (0, 0);
    for seed in 0..8 {
        for kind in KINDS {
            let (lateness, residual) = (seed as i64 % 4 / 2 * 2, (seed % 2 == 1).then(less));
            let side = || JoinInput {
                schema: schema(),
                keys: vec![0, 2],
                changes: Changes::Retracting,
                time: None,
                complete: None,
            };
            let what = Join {
                kind,
                left: side(),
                right: side(),
                residual: residual.clone(),
                null_equals_null: false,
                closes: Some(JoinClosing { key: 1, after: lateness * 1_000 * MILLI - 1 }),
                ttl: [None; 2],
            };
            let spec: Arc<dyn OperatorSpec> = Arc::new(JoinSpec::try_new(what).unwrap());
            assert_eq!(spec.state_bound(), StateBound::Watermark);
            let mut said = |workers: u32, between: &dyn Fn(usize) -> Between| {
                let mut runner = Runner::of_two(Arc::clone(&spec), [&[0, 2], &[0, 2]], workers);
                let random = SmallRng::seed_from_u64(seed);
                let mut sides = Windowed { random, lateness, there: Default::default(), late: 0 };
                let (mut state, mut lines) = (BTreeMap::new(), Vec::new());
                for second in 10..40_i64 {
                    let batches: Vec<_> =
                        [0, 1, 1, 0].into_iter().map(|side| sides.change(side, second)).collect();
                    let change = runner.step_inputs(&batches, (second + 1) * 1_000 * MILLI);
                    fold(&mut state, change.as_ref());
                    lines.push(change.map(|change| weighted_lines(&[change])).unwrap_or_default());
                    let matches =
                        |a: &Row, b: &Row| a.time == b.time && (residual.is_none() || a.number < b.number);
                    let expected = expect(kind, &sides.there[0], &sides.there[1], matches);
                    assert_eq!(state, expected, "{kind:?}, seed {seed}, second {second}");
                    assert_eq!(runner.late.len(), sides.late, "{kind:?}, seed {seed}, second {second}");
                    runner.between(between(second as usize - 10));
                    let (kept, open) = (runner.state_size().entries as usize, sides.open(second + 1));
                    assert!(kept <= open, "{kind:?}, seed {seed}, second {second}: {kept} of {open}");
                }
                late += sides.late;
                assert!(runner.step_inputs(&[], 99_000 * MILLI).is_none_or(|rows| rows.is_empty()));
                assert_eq!(runner.state_size().entries, 0, "{kind:?}, seed {seed}");
                lines
            };
            let straight = said(1, &|_| Between::Nothing);
            assert_eq!(said(4, &restarts(seed)), straight, "{kind:?}, seed {seed}");
            taken_back += straight.iter().flatten().filter(|line| line.starts_with('-')).count();
        }
    }
    assert!(late > 100 && taken_back > 100, "{late} rows were late, and {taken_back} were taken back");
}
