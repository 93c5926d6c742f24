//! Rows on their way between operator instances: to the one that owns their key, and from all of them back into one order.
//!
//! Neither may depend on how many instances there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices};
use headwater_core::EventTime;
use headwater_core::hash::{hash_rows, slot_of, worker_of};
use headwater_operators::{Clocks, Late, OperatorError, Output, Rows};
use headwater_plan::dataflow::{Exchange, Stage};

use super::cuts::Cuts;
use super::exec::concat_weights;
use super::order::order_of;

type Result<T> = std::result::Result<T, OperatorError>;

/// Gives each instance the rows whose keys it owns, in the input's order.
pub(super) fn spread(
    stage: &Stage,
    inputs: &[(usize, &[Rows])],
    workers: usize,
) -> Result<Vec<Vec<(usize, Rows)>>> {
    let mut parts: Vec<Vec<(usize, Rows)>> = (0..workers).map(|_| Vec::new()).collect();
    for (nth, morsels) in inputs {
        for rows in *morsels {
            let Exchange::Hash(columns) = &stage.inputs[*nth].exchange else {
                parts[0].push((*nth, rows.clone()));
                continue;
            };
            if workers == 1 || columns.is_empty() {
                parts[0].push((*nth, rows.clone()));
                continue;
            }
            let keys: Vec<_> = columns.iter().map(|column| Arc::clone(rows.batch.column(*column))).collect();
            let share = rows.len() / workers * 9 / 8;
            let mut indices: Vec<Vec<u32>> = (0..workers).map(|_| Vec::with_capacity(share)).collect();
            for (row, hash) in hash_rows(&keys)?.into_iter().enumerate() {
                indices[worker_of(slot_of(hash), workers as u32) as usize].push(row as u32);
            }
            for (part, own) in parts.iter_mut().zip(indices) {
                if own.len() == rows.len() {
                    part.push((*nth, rows.clone()));
                } else if !own.is_empty() {
                    part.push((*nth, rows.take(&UInt32Array::from(own))?));
                }
            }
        }
    }
    Ok(parts)
}

/// Batches of fewer rows are put together: they would cost more than their rows.
const BATCH_ROWS_MIN: usize = 8192;

/// So many rows or more are put in order in parts.
const CUT_MIN: usize = 1 << 18;

/// From each instance about as many rows as this go into a part.
const CUT_ROWS: usize = 1 << 14;

/// Puts what several instances emitted in the operator's order, and late rows in the order of their values: neither
/// may depend on how many instances there are. `as_one`: nor may it depend on that how the rows are cut into batches.
pub(super) fn merge(stage: &Stage, outputs: Vec<Output>, before: EventTime, as_one: bool) -> Result<Output> {
    let instances = outputs.len();
    let of_each: Vec<usize> = outputs.iter().map(|output| output.rows.len()).collect();
    let mut all = Output::default();
    let mut slots: Vec<u32> = Vec::new();
    for output in outputs {
        all.rows.extend(output.rows.into_iter().map(|rows| Rows { clocks: Clocks::Uniform(before), ..rows }));
        all.late.extend(output.late);
        all.failed.extend(output.failed);
        slots.extend(output.slots);
    }
    let order = stage.operators[0].emission().order;
    if !slots.is_empty() {
        // Each instance owns slots behind those of the one before, and its rows are in their order.
        debug_assert!(slots.is_sorted(), "instances are in the order of their slots");
        if all.rows.len() > 1 && (as_one || are_small(&all.rows)) {
            all.rows = vec![join_rows(&all.rows, before)?];
        }
    } else if (instances > 1 || as_one) && !order.is_empty() && all.rows.len() > 1 {
        let rows = std::mem::take(&mut all.rows);
        let is_cut = !as_one && row_count(&rows) >= CUT_MIN;
        match if is_cut { Cuts::new(&rows, &of_each, &order, CUT_ROWS)? } else { None } {
            None => all.rows.push(sort_rows(&rows, &order, before)?),
            Some(parts) => {
                // What a part was made of goes with it.
                drop(rows);
                for part in parts {
                    all.rows.push(sort_rows(&part, &order, before)?);
                }
            }
        }
    }
    // By operator and columns: a join's sides differ in these, and of a row without a time nobody says which side it is of.
    let mut late: BTreeMap<(Arc<str>, String), Vec<Late>> = BTreeMap::new();
    for one in all.late {
        let columns = one.batch.schema().to_string();
        late.entry((Arc::clone(&one.operator), columns)).or_default().push(one);
    }
    all.late = late.values().map(|late| sort_late(late)).collect::<Result<_>>()?;
    Ok(all)
}

fn are_small(batches: &[Rows]) -> bool {
    row_count(batches) < batches.len() * BATCH_ROWS_MIN
}

fn row_count(batches: &[Rows]) -> usize {
    batches.iter().map(Rows::len).sum()
}

/// Rows one behind the other as one batch.
fn join_rows(rows: &[Rows], clock: EventTime) -> Result<Rows> {
    let batch = concat_batches(&rows[0].batch.schema(), rows.iter().map(|rows| &rows.batch))?;
    let is_weighted = rows.iter().any(|rows| rows.weights.is_some());
    let weights = if is_weighted { Some(concat_weights(rows)?) } else { None };
    Ok(Rows { batch, weights, clocks: Clocks::Uniform(clock) })
}

/// The rows of all instances in one order; those of each are in it already.
fn sort_rows(rows: &[Rows], order: &[usize], clock: EventTime) -> Result<Rows> {
    let all = join_rows(rows, clock)?;
    let mut columns: Vec<ArrayRef> =
        order.iter().map(|column| Arc::clone(all.batch.column(*column))).collect();
    columns.extend(all.weights.iter().map(|weights| Arc::new(weights.clone()) as ArrayRef));
    // Ties keep the instances' order.
    let order = order_of(&columns)?;
    all.take(&UInt32Array::from(order))
}

fn sort_late(late: &[Late]) -> Result<Late> {
    let joined = |of: fn(&Late) -> &TimestampNanosecondArray| -> TimestampNanosecondArray {
        late.iter().flat_map(|late| of(late).iter()).collect()
    };
    let all = Late {
        batch: concat_batches(&late[0].batch.schema(), late.iter().map(|late| &late.batch))?,
        times: joined(|late| &late.times),
        clocks: joined(|late| &late.clocks),
        operator: Arc::clone(&late[0].operator),
    };
    if all.batch.num_rows() < 2 {
        return Ok(all);
    }
    let times: [ArrayRef; 2] = [Arc::new(all.times.clone()), Arc::new(all.clocks.clone())];
    let sortable = |column: &&ArrayRef| !column.data_type().is_nested();
    let columns: Vec<_> = all.batch.columns().iter().filter(sortable).chain(&times).map(ascending).collect();
    all.take(&lexsort_to_indices(&columns, None)?)
}

pub(super) const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: true };

fn ascending(values: &ArrayRef) -> SortColumn {
    SortColumn { values: Arc::clone(values), options: Some(ASCENDING) }
}
