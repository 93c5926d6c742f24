//! Joins with versions: temporal and ASOF joins.

use std::sync::Arc;

use datafusion::common::{JoinType, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join as JoinNode, LogicalPlan};
use headwater_operators::{OperatorSpec, TemporalInput, TemporalJoin, TemporalJoinSpec};

use super::flow::{Flow, Time, external};
use super::joins::{Side, pair_names, same_types};
use super::lower::{Lower, all_columns, cannot};
use crate::as_of::{Parts, Versions, check_keys};
use crate::error::refused;
use crate::error::{Mistake, SqlError};

impl Lower<'_> {
    pub(super) fn temporal_join(&mut self, join: &JoinNode, parts: Parts) -> Result<Flow> {
        let outer = match join.join_type {
            JoinType::Inner => false,
            JoinType::Left => true,
            _ => {
                return Err(refused(SqlError::new(
                    Mistake::NotStreaming,
                    "a join with versions is inner or left",
                )));
            }
        };
        let Some((versions, conditions)) = peel(&join.right) else {
            return Err(cannot(&LogicalPlan::Join(join.clone())));
        };
        let (on, more) = same_types(join.on.clone(), join.left.schema(), join.right.schema())?;
        let equal: Vec<Expr> = join.on.iter().map(|(_, key)| key.clone()).collect();
        check_keys(&parts, &equal)?;
        // A column that is held equal but is no part of the versions' key is a condition like any other.
        let is_key = |key: &Expr| {
            parts.key.is_empty() || parts.key.iter().any(|own| key.column_refs() == own.column_refs())
        };
        let (on, others): (Vec<_>, Vec<_>) = on.into_iter().partition(|(_, key)| is_key(key));
        let others = others.into_iter().map(|(a, b)| a.eq(b));
        let residual = conjunction(parts.rest.iter().cloned().chain(conditions).chain(more).chain(others));
        let left = self.timed_side(&join.left, on.iter().map(|(left, _)| left), "left", &parts.asked)?;
        let right = self.timed_side(versions, on.iter().map(|(_, right)| right), "right", &parts.from)?;
        let names = pair_names(&left.side, &right.side)?;
        let residual = residual.map(|expr| self.physical(&expr, &names)).transpose()?;
        let input = |timed: &Timed<'_>| TemporalInput {
            schema: Arc::clone(&timed.side.flow.schema),
            keys: timed.side.keys.clone(),
            time: timed.time,
            after: timed.after,
        };
        let what = TemporalJoin {
            left: input(&left),
            right: input(&right),
            ahead: parts.ahead,
            strict: parts.strict,
            outer,
            residual,
        };
        let right_from = left.side.flow.schema.fields().len();
        let time = time_behind(&what, &left, &right);
        let own = join.right.schema().columns();
        let own = own.iter().map(|column| Ok(right_from + versions.schema().index_of_column(column)?));
        let kept: Vec<usize> =
            (0..left.side.node.fields().len()).map(Ok).chain(own).collect::<Result<_>>()?;
        let operator: Arc<dyn OperatorSpec> = Arc::new(TemporalJoinSpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let flows = vec![(left.side.flow, left.side.keys), (right.side.flow, right.side.keys)];
        let input = self.exchange_all(flows, operator);
        let mut flow = Flow::new(vec![input], schema, changes, time);
        let columns = all_columns(&flow);
        let exprs = kept.iter().map(|column| columns[*column].clone()).collect();
        let from: Vec<_> = kept.iter().copied().map(Some).collect();
        flow.project(exprs, &from)?;
        Ok(flow)
    }

    fn timed_side<'b>(
        &mut self,
        plan: &'b LogicalPlan,
        on: impl Iterator<Item = &'b Expr> + Clone,
        name: &str,
        time: &Expr,
    ) -> Result<Timed<'b>>
    where
        Self: 'b,
    {
        let side = self.side(plan, on, name)?;
        let refuse = |message: String, hint: &str| {
            Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(hint)))
        };
        if !side.flow.is_append_only() {
            return refuse(
                format!(
                    "the {name} side of a join with versions changes, so that no row of it is ever final"
                ),
                "join streams: of versions the newest is valid, without a GROUP BY or ROW_NUMBER",
            );
        }
        if let Some(per_key) = &side.flow.time.per_key {
            return Err(per_key.refuse("a join with versions"));
        }
        self.refuse_lateness("a join with versions")?;
        let column = match time {
            Expr::Column(column) => side.node.maybe_index_of_column(column),
            _ => None,
        };
        let Some(place) = column.filter(|column| side.flow.time.columns.contains(column)) else {
            return refuse(
                format!("a join with versions is by event time, and '{time}' is not that of the {name} side"),
                "the column of WATERMARK FOR, or window_time",
            );
        };
        let ends = side.flow.time.ends.iter();
        let after = ends.clone().find(|(column, _)| *column == place).map_or(0, |(_, after)| *after);
        Ok(Timed { side, time: place, after: after.max(0) })
    }
}

/// What is known of time behind the join: rows come out by the left time or, looking ahead, by the right one, which rows that met nothing
/// do not have.
fn time_behind(what: &TemporalJoin, left: &Timed<'_>, right: &Timed<'_>) -> Time {
    let delay = what.delay();
    let (timed, from) = if what.ahead { (right, left.side.flow.schema.fields().len()) } else { (left, 0) };
    let has_time = !(what.ahead && what.outer);
    let ends = timed.side.flow.time.ends.iter().filter(|(column, _)| *column == timed.time && delay == 0);
    Time {
        columns: Vec::from_iter(has_time.then_some(timed.time + from)),
        ends: ends.filter(|_| has_time).map(|(column, after)| (column + from, *after)).collect(),
        delay: left.side.flow.time.delay.max(right.side.flow.time.delay).saturating_add(delay),
        per_key: None,
    }
}

/// A side, and the column that holds its time.
struct Timed<'a> {
    side: Side<'a>,
    time: usize,
    after: i64,
}

/// The versions of a join, and what the optimiser has put between them and the join: conditions, which hold for the
/// version that is valid and must not choose among versions, and projections to some of the columns.
fn peel(plan: &LogicalPlan) -> Option<(&LogicalPlan, Vec<Expr>)> {
    let (mut plan, mut conditions) = (plan, Vec::new());
    loop {
        plan = match plan {
            LogicalPlan::Filter(filter) => {
                conditions.push(filter.predicate.clone());
                &filter.input
            }
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
            {
                &projection.input
            }
            LogicalPlan::Extension(extension) if extension.node.as_any().is::<Versions>() => {
                return Some((plan, conditions));
            }
            _ => return None,
        };
    }
}
