//! Aggregates over windows.
//!
//! Between the aggregate and the window function there may be projections, aliases and filters (a view, a subquery). They are
//! seen through: what stands above is written in terms of the window function's own columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, internal_err};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use headwater_operators::{
    AggregateCall, Changes, OperatorSpec, OutputColumn, PerKey, Revises, SessionAggregate,
    SessionAggregateSpec, WindowAggregate, WindowAggregateSpec, WindowColumn, WindowFinalSpec, WindowKind,
    WindowPartialSpec,
};

use super::flow::{Flow, Time, external};
use super::lower::{Lower, column_at};
use super::sets::Sets;
use crate::dataflow::StageInput;
use crate::error::refused;
use crate::error::{Mistake, SqlError};
use crate::window::{Bounds, WindowTvf, Windowing};

const COLUMNS: [WindowColumn; 3] = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];

/// How far the watermark must be past a window's end, and past its `window_time`, for the window to have ended, less one.
pub(super) const AFTER_END: i64 = -1;
pub(super) const AFTER_TIME: i64 = 999_999;

/// The same of a window's start: all windows that begin there have ended.
pub(super) fn after_start(kind: WindowKind) -> i64 {
    kind.size().saturating_add(AFTER_END)
}

/// An aggregate in terms of a window function's columns.
struct OverWindow<'a> {
    window: &'a WindowTvf,
    group: Vec<Group>,
    aggregates: Vec<Expr>,
    /// Conditions on rows, between the window function and the aggregate.
    on_rows: Vec<Expr>,
    /// Conditions on the window alone.
    on_window: Vec<Expr>,
}

/// What all aggregates over windows are made of.
struct Parts {
    input: SchemaRef,
    time: usize,
    keys: Vec<usize>,
    aggregates: Vec<AggregateCall>,
    output: Vec<OutputColumn>,
    per_key: Option<PerKey>,
}

/// What a group expression is.
enum Group {
    /// A bound of the window.
    Bound(WindowColumn),
    /// Something computed from the window's bounds.
    FromBounds(Expr),
    /// A key.
    Key(Expr),
    /// The id of the grouping set, behind all others.
    Set,
}

impl Lower<'_> {
    /// An aggregate over windows that close; `None` if it is not one.
    pub(super) fn windowed(&mut self, aggregate: &Aggregate) -> Result<Option<Flow>> {
        let (exprs, sets) = Sets::of(aggregate)?;
        let Some(mut over) = see_through(aggregate, exprs)? else { return Ok(None) };
        let window = over.window;
        let early = self.session_is_early(window)?;
        let mut flow = self.window_input(window, true)?;
        let time = self.check_time(window, &flow)?;
        let node = window.input.schema();
        for condition in &over.on_rows {
            self.filter(&mut flow, condition, node)?;
        }
        let keys: Vec<Expr> = over.keys().cloned().collect();
        let mut key_columns = self.key_columns(&mut flow, &keys, node)?;
        check_session(window, &key_columns)?;
        let per_key = per_key_of(&flow, &key_columns)?;
        let aggregates = self.calls(&mut flow, &over.aggregates, node)?;
        if let Some(sets) = &sets {
            over.check_sets(sets, per_key.is_some())?;
            let mut columns = key_columns.into_iter();
            let keys: Vec<Option<usize>> = over
                .group
                .iter()
                .map(|group| if matches!(group, Group::Key(_)) { columns.next() } else { None })
                .collect();
            let (keys, id) = sets.expand(&mut flow, &keys, aggregate)?;
            key_columns = keys.into_iter().flatten().chain([id]).collect();
            over.group.push(Group::Set);
        }
        let output = over.output(aggregate);
        let parts = Parts {
            input: Arc::clone(&flow.schema),
            time,
            keys: key_columns,
            aggregates,
            output: output.clone(),
            per_key,
        };
        let (closes, delay) = (parts.per_key.is_none() && !early, flow.time.delay);
        let (input, schema, changes) = self.aggregate_stages(flow, window.windowing, parts, early)?;
        let mut wanted = vec![(WindowColumn::Time, AFTER_TIME), (WindowColumn::End, AFTER_END)];
        if let Bounds::Fixed(kind) = window.windowing.bounds() {
            wanted.push((WindowColumn::Start, after_start(kind)));
        }
        let place = |bound: WindowColumn| output.iter().position(|column| column.from == bound);
        let ends =
            wanted.iter().filter(|_| closes).filter_map(|(bound, after)| Some((place(*bound)?, *after)));
        let ends: Vec<_> = ends.collect();
        let is_time = |column: &usize| output[*column].from != WindowColumn::Start;
        let columns = ends.iter().map(|(column, _)| *column).filter(is_time).collect();
        let time = match early {
            true => Time::default(),
            false => Time { columns, ends, delay, per_key: None },
        };
        let mut flow = Flow::new(vec![input], schema, changes, time);
        self.finish_windowed(&mut flow, &over, &output, aggregate)?;
        Ok(Some(flow))
    }

    /// Two phases, but one where the rows themselves are needed.
    fn aggregate_stages(
        &mut self,
        mut flow: Flow,
        windowing: Windowing,
        parts: Parts,
        early: bool,
    ) -> Result<(StageInput, SchemaRef, Changes)> {
        let Parts { input, time, keys, aggregates, output, per_key } = parts;
        let by_rows = keys.clone();
        let one_phase = per_key.is_some();
        let (by, operator): (Vec<usize>, Arc<dyn OperatorSpec>) = match windowing.bounds() {
            Bounds::OfRows { gap } => {
                let lateness = self.options.lateness.unwrap_or(0);
                let what =
                    SessionAggregate { gap, input, time, keys, aggregates, output, per_key, early, lateness };
                (by_rows, Arc::new(SessionAggregateSpec::try_new(what).map_err(external)?))
            }
            Bounds::OfOrder => return internal_err!("windows of ordered rows are aggregated as groups"),
            Bounds::Fixed(kind) => {
                let what = WindowAggregate { kind, input, time, keys, aggregates, output, per_key };
                if one_phase {
                    (by_rows, Arc::new(WindowAggregateSpec::try_new(what).map_err(external)?))
                } else {
                    let partial = WindowPartialSpec::try_new(what.clone()).map_err(external)?;
                    let by = partial.exchange_keys();
                    flow.push(partial);
                    (by, Arc::new(WindowFinalSpec::try_new(what).map_err(external)?))
                }
            }
        };
        let (schema, changes) = (operator.schema(), operator.changes());
        Ok((self.exchange(flow, by, operator), schema, changes))
    }

    /// Whether these are sessions that come out before they close.
    fn session_is_early(&self, window: &WindowTvf) -> Result<bool> {
        match (self.revises(), window.windowing.bounds()) {
            (None, _) | (_, Bounds::Fixed(_) | Bounds::OfOrder) => Ok(false),
            (Some(Revises::Always), Bounds::OfRows { .. }) => Ok(true),
            (Some(Revises::Late(_)), Bounds::OfRows { .. }) => {
                let message = "a session that comes out when it closes does not change after that";
                Err(refused(
                    SqlError::new(Mistake::NotStreaming, message)
                        .hint("let it come out before: EMIT CHANGES ALLOW LATENESS ..."),
                ))
            }
        }
    }

    /// Conditions on the window, and columns computed from its bounds.
    fn finish_windowed(
        &self,
        flow: &mut Flow,
        over: &OverWindow<'_>,
        output: &[OutputColumn],
        aggregate: &Aggregate,
    ) -> Result<()> {
        if over.on_window.is_empty() && !over.group.iter().any(|group| matches!(group, Group::FromBounds(_)))
        {
            return Ok(());
        }
        let names = names_of_bounds(flow, output)?;
        for condition in &over.on_window {
            flow.filter(self.physical(condition, &names)?)?;
        }
        let (mut exprs, mut from) = (Vec::new(), Vec::new());
        // The operator gives out the bounds, keys and aggregates in order, without what is computed here.
        let mut next = 0;
        let fields = aggregate.schema.fields();
        for (nth, field) in fields.iter().enumerate() {
            let (expr, column) = match over.group.get(nth) {
                Some(Group::FromBounds(expr)) => (self.physical(expr, &names)?, None),
                _ => {
                    next += 1;
                    (column_at(flow, next - 1), Some(next - 1))
                }
            };
            exprs.push((expr, field.name().clone()));
            from.push(column);
        }
        flow.project(exprs, &from)
    }

    /// The index of a window's time in the flow, if windows over it close.
    pub(super) fn check_time(&self, window: &WindowTvf, flow: &Flow) -> Result<usize> {
        let name = window.windowing.name();
        if !flow.is_append_only() {
            return Err(refused(
                SqlError::new(Mistake::NotStreaming, format!("{name} is over rows that change")).hint(
                    "windows are over streams of events: aggregate without windows above them, not below",
                ),
            ));
        }
        let time = window.time_index()?;
        if flow.time.columns.contains(&time) {
            return Ok(time);
        }
        let column = window.input.schema().field(time).name();
        let known: Vec<_> = flow
            .time
            .columns
            .iter()
            .map(|column| format!("'{}'", flow.schema.field(*column).name()))
            .collect();
        let joins = |part: &LogicalPlan| Ok(matches!(part, LogicalPlan::Join(_)));
        Err(refused(if known.is_empty() && window.input.exists(joins)? {
            let message =
                format!("{name} is over a join that keeps no time, so that its windows never close");
            SqlError::new(Mistake::NoWatermark, message).hint(
                "say how far apart the times of the two may be: ON a.k = b.k AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1' HOUR",
            )
        } else if known.is_empty() {
            let streams: Vec<_> = scans(&window.input).into_iter().map(|name| format!("'{name}'")).collect();
            let message = format!(
                "{name} over {} has no watermark, so that its windows never close",
                streams.join(", ")
            );
            SqlError::new(Mistake::NoWatermark, message).hint(format!(
                "declare it with the stream: WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND"
            ))
        } else {
            let message = format!("{name} is over '{column}', but the watermark is for {}", known.join(", "));
            SqlError::new(Mistake::NoWatermark, message)
                .hint(format!("DESCRIPTOR({})", known[0].trim_matches('\'')))
        }))
    }
}

impl OverWindow<'_> {
    /// Whether the aggregate can be taken apart into sets.
    fn check_sets(&self, sets: &Sets, per_key: bool) -> Result<()> {
        let is_bound = |group: &Group| matches!(group, Group::Bound(_) | Group::FromBounds(_));
        let bounds = self.group.iter().enumerate().filter(|(_, group)| is_bound(group));
        if bounds.into_iter().any(|(nth, _)| !sets.always(nth)) {
            let message = "a grouping set leaves the window out, so that its groups never end";
            return Err(refused(
                SqlError::new(Mistake::NotStreaming, message)
                    .hint("GROUP BY window_start, window_end, GROUPING SETS ((a), (b), ())"),
            ));
        }
        if per_key || matches!(self.window.windowing, Windowing::Session { .. }) {
            let message = "grouping sets are over windows that are the same for all keys";
            return Err(refused(
                SqlError::new(Mistake::NotStreaming, message)
                    .hint("aggregate by all keys first, and by the sets over the result"),
            ));
        }
        Ok(())
    }

    fn keys(&self) -> impl Iterator<Item = &Expr> {
        self.group.iter().filter_map(|group| match group {
            Group::Key(key) => Some(key),
            _ => None,
        })
    }

    /// The operator's columns: those of the aggregate, then the bounds that something else is computed from.
    fn output(&self, aggregate: &Aggregate) -> Vec<OutputColumn> {
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

fn bound_name(bound: WindowColumn) -> &'static str {
    match bound {
        WindowColumn::Start => "window_start",
        WindowColumn::End => "window_end",
        _ => "window_time",
    }
}

/// The flow's columns, of which only the window's bounds can be named.
fn names_of_bounds(flow: &Flow, output: &[OutputColumn]) -> Result<DFSchema> {
    let fields = output.iter().zip(flow.schema.fields()).enumerate().map(|(nth, (column, field))| {
        let name = if COLUMNS.contains(&column.from) {
            bound_name(column.from).to_owned()
        } else {
            format!("${nth}")
        };
        (None, Arc::new(field.as_ref().clone().with_name(name)))
    });
    // A bound that is grouped by twice is there twice; the first will do.
    let mut seen = std::collections::HashSet::new();
    let fields = fields
        .enumerate()
        .map(|(nth, (qualifier, field)): (usize, (_, arrow::datatypes::FieldRef))| {
            let fresh = seen.insert(field.name().clone());
            let field =
                if fresh { field } else { Arc::new(field.as_ref().clone().with_name(format!("${nth}"))) };
            (qualifier, field)
        })
        .collect();
    DFSchema::new_with_metadata(fields, Default::default())
}

/// The aggregate in terms of the window function below it, if there is one that its groups are bound to.
fn see_through(aggregate: &Aggregate, group: Vec<Expr>) -> Result<Option<OverWindow<'_>>> {
    match down_to_window(aggregate, group)? {
        // Windows of ordered rows are assigned to the rows, which are then grouped by them as by any column.
        Some((window, ..)) if matches!(window.windowing.bounds(), Bounds::OfOrder) => Ok(None),
        Some((window, groups, aggregates, conditions)) => over_window(window, groups, aggregates, conditions),
        None => Ok(None),
    }
}

/// A window, and an aggregate's groups, aggregates and conditions in terms of its columns.
type OverColumns<'a> = (&'a WindowTvf, Vec<Expr>, Vec<Expr>, Vec<Expr>);

/// The window function that an aggregate is over, whatever lies between them.
pub(super) fn down_to_window(aggregate: &Aggregate, group: Vec<Expr>) -> Result<Option<OverColumns<'_>>> {
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
pub(super) fn is_over_session(plan: &LogicalPlan) -> bool {
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
pub(super) fn substitute(expr: Expr, map: &HashMap<Column, Expr>) -> Result<Expr> {
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
    for expr in group {
        groups.push(match (bounds_in(&expr, window).as_slice(), uses_rows(&expr, window)) {
            ([], _) => Group::Key(expr),
            ([bound], false) if matches!(expr, Expr::Column(_)) => Group::Bound(*bound),
            (_, false) => Group::FromBounds(expr),
            (_, true) => return Err(mixed("the group", &expr)),
        });
    }
    if !is_bound(window.windowing, &groups) {
        return match window.windowing {
            Windowing::Session { .. } => Err(refused(
                SqlError::new(
                    Mistake::NotStreaming,
                    "the aggregate over SESSION is not grouped by the session",
                )
                .hint("GROUP BY window_start, window_end and the keys of PARTITION BY"),
            )),
            _ => Ok(None),
        };
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
            (true, _) if matches!(window.windowing, Windowing::Session { .. }) => {
                let message =
                    format!("'{condition}' stands above SESSION, whose sessions have been formed by then");
                return Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(
                    "filter the rows first, SESSION(TABLE (SELECT ... WHERE ...), ...), or count(*) FILTER (WHERE ...)",
                )));
            }
            (true, _) => on_rows.push(condition),
        }
    }
    Ok(Some(OverWindow { window, group: groups, aggregates, on_rows, on_window }))
}

/// Whether the groups tell one window from the other.
fn is_bound(windowing: Windowing, groups: &[Group]) -> bool {
    groups.iter().any(|group| match group {
        Group::Bound(WindowColumn::Start) => !matches!(windowing, Windowing::Cumulate { .. }),
        Group::Bound(_) => true,
        _ => false,
    })
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

/// Sessions are kept by the keys that rows are grouped by: they must be those of the partition.
fn check_session(window: &WindowTvf, keys: &[usize]) -> Result<()> {
    let Windowing::Session { .. } = window.windowing else { return Ok(()) };
    let partition = window.partition_indices()?;
    let name = |index: &usize| {
        window.input.schema().fields().get(*index).map_or("an expression", |field| field.name())
    };
    if let Some(more) = keys.iter().find(|key| !partition.contains(key)) {
        let message =
            format!("the sessions are not those of '{}', by which the rows are grouped", name(more));
        return Err(refused(SqlError::new(Mistake::Window, message).hint(format!(
            "SESSION(TABLE t PARTITION BY {}, ...)",
            keys.iter().map(name).collect::<Vec<_>>().join(", ")
        ))));
    }
    if let Some(missing) = partition.iter().find(|key| !keys.contains(key)) {
        let message =
            format!("the sessions are those of each '{}', by which the rows are not grouped", name(missing));
        return Err(refused(
            SqlError::new(Mistake::Window, message).hint(format!("add {} to GROUP BY", name(missing))),
        ));
    }
    Ok(())
}

/// The timeline per key that a stream has; the key must be among those that rows are grouped by.
fn per_key_of(flow: &Flow, keys: &[usize]) -> Result<Option<PerKey>> {
    let Some(per_key) = &flow.time.per_key else { return Ok(None) };
    let missing =
        per_key.keys.iter().find(|(_, column)| !column.is_some_and(|column| keys.contains(&column)));
    if let Some((name, _)) = missing {
        let message = format!(
            "'{}' keeps time for each '{name}', by which the windows are not grouped",
            per_key.stream
        );
        return Err(refused(
            SqlError::new(Mistake::Window, message)
                .hint(format!("add {name} to GROUP BY, or aggregate the result once more without windows")),
        ));
    }
    let Some((candidate, pass)) = per_key.below_window else { return Ok(None) };
    Ok(Some(PerKey { candidate: column_at(flow, candidate), pass: Some(column_at(flow, pass)) }))
}

fn scans(plan: &LogicalPlan) -> Vec<String> {
    match plan {
        LogicalPlan::TableScan(scan) => vec![scan.table_name.to_string()],
        other => other.inputs().into_iter().flat_map(scans).collect(),
    }
}
