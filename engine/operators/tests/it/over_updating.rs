//! OVER rows that change, and in any order: what is emitted adds up, at every step, to what DataFusion gives for the same functions over
//! the rows so far, whatever strikes between steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field};
use datafusion::scalar::ScalarValue;
use headwater_operators::{
    Changes, Frame, FrameBound, FrameRow, OperatorSpec, OverCall, OverFunction, Rows, StateBound,
    UpdatingOver, UpdatingOverSpec,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::data::{Event, SECOND, Scenario, batch, rows, schema};
use crate::harness::{Between, Runner, Step, lines, weighted_lines};
use crate::oracle;
use crate::windows::restarts;

/// The order that ties are broken by.
const ALL: &str = "ts NULLS FIRST, k NULLS FIRST, n NULLS FIRST, f NULLS FIRST, s NULLS FIRST, b NULLS FIRST";

/// What rows are ordered by: columns, each descending or not and NULL first or not, and the same in SQL.
type Order = (&'static [(usize, bool, bool)], &'static str);

const ORDERS: [Order; 6] = [
    (&[(2, true, false)], "n DESC NULLS LAST"),
    (&[(2, false, true)], "n ASC NULLS FIRST"),
    (&[(0, false, true)], "ts ASC NULLS FIRST"),
    (&[(0, true, true)], "ts DESC NULLS FIRST"),
    (&[(4, false, false), (2, true, true)], "s ASC NULLS LAST, n DESC NULLS FIRST"),
    (&[], ""),
];

const fn frame(start: FrameBound, end: FrameBound) -> Frame {
    Frame { start, end }
}

const WHOLE: Frame = frame(FrameBound::Unbounded, FrameBound::Unbounded);

const BY_ROWS: [Frame; 7] = [
    frame(FrameBound::Rows(-3), FrameBound::Rows(0)),
    frame(FrameBound::Rows(-4), FrameBound::Rows(-2)),
    frame(FrameBound::Rows(-1), FrameBound::Rows(2)),
    frame(FrameBound::Rows(1), FrameBound::Rows(3)),
    frame(FrameBound::Unbounded, FrameBound::Rows(0)),
    frame(FrameBound::Unbounded, FrameBound::Rows(-2)),
    frame(FrameBound::Rows(0), FrameBound::Unbounded),
];

const OF_PEERS: [Frame; 4] = [
    Frame::RUNNING,
    frame(FrameBound::Peers, FrameBound::Peers),
    frame(FrameBound::Peers, FrameBound::Unbounded),
    WHOLE,
];

/// Frames with a length: so many times the unit of the order.
const OF_LENGTH: [(i64, i64); 4] = [(-5, 0), (-9, -2), (-2, 3), (1, 4)];

/// A frame in SQL.
fn sql(frame: Frame, of_time: bool) -> String {
    let length = |number: i64| match of_time {
        true => format!("INTERVAL '{}' SECOND", number.abs() / SECOND),
        false => number.abs().to_string(),
    };
    let bound = |bound: FrameBound, side: &str| match bound {
        FrameBound::Unbounded => format!("UNBOUNDED {side}"),
        FrameBound::Peers | FrameBound::Rows(0) => "CURRENT ROW".to_owned(),
        FrameBound::Rows(rows) if rows < 0 => format!("{} PRECEDING", -rows),
        FrameBound::Rows(rows) => format!("{rows} FOLLOWING"),
        FrameBound::Range(number) if number < 0 => format!("{} PRECEDING", length(number)),
        FrameBound::Range(number) => format!("{} FOLLOWING", length(number)),
    };
    let by_rows = [frame.start, frame.end].iter().any(|bound| matches!(bound, FrameBound::Rows(_)));
    let unit = if by_rows { "ROWS" } else { "RANGE" };
    format!("{unit} BETWEEN {} AND {}", bound(frame.start, "PRECEDING"), bound(frame.end, "FOLLOWING"))
}

/// Functions, each with the SQL that gives the same.
struct Made {
    order: Order,
    frames: Vec<Frame>,
    calls: Vec<OverCall>,
    sql: Vec<String>,
}

impl Made {
    fn new(order: Order) -> Self {
        Self { order, frames: Vec::new(), calls: Vec::new(), sql: Vec::new() }
    }

    /// In the order of all columns behind its own.
    fn total(&self) -> String {
        let own = if self.order.1.is_empty() { String::new() } else { format!("{}, ", self.order.1) };
        format!("PARTITION BY k ORDER BY {own}{ALL}")
    }

    /// In its own order alone.
    fn own(&self) -> String {
        let order = if self.order.1.is_empty() { "" } else { " ORDER BY " };
        format!("PARTITION BY k{order}{}", self.order.1)
    }

    fn frame(&mut self, frame: Frame) -> usize {
        self.frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
            self.frames.push(frame);
            self.frames.len() - 1
        })
    }

    fn push(&mut self, function: OverFunction, kind: DataType, sql: String) {
        if !self.sql.contains(&sql) {
            let field = Arc::new(Field::new(format!("c{}", self.calls.len()), kind, true));
            self.calls.push(OverCall { function, field });
            self.sql.push(sql);
        }
    }

    fn over(&self, frame: Frame) -> String {
        let text = sql(frame, self.order.0.first().is_some_and(|(column, ..)| *column == 0));
        match (text.starts_with("ROWS"), self.order.1.is_empty()) {
            (true, _) => format!("OVER ({} {text})", self.total()),
            // Without an order all rows are peers.
            (false, true) => format!("OVER ({})", self.own()),
            (false, false) => format!("OVER ({} {text})", self.own()),
        }
    }

    fn aggregate(&mut self, text: &str, over: Frame) {
        let call = oracle::calls(&schema(), &[text]).remove(0);
        let (kind, frame) = (call.field().data_type().clone(), self.frame(over));
        let sql = format!("{text} {}", self.over(over));
        self.push(OverFunction::Aggregate { call, frame }, kind, sql);
    }

    fn value(&mut self, name: &str, row: FrameRow, over: Frame) {
        let (frame, sql) = (self.frame(over), format!("{name} {}", self.over(over)));
        self.push(OverFunction::Value { column: 4, row, frame }, DataType::Utf8, sql);
    }

    fn shift(&mut self, by: i64, default: Option<i64>) {
        let (name, rows) = (if by > 0 { "lead" } else { "lag" }, by.abs());
        let filled = default.map_or(String::new(), |default| format!(", {default}"));
        let sql = format!("{name}(n, {rows}{filled}) OVER ({})", self.total());
        let default = ScalarValue::Int64(default);
        self.push(OverFunction::Shift { column: 2, by, default }, DataType::Int64, sql);
    }

    fn spec(self, changes: Changes) -> (Arc<dyn OperatorSpec>, String) {
        let option = |(column, descending, nulls_first): &(usize, bool, bool)| {
            (*column, SortOptions { descending: *descending, nulls_first: *nulls_first })
        };
        let what = UpdatingOver {
            input: schema(),
            partition: vec![1],
            order: self.order.0.iter().map(option).collect(),
            frames: self.frames,
            calls: self.calls,
            changes,
            ttl: None,
        };
        let sql = format!("SELECT ts, k, n, f, s, b, {} FROM t", self.sql.join(", "));
        (Arc::new(UpdatingOverSpec::try_new(what).unwrap()), sql)
    }
}

const AGGREGATES: [&str; 9] = [
    "sum(n)",
    "count(*)",
    "avg(f)",
    "min(s)",
    "max(n)",
    "count(s)",
    "sum(f)",
    "max(f)",
    "sum(n) FILTER (WHERE b)",
];

fn any_frame(random: &mut SmallRng, order: Order) -> Frame {
    match order.0 {
        [] => *[Frame::RUNNING, WHOLE, BY_ROWS[0], BY_ROWS[4]].choose(random).unwrap(),
        [(column @ (0 | 2), ..)] if random.random_bool(0.4) => {
            let unit = if *column == 0 { SECOND } else { 1 };
            let (start, end) = *OF_LENGTH.choose(random).unwrap();
            let end = if end == 0 { FrameBound::Peers } else { FrameBound::Range(end * unit) };
            let start =
                if random.random_bool(0.2) { FrameBound::Unbounded } else { FrameBound::Range(start * unit) };
            frame(start, end)
        }
        _ if random.random_bool(0.5) => *BY_ROWS.choose(random).unwrap(),
        _ => *OF_PEERS.choose(random).unwrap(),
    }
}

fn random_functions(seed: u64) -> Made {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut made = Made::new(ORDERS[seed as usize % ORDERS.len()]);
    for _ in 0..random.random_range(1..4) {
        match random.random_range(0..10) {
            0 => made.push(
                OverFunction::RowNumber,
                DataType::UInt64,
                format!("row_number() OVER ({})", made.total()),
            ),
            1 => made.push(OverFunction::Rank, DataType::UInt64, format!("rank() OVER ({})", made.own())),
            2 => made.push(
                OverFunction::DenseRank,
                DataType::UInt64,
                format!("dense_rank() OVER ({})", made.own()),
            ),
            3 => made.shift(-random.random_range(1..4), random.random_bool(0.5).then_some(-99)),
            4 => made.shift(random.random_range(1..4), random.random_bool(0.5).then_some(-99)),
            5 => {
                let (name, row) = [
                    ("first_value(s)", FrameRow::First),
                    ("last_value(s)", FrameRow::Last),
                    ("nth_value(s, 2)", FrameRow::Nth(2)),
                ]
                .choose(&mut random)
                .copied()
                .unwrap();
                made.value(name, row, *BY_ROWS.choose(&mut random).unwrap());
            }
            6 => made.aggregate("array_agg(n)", BY_ROWS[4]),
            _ => {
                let text = AGGREGATES.choose(&mut random).unwrap();
                let frame = any_frame(&mut random, made.order);
                made.aggregate(text, frame);
            }
        }
    }
    made
}

/// Adds a step to what is there. What a step says is said once: no row is there twice, and none comes and goes.
fn fold(state: &mut BTreeMap<String, i64>, change: Option<&Rows>) {
    let mut said = BTreeSet::new();
    for line in change.iter().flat_map(|change| weighted_lines(std::slice::from_ref(change))) {
        let (weight, row) = line.split_once(' ').unwrap();
        assert!(said.insert(row.to_owned()), "a step says twice: {line}");
        let count = state.entry(row.to_owned()).or_insert(0);
        *count += weight.parse::<i64>().unwrap();
        assert!(*count >= 0, "a retraction of what is not there: {line}");
    }
    state.retain(|_, count| *count != 0);
}

fn expect(there: &[Event], sql: &str) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    if !there.is_empty() {
        for line in lines(&oracle::query(batch(there), sql)) {
            *sums.entry(line).or_insert(0) += 1;
        }
    }
    sums
}

/// Rows that come and go, in steps.
fn history(seed: u64, retracts: bool) -> Vec<Vec<(Event, i64)>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut pool = Scenario::random(seed, 300, 9_000).events();
    let mut there: Vec<Event> = Vec::new();
    let steps = (0..30).map(|_| {
        let mut changes = Vec::new();
        for _ in 0..random.random_range(1..20) {
            if retracts && !there.is_empty() && random.random_bool(0.4) {
                changes.push((there.swap_remove(random.random_range(0..there.len())), -1));
            } else if let Some(event) = pool.pop() {
                // Now and then the same row again.
                let again = random.random_bool(0.1).then(|| there.last().cloned()).flatten();
                let event = again.unwrap_or(event);
                there.push(event.clone());
                changes.push((event, 1));
            }
        }
        changes
    });
    let mut steps: Vec<_> = steps.collect();
    if retracts {
        steps.push(there.into_iter().map(|event| (event, -1)).collect());
    }
    steps
}

fn step(changes: &[(Event, i64)], watermark: i64) -> Step {
    let (events, weights): (Vec<Event>, Vec<i64>) = changes.iter().cloned().unzip();
    let plain = weights.iter().all(|weight| *weight == 1);
    let weights = (!plain).then(|| Int64Array::from(weights));
    let batches = if events.is_empty() { Vec::new() } else { vec![Rows { weights, ..rows(&events) }] };
    Step { batches, watermark }
}

fn check(seed: u64, retracts: bool) {
    let changes = if retracts { Changes::Retracting } else { Changes::AppendOnly };
    let (spec, sql) = random_functions(seed).spec(changes);
    assert_eq!((spec.changes(), spec.state_bound()), (Changes::Retracting, StateBound::GrowsWithRows));
    let mut straight = Runner::new(Arc::clone(&spec), &[1], 1);
    let mut struck = Runner::new(Arc::clone(&spec), &[1], 3);
    let (mut there, mut state) = (Vec::<Event>::new(), BTreeMap::new());
    for (number, changes) in history(seed, retracts).iter().enumerate() {
        for (event, weight) in changes {
            if *weight > 0 {
                there.push(event.clone());
            } else {
                let same = |other: &Event| format!("{other:?}") == format!("{event:?}");
                there.swap_remove(there.iter().position(same).unwrap());
            }
        }
        let step = step(changes, number as i64);
        let (said, with_strikes) = (straight.step(&step), struck.step(&step));
        let text = |rows: &Option<Rows>| {
            rows.iter().flat_map(|rows| weighted_lines(std::slice::from_ref(rows))).collect::<Vec<_>>()
        };
        assert_eq!(text(&with_strikes), text(&said), "{seed}, step {number}: {sql}");
        fold(&mut state, said.as_ref());
        struck.between(restarts(seed)(number));
        if number % 3 == 2 {
            assert_eq!(state, expect(&there, &sql), "{seed}, step {number}: {sql}");
        }
    }
    if retracts {
        assert_eq!((state.len(), straight.state_size().entries), (0, 0), "{seed}");
    }
}

#[test]
fn rows_that_come_and_go_leave_what_a_batch_gives() {
    (0..54).for_each(|seed| check(seed, true));
}

#[test]
fn rows_that_come_in_any_order_give_what_a_batch_gives() {
    (100..124).for_each(|seed| check(seed, false));
}

/// Rows of one key with these numbers and weights.
fn numbered(changes: &[(i64, i64)]) -> Vec<(Event, i64)> {
    let event = |number: i64| Event {
        ts: Some(0),
        key: Some("k".into()),
        number: Some(number),
        float: None,
        text: None,
        flag: None,
        clock: i64::MIN,
    };
    changes.iter().map(|(number, weight)| (event(*number), *weight)).collect()
}

fn said(runner: &mut Runner, changes: &[(i64, i64)]) -> Vec<String> {
    let out = runner.step(&step(&numbered(changes), 0));
    let short =
        |line: String| line.replace("1970-01-01T00:00:00 | k | ", "").replace(" | NULL | NULL | NULL", "");
    out.iter().flat_map(|rows| weighted_lines(std::slice::from_ref(rows))).map(short).collect()
}

#[test]
fn only_rows_with_another_result_are_said_again() {
    let mut made = Made::new(ORDERS[1]);
    made.aggregate("max(n)", BY_ROWS[0]);
    let (spec, _) = made.spec(Changes::Updating { key: vec![2] });
    assert_eq!(spec.changes(), Changes::Updating { key: vec![2] });
    let mut runner = Runner::new(spec, &[1], 1);
    assert_eq!(said(&mut runner, &[(10, 1), (20, 1), (30, 1)]), ["+1 10 | 10", "+1 20 | 20", "+1 30 | 30"]);
    // The greatest of each frame is its last row: those behind a new one have it in their frames, and stay what they are.
    assert_eq!(said(&mut runner, &[(15, 1)]), ["+1 15 | 15"]);
    assert_eq!(said(&mut runner, &[(15, -1), (16, 1), (40, 1), (40, -1)]), ["-1 15 | 15", "+1 16 | 16"]);
    assert_eq!(said(&mut runner, &[(20, -1), (20, 1)]), Vec::<String>::new());
}

#[test]
fn of_equal_rows_one_says_what_another_has_said_before() {
    let mut made = Made::new(ORDERS[1]);
    made.push(OverFunction::RowNumber, DataType::UInt64, String::new());
    let (spec, _) = made.spec(Changes::Retracting);
    let mut runner = Runner::new(spec, &[1], 1);
    assert_eq!(said(&mut runner, &[(7, 3)]), ["+1 7 | 1", "+1 7 | 2", "+1 7 | 3"]);
    assert_eq!(said(&mut runner, &[(5, 1)]), ["-1 7 | 1", "+1 5 | 1", "+1 7 | 4"]);
    assert_eq!(said(&mut runner, &[(7, -2)]), ["-1 7 | 3", "-1 7 | 4"]);
}

#[test]
fn a_retraction_that_comes_before_its_row_waits_for_it() {
    let mut made = Made::new(ORDERS[1]);
    made.aggregate("sum(n)", WHOLE);
    let (spec, _) = made.spec(Changes::Retracting);
    let mut runner = Runner::new(spec, &[1], 2);
    assert_eq!(said(&mut runner, &[(1, 1), (2, -1)]), ["+1 1 | 1"]);
    runner.between(Between::Restart { full: false, workers: 3 });
    assert_eq!(said(&mut runner, &[(2, 1)]), Vec::<String>::new());
    assert_eq!(said(&mut runner, &[(2, 1)]), ["-1 1 | 1", "+1 1 | 3", "+1 2 | 3"]);
}

/// A snapshot holds what has changed: the new row, and what is said of those whose frame it lies in.
#[test]
fn snapshots_hold_what_has_changed() {
    let mut made = Made::new(ORDERS[1]);
    made.aggregate("sum(n)", BY_ROWS[0]);
    let (spec, _) = made.spec(Changes::Retracting);
    let mut runner = Runner::new(spec, &[1], 1);
    let many: Vec<(i64, i64)> = (0..500).map(|number| (number * 2, 1)).collect();
    said(&mut runner, &many);
    assert_eq!(runner.snapshot_rows(true), 1_000);
    assert_eq!(runner.snapshot_rows(false), 0);
    assert_eq!(said(&mut runner, &[(501, 1)]).len(), 1 + 2 * 3);
    // The row, four results, and the names of the three that were there before.
    assert_eq!(runner.snapshot_rows(false), 1 + 4 + 3);
    said(&mut runner, &[(501, -1)]);
    // The names of the row and its result, and the same three again.
    assert_eq!(runner.snapshot_rows(false), 2 + 3 + 3);
}
