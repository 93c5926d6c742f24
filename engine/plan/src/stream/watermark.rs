//! `CURRENT_WATERMARK(ts)`: the watermark of the row's own shard just before the row.
//!
//! The source tells it in a column, for the projections and filters right above it that ask for it. Behind joins, aggregates, OVER and
//! UNION a row has none.

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};
use headwater_functions::{CURRENT_WATERMARK, is_current_watermark};

use super::flow::Flow;
use super::lower::all_columns;
use crate::error::{Mistake, SqlError, refused};
/// Whether a node's input is to tell the watermark; `above`: what is above the node asks for it.
pub(super) fn tells_watermark_below(plan: &LogicalPlan, above: bool) -> bool {
    match plan {
        LogicalPlan::TableScan(_) | LogicalPlan::SubqueryAlias(_) => above,
        LogicalPlan::Projection(projection) => above || projection.expr.iter().any(asks),
        LogicalPlan::Filter(filter) => above || asks(&filter.predicate),
        _ => false,
    }
}

fn asks(expr: &Expr) -> bool {
    expr.exists(|part| Ok(is_current_watermark(part))).unwrap_or_default()
}

/// An expression over a flow with the column in the place of the calls. `node`: the names that it is in.
pub(super) fn with_watermark(expr: &Expr, flow: &Flow, node: &DFSchema) -> Result<Expr> {
    let replaced = expr.clone().transform(|part| match &part {
        Expr::ScalarFunction(call) if is_current_watermark(&part) => {
            let column = flow.watermark.ok_or_else(|| refused(not_here()))?;
            let is_time = match call.args.as_slice() {
                [Expr::Column(time)] => flow.time.columns.contains(&node.index_of_column(time)?),
                _ => false,
            };
            if !is_time {
                return Err(refused(not_of_this()));
            }
            let told = Expr::Column(Column::from_name(flow.schema.field(column).name()));
            Ok(Transformed::yes(Expr::Cast(Cast::new(Box::new(told), part.get_type(node)?))))
        }
        _ => Ok(Transformed::no(part)),
    });
    // The column keeps the name that the call had.
    replaced.data()
}

fn not_here() -> SqlError {
    let message = format!(
        "{CURRENT_WATERMARK}() is of a stream's rows as they are read, by the stream's own WATERMARK"
    );
    SqlError::new(Mistake::NotReproducible, message).hint(
        "write it in SELECT or WHERE right over a stream that has one, not PER key: SELECT *, CURRENT_WATERMARK(ts) AS w FROM t in a subquery",
    )
}

fn not_of_this() -> SqlError {
    let message =
        format!("{CURRENT_WATERMARK}() takes the column that the stream's WATERMARK is for, as it is");
    SqlError::new(Mistake::NoWatermark, message)
}

/// The refusal of a call anywhere else.
pub(crate) fn check_no_watermark(expr: &Expr) -> Result<()> {
    if asks(expr) { Err(refused(not_here())) } else { Ok(()) }
}

/// Leaves the column out where nobody above asks for it.
pub(super) fn drop_watermark(flow: &mut Flow) -> Result<()> {
    let Some(watermark) = flow.watermark else { return Ok(()) };
    let mut exprs = all_columns(flow);
    exprs.remove(watermark);
    let from: Vec<_> =
        (0..flow.schema.fields().len()).filter(|column| *column != watermark).map(Some).collect();
    flow.project(exprs, &from)
}
