//! `COUNT_WINDOW` and `STATE_WINDOW` over the rows so far: each partition's rows in the order of time, those of one time in the
//! order of all their columns, and the windows that follow from it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::prep_null_mask_filter;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_err};
use datafusion::physical_expr::PhysicalExpr;

use super::exec::{What, append_windows, nanos, partitions};
use super::node::Windowing;

const MILLISECOND: i64 = 1_000_000;

/// The rows of a partition that make a window, and its end.
struct Run {
    rows: Range<usize>,
    end: i64,
}

/// Each row once for each of its windows; rows in none are left out.
pub(super) fn ordered_windows(batch: &RecordBatch, what: &What) -> Result<RecordBatch> {
    let times = nanos(batch.column(what.time))?;
    let all = batch.columns().iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let ties = RowConverter::new(all)?.convert_columns(batch.columns())?;
    let marks = what.conditions.iter().map(|condition| mask(condition, batch));
    let marks: Vec<BooleanArray> = marks.collect::<Result<_>>()?;
    let (mut rows, mut starts, mut ends, mut numbers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for mut members in partitions(batch, &times, &what.keys)? {
        members.sort_by(|a, b| {
            let (a, b) = (*a as usize, *b as usize);
            times.value(a).cmp(&times.value(b)).then_with(|| ties.row(a).cmp(&ties.row(b)))
        });
        let at = |nth: usize| times.value(members[nth] as usize);
        let holds = |mark: usize, nth: usize| marks[mark].value(members[nth] as usize);
        let runs = match what.windowing {
            Windowing::Count { size, hop } => count_runs(members.len(), size as usize, hop as usize, at),
            Windowing::State if marks.len() == 2 => state_runs(members.len(), holds, at),
            _ => turn_runs(members.len(), |nth| holds(0, nth), at),
        };
        for (number, run) in (1_i64..).zip(runs) {
            let start = at(run.rows.start);
            for row in &members[run.rows] {
                rows.push(*row);
                starts.push(start);
                ends.push(run.end);
                numbers.push(number);
            }
        }
    }
    append_windows(batch, rows, starts, ends, Some(numbers), &what.schema)
}

/// So many rows, after every so many.
fn count_runs(len: usize, size: usize, hop: usize, at: impl Fn(usize) -> i64) -> Vec<Run> {
    let ends = (1..=len).filter(|end| end % hop == 0 && *end >= size);
    ends.map(|end| Run { rows: end - size..end, end: at(end - 1) + MILLISECOND }).collect()
}

/// From a row that begins to one behind it that ends.
fn state_runs(len: usize, holds: impl Fn(usize, usize) -> bool, at: impl Fn(usize) -> i64) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut from = 0;
    while let Some(begin) = (from..len).find(|nth| holds(0, *nth)) {
        let Some(last) = (begin + 1..len).find(|nth| holds(1, *nth)) else { break };
        runs.push(Run { rows: begin..last + 1, end: at(last) + MILLISECOND });
        from = last + 1;
    }
    runs
}

/// From a row that begins to the one before the next that does.
fn turn_runs(len: usize, begins: impl Fn(usize) -> bool, at: impl Fn(usize) -> i64) -> Vec<Run> {
    let turns: Vec<usize> = (0..len).filter(|nth| begins(*nth)).collect();
    turns.windows(2).map(|turn| Run { rows: turn[0]..turn[1], end: at(turn[1]) }).collect()
}

/// For which rows a condition is true.
fn mask(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let column = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    match column.as_boolean_opt() {
        Some(mask) => Ok(prep_null_mask_filter(mask)),
        None => exec_err!("{condition} is {}, not true or false", column.data_type()),
    }
}
