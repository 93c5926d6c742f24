//! AS OF joins in DataFusion's logical plan: conditions that stand for "the version of that time", and what is read out of them.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, JoinType, Result, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::expr::{ScalarFunction, Sort, WindowFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprFunctionExt, Extension, Join, LogicalPlan, LogicalPlanBuilder,
    Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::Versions;
use super::syntax::MARKERS;
use crate::error::{Mistake, SqlError, refused};

/// What the column is called that holds the time of the next version or, looking ahead, of the one before.
const BESIDE: &str = "$beside";

/// The functions that stand for the condition. They are never computed.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    MARKERS.into_iter().map(|(name, ..)| ScalarUDF::new_from_impl(Marker::new(name))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
}

impl Marker {
    fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} stands for a condition of a join alone", self.name)
    }
}

/// What the condition says.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// The time that is asked for, of the left side.
    pub(crate) asked: Expr,
    /// The versions' time.
    pub(crate) from: Expr,
    /// The columns of the versions' declared key, if there is one.
    pub(crate) key: Vec<Expr>,
    /// Whether the first version at or after that time is meant, and not the last one up to it.
    pub(crate) ahead: bool,
    /// Whether one of that very time is not.
    pub(crate) strict: bool,
    /// What else the join's condition says.
    pub(crate) rest: Vec<Expr>,
}

/// Takes the condition of a join apart; `None` if it is an ordinary one.
pub(crate) fn parts_of(filter: Option<&Expr>) -> Option<Parts> {
    let mut rest = Vec::new();
    let mut found = None;
    for part in filter.into_iter().flat_map(split_conjunction) {
        let marker = match part {
            Expr::ScalarFunction(ScalarFunction { func, args }) if args.len() >= 2 => {
                MARKERS.into_iter().find(|(name, ..)| *name == func.name()).map(|marker| (args, marker))
            }
            _ => None,
        };
        match marker {
            Some((args, (_, ahead, strict))) => found = Some((args.clone(), ahead, strict)),
            None => rest.push(part.clone()),
        }
    }
    let (mut args, ahead, strict) = found?;
    let key = args.split_off(2);
    let from = args.pop()?;
    Some(Parts { asked: args.pop()?, from, key, ahead, strict, rest })
}

/// The keys of the versions: all columns that the condition holds equal, or those that are declared, if it holds
/// them so.
pub(crate) fn check_keys(parts: &Parts, equal: &[Expr]) -> Result<()> {
    match parts.key.iter().find(|key| !equal.contains(key)) {
        None => Ok(()),
        Some(missing) => Err(refused(
            SqlError::new(
                Mistake::NotStreaming,
                format!(
                    "a join FOR SYSTEM_TIME AS OF is on the primary key, and '{missing}' is not in its ON"
                ),
            )
            .hint("ON l.key = r.key, for all columns of PRIMARY KEY"),
        )),
    }
}

/// Marks the versions of all joins of a plan, so that no condition is pushed below them.
pub(crate) fn in_stream(plan: LogicalPlan) -> Result<LogicalPlan> {
    let marked = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(mut join)
            if parts_of(join.filter.as_ref()).is_some() && !is_marked(&join.right) =>
        {
            let input = Arc::unwrap_or_clone(join.right);
            join.right = Arc::new(LogicalPlan::Extension(Extension { node: Arc::new(Versions { input }) }));
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(marked.data)
}

fn is_marked(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Extension(extension) if extension.node.as_any().is::<Versions>())
}

/// Turns all joins with versions into ordinary ones.
pub(crate) fn in_batch(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let plain = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Join(join) => match parts_of(join.filter.as_ref()) {
            Some(parts) => Ok(Transformed::yes(over_versions(join, &parts, state)?)),
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plain.data)
}

fn over_versions(join: &Join, parts: &Parts, state: &SessionState) -> Result<LogicalPlan> {
    let right = join.right.schema();
    let equal: Vec<Expr> = join
        .on
        .iter()
        .map(|(_, key)| key.clone())
        .chain(parts.rest.iter().filter_map(|part| key_of(part, join.left.schema(), right)))
        .collect();
    check_keys(parts, &equal)?;
    let keys = if parts.key.is_empty() { equal } else { parts.key.clone() };
    // Of versions of one time the greatest is the last one or, looking ahead, the first.
    let mut order = vec![Sort::new(parts.from.clone(), true, true)];
    let up = !parts.ahead;
    order.extend(right.columns().into_iter().map(|column| Sort::new(Expr::Column(column), up, up)));
    let beside = state.udwf(if parts.ahead { "lag" } else { "lead" })?;
    let beside = Expr::from(WindowFunction::new(beside, vec![parts.from.clone()]))
        .partition_by(keys)
        .order_by(order)
        .build()?
        .alias(BESIDE);
    let columns: Vec<Expr> = right.columns().into_iter().map(Expr::Column).collect();
    let versions = LogicalPlanBuilder::from(join.right.as_ref().clone()).window(vec![beside])?.build()?;
    let (from, asked) = (parts.from.clone(), parts.asked.clone());
    let beside = Expr::Column(Column::from_name(BESIDE));
    let (meets, alone) = match (parts.ahead, parts.strict) {
        (false, false) => (from.lt_eq(asked.clone()), beside.clone().gt(asked)),
        (false, true) => (from.lt(asked.clone()), beside.clone().gt_eq(asked)),
        (true, false) => (from.gt_eq(asked.clone()), beside.clone().lt(asked)),
        (true, true) => (from.gt(asked.clone()), beside.clone().lt_eq(asked)),
    };
    let valid = meets.and(beside.is_null().or(alone));
    let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let condition = conjunction(on.chain(parts.rest.iter().cloned()).chain([valid]));
    let left = join.left.schema().columns().into_iter().map(Expr::Column);
    let columns: Vec<Expr> = left.chain(columns).collect();
    let kind = if join.join_type == JoinType::Left { JoinType::Left } else { JoinType::Inner };
    LogicalPlanBuilder::from(join.left.as_ref().clone())
        .join_on(versions, kind, condition)?
        .project(columns)?
        .build()
}

/// The right side's column of an equality between both sides.
fn key_of(part: &Expr, left: &DFSchema, right: &DFSchema) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = part else { return None };
    let within = |expr: &Expr, schema: &DFSchema| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
    };
    match (within(a, left) && within(b, right), within(b, left) && within(a, right)) {
        (true, _) => Some((**b).clone()),
        (_, true) => Some((**a).clone()),
        _ => None,
    }
}
