//! `a NOT IN (SELECT b ...)` over values that may be NULL, as joins that know no NULL.
//!
//! It is true of a row if the subquery has no row, or if `a` is a value, every `b` is one, and none of them is equal to it. So
//!
//! ```text
//!  rows where a is a value ──▷ b = a ──▷ is there a b that is NULL? ──┐
//!                                                                    ├──> union
//!  rows where a is NULL ─────▷ is there a b? ────────────────────────┘
//! ```
//!
//! where ▷ leaves out rows with a match. What is asked of all rows alike is a side of one row at most.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, ident, lit,
};

use crate::error::{Mistake, SqlError, refused};

/// The column of what is asked of all rows alike.
const ANY: &str = "$any";

/// The joins that do what a join of NOT IN does; none, if it is none, or if nothing in it can be NULL.
pub(super) fn two_valued(join: &Join) -> Result<Option<LogicalPlan>> {
    if !join.null_aware {
        return Ok(None);
    }
    let (may_lack, may_be_null) = (
        |(a, _): &(Expr, Expr)| a.nullable(join.left.schema()),
        |(_, b): &(Expr, Expr)| b.nullable(join.right.schema()),
    );
    let (mut left_nulls, mut right_nulls) = (false, false);
    for pair in &join.on {
        left_nulls |= may_lack(pair)?;
        right_nulls |= may_be_null(pair)?;
    }
    if !left_nulls && !right_nulls {
        return Ok(None);
    }
    let ([(a, b)], None) = (join.on.as_slice(), &join.filter) else {
        let message = "NOT IN over values that may be NULL, with another condition on the row outside, does not run as a stream";
        return Err(refused(
            SqlError::new(Mistake::NotStreaming, message)
                .hint("NOT EXISTS (SELECT ... WHERE a = b AND ...), or columns that are NOT NULL"),
        ));
    };
    let left = || LogicalPlanBuilder::from(Arc::clone(&join.left));
    let right = || LogicalPlanBuilder::from(Arc::clone(&join.right));
    let any = |rows: LogicalPlanBuilder| {
        let none = Vec::<Expr>::new();
        rows.project([lit(1_i64).alias(ANY)])?.aggregate([ident(ANY)], none)?.build()
    };
    let values = if left_nulls { left().filter(a.clone().is_not_null())? } else { left() };
    let keys = (vec![a.clone()], vec![b.clone()]);
    let mut unlike = values.join_with_expr_keys(right().build()?, JoinType::LeftAnti, keys, None)?;
    if right_nulls {
        unlike =
            unlike.join_on(any(right().filter(b.clone().is_null())?)?, JoinType::LeftAnti, [lit(true)])?;
    }
    if left_nulls {
        let nulls = left().filter(a.clone().is_null())?;
        unlike = unlike.union(nulls.join_on(any(right())?, JoinType::LeftAnti, [lit(true)])?.build()?)?;
    }
    unlike.build().map(Some)
}

/// Refuses `IN` within a condition if it matters there whether it is NULL or false: what stands for it in a mark join is true or false.
pub(super) fn check_within(node: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Filter(filter) = node else { return Ok(()) };
    // By itself it is a join, which knows NULL.
    let is_alone = |expr: &Expr| match expr {
        Expr::Not(inner) => matches!(**inner, Expr::InSubquery(_)),
        expr => matches!(expr, Expr::InSubquery(_)),
    };
    let within = split_conjunction(&filter.predicate).into_iter().filter(|expr| !is_alone(expr));
    within.into_iter().try_for_each(|expr| check_part(expr, filter.input.schema()))
}

fn check_part(expr: &Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        // A row passes if one of them is true, and whether the others are NULL is nothing to it.
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            check_part(left, schema)?;
            check_part(right, schema)
        }
        Expr::InSubquery(one) if !one.negated => Ok(()),
        other => {
            let may_be_null = |part: &Expr| match part {
                Expr::InSubquery(one) => is_nullable(one, schema),
                _ => Ok(false),
            };
            match other.exists(may_be_null)? {
                true => {
                    let message = "NOT IN over values that may be NULL, within OR, does not run as a stream";
                    Err(refused(
                        SqlError::new(Mistake::NotStreaming, message)
                            .hint("NOT EXISTS (SELECT ... WHERE a = b), or columns that are NOT NULL"),
                    ))
                }
                false => Ok(()),
            }
        }
    }
}

fn is_nullable(one: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let given = one.subquery.subquery.schema().fields().first();
    Ok(one.expr.nullable(schema)? || given.is_none_or(|field| field.is_nullable()))
}
