//! OVER: what comes out is what DataFusion gives for the same function over the same rows, in time order, whatever strikes between steps.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use headwater_operators::{
    Changes, Frame, FrameBound, FrameRow, OperatorSpec, Over, OverCall, OverFunction, OverSpec, StateBound,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::data::{Event, SECOND, Scenario, batch, schema};
use crate::harness::{Between, Runner, Step, lines, run, weighted_lines};
use crate::oracle;
use crate::windows::restarts;

/// The order that ties are broken by.
const ALL: &str = "ts, k NULLS FIRST, n NULLS FIRST, f NULLS FIRST, s NULLS FIRST, b NULLS FIRST";

const RUNNING: Frame = Frame::RUNNING;
const ROWS_3: Frame = Frame { start: FrameBound::Rows(-3), end: FrameBound::Rows(0) };
const ROWS_BEFORE: Frame = Frame { start: FrameBound::Rows(-4), end: FrameBound::Rows(-2) };
const ROWS_AROUND: Frame = Frame { start: FrameBound::Rows(-1), end: FrameBound::Rows(2) };
const ROWS_ALL: Frame = Frame { start: FrameBound::Unbounded, end: FrameBound::Rows(0) };
const RANGE_5: Frame = Frame { start: FrameBound::Range(-5 * SECOND), end: FrameBound::Peers };
const RANGE_BEFORE: Frame =
    Frame { start: FrameBound::Range(-9 * SECOND), end: FrameBound::Range(-2 * SECOND) };
const RANGE_AROUND: Frame =
    Frame { start: FrameBound::Range(-2 * SECOND), end: FrameBound::Range(3 * SECOND) };
const PEERS: Frame = Frame { start: FrameBound::Peers, end: FrameBound::Peers };

/// A frame in SQL, and what rows are ordered by there: frames of peers know of time alone.
fn sql(frame: Frame) -> String {
    let bound = |bound: FrameBound, side: &str| match bound {
        FrameBound::Unbounded => format!("UNBOUNDED {side}"),
        FrameBound::Peers | FrameBound::Rows(0) => "CURRENT ROW".to_owned(),
        FrameBound::Rows(rows) if rows < 0 => format!("{} PRECEDING", -rows),
        FrameBound::Rows(rows) => format!("{rows} FOLLOWING"),
        FrameBound::Range(nanos) if nanos < 0 => format!("INTERVAL '{}' SECOND PRECEDING", -nanos / SECOND),
        FrameBound::Range(nanos) => format!("INTERVAL '{}' SECOND FOLLOWING", nanos / SECOND),
    };
    let rows = matches!(frame.end, FrameBound::Rows(_));
    let (order, unit) = if rows { (ALL, "ROWS") } else { ("ts", "RANGE") };
    let (start, end) = (bound(frame.start, "PRECEDING"), bound(frame.end, "FOLLOWING"));
    format!("OVER (PARTITION BY k ORDER BY {order} {unit} BETWEEN {start} AND {end})")
}

/// Functions, each with the SQL that gives the same.
#[derive(Default)]
struct Made {
    frames: Vec<Frame>,
    calls: Vec<OverCall>,
    sql: Vec<String>,
}

impl Made {
    fn frame(&mut self, frame: Frame) -> usize {
        self.frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
            self.frames.push(frame);
            self.frames.len() - 1
        })
    }

    fn push(&mut self, function: OverFunction, kind: DataType, sql: String) {
        if self.sql.contains(&sql) {
            return;
        }
        let field = Arc::new(Field::new(format!("c{}", self.calls.len()), kind, true));
        self.calls.push(OverCall { function, field });
        self.sql.push(sql);
    }

    fn aggregate(&mut self, text: &str, over: Frame) {
        let call = oracle::calls(&schema(), &[text]).remove(0);
        let (kind, frame) = (call.field().data_type().clone(), self.frame(over));
        self.push(OverFunction::Aggregate { call, frame }, kind, format!("{text} {}", sql(over)));
    }

    fn value(&mut self, name: &str, row: FrameRow, over: Frame) {
        let frame = self.frame(over);
        self.push(
            OverFunction::Value { column: 4, row, frame },
            DataType::Utf8,
            format!("{name} {}", sql(over)),
        );
    }

    fn shift(&mut self, by: i64, default: Option<i64>) {
        let (name, rows) = (if by > 0 { "lead" } else { "lag" }, by.abs());
        let filled = default.map_or(String::new(), |default| format!(", {default}"));
        self.push(
            OverFunction::Shift { column: 2, by, default: ScalarValue::Int64(default) },
            DataType::Int64,
            format!("{name}(n, {rows}{filled}) OVER (PARTITION BY k ORDER BY {ALL})"),
        );
    }

    fn spec(self) -> (Arc<dyn OperatorSpec>, String) {
        let what = Over {
            input: schema(),
            partition: vec![1],
            time: 0,
            after: 0,
            order: Vec::new(),
            frames: self.frames,
            calls: self.calls,
        };
        let sql = format!("SELECT ts, k, n, f, s, b, {} FROM t", self.sql.join(", "));
        (Arc::new(OverSpec::try_new(what).unwrap()), sql)
    }
}

const AGGREGATES: [&str; 8] =
    ["sum(n)", "count(*)", "avg(f)", "min(s)", "max(n)", "count(s)", "sum(f)", "max(f)"];

fn random_functions(seed: u64, ahead: bool) -> Made {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut made = Made::default();
    let back = [RUNNING, ROWS_3, ROWS_BEFORE, ROWS_ALL, RANGE_5, RANGE_BEFORE, PEERS];
    let around = [ROWS_AROUND, RANGE_AROUND, ROWS_3, RUNNING];
    for _ in 0..random.random_range(1..5) {
        let frames: &[Frame] = if ahead { &around } else { &back };
        match random.random_range(0..8) {
            0 => {
                let number = |order: &str| format!("OVER (PARTITION BY k ORDER BY {order})");
                let kind = DataType::UInt64;
                let (function, text) = [
                    (OverFunction::RowNumber, format!("row_number() {}", number(ALL))),
                    (OverFunction::Rank, format!("rank() {}", number("ts"))),
                    (OverFunction::DenseRank, format!("dense_rank() {}", number("ts"))),
                ]
                .choose(&mut random)
                .unwrap()
                .clone();
                made.push(function, kind, text);
            }
            1 => made.shift(-random.random_range(1..4), random.random_bool(0.5).then_some(-99)),
            2 if ahead => made.shift(random.random_range(1..3), random.random_bool(0.5).then_some(-99)),
            3 => made.value("first_value(s)", FrameRow::First, ROWS_3),
            4 => made.value("last_value(s)", FrameRow::Last, ROWS_BEFORE),
            5 => made.value("nth_value(s, 2)", FrameRow::Nth(2), ROWS_ALL),
            _ => {
                let text = AGGREGATES.choose(&mut random).unwrap();
                made.aggregate(text, *frames.choose(&mut random).unwrap());
            }
        }
    }
    made
}

/// The rows that are not late by their own clock.
fn in_time(scenario: &Scenario) -> Vec<Event> {
    let timely = |event: &Event| event.nanos().is_some_and(|time| event.clock <= time);
    scenario.events().into_iter().filter(timely).collect()
}

/// Times in whole seconds, so that many are equal.
fn coarse(mut scenario: Scenario) -> Scenario {
    for event in scenario.steps.iter_mut().flat_map(|(events, _)| events) {
        event.ts = event.ts.map(|ts| ts.div_euclid(1_000) * 1_000);
    }
    scenario
}

fn check(seed: u64, ahead: bool) {
    let (spec, sql) = random_functions(seed, ahead).spec();
    assert_eq!(spec.changes(), Changes::AppendOnly);
    let scenario = Scenario::random(seed, 300, 3_000);
    let scenario = if seed.is_multiple_of(2) { coarse(scenario) } else { scenario };
    let expected = in_time(&scenario);
    let (straight, late) = run(&spec, &[1], &scenario.cut(1), 1, |_| Between::Nothing);
    assert_eq!(late.len(), scenario.events().len() - expected.len(), "{seed}");
    let mut found: Vec<String> = straight.iter().flat_map(|rows| lines(&rows.batch)).collect();
    let mut wanted = lines(&oracle::query(batch(&expected), &sql));
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "{seed}: {sql}");
    let (restarted, _) = run(&spec, &[1], &scenario.cut(2), 4, restarts(seed));
    assert_eq!(weighted_lines(&restarted), weighted_lines(&straight), "{seed}: {sql}");
}

#[test]
fn frames_that_look_back_give_what_a_batch_gives() {
    (0..60).for_each(|seed| check(seed, false));
}

#[test]
fn frames_that_look_ahead_give_what_a_batch_gives() {
    (100..140).for_each(|seed| check(seed, true));
}

#[test]
fn rows_come_out_once_the_watermark_has_passed_them() {
    let mut made = Made::default();
    made.aggregate("sum(n)", ROWS_3);
    let (spec, _) = made.spec();
    let scenario = Scenario::random(7, 400, 3_000);
    let mut runner = Runner::new(Arc::clone(&spec), &[1], 2);
    let (mut waiting, mut last) = (Vec::new(), i64::MIN);
    for (step, (events, watermark)) in scenario.cut(7).iter().zip(&scenario.steps) {
        waiting.extend(
            events.iter().filter(|event| event.nanos().is_some_and(|time| event.clock <= time)).cloned(),
        );
        let (ripe, rest): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|event| event.nanos().unwrap() < *watermark || *watermark == i64::MAX);
        waiting = rest;
        let out = runner.step(step);
        assert_eq!(out.as_ref().map_or(0, |rows| rows.len()), ripe.len());
        for row in 0..out.as_ref().map_or(0, |rows| rows.len()) {
            use arrow::array::AsArray;
            use arrow::datatypes::TimestampMillisecondType;
            let times =
                out.as_ref().unwrap().batch.column(0).as_primitive::<TimestampMillisecondType>().value(row);
            assert!(times >= last, "rows come out in the order of time");
            last = times;
        }
    }
}

/// State after a hundred stretches of time is that after ten.
#[test]
fn state_ends_with_the_watermark_for_frames_of_time() {
    let sizes = |frames: &[Frame]| -> (StateBound, Vec<u64>) {
        let mut made = Made::default();
        frames.iter().for_each(|frame| made.aggregate("sum(n)", *frame));
        let (spec, _) = made.spec();
        let mut runner = Runner::new(Arc::clone(&spec), &[1], 2);
        let mut sizes = Vec::new();
        for round in 0..100_i64 {
            // Ever new keys, each only for a while.
            let events: Vec<Event> = (0..50)
                .map(|nth| Event {
                    ts: Some(round * 10_000 + nth * 100),
                    key: Some(format!("key {round} {}", nth % 7)),
                    number: Some(nth),
                    float: None,
                    text: None,
                    flag: None,
                    clock: i64::MIN,
                })
                .collect();
            let step = Step {
                batches: vec![crate::data::rows(&events)],
                watermark: (round * 10_000 + 5_000) * 1_000_000,
            };
            runner.step(&step);
            runner.between(if round % 20 == 19 {
                Between::Restart { full: true, workers: 1 + round as u32 % 3 }
            } else {
                Between::Snapshot { full: false }
            });
            sizes.push(runner.state_size().entries);
        }
        runner.step(&Step { batches: Vec::new(), watermark: i64::MAX });
        sizes.push(runner.state_size().entries);
        (spec.state_bound(), sizes)
    };
    let (bound, of_time) = sizes(&[RANGE_5, RANGE_BEFORE, PEERS]);
    assert_eq!(bound, StateBound::Watermark);
    assert_eq!(of_time[10], of_time[99], "{of_time:?}");
    assert_eq!(of_time[100], 0, "all is gone in the end");
    let (bound, of_rows) = sizes(&[ROWS_3]);
    assert_eq!(bound, StateBound::Grows(vec!["k".into()]));
    assert!(of_rows[99] <= 100 * 7 * 4, "so many rows of each key are kept as the frame holds");
    let (_, running) = sizes(&[RUNNING]);
    assert_eq!(running[100], 0, "running aggregates keep no rows");
}
