//! What aggregates look at. Where it may fail for a row, a projection before the aggregate computes it, which leaves such a row out: an
//! aggregate has already given the row to its group.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Operator, when};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column as PhysicalColumn, InListExpr, IsNotNullExpr, IsNullExpr,
    LikeExpr, Literal, NotExpr, TryCastExpr,
};
use headwater_operators::AggregateCall;

use super::flow::{Exprs, Flow, external, names_of};
use super::lower::{Lower, all_columns};

impl Lower<'_> {
    /// Calls of aggregates over a flow, in the names of `node`. What they look at and may fail becomes a column behind the others.
    pub(super) fn calls(
        &self,
        flow: &mut Flow,
        aggregates: &[Expr],
        node: &DFSchema,
    ) -> Result<Vec<AggregateCall>> {
        let mut before = Before {
            lower: self,
            names: names_of(node, &flow.schema)?,
            known: Vec::new(),
            exprs: all_columns(flow),
        };
        let own = before.exprs.len();
        let prepared: Vec<Expr> =
            aggregates.iter().map(|aggregate| before.prepare(aggregate, flow)).collect::<Result<_>>()?;
        let exprs = before.exprs;
        if exprs.len() > own {
            let from: Vec<_> = (0..exprs.len()).map(|nth| (nth < own).then_some(nth)).collect();
            flow.project(exprs, &from)?;
        }
        let names = names_of(node, &flow.schema)?;
        prepared.iter().zip(aggregates).map(|(expr, said)| self.call(expr, said, &names)).collect()
    }

    /// A call as it is, which is called what `said` is.
    pub(super) fn call(&self, expr: &Expr, said: &Expr, names: &DFSchema) -> Result<AggregateCall> {
        let context = PhysicalPlanningContext::default();
        let props = self.state.execution_props();
        let lowered = LoweredAggregateBuilder::new(expr, names, names.as_arrow(), props, &context)
            .with_name(said.schema_name().to_string())
            .with_human_display(said.human_display().to_string())
            .build()?;
        AggregateCall::try_new(lowered.aggregate, lowered.filter).map_err(external)
    }
}

/// The projection before an aggregate.
struct Before<'a> {
    lower: &'a Lower<'a>,
    names: DFSchema,
    /// What it computes, and the column's name.
    known: Vec<(Expr, String)>,
    exprs: Exprs,
}

impl Before<'_> {
    fn prepare(&mut self, aggregate: &Expr, flow: &Flow) -> Result<Expr> {
        let in_call = |part: Expr| {
            let Expr::AggregateFunction(mut call) = part else { return Ok(Transformed::no(part)) };
            let params = &mut call.params;
            // What a FILTER leaves out is not looked at.
            let filter = params.filter.as_deref().cloned();
            for arg in &mut params.args {
                *arg = self.column(arg, filter.as_ref(), flow)?;
            }
            for order in &mut params.order_by {
                order.expr = self.column(&order.expr, filter.as_ref(), flow)?;
            }
            if let Some(filter) = &mut params.filter {
                **filter = self.column(filter, None, flow)?;
            }
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        };
        aggregate.clone().transform_up(in_call).data()
    }

    /// An expression, or the column that it is computed in beforehand.
    fn column(&mut self, expr: &Expr, filter: Option<&Expr>, flow: &Flow) -> Result<Expr> {
        let physical = self.lower.physical(expr, &self.names)?;
        if !can_fail(&physical, &flow.schema) {
            return Ok(expr.clone());
        }
        let expr = match filter {
            Some(filter) => when(filter.clone(), expr.clone()).end()?,
            None => expr.clone(),
        };
        let known = self.known.iter().find(|(known, _)| *known == expr);
        let name = match known {
            Some((_, name)) => name.clone(),
            None => {
                let physical = self.lower.physical(&expr, &self.names)?;
                let name = format!("$argument{}", self.exprs.len());
                self.exprs.push((physical, name.clone()));
                self.known.push((expr, name.clone()));
                name
            }
        };
        Ok(Expr::Column(Column::new_unqualified(name)))
    }
}

/// Whether an expression may fail for a row: what is not known to be safe may.
fn can_fail(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> bool {
    let parts_fail = || expr.children().into_iter().any(|part| can_fail(part, input));
    if expr.is::<PhysicalColumn>() || expr.is::<Literal>() {
        return false;
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let kind = binary.left().data_type(input).ok();
        return !is_safe(*binary.op(), kind.as_ref()) || parts_fail();
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let from = cast.expr().data_type(input);
        return !from.is_ok_and(|from| widens(&from, cast.cast_type())) || parts_fail();
    }
    let is_safe = expr.is::<CaseExpr>()
        || expr.is::<TryCastExpr>()
        || expr.is::<NotExpr>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<LikeExpr>();
    !is_safe || parts_fail()
}

fn is_safe(op: Operator, operands: Option<&DataType>) -> bool {
    let Some(kind) = operands else { return false };
    match op {
        // Integers wrap around.
        Operator::Plus | Operator::Minus | Operator::Multiply => kind.is_integer() || kind.is_floating(),
        Operator::Divide | Operator::Modulo => kind.is_floating(),
        op => op.is_logic_operator() || op.supports_propagation() || matches!(op, Operator::StringConcat),
    }
}

fn widens(from: &DataType, to: &DataType) -> bool {
    let (narrow, wide) = (from.primitive_width(), to.primitive_width());
    match to {
        kind if kind == from => true,
        DataType::Float32 | DataType::Float64 => from.is_integer() || from.is_floating(),
        DataType::Utf8 | DataType::LargeUtf8 => from.is_primitive() || from.is_string(),
        kind if kind.is_signed_integer() => from.is_signed_integer() && narrow <= wide,
        kind if kind.is_unsigned_integer() => from.is_unsigned_integer() && narrow <= wide,
        DataType::Decimal128(..) => from.is_integer() && !headwater_functions::narrows(from, to),
        _ => false,
    }
}
