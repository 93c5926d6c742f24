//! Joins.
//!
//! The sides' columns that must be equal become keys of an exchange; what else must hold is a residual over pairs. If both sides only
//! ever add rows and their times are tied to each other, by an interval or by a common window, the join's state ends with the watermark.
//! It also does if rows of a common window change: they are joined as they come, and forgotten with their window.

use std::sync::Arc;

use datafusion::common::{DFSchema, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Join as JoinNode, LogicalPlan, cast};
use headwater_operators::{
    Complete, Join, JoinClosing, JoinInput, JoinKind, JoinSpec, JoinTime, OperatorSpec, Revises,
};

use super::flow::{Flow, Time, external, names_of};
use super::intervals::{Sides, interval};
use super::lower::{Lower, all_columns, check_unused, column_of};
use super::not_in;
use crate::as_of::parts_of;
use crate::dataflow::Upstream;
use crate::state_ttl::Hint;

/// A side of a join on its way to the operator.
pub(super) struct Side<'a> {
    pub(super) flow: Flow,
    pub(super) node: &'a DFSchema,
    pub(super) keys: Vec<usize>,
}

impl Lower<'_> {
    pub(super) fn join(&mut self, join: &JoinNode, hints: [Option<&Hint>; 2]) -> Result<Flow> {
        if let Some(parts) = parts_of(join.filter.as_ref()) {
            check_unused(hints)?;
            return self.temporal_join(join, parts);
        }
        let (kind, swapped) = kind_of(join.join_type);
        if let Some(plan) = not_in::two_valued(join)? {
            check_unused(hints)?;
            return self.lower(&plan, false);
        }
        let (first, second) = if swapped { (&join.right, &join.left) } else { (&join.left, &join.right) };
        let mut on = join.on.clone();
        if swapped {
            on.iter_mut().for_each(|(left, right)| std::mem::swap(left, right));
        }
        let (on, more) = same_types(on, first.schema(), second.schema())?;
        let mut left = self.side(first, on.iter().map(|(left, _)| left), "left")?;
        let mut right = self.side(second, on.iter().map(|(_, right)| right), "right")?;
        let residual = conjunction(join.filter.iter().flat_map(split_conjunction).cloned().chain(more));
        // An equality may tie times as well: a.ts = b.ts + INTERVAL '5' SECOND.
        let equal = on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        let conditions = conjunction(residual.iter().cloned().chain(equal));
        let closes = self.closing_of_join(&left, &right, kind);
        let times = if closes.is_none() { self.times(&left, &right, conditions.as_ref())? } else { None };
        self.check_join_time(&left, &right, closes.is_some() || times.is_some())?;
        let names = pair_names(&left, &right)?;
        let residual = residual.map(|expr| self.physical(&expr, &names)).transpose()?;
        let bounds = times.map(|(left, right)| [left, right]);
        let kept = if swapped { [hints[1], hints[0]] } else { hints };
        // A table that the query brings along stays.
        let ends = bounds.is_some() || closes.is_some();
        self.read_first([&mut left.flow, &mut right.flow], kind, ends);
        let ttl = match ends || left.flow.complete.is_some() || right.flow.complete.is_some() {
            true => check_unused(hints).map(|()| [None; 2])?,
            false => [self.ttl(kept[0])?, self.ttl(kept[1])?],
        };
        let what = Join {
            kind,
            left: input_of(&left, bounds.map(|bounds| bounds[0])),
            right: input_of(&right, bounds.map(|bounds| bounds[1])),
            residual,
            null_equals_null: join.null_equality == NullEquality::NullEqualsNull,
            closes,
            ttl,
        };
        let time = match closes {
            Some(closing) => time_behind_revised(&left, &right, kind, closing),
            None => time_behind(&left, &right, kind, bounds, self.lateness())
                .or_else(|| time_beside(&left, &right, kind))
                .unwrap_or_default(),
        };
        let mut widths =
            [&left, &right].map(|side| (side.node.fields().len(), side.flow.schema.fields().len()));
        if kind == JoinKind::Mark {
            widths[1] = (1, 1);
        }
        let operator: Arc<dyn OperatorSpec> = Arc::new(JoinSpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let flows =
            vec![(left.flow, std::mem::take(&mut left.keys)), (right.flow, std::mem::take(&mut right.keys))];
        let input = self.exchange_all(flows, operator);
        let mut flow = Flow::new(vec![input], schema, changes, time);
        drop_computed(&mut flow, widths)?;
        Ok(flow)
    }

    /// A side, with the columns of its node and then those keys that are computed.
    pub(super) fn side<'b>(
        &mut self,
        plan: &'b LogicalPlan,
        on: impl Iterator<Item = &'b Expr> + Clone,
        name: &str,
    ) -> Result<Side<'b>>
    where
        Self: 'b,
    {
        let mut flow = self.lower(plan, false)?;
        let node = plan.schema().as_ref();
        flow.keep_first(node.fields().len())?;
        let names = names_of(node, &flow.schema)?;
        let mut exprs = all_columns(&flow);
        let mut from: Vec<_> = (0..exprs.len()).map(Some).collect();
        let mut keys = Vec::new();
        for key in on {
            let physical = self.physical(key, &names)?;
            keys.push(match column_of(&physical) {
                Some(column) => column,
                None => {
                    exprs.push((physical, format!("${name} {key}")));
                    from.push(None);
                    exprs.len() - 1
                }
            });
        }
        if exprs.len() > flow.schema.fields().len() {
            flow.project(exprs, &from)?;
        }
        Ok(Side { flow, node, keys })
    }

    /// Which of the keys is a common window, if rows change or what is said of them is to come before the window's end.
    fn closing_of_join(&self, left: &Side<'_>, right: &Side<'_>, kind: JoinKind) -> Option<JoinClosing> {
        let only_adds = left.flow.is_append_only() && right.flow.is_append_only();
        let waits = !matches!(kind, JoinKind::Inner | JoinKind::Semi);
        let is_early = waits && self.revises() == Some(Revises::Always);
        if only_adds && !is_early {
            return None;
        }
        let end = |side: &Side<'_>, key: usize| {
            let after = side.flow.time.end_of(side.keys[key])?;
            Some(after.saturating_add(self.lateness_of(&side.flow)))
        };
        (0..left.keys.len()).find_map(|key| {
            let after = end(left, key).filter(|after| end(right, key) == Some(*after))?;
            Some(JoinClosing { key, after })
        })
    }

    /// Has a table that ends by itself read before the other side, if the other side's rows need not be kept then.
    fn read_first(&mut self, sides: [&mut Flow; 2], kind: JoinKind, ends: bool) {
        let complete = sides.each_ref().map(|flow| flow.complete);
        for (side, flow) in sides.into_iter().enumerate() {
            if flow.complete != Some(Complete::ReadFirst) {
                continue;
            }
            if ends || kind.tracks(side) || complete[1 - side].is_some() {
                flow.complete = None;
                continue;
            }
            for input in &flow.inputs {
                if let Upstream::Source(source) = input.from {
                    self.sources[source].comes_first = true;
                }
            }
        }
    }

    /// A join that ends with the watermark takes what goes by that of all rows.
    fn check_join_time(&mut self, left: &Side<'_>, right: &Side<'_>, ends: bool) -> Result<()> {
        self.takes_late |= ends;
        match left.flow.time.per_key.as_ref().or(right.flow.time.per_key.as_ref()) {
            Some(per_key) if ends => Err(per_key.refuse("a join by time")),
            _ => Ok(()),
        }
    }

    /// Until when rows of both sides can find a match, if there is an end to it.
    fn times(
        &self,
        left: &Side<'_>,
        right: &Side<'_>,
        conditions: Option<&Expr>,
    ) -> Result<Option<(JoinTime, JoinTime)>> {
        if !left.flow.is_append_only() || !right.flow.is_append_only() {
            return Ok(None);
        }
        let lateness = self.lateness();
        let until = |column, keep: i64, late_after: i64| JoinTime {
            column,
            keep: keep.saturating_add(lateness),
            late_after: late_after.saturating_add(lateness),
        };
        let end = |side: &Side<'_>, column: usize| side.flow.time.end_of(column);
        let is_time = |side: &Side<'_>, column: usize| side.flow.time.columns.contains(&column);
        let mut pairs: Vec<_> = left.keys.iter().copied().zip(right.keys.iter().copied()).collect();
        // Behind a join by a window's end there is a time, behind one by its start there is none.
        pairs.sort_by_key(|(a, _)| !is_time(left, *a));
        for (a, b) in pairs {
            match (end(left, a), end(right, b)) {
                (Some(x), Some(y)) if x == y => {
                    return Ok(Some((until(a, x, x), until(b, x, x))));
                }
                _ if is_time(left, a) && is_time(right, b) => {
                    let after = end(left, a).max(end(right, b)).unwrap_or_default().max(0);
                    return Ok(Some((until(a, after, after), until(b, after, after))));
                }
                _ => {}
            }
        }
        let sides = Sides {
            left: left.node,
            right: right.node,
            left_times: &left.flow.time.columns,
            right_times: &right.flow.time.columns,
        };
        let Some(found) = conditions.and_then(|conditions| interval(conditions, &sides)) else {
            return Ok(None);
        };
        let slack = |side: &Side<'_>, column: usize| end(side, column).unwrap_or_default().max(0);
        let (x, y) = (slack(left, found.left), slack(right, found.right));
        // left - right lies in [least, most]: a left row waits for right rows up to its time - least, and so on.
        let keep_left = found.least.saturating_neg().saturating_add(y);
        let keep_right = found.most.saturating_add(x);
        Ok(Some((until(found.left, keep_left, x), until(found.right, keep_right, y))))
    }
}

/// A side as the operator is told of it.
fn input_of(side: &Side<'_>, time: Option<JoinTime>) -> JoinInput {
    JoinInput {
        schema: Arc::clone(&side.flow.schema),
        keys: side.keys.clone(),
        changes: side.flow.changes.clone(),
        time,
        complete: side.flow.complete,
    }
}

fn kind_of(join: JoinType) -> (JoinKind, bool) {
    match join {
        JoinType::Inner => (JoinKind::Inner, false),
        JoinType::Left => (JoinKind::Left, false),
        JoinType::Right => (JoinKind::Right, false),
        JoinType::Full => (JoinKind::Full, false),
        JoinType::LeftSemi => (JoinKind::Semi, false),
        JoinType::LeftAnti => (JoinKind::Anti, false),
        JoinType::RightSemi => (JoinKind::Semi, true),
        JoinType::RightAnti => (JoinKind::Anti, true),
        JoinType::LeftMark => (JoinKind::Mark, false),
        JoinType::RightMark => (JoinKind::Mark, true),
    }
}

/// Keys of which both sides are of one type; those that cannot be made so are conditions like any other.
pub(super) type On = (Vec<(Expr, Expr)>, Vec<Expr>);

pub(super) fn same_types(on: Vec<(Expr, Expr)>, left: &DFSchema, right: &DFSchema) -> Result<On> {
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    for (a, b) in on {
        let (x, y) = (a.get_type(left)?, b.get_type(right)?);
        if x == y {
            keys.push((a, b));
        } else if let Some(kind) =
            datafusion::logical_expr::type_coercion::binary::comparison_coercion(&x, &y)
        {
            let fit = |expr: Expr, own| if own == kind { expr } else { cast(expr, kind.clone()) };
            keys.push((fit(a, x), fit(b, y)));
        } else {
            others.push(a.eq(b));
        }
    }
    Ok((keys, others))
}

/// The columns of both sides by the names that the residual uses.
pub(super) fn pair_names(left: &Side<'_>, right: &Side<'_>) -> Result<DFSchema> {
    let mut fields = Vec::new();
    for side in [left, right] {
        fields.extend(side.node.iter().map(|(name, field)| (name.cloned(), Arc::clone(field))));
        let computed = &side.flow.schema.fields()[side.node.fields().len()..];
        fields.extend(computed.iter().map(|field| (None, Arc::clone(field))));
    }
    DFSchema::new_with_metadata(fields, Default::default())
}

/// What is known of time behind the join: the columns that tie the sides, of sides that are never filled with nulls.
fn time_behind(
    left: &Side<'_>,
    right: &Side<'_>,
    kind: JoinKind,
    bounds: Option<[JoinTime; 2]>,
    lateness: i64,
) -> Option<Time> {
    let [a, b] = bounds?;
    let (mut columns, mut ends) = (Vec::new(), Vec::new());
    let width = left.flow.schema.fields().len();
    let mut add = |side: &Side<'_>, time: JoinTime, offset: usize| {
        if side.flow.time.columns.contains(&time.column) {
            columns.push(time.column + offset);
        }
        ends.extend(side.flow.time.end_of(time.column).map(|after| (time.column + offset, after)));
    };
    if !matches!(kind, JoinKind::Right | JoinKind::Full) {
        add(left, a, 0);
    }
    if matches!(kind, JoinKind::Inner | JoinKind::Right) {
        add(right, b, width);
    }
    let before = left.flow.time.delay.max(right.flow.time.delay);
    // A row comes out as long as it is kept, which may be that long after the watermark has passed it.
    let waits = a.keep != a.late_after || b.keep != b.late_after;
    let kept = if waits { a.keep.max(b.keep).max(0) } else { lateness };
    if waits && kept > 0 {
        // Rows that wait are not of their window's time any more.
        ends.clear();
    }
    Some(Time { columns, ends, delay: before.saturating_add(kept), per_key: None })
}

/// The same of rows that change until their window has ended: its columns, of sides that are never filled with nulls.
fn time_behind_revised(left: &Side<'_>, right: &Side<'_>, kind: JoinKind, closing: JoinClosing) -> Time {
    let has_left = !matches!(kind, JoinKind::Right | JoinKind::Full);
    let has_right = matches!(kind, JoinKind::Inner | JoinKind::Right);
    let width = left.flow.schema.fields().len();
    let (left_end, right_end) = (left.keys[closing.key], right.keys[closing.key] + width);
    let columns = has_left.then_some(left_end).into_iter().chain(has_right.then_some(right_end));
    let ends = columns.map(|column| (column, closing.after)).collect();
    let delay = left.flow.time.delay.max(right.flow.time.delay);
    Time { columns: Vec::new(), ends, delay, per_key: None }
}

/// What is known of time beside a table whose rows are all there: the other side's rows come out in the step in which they come.
fn time_beside(left: &Side<'_>, right: &Side<'_>, kind: JoinKind) -> Option<Time> {
    let width = left.flow.schema.fields().len();
    let (side, offset) = match kind {
        JoinKind::Inner | JoinKind::Right if left.flow.complete.is_some() => (right, width),
        JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark
            if right.flow.complete.is_some() =>
        {
            (left, 0)
        }
        _ => return None,
    };
    let time = &side.flow.time;
    side.flow.is_append_only().then(|| Time {
        columns: time.columns.iter().map(|column| column + offset).collect(),
        ends: time.ends.iter().map(|(column, after)| (column + offset, *after)).collect(),
        delay: time.delay,
        per_key: time.per_key.as_ref().map(|per_key| per_key.behind("a join")),
    })
}

/// Leaves out the keys that were computed for the join.
pub(super) fn drop_computed(flow: &mut Flow, widths: [(usize, usize); 2]) -> Result<()> {
    let [(left, left_all), (right, right_all)] = widths;
    let all = flow.schema.fields().len();
    if left == left_all && right == right_all {
        return Ok(());
    }
    let kept = (0..left).chain((left_all..left_all + right).filter(|column| *column < all));
    let kept: Vec<usize> = kept.collect();
    let columns = all_columns(flow);
    let exprs = kept.iter().map(|column| columns[*column].clone()).collect();
    let from: Vec<_> = kept.iter().copied().map(Some).collect();
    flow.project(exprs, &from)
}
