//! Rows for which an expression cannot be computed: a division by zero, a text that is no number, a time out of range.
//!
//! One row must not stop the others. Whoever evaluates an expression does so for a whole batch, and only when that fails finds out which
//! rows are to blame, by halves:
//!
//! ```text
//!   a batch      ├───────────────────────── fails ─────────────────────────┤
//!   its halves   ├────── computed ───────┤├────────── fails ───────────────┤
//!   ...                                   ├─ computed ─┤✗├──── computed ───┤
//! ```
//!
//! What becomes of a row depends on that row alone: a piece that is computed holds no row which fails by itself. A filter and a projection
//! leave such a row out and hand it on as [`Failed`]. Where there is no row to leave out, as in the condition on a pair, the value is NULL.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, take_record_batch};
use datafusion::physical_expr::PhysicalExpr;

use crate::api::{Failed, Output, Rows};
use crate::error::{OperatorError, Result};
use crate::stateless::evaluate_column;

/// What was computed of some rows in a row, or why it could not be of the one that there is.
type Piece<T> = (Range<usize>, std::result::Result<T, String>);

/// The places of rows for which something could not be computed, and why.
pub(crate) type Unfit = Vec<(usize, String)>;

/// Computes something of a batch that cannot be computed of all of it, piece by piece, in the order of the rows.
pub(crate) fn piecewise<T>(
    batch: &RecordBatch,
    compute: impl Fn(&RecordBatch) -> Result<T>,
) -> Result<Vec<Piece<T>>> {
    let mut pieces = Vec::new();
    let mut left: Vec<Range<usize>> = std::iter::once(0..batch.num_rows()).collect();
    while let Some(rows) = left.pop() {
        let error = match compute(&batch.slice(rows.start, rows.len())) {
            Ok(computed) => {
                pieces.push((rows, Ok(computed)));
                continue;
            }
            Err(error) => error,
        };
        match error.reason_of_row() {
            None => return Err(error),
            Some(reason) if rows.len() <= 1 => pieces.push((rows, Err(reason))),
            Some(_) => {
                let middle = rows.start + rows.len() / 2;
                left.push(middle..rows.end);
                left.push(rows.start..middle);
            }
        }
    }
    Ok(pieces)
}

/// The rows of the pieces that were computed. The others are handed on as failed, unless they were to be taken back.
pub(crate) fn leave_out<T>(
    rows: &Rows,
    pieces: &[Piece<T>],
    operator: &'static str,
    out: &mut Output,
) -> Result<Rows> {
    let mut keeps = vec![true; rows.len()];
    let (mut places, mut reasons) = (Vec::new(), Vec::new());
    for (range, piece) in pieces {
        let (Err(reason), Some(keep)) = (piece, keeps.get_mut(range.start)) else { continue };
        *keep = false;
        if rows.weights.as_ref().is_none_or(|weights| weights.value(range.start) > 0) {
            places.push(range.start as u32);
            reasons.push(reason.clone());
        }
    }
    if !places.is_empty() {
        let batch = take_record_batch(&rows.batch, &UInt32Array::from(places))?;
        out.failed.push(Failed { batch, reasons, operator, table: None, member: None });
    }
    rows.filter(&BooleanArray::from(keeps))
}

/// Computes columns behind those that a batch has. The rows for which one cannot be computed are left out; their places are answered.
pub fn append_columns(
    batch: RecordBatch,
    exprs: &[Arc<dyn PhysicalExpr>],
    operator: &'static str,
) -> Result<(RecordBatch, Vec<ArrayRef>, Option<(Failed, Vec<usize>)>)> {
    let compute = |batch: &RecordBatch| -> Result<Vec<ArrayRef>> {
        exprs.iter().map(|expr| evaluate_column(expr, batch, operator)).collect()
    };
    match compute(&batch) {
        Ok(columns) => return Ok((batch, columns, None)),
        Err(error) if error.reason_of_row().is_none() => return Err(error),
        Err(_) => {}
    }
    let pieces = piecewise(&batch, compute)?;
    let mut out = Output::default();
    let kept = leave_out(&Rows::new(batch), &pieces, operator, &mut out)?.batch;
    let is_left_out = |(rows, piece): &Piece<_>| (piece.is_err() && !rows.is_empty()).then_some(rows.start);
    let places: Vec<usize> = pieces.iter().filter_map(is_left_out).collect();
    let computed: Vec<Vec<ArrayRef>> = pieces.into_iter().filter_map(|(_, piece)| piece.ok()).collect();
    let column = |nth: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn arrow::array::Array> = computed.iter().map(|piece| piece[nth].as_ref()).collect();
        match parts.is_empty() {
            true => Ok(new_null_array(&exprs[nth].data_type(&kept.schema())?, 0)),
            false => Ok(concat(&parts)?),
        }
    };
    let columns = (0..exprs.len()).map(column).collect::<Result<_>>()?;
    Ok((kept, columns, out.failed.pop().map(|failed| (failed, places))))
}

/// The column that an expression gives for a batch, NULL where it cannot be computed.
pub fn column_or_null(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch, operator: &str) -> Result<ArrayRef> {
    Ok(column_and_unfit(expr, batch, operator)?.0)
}

/// The same, and where it cannot be computed.
pub(crate) fn column_and_unfit(
    expr: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    operator: &str,
) -> Result<(ArrayRef, Unfit)> {
    match evaluate_column(expr, batch, operator) {
        Err(error) if error.reason_of_row().is_some() => {}
        other => return other.map(|column| (column, Unfit::new())),
    }
    let kind = expr.data_type(&batch.schema())?;
    let mut unfit = Unfit::new();
    let pieces = piecewise(batch, |batch| evaluate_column(expr, batch, operator))?;
    let pieces = pieces.into_iter().map(|(rows, piece)| {
        piece.unwrap_or_else(|reason| {
            unfit.push((rows.start, reason));
            new_null_array(&kind, rows.len())
        })
    });
    let pieces: Vec<ArrayRef> = pieces.collect();
    let parts: Vec<&dyn arrow::array::Array> = pieces.iter().map(AsRef::as_ref).collect();
    Ok((concat(&parts)?, unfit))
}

/// The mask that a predicate gives for a batch, NULL where it cannot be computed.
pub(crate) fn mask_or_null(
    predicate: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    operator: &str,
) -> Result<BooleanArray> {
    Ok(mask_and_unfit(predicate, batch, operator)?.0)
}

/// The same, and where it cannot be computed.
pub(crate) fn mask_and_unfit(
    predicate: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    operator: &str,
) -> Result<(BooleanArray, Unfit)> {
    let (column, unfit) = column_and_unfit(predicate, batch, operator)?;
    let mask = column.as_boolean_opt().cloned().ok_or_else(|| {
        OperatorError::unsupported(operator, format!("{predicate} is {}, not boolean", column.data_type()))
    })?;
    Ok((mask, unfit))
}
