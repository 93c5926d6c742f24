//! An aggregate in terms of the window function below it, whatever lies between them.

use std::collections::HashMap;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use headwater_operators::{OutputColumn, WindowColumn};

use crate::error::{Mistake, SqlError, refused};
use crate::stream::sets::Sets;
use crate::window::{Bounds, WindowTvf, Windowing};

/// The bounds of windows, in the order in which a window function appends them.
pub(super) const COLUMNS: [WindowColumn; 3] = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];

/// An aggregate in terms of a window function's columns.
pub(super) struct OverWindow<'a> {
    pub(super) window: &'a WindowTvf,
    /// What is grouped by.
    pub(super) exprs: Vec<Expr>,
    /// The same, by what each is.
    pub(super) group: Vec<Group>,
    pub(super) aggregates: Vec<Expr>,
    /// Conditions on rows, between the window function and the aggregate.
    pub(super) on_rows: Vec<Expr>,
    /// Conditions on the window alone.
    pub(super) on_window: Vec<Expr>,
}

/// What a group expression is.
pub(super) enum Group {
    /// A bound of the window.
    Bound(WindowColumn),
    /// Something computed from the window's bounds.
    FromBounds(Expr),
    /// A key.
    Key(Expr),
    /// The id of the grouping set, behind all others.
    Set,
}

impl OverWindow<'_> {
    /// Whether the aggregate can be taken apart into sets.
    pub(super) fn check_sets(&self, sets: &Sets, per_key: bool) -> Result<()> {
        let is_bound = |group: &Group| matches!(group, Group::Bound(_) | Group::FromBounds(_));
        let bounds = self.group.iter().enumerate().filter(|(_, group)| is_bound(group));
        if bounds.into_iter().any(|(nth, _)| !sets.always(nth)) {
            let message = "a grouping set leaves the window out, so that its groups never end";
            return Err(refused(
                SqlError::new(Mistake::NotStreaming, message)
                    .hint("GROUP BY window_start, window_end, GROUPING SETS ((a), (b), ())"),
            ));
        }
        if per_key {
            let message = "grouping sets are over windows that are the same for all keys";
            return Err(refused(
                SqlError::new(Mistake::NotStreaming, message)
                    .hint("aggregate by all keys first, and by the sets over the result"),
            ));
        }
        Ok(())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Expr> {
        self.group.iter().filter_map(|group| match group {
            Group::Key(key) => Some(key),
            _ => None,
        })
    }

    /// The operator's columns: those of the aggregate, then the bounds that something else is computed from.
    pub(super) fn output(&self, aggregate: &Aggregate) -> Vec<OutputColumn> {
        let name = |nth: usize| aggregate.schema.field(nth).name().clone();
        let mut output = Vec::new();
        let mut keys = 0;
        for (nth, group) in self.group.iter().enumerate() {
            let from = match group {
                Group::Bound(bound) => *bound,
                Group::FromBounds(_) => continue,
                Group::Key(_) | Group::Set => {
                    keys += 1;
                    WindowColumn::Key(keys - 1)
                }
            };
            output.push(OutputColumn { from, name: name(nth) });
        }
        for nth in 0..self.aggregates.len() {
            let from = WindowColumn::Aggregate(nth);
            output.push(OutputColumn { from, name: name(self.group.len() + nth) });
        }
        let computed = self.group.iter().filter_map(|group| match group {
            Group::FromBounds(expr) => Some(expr),
            _ => None,
        });
        for expr in computed.chain(&self.on_window) {
            for bound in bounds_in(expr, self.window) {
                if !output.iter().any(|column| column.from == bound) {
                    output.push(OutputColumn { from: bound, name: bound_name(bound).to_owned() });
                }
            }
        }
        output
    }
}

/// The name of a bound.
pub(super) fn bound_name(bound: WindowColumn) -> &'static str {
    match bound {
        WindowColumn::Start => "window_start",
        WindowColumn::End => "window_end",
        _ => "window_time",
    }
}

/// The aggregate in terms of the window function below it, if there is one that its groups are bound to: sessions with nothing but their
/// partition, and all their rows.
pub(super) fn see_through(aggregate: &Aggregate, group: Vec<Expr>) -> Result<Option<OverWindow<'_>>> {
    match down_to_window(aggregate, group)? {
        // Windows of ordered rows are assigned to the rows, which are then grouped by them as by any column.
        Some((window, ..)) if matches!(window.windowing.bounds(), Bounds::OfOrder) => Ok(None),
        Some((window, groups, aggregates, conditions)) => over_window(window, groups, aggregates, conditions),
        None => Ok(None),
    }
}

/// A window, and an aggregate's groups, aggregates and conditions in terms of its columns.
pub(in crate::stream) type OverColumns<'a> = (&'a WindowTvf, Vec<Expr>, Vec<Expr>, Vec<Expr>);

/// The window function that an aggregate is over, whatever lies between them.
pub(in crate::stream) fn down_to_window(
    aggregate: &Aggregate,
    group: Vec<Expr>,
) -> Result<Option<OverColumns<'_>>> {
    let groups = group.len();
    let mut exprs: Vec<Expr> = group.into_iter().chain(aggregate.aggr_expr.iter().cloned()).collect();
    let mut plan = aggregate.input.as_ref();
    let window = loop {
        let (map, input): (HashMap<Column, Expr>, _) = match plan {
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<WindowTvf>() {
                Some(window) => break window,
                None => return Ok(None),
            },
            LogicalPlan::SubqueryAlias(alias) => {
                let below = alias.input.schema().columns().into_iter().map(Expr::Column);
                (alias.schema.columns().into_iter().zip(below).collect(), &alias.input)
            }
            LogicalPlan::Projection(projection) => {
                let below = projection.expr.iter().map(|expr| expr.clone().unalias());
                (projection.schema.columns().into_iter().zip(below).collect(), &projection.input)
            }
            LogicalPlan::Filter(filter) => {
                exprs.push(filter.predicate.clone());
                plan = &filter.input;
                continue;
            }
            _ => return Ok(None),
        };
        for expr in &mut exprs {
            *expr = substitute(std::mem::take(expr), &map)?;
        }
        plan = input;
    };
    let conditions = exprs.split_off(groups + aggregate.aggr_expr.len());
    let aggregates = exprs.split_off(groups);
    Ok(Some((window, exprs, aggregates, conditions)))
}

/// Whether what is aggregated are the rows of sessions.
pub(in crate::stream) fn is_over_session(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(extension) => {
            let window = extension.node.as_any().downcast_ref::<WindowTvf>();
            window.is_some_and(|window| matches!(window.windowing.bounds(), Bounds::OfRows { .. }))
        }
        LogicalPlan::SubqueryAlias(alias) => is_over_session(&alias.input),
        LogicalPlan::Projection(projection) => is_over_session(&projection.input),
        LogicalPlan::Filter(filter) => is_over_session(&filter.input),
        _ => false,
    }
}

/// An expression in which columns stand for what the map says.
pub(in crate::stream) fn substitute(expr: Expr, map: &HashMap<Column, Expr>) -> Result<Expr> {
    let replaced = expr.transform_up(|part| {
        Ok(match &part {
            Expr::Column(column) => match map.get(column) {
                Some(below) => Transformed::yes(below.clone()),
                None => Transformed::no(part),
            },
            _ => Transformed::no(part),
        })
    })?;
    Ok(replaced.data)
}

/// Takes apart what is grouped, aggregated and asked, into what is of the window and what is of its rows.
fn over_window(
    window: &WindowTvf,
    group: Vec<Expr>,
    aggregates: Vec<Expr>,
    conditions: Vec<Expr>,
) -> Result<Option<OverWindow<'_>>> {
    let name = window.windowing.name();
    let mixed = |what: &str, expr: &Expr| {
        let message = format!("{what} '{expr}' mixes the window of {name} with columns of its rows");
        refused(SqlError::new(Mistake::NotStreaming, message).hint("take them apart"))
    };
    let mut groups = Vec::with_capacity(group.len());
    for expr in group.clone() {
        groups.push(match (bounds_in(&expr, window).as_slice(), uses_rows(&expr, window)) {
            ([], _) => Group::Key(expr),
            ([bound], false) if matches!(expr, Expr::Column(_)) => Group::Bound(*bound),
            (_, false) => Group::FromBounds(expr),
            (_, true) => return Err(mixed("the group", &expr)),
        });
    }
    if !is_bound(window.windowing, &groups) || !is_by_partition(window, &groups)? {
        return Ok(None);
    }
    if let Some(expr) = aggregates.iter().find(|expr| !bounds_in(expr, window).is_empty()) {
        let message =
            format!("'{expr}' aggregates the window's own bounds, which are the same for all its rows");
        return Err(refused(
            SqlError::new(Mistake::NotStreaming, message)
                .hint("GROUP BY window_start, window_end and name them"),
        ));
    }
    let (mut on_rows, mut on_window) = (Vec::new(), Vec::new());
    for condition in conditions.into_iter().flat_map(split_conjunction_owned) {
        match (bounds_in(&condition, window).is_empty(), uses_rows(&condition, window)) {
            (false, false) => on_window.push(condition),
            (false, true) => return Err(mixed("the condition", &condition)),
            // The sessions have been formed by then.
            (true, _) if matches!(window.windowing, Windowing::Session { .. }) => return Ok(None),
            (true, _) => on_rows.push(condition),
        }
    }
    Ok(Some(OverWindow { window, exprs: group, group: groups, aggregates, on_rows, on_window }))
}

/// Whether the groups tell one window from the other.
fn is_bound(windowing: Windowing, groups: &[Group]) -> bool {
    groups.iter().any(|group| match group {
        Group::Bound(WindowColumn::Start) => !matches!(windowing, Windowing::Cumulate { .. }),
        Group::Bound(_) => true,
        _ => false,
    })
}

/// Whether rows are grouped by what has windows of its own, where that matters.
fn is_by_partition(window: &WindowTvf, groups: &[Group]) -> Result<bool> {
    let Windowing::Session { .. } = window.windowing else { return Ok(true) };
    let partition = window.partition_indices()?;
    let keys = groups.iter().filter_map(|group| match group {
        Group::Key(Expr::Column(column)) => Some(window.input.schema().index_of_column(column).ok()),
        Group::Key(_) => Some(None),
        _ => None,
    });
    let keys: Option<Vec<usize>> = keys.collect();
    Ok(keys.is_some_and(|keys| {
        partition.iter().all(|key| keys.contains(key)) && keys.iter().all(|key| partition.contains(key))
    }))
}

/// The window's bounds that an expression uses.
fn bounds_in(expr: &Expr, window: &WindowTvf) -> Vec<WindowColumn> {
    let own = window.input.schema().fields().len();
    let mut bounds: Vec<WindowColumn> = indices_in(expr, window)
        .into_iter()
        .filter_map(|index| COLUMNS.get(index.checked_sub(own)?).copied())
        .collect();
    bounds.dedup();
    bounds
}

fn uses_rows(expr: &Expr, window: &WindowTvf) -> bool {
    let own = window.input.schema().fields().len();
    indices_in(expr, window).into_iter().any(|index| index < own)
}

fn indices_in(expr: &Expr, window: &WindowTvf) -> Vec<usize> {
    use datafusion::logical_expr::UserDefinedLogicalNodeCore;
    let mut indices: Vec<usize> = expr
        .column_refs()
        .into_iter()
        .filter_map(|column| window.schema().index_of_column(column).ok())
        .collect();
    indices.sort_unstable();
    indices.dedup();
    indices
}
