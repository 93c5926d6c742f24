//! What becomes of the casts in a plan.

use std::sync::{Arc, LazyLock};

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ExprSchema};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};

use arrow::datatypes::{DataType, Field, FieldRef};

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
    expr.transform_up(|mut part| {
        let with_texts = put_together(&mut part, names, turn)?;
        let turned = match &part {
            Expr::Cast(cast) => turned(&cast.expr, &cast.field, false, names, turn)?,
            Expr::TryCast(cast) => turned(&cast.expr, &cast.field, true, names, turn)?,
            _ => None,
        };
        Ok(match turned {
            Some(turned) => Transformed::yes(turned),
            None => Transformed::new_transformed(part, with_texts),
        })
    })
}

/// Turns what is put behind one another, by `||` and such functions, as if it were cast to texts; whether there was any.
fn put_together(part: &mut Expr, names: &DFSchema, turn: Turn) -> Result<bool> {
    static TEXT: LazyLock<FieldRef> = LazyLock::new(|| Arc::new(Field::new("", DataType::Utf8, true)));
    let pieces: Vec<&mut Expr> = match part {
        Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => {
            vec![&mut binary.left, &mut binary.right]
        }
        Expr::ScalarFunction(call) if ["concat", "concat_ws"].contains(&call.func.name()) => {
            call.args.iter_mut().collect()
        }
        _ => return Ok(false),
    };
    let mut any = false;
    for piece in pieces {
        let is_scalar = piece.get_type(names).is_ok_and(|kind| !kind.is_nested());
        if let Some(text) = turned(piece, &TEXT, false, names, turn)?.filter(|_| is_scalar) {
            *piece = text;
            any = true;
        }
    }
    Ok(any)
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
