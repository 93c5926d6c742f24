//! What becomes of the casts in a plan.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use arrow::datatypes::{DataType, FieldRef};

/// A cast or a cast that may fail: what is cast, its type, and the type that it becomes, with the metadata of that.
pub(super) struct Cast<'a> {
    pub(super) expr: &'a Expr,
    pub(super) from: DataType,
    pub(super) to: &'a FieldRef,
    pub(super) may_fail: bool,
}

/// What takes a cast's place; `None`: it stays.
pub(super) type Turn = fn(&Cast<'_>) -> Result<Option<Expr>>;

/// Turns the casts of a plan, whose columns keep their names.
pub(super) fn turn_in_plan(plan: LogicalPlan, turn: Turn) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| in_node(plan, turn)).data()
}

fn in_node(plan: LogicalPlan, turn: Turn) -> Result<Transformed<LogicalPlan>> {
    let names = merge_schema(&plan.inputs());
    let preserver = NamePreserver::new(&plan);
    let turned = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let turned = turn_in(expr, &names, turn)?;
        Ok(turned.update_data(|expr| name.restore(expr)))
    })?;
    if turned.transformed { turned.map_data(LogicalPlan::recompute_schema) } else { Ok(turned) }
}

/// Turns the casts of an expression over columns.
pub(super) fn turn_in(expr: Expr, names: &DFSchema, turn: Turn) -> Result<Transformed<Expr>> {
    expr.transform_up(|part| {
        let turned = match &part {
            Expr::Cast(cast) => turned(&cast.expr, &cast.field, false, names, turn)?,
            Expr::TryCast(cast) => turned(&cast.expr, &cast.field, true, names, turn)?,
            _ => None,
        };
        Ok(turned.map_or_else(|| Transformed::no(part), Transformed::yes))
    })
}

fn turned(
    expr: &Expr,
    to: &FieldRef,
    may_fail: bool,
    names: &dyn ExprSchema,
    turn: Turn,
) -> Result<Option<Expr>> {
    // The column of an outer query has no type here.
    match expr.get_type(names) {
        Ok(from) => turn(&Cast { expr, from, to, may_fail }),
        Err(_) => Ok(None),
    }
}
