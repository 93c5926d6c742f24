//! `ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...)` of which only the first numbers are wanted: top-N and deduplication; and
//! `ORDER BY ... LIMIT`, which is the same over all rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Filter, Limit, LogicalPlan, Operator, Projection, SkipType, SortExpr, Window,
};
use headwater_operators::{OperatorSpec, TopN, TopNSpec};

use super::flow::{Flow, Time, external};
use super::lower::{Lower, all_columns, cannot};
use super::windowed::substitute;
use crate::state_ttl::{Hint, Keeps};

/// A node that numbers rows, and what a hint says of them.
fn window_of(plan: &LogicalPlan) -> Option<(&Window, Option<&Hint>)> {
    match plan {
        LogicalPlan::Window(window) => Some((window, None)),
        LogicalPlan::Extension(extension) => {
            let keeps = extension.node.as_any().downcast_ref::<Keeps>()?;
            window_of(&keeps.input).map(|(window, _)| (window, keeps.hints[0].as_ref()))
        }
        _ => None,
    }
}

/// Whether a node numbers rows.
pub(super) fn is_window(plan: &LogicalPlan) -> bool {
    window_of(plan).is_some()
}

/// Whether an expression uses the last column of a node, which is the number.
pub(super) fn uses_last_column(exprs: &[Expr], node: &DFSchema) -> bool {
    let last = node.fields().len().checked_sub(1);
    exprs.iter().flat_map(Expr::column_refs).any(|column| node.maybe_index_of_column(column) == last)
}

/// Puts conditions on numbered rows right above the numbering, and the columns that are wanted above them: the optimiser may have left
/// columns out in between.
pub(super) fn sink_filters(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sunk = plan.transform_up(|node| {
        let changed = match &node {
            LogicalPlan::Filter(filter) => sink_filter(filter)?,
            LogicalPlan::Projection(projection) => merge_projections(projection)?,
            _ => None,
        };
        Ok(changed.map_or_else(|| Transformed::no(node), Transformed::yes))
    })?;
    Ok(sunk.data)
}

/// A filter over a projection of numbered rows, the other way round.
fn sink_filter(filter: &Filter) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = filter.input.as_ref() else { return Ok(None) };
    if !is_window(&projection.input) {
        return Ok(None);
    }
    let predicate = substitute(filter.predicate.clone(), &columns_of(projection))?;
    let input = LogicalPlan::Filter(Filter::try_new(predicate, Arc::clone(&projection.input))?);
    let (exprs, schema) = (projection.expr.clone(), Arc::clone(&projection.schema));
    let projection = Projection::try_new_with_schema(exprs, Arc::new(input), schema)?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

/// A projection of a projection of the first rows, as one.
fn merge_projections(projection: &Projection) -> Result<Option<LogicalPlan>> {
    let mut exprs = projection.expr.clone();
    let mut plan = projection.input.as_ref();
    while let LogicalPlan::SubqueryAlias(alias) = plan {
        let below = alias.input.schema().columns().into_iter().map(Expr::Column);
        let map = alias.schema.columns().into_iter().zip(below).collect();
        exprs = exprs.into_iter().map(|expr| substitute(expr, &map)).collect::<Result<_>>()?;
        plan = alias.input.as_ref();
    }
    let LogicalPlan::Projection(inner) = plan else { return Ok(None) };
    let is_first_rows =
        matches!(inner.input.as_ref(), LogicalPlan::Filter(filter) if is_window(&filter.input));
    let is_free = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Column(_) | Expr::Literal(..));
    if !is_first_rows || !inner.expr.iter().all(is_free) {
        return Ok(None);
    }
    let map = columns_of(inner);
    let exprs = exprs.into_iter().map(|expr| substitute(expr, &map)).collect::<Result<Vec<_>>>()?;
    let schema = Arc::clone(&projection.schema);
    let merged = Projection::try_new_with_schema(exprs, Arc::clone(&inner.input), schema)?;
    Ok(Some(LogicalPlan::Projection(merged)))
}

/// What the columns of a projection stand for.
fn columns_of(projection: &Projection) -> HashMap<Column, Expr> {
    let below = projection.expr.iter().map(|expr| expr.clone().unalias());
    projection.schema.columns().into_iter().zip(below).collect()
}

/// Which rows are wanted of each partition.
struct Ranks<'a> {
    partition: &'a [Expr],
    order: &'a [SortExpr],
    /// How long rows are kept.
    hint: Option<&'a Hint>,
    /// How many are left out, and how many follow.
    stretch: (u32, u32),
    /// What the column of the number is called.
    number: String,
    /// Whether the number is read.
    numbered: bool,
}

/// The numbers that a condition lets pass, and what else it says.
struct Wanted {
    first: i64,
    last: Option<i64>,
    others: Vec<Expr>,
}

impl Lower<'_> {
    /// A filter over numbered rows. `numbered`: whether the number is read above.
    pub(super) fn top_n(&mut self, filter: &Filter, numbered: bool) -> Result<Flow> {
        let plan = filter.input.as_ref();
        let Some((window, hint)) = window_of(plan) else { return Err(cannot(plan)) };
        let wanted = wanted(&filter.predicate, &window.schema);
        let (Some(over), Some((skip, take))) = (row_number(window), wanted.stretch()) else {
            let mut flow = self.over(window, hint)?;
            self.filter(&mut flow, &filter.predicate, &window.schema)?;
            return Ok(flow);
        };
        let width = window.input.schema().fields().len();
        let ranks = Ranks {
            partition: &over.partition_by,
            order: &over.order_by,
            hint,
            stretch: (skip, take),
            number: window.schema.field(width).name().clone(),
            numbered: numbered || uses_last_column(&wanted.others, &window.schema),
        };
        let mut flow = self.first_rows(&window.input, ranks)?;
        if let Some(others) = conjunction(wanted.others) {
            self.filter(&mut flow, &others, &window.schema)?;
        }
        Ok(flow)
    }

    /// `ORDER BY ... LIMIT n OFFSET m`: the first rows of all.
    pub(super) fn limit(&mut self, limit: &Limit) -> Result<Flow> {
        let plan = || cannot(&LogicalPlan::Limit(limit.clone()));
        let (FetchType::Literal(Some(take)), SkipType::Literal(skip)) =
            (limit.get_fetch_type()?, limit.get_skip_type()?)
        else {
            return Err(plan());
        };
        let (Ok(skip), Ok(take)) = (u32::try_from(skip), u32::try_from(take)) else { return Err(plan()) };
        match limit.input.as_ref() {
            // Rows may be ordered by what does not come out.
            LogicalPlan::Projection(above) if matches!(*above.input, LogicalPlan::Sort(_)) => {
                let first = LogicalPlan::Limit(Limit { input: Arc::clone(&above.input), ..limit.clone() });
                let (exprs, schema) = (above.expr.clone(), Arc::clone(&above.schema));
                let above = Projection::try_new_with_schema(exprs, Arc::new(first), schema)?;
                self.lower(&LogicalPlan::Projection(above), false)
            }
            LogicalPlan::Sort(sort) => {
                let (number, stretch) = ("row_number".to_owned(), (skip, take));
                let ranks =
                    Ranks { partition: &[], order: &sort.expr, hint: None, stretch, number, numbered: false };
                let mut flow = self.first_rows(&sort.input, ranks)?;
                flow.keep_first(sort.input.schema().fields().len())?;
                Ok(flow)
            }
            _ => Err(plan()),
        }
    }

    /// The first rows of each partition, with their number as the last column.
    fn first_rows(&mut self, input: &LogicalPlan, ranks: Ranks<'_>) -> Result<Flow> {
        let mut flow = self.lower(input, false)?;
        let node = input.schema();
        let width = node.fields().len();
        flow.keep_first(width)?;
        let partition = self.key_columns(&mut flow, ranks.partition, node)?;
        let by: Vec<Expr> = ranks.order.iter().map(|sort| sort.expr.clone()).collect();
        let by = self.key_columns(&mut flow, &by, node)?;
        let options = ranks
            .order
            .iter()
            .map(|sort| SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first });
        if let Some(per_key) = &flow.time.per_key
            && partition.iter().any(|column| flow.time.end_of(*column).is_some())
        {
            return Err(per_key.refuse("OVER (PARTITION BY a window)"));
        }
        let closes = self.closing_of(&flow, &partition);
        let revises = closes.is_some() && self.revises_first(&flow);
        let time = match closes {
            None => flow.time.of_changes(&(0..flow.schema.fields().len()).map(Some).collect::<Vec<_>>()),
            Some(_) => self.time_of_ranks(&flow, &partition, revises),
        };
        let grows = closes.is_none() && !partition.is_empty();
        let ttl = self.ttl_of_partitions(grows, ranks.hint)?;
        let what = TopN {
            input: Arc::clone(&flow.schema),
            partition: partition.clone(),
            order: by.into_iter().zip(options).collect(),
            skip: ranks.stretch.0,
            take: ranks.stretch.1,
            number: ranks.number,
            numbered: ranks.numbered,
            changes: flow.changes.clone(),
            closes,
            revises,
            ttl,
        };
        let operator: Arc<dyn OperatorSpec> = Arc::new(TopNSpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let number = flow.schema.fields().len();
        let input = self.exchange(flow, partition, operator);
        let mut flow = Flow::new(vec![input], schema, changes, time);
        if number > width {
            let columns = all_columns(&flow);
            let kept: Vec<usize> = (0..width).chain([number]).collect();
            let from: Vec<_> = kept.iter().copied().map(Some).collect();
            flow.project(kept.iter().map(|column| columns[*column].clone()).collect(), &from)?;
        }
        Ok(flow)
    }
}

impl Lower<'_> {
    /// What is known of time behind the first rows of windows, which come out when no row of the window comes any more; other times may
    /// lie anywhere before.
    fn time_of_ranks(&self, flow: &Flow, partition: &[usize], revises: bool) -> Time {
        let kept = |column: usize| Some(column).filter(|column| partition.contains(column));
        let time = flow.time.at_ends(&(0..flow.schema.fields().len()).map(kept).collect::<Vec<_>>());
        let lateness = self.lateness_of(flow);
        match revises {
            true => time.revised(lateness),
            false => Time { delay: time.delay.saturating_add(lateness), ..time },
        }
    }
}

impl Wanted {
    /// How many numbers are left out, and how many follow.
    fn stretch(&self) -> Option<(u32, u32)> {
        let first = self.first.max(1);
        let take = (self.last? - first + 1).max(0);
        Some((u32::try_from(first - 1).ok()?, u32::try_from(take).ok()?))
    }
}

/// What rows are numbered by, if that is all that the node does.
fn row_number(window: &Window) -> Option<&WindowFunctionParams> {
    let [expr] = window.window_expr.as_slice() else { return None };
    let expr = match expr {
        Expr::Alias(alias) => &*alias.expr,
        expr => expr,
    };
    match expr {
        Expr::WindowFunction(function)
            if function.fun.name() == "row_number" && function.params.filter.is_none() =>
        {
            Some(&function.params)
        }
        _ => None,
    }
}

/// Takes a condition apart: what it says of the number alone, and the rest.
fn wanted(predicate: &Expr, node: &DFSchema) -> Wanted {
    let mut wanted = Wanted { first: 1, last: None, others: Vec::new() };
    for part in split_conjunction(predicate) {
        match bounds(part, node) {
            Some((first, last)) => {
                wanted.first = wanted.first.max(first.unwrap_or(1));
                wanted.last = match (wanted.last, last) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            None => wanted.others.push(part.clone()),
        }
    }
    wanted
}

/// The least and the greatest number that a comparison lets pass.
fn bounds(expr: &Expr, node: &DFSchema) -> Option<(Option<i64>, Option<i64>)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = match (is_number(left, node), is_number(right, node)) {
                (true, false) => (*op, literal(right)?),
                (false, true) => (op.swap()?, literal(left)?),
                _ => return None,
            };
            Some(match op {
                Operator::Eq => (Some(value), Some(value)),
                Operator::Lt => (None, Some(value.checked_sub(1)?)),
                Operator::LtEq => (None, Some(value)),
                Operator::Gt => (Some(value.checked_add(1)?), None),
                Operator::GtEq => (Some(value), None),
                _ => return None,
            })
        }
        Expr::Between(between) if !between.negated && is_number(&between.expr, node) => {
            Some((Some(literal(&between.low)?), Some(literal(&between.high)?)))
        }
        _ => None,
    }
}

fn is_number(expr: &Expr, node: &DFSchema) -> bool {
    match expr {
        Expr::Column(column) => node.maybe_index_of_column(column) == node.fields().len().checked_sub(1),
        Expr::Cast(cast) => is_number(&cast.expr, node),
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&arrow::datatypes::DataType::Int64).ok()? {
            ScalarValue::Int64(value) => value,
            _ => None,
        },
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}
