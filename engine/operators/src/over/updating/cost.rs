//! What a change costs, counted: rows that are evaluated, and rows that aggregates read for it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::col;
use headwater_core::EventTime;

use super::operator::UpdatingOverOperator;
use super::spec::{UpdatingOver, UpdatingOverSpec};
use crate::aggregates::AggregateCall;
use crate::api::{Changes, Operator, OperatorSpec, Output, Rows};
use crate::over::frame::{Frame, FrameBound};
use crate::over::spec::{OverCall, OverFunction};

const ROWS: i64 = 10_000;

/// `function` over rows of one partition that are ordered by their only column, of which the even numbers below 20,000 are there.
fn filled(function: OverFunction, frames: Vec<Frame>) -> UpdatingOverOperator {
    let input = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let calls = vec![OverCall { function, field: Arc::new(Field::new("c", DataType::Int64, true)) }];
    let what = UpdatingOver {
        input,
        partition: Vec::new(),
        order: vec![(0, SortOptions { descending: false, nulls_first: true })],
        frames,
        calls,
        changes: Changes::Retracting,
        ttl: None,
    };
    let spec = UpdatingOverSpec::try_new(what.clone()).expect("its columns are there");
    let mut operator =
        UpdatingOverOperator::try_new("UpdatingOver", &Arc::new(what), &spec.schema()).expect("it is made");
    step(&mut operator, &(0..ROWS).map(|row| (row * 2, 1)).collect::<Vec<_>>());
    operator
}

fn sum_over(frame: Frame) -> UpdatingOverOperator {
    let input = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let sum = AggregateExprBuilder::new(sum_udaf(), vec![col("n", &input).expect("it is there")]);
    let sum = sum.schema(input).alias("sum(n)").build().expect("a sum of numbers");
    let call = AggregateCall::try_new(Arc::new(sum), None).expect("a sum of numbers");
    filled(OverFunction::Aggregate { call, frame: 0 }, vec![frame])
}

/// What a step of these numbers and weights costs: rows evaluated, rows read by aggregates, and rows said.
fn step(operator: &mut UpdatingOverOperator, changes: &[(i64, i64)]) -> (u64, u64, usize) {
    let count = |operator: &UpdatingOverOperator| {
        let taken: u64 = operator.aggregates.iter().flatten().map(|aggregates| aggregates.taken).sum();
        (operator.evaluated, taken)
    };
    let before = count(operator);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(changes.iter().map(|(number, _)| *number)));
    let batch = RecordBatch::try_new(Arc::clone(&operator.what.input), vec![numbers]).expect("one column");
    let weights = Some(Int64Array::from_iter_values(changes.iter().map(|(_, weight)| *weight)));
    let mut out = Output::default();
    operator.on_batch(0, Rows { weights, ..Rows::new(batch) }, &mut out).expect("rows of its input");
    operator.on_watermark(EventTime(0), &mut out).expect("a step");
    let (evaluated, taken) = count(operator);
    (evaluated - before.0, taken - before.1, out.rows.iter().map(Rows::len).sum())
}

#[test]
fn a_change_in_the_middle_evaluates_the_rows_whose_frame_it_lies_in() {
    let mut operator = sum_over(Frame { start: FrameBound::Rows(-9), end: FrameBound::Rows(0) });
    // The new row and the nine behind it, of which each is taken back and said anew; ten rows for the first frame, and for each of the
    // others one that leaves and one that comes.
    assert_eq!(step(&mut operator, &[(10_001, 1)]), (10, 10 + 9 * 2, 1 + 9 * 2));
    assert_eq!(step(&mut operator, &[(10_001, -1)]), (9, 10 + 8 * 2, 1 + 9 * 2));
    // A value that moves by two places.
    let (evaluated, taken, _) = step(&mut operator, &[(10_000, -1), (10_003, 1)]);
    assert!(evaluated <= 12 && taken <= 40, "{evaluated} {taken}");
    // Far apart, each for itself.
    assert_eq!(step(&mut operator, &[(4_001, 1), (16_001, 1)]).0, 20);
    let mut operator = sum_over(Frame { start: FrameBound::Range(-10), end: FrameBound::Range(10) });
    assert_eq!(step(&mut operator, &[(10_001, 1)]).0, 11);
}

#[test]
fn a_row_that_moves_changes_the_numbers_in_between() {
    for function in [OverFunction::RowNumber, OverFunction::Rank] {
        let mut operator = filled(function, Vec::new());
        let (evaluated, _, said) = step(&mut operator, &[(10_000, -1), (10_021, 1)]);
        assert_eq!((evaluated, said), (11, 2 + 10 * 2));
        // Without another row in its place all behind it move.
        assert_eq!(step(&mut operator, &[(10_021, -1)]).0 as i64, ROWS / 2 - 11);
    }
}

#[test]
fn running_aggregates_go_on_from_near_the_change() {
    let mut operator = sum_over(Frame { start: FrameBound::Unbounded, end: FrameBound::Rows(0) });
    for row in 0..100 {
        let (evaluated, taken, _) = step(&mut operator, &[(ROWS * 2 + row, 1)]);
        assert!(evaluated == 1 && taken <= 16, "{evaluated} {taken}");
    }
    for behind in [100, 1_000, 5_000] {
        let (evaluated, taken, _) = step(&mut operator, &[((ROWS - behind) * 2 + 1, 1)]);
        assert!(taken <= evaluated * 2 + 32, "{behind}: {evaluated} {taken}");
    }
    // The first row needs all.
    let (evaluated, taken, _) = step(&mut operator, &[(-1, 1)]);
    assert_eq!((evaluated, taken), (ROWS as u64 + 104, ROWS as u64 + 104));
}
