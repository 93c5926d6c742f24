//! Windows of so many rows, and from one row to another: what comes out is what walking over all rows in order gives, whatever strikes
//! between steps.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, col, lit};
use headwater_operators::{
    OperatorSpec, OrderedAggregates, OrderedKind, OrderedWindows, OrderedWindowsSpec, OutputColumn,
    WindowColumn,
};

use crate::data::{Event, Scenario, batch, schema};
use crate::harness::{Between, Runner, lines, run};
use crate::oracle;
use crate::windows::restarts;

fn flag() -> Arc<dyn PhysicalExpr> {
    col("b", &schema()).unwrap()
}

fn large() -> Arc<dyn PhysicalExpr> {
    binary(col("n", &schema()).unwrap(), Operator::Gt, lit(10_i64), &schema()).unwrap()
}

fn kinds() -> Vec<OrderedKind> {
    let count = |size, hop| OrderedKind::Count { size, hop };
    vec![
        count(1, 1),
        count(5, 5),
        count(5, 1),
        count(5, 2),
        count(7, 3),
        count(100, 99),
        OrderedKind::State { begin: flag(), emit: Some(large()) },
        OrderedKind::State { begin: large(), emit: Some(flag()) },
        OrderedKind::State { begin: large(), emit: None },
    ]
}

fn spec(kind: OrderedKind, partition: Vec<usize>) -> Arc<dyn OperatorSpec> {
    let what = OrderedWindows { input: schema(), partition, time: 0, after: 0, kind, aggregates: None };
    Arc::new(OrderedWindowsSpec::try_new(what).unwrap())
}

/// The windows of one partition's rows, each as the first row, one past the last, and its end in milliseconds. Row by row, as the
/// documentation tells it.
fn walk(kind: &OrderedKind, rows: &RecordBatch) -> Vec<(usize, usize, i64)> {
    let times = rows.column(0).as_primitive::<TimestampMillisecondType>();
    let flag = |row: usize| rows.column(5).is_valid(row) && rows.column(5).as_boolean().value(row);
    let numbers = rows.column(2).as_primitive::<Int64Type>();
    let large = |row: usize| numbers.is_valid(row) && numbers.value(row) > 10;
    let mut windows = Vec::new();
    let mut open = None;
    for row in 0..rows.num_rows() {
        let closed_by_it = times.value(row) + 1;
        match kind {
            OrderedKind::Count { size, hop } => {
                let (size, hop, seen) = (*size as usize, *hop as usize, row + 1);
                if seen >= size && seen.is_multiple_of(hop) {
                    windows.push((seen - size, seen, closed_by_it));
                }
            }
            OrderedKind::State { begin, emit: Some(_) } => {
                let begins_by_flag = begin.to_string().starts_with('b');
                let (begins, ends) =
                    if begins_by_flag { (flag(row), large(row)) } else { (large(row), flag(row)) };
                match open {
                    None if begins => open = Some(row),
                    Some(first) if ends => {
                        windows.push((first, row + 1, closed_by_it));
                        open = None;
                    }
                    _ => {}
                }
            }
            OrderedKind::State { emit: None, .. } => {
                if large(row) {
                    windows.extend(open.map(|first| (first, row, times.value(row))));
                    open = Some(row);
                }
            }
        }
    }
    windows
}

/// A window: its rows, its start and end in milliseconds, its number.
struct Window {
    rows: RecordBatch,
    start: i64,
    end: i64,
    number: i64,
}

fn windows_of(kind: &OrderedKind, events: &[Event], partitioned: bool) -> Vec<Window> {
    let by = if partitioned { "k NULLS FIRST, " } else { "" };
    let all = "ts, k NULLS FIRST, n NULLS FIRST, f NULLS FIRST, s NULLS FIRST, b NULLS FIRST";
    let sql = format!("SELECT * FROM t WHERE ts IS NOT NULL ORDER BY {by}{all}");
    let sorted = oracle::query(batch(events), &sql);
    let keys: Vec<Option<String>> =
        sorted.column(1).as_string::<i32>().iter().map(|key| key.map(str::to_owned)).collect();
    let mut found = Vec::new();
    let mut from = 0;
    let partitions: Vec<usize> =
        if partitioned { keys.chunk_by(|a, b| a == b).map(<[_]>::len).collect() } else { vec![keys.len()] };
    for len in partitions {
        let all = sorted.slice(from, len);
        from += len;
        for (number, (first, last, end)) in (1_i64..).zip(walk(kind, &all)) {
            let taken = UInt32Array::from_iter_values(first as u32..last as u32);
            let rows = take_record_batch(&all, &taken).unwrap();
            let start = all.column(0).as_primitive::<TimestampMillisecondType>().value(first);
            found.push(Window { rows, start, end, number });
        }
    }
    found
}

fn expected(kind: &OrderedKind, events: &[Event], partitioned: bool) -> Vec<String> {
    let schema = spec(OrderedKind::Count { size: 1, hop: 1 }, vec![1]).schema();
    let lines_of = |window: Window| {
        let Window { rows, start, end, number } = window;
        let own = rows.num_rows();
        let times = [start, end, end - 1].map(|time| TimestampMillisecondArray::from(vec![time; own]));
        let mut columns = rows.columns().to_vec();
        columns.extend(times.into_iter().map(|times| Arc::new(times) as _));
        columns.push(Arc::new(Int64Array::from(vec![number; own])));
        lines(&RecordBatch::try_new(schema.clone(), columns).unwrap())
    };
    let mut found: Vec<String> =
        windows_of(kind, events, partitioned).into_iter().flat_map(lines_of).collect();
    found.sort();
    found
}

const SUMS: &[&str] = &["count(*)", "sum(n)", "max(s)", "count(distinct n)"];

fn sums(size: u32, hop: u32, partition: Vec<usize>) -> Arc<dyn OperatorSpec> {
    let key = (!partition.is_empty()).then_some(WindowColumn::Key(0));
    let bounds = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time, WindowColumn::Number];
    let calls = (0..SUMS.len()).map(WindowColumn::Aggregate);
    let named = |from| OutputColumn { from, name: format!("{from:?}") };
    let output = key.into_iter().chain(bounds).chain(calls).map(named).collect();
    let aggregates = Some(OrderedAggregates { calls: oracle::calls(&schema(), SUMS), output });
    let kind = OrderedKind::Count { size, hop };
    let what = OrderedWindows { input: schema(), partition, time: 0, after: 0, kind, aggregates };
    Arc::new(OrderedWindowsSpec::try_new(what).unwrap())
}

#[test]
fn aggregates_of_windows_are_those_of_their_rows_which_are_not_kept() {
    for (nth, (size, hop)) in
        [(1, 1), (5, 5), (5, 2), (8, 4), (9, 6), (10, 4), (40, 30)].into_iter().enumerate()
    {
        for seed in 0..6 {
            let partition = if seed % 3 == 2 { vec![] } else { vec![1] };
            let scenario = Scenario::random(900 + seed + 10 * nth as u64, 600, 3_000);
            let in_time = |event: &&Event| event.nanos().is_some_and(|time| event.clock <= time);
            let kept: Vec<Event> = scenario.events().iter().filter(in_time).cloned().collect();
            let spec = sums(size, hop, partition.clone());
            let schema = spec.schema();
            let line_of = |window: Window| {
                let sql = "SELECT count(*), sum(n), max(s), count(distinct n) FROM t";
                let results = oracle::query(window.rows.clone(), sql);
                let times = [window.start, window.end, window.end - 1];
                let times =
                    times.map(|time| Arc::new(TimestampMillisecondArray::from(vec![time])) as ArrayRef);
                let key = (!partition.is_empty()).then(|| window.rows.column(1).slice(0, 1));
                let number = Arc::new(Int64Array::from(vec![window.number])) as ArrayRef;
                let columns =
                    key.into_iter().chain(times).chain([number]).chain(results.columns().iter().cloned());
                let columns = columns
                    .zip(schema.fields())
                    .map(|(column, field)| cast(&column, field.data_type()).unwrap());
                lines(&RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()).concat()
            };
            let kind = OrderedKind::Count { size, hop };
            let windows = windows_of(&kind, &kept, !partition.is_empty());
            let mut expected: Vec<String> = windows.into_iter().map(line_of).collect();
            expected.sort();
            let (straight, _) = run(&spec, &partition, &scenario.cut(1), 1, |_| Between::Nothing);
            let told: Vec<String> = straight.iter().flat_map(|rows| lines(&rows.batch)).collect();
            let mut sorted = told.clone();
            sorted.sort();
            assert_eq!(sorted, expected, "{seed}: {size} rows after every {hop}");
            for workers in [1, 4] {
                let (again, _) = run(&spec, &partition, &scenario.cut(1), workers, restarts(seed));
                let again: Vec<String> = again.iter().flat_map(|rows| lines(&rows.batch)).collect();
                assert_eq!(again, told, "{seed}: {size} rows after every {hop}, {workers} workers");
            }
        }
    }
}

#[test]
fn windows_of_many_rows_whose_aggregates_are_wanted_take_no_more_than_their_slices() {
    for (size, hop, slices) in [(1_000, 1_000, 1), (1_000, 500, 2), (900, 600, 3)] {
        let scenario = Scenario::random(u64::from(size), 2_000, 100);
        let mut runner = Runner::new(sums(size, hop, vec![1]), &[1], 2);
        scenario.cut(1).iter().for_each(|step| drop(runner.step(step)));
        let kept = runner.state_size().entries;
        // Twelve keys at most, and none.
        assert!(kept <= 13 * slices, "{kept} slices for windows of {size}");
    }
}

#[test]
fn windows_are_those_of_all_rows_in_order() {
    for (nth, kind) in kinds().into_iter().enumerate() {
        for seed in 0..6 {
            let partition = if seed % 3 == 2 { vec![] } else { vec![1] };
            let scenario = Scenario::random(seed + 10 * nth as u64, 400, 3_000);
            let in_time = |event: &&Event| event.nanos().is_some_and(|time| event.clock <= time);
            let kept: Vec<Event> = scenario.events().iter().filter(in_time).cloned().collect();
            let spec = spec(kind.clone(), partition.clone());
            let (straight, late) = run(&spec, &partition, &scenario.cut(1), 1, |_| Between::Nothing);
            assert_eq!(late.len(), scenario.events().len() - kept.len());
            let told: Vec<String> = straight.iter().flat_map(|rows| lines(&rows.batch)).collect();
            let mut sorted = told.clone();
            sorted.sort();
            assert_eq!(sorted, expected(&kind, &kept, !partition.is_empty()), "{seed}: {kind:?}");
            assert!(
                !told.is_empty() || matches!(kind, OrderedKind::Count { size: 100, .. }),
                "{seed}: {kind:?}"
            );
            for workers in [1, 4] {
                let (again, _) = run(&spec, &partition, &scenario.cut(1), workers, restarts(seed));
                let again: Vec<String> = again.iter().flat_map(|rows| lines(&rows.batch)).collect();
                assert_eq!(again, told, "{seed}: {kind:?}, {workers} workers");
            }
        }
    }
}

#[test]
fn once_all_rows_are_in_order_no_more_are_kept_than_a_window_holds() {
    for (size, hop) in [(5, 5), (5, 1), (9, 4)] {
        let scenario = Scenario::random(size, 2_000, 100);
        let spec = spec(OrderedKind::Count { size: size as u32, hop }, vec![1]);
        let mut runner = Runner::new(spec, &[1], 2);
        scenario.cut(1).iter().for_each(|step| drop(runner.step(step)));
        let kept = runner.state_size().entries;
        // Twelve keys at most, and none.
        assert!(kept <= 13 * size, "{kept} rows for windows of {size}");
    }
}
