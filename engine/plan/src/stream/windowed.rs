//! Aggregates over windows.
//!
//! Between the aggregate and the window function there may be projections, aliases and filters (a view, a subquery). They are
//! seen through: what stands above is written in terms of the window function's own columns.

mod over_window;
mod session_rows;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use headwater_operators::{
    AggregateCall, Changes, OperatorSpec, OutputColumn, PerKey, Revises, SessionAggregate,
    SessionAggregateSpec, WindowAggregate, WindowAggregateSpec, WindowColumn, WindowFinalSpec, WindowKind,
    WindowPartialSpec,
};

use self::over_window::{COLUMNS, Group, OverWindow, bound_name, see_through};
pub(super) use self::over_window::{down_to_window, is_over_session, substitute};
use super::flow::{Flow, Time, external};
use super::lower::{Lower, column_at};
use super::sets::Sets;
use crate::dataflow::StageInput;
use crate::error::{Mistake, SqlError, refused};
use crate::window::{Bounds, WindowTvf, Windowing};

/// How far the watermark must be past a window's end, and past its `window_time`, for the window to have ended, less one.
pub(super) const AFTER_END: i64 = -1;
pub(super) const AFTER_TIME: i64 = 999_999;

/// The same of a window's start: all windows that begin there have ended.
pub(super) fn after_start(kind: WindowKind) -> i64 {
    kind.size().saturating_add(AFTER_END)
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

impl Lower<'_> {
    /// An aggregate over windows that close; `None` if it is not one.
    pub(super) fn windowed(&mut self, aggregate: &Aggregate) -> Result<Option<Flow>> {
        let (exprs, sets) = Sets::of(aggregate)?;
        let Some(mut over) = see_through(aggregate, exprs)? else { return Ok(None) };
        let window = over.window;
        if let Some(sets) = &sets
            && window.windowing.depends_on_rows()
        {
            // The rows of sessions are grouped as those of any window.
            return over.check_sets(sets, false).map(|()| None);
        }
        let early = self.session_is_early(window)?;
        let mut flow = self.window_input(window, true)?;
        let time = self.check_time(window, &flow)?;
        if !flow.is_append_only() {
            return self.over_changes(flow, time, &over, aggregate).map(Some);
        }
        let node = window.input.schema();
        for condition in &over.on_rows {
            self.filter(&mut flow, condition, node)?;
        }
        let keys: Vec<Expr> = over.keys().cloned().collect();
        let mut key_columns = self.key_columns(&mut flow, &keys, node)?;
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
        let mut flow = self.aggregated(flow, window.windowing, parts, early)?;
        self.finish_windowed(&mut flow, &over, &output, aggregate)?;
        Ok(Some(flow))
    }

    /// The windows of a flow, and what is known of time behind them.
    fn aggregated(&mut self, flow: Flow, windowing: Windowing, parts: Parts, early: bool) -> Result<Flow> {
        let per_key = flow.time.per_key.as_ref().map(|per_key| per_key.behind("an aggregate over windows"));
        let time = Time { per_key, ..time_behind(windowing.bounds(), &parts.output, flow.time.delay) };
        let time = if early { time.revised(self.lateness()) } else { time };
        let (input, schema, changes) = self.aggregate_stages(flow, windowing, parts, early)?;
        Ok(Flow::new(vec![input], schema, changes, time))
    }

    /// An aggregate over windows of rows that change: groups by the windows that are assigned to the rows, and end with these.
    fn over_changes(
        &mut self,
        flow: Flow,
        time: usize,
        over: &OverWindow<'_>,
        aggregate: &Aggregate,
    ) -> Result<Flow> {
        let window = over.window;
        let Bounds::Fixed(kind) = window.windowing.bounds() else {
            return internal_err!("where these windows lie depends on rows, which do not change");
        };
        if let (_, Some(sets)) = Sets::of(aggregate)? {
            over.check_sets(&sets, false)?;
        }
        let mut flow = self.assigned(flow, window, kind, time)?;
        for condition in over.on_rows.iter().chain(&over.on_window) {
            self.filter(&mut flow, condition, window.schema())?;
        }
        self.grouped(flow, window.schema(), (&over.exprs, &over.aggregates), aggregate, None)
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
                let lateness = self.lateness();
                self.takes_late = true;
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
            check_changes(window, flow)?;
        }
        let time = window.time_index()?;
        if let Some(per_key) = flow.time.per_key.as_ref().filter(|per_key| per_key.behind.is_some()) {
            return Err(per_key.refuse(name));
        }
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

/// What is known of time behind windows that close with the watermark of their input.
fn time_behind(bounds: Bounds, output: &[OutputColumn], delay: i64) -> Time {
    let mut ends = Vec::new();
    let mut note = |bound: WindowColumn, after: i64| {
        let column = output.iter().position(|column| column.from == bound);
        ends.extend(column.map(|column| (column, after)));
    };
    note(WindowColumn::Time, AFTER_TIME);
    note(WindowColumn::End, AFTER_END);
    if let Bounds::Fixed(kind) = bounds {
        note(WindowColumn::Start, after_start(kind));
    }
    let is_time = |column: &usize| output[*column].from != WindowColumn::Start;
    let columns = ends.iter().map(|(column, _)| *column).filter(is_time).collect();
    Time { columns, ends, delay, per_key: None }
}

/// The flow's columns, of which only the window's bounds can be named.
fn names_of_bounds(flow: &Flow, output: &[OutputColumn]) -> Result<DFSchema> {
    let mut named = HashSet::new();
    let fields = output.iter().zip(flow.schema.fields()).enumerate().map(|(nth, (column, field))| {
        // A bound that is grouped by twice is there twice; the first will do.
        let name = match COLUMNS.contains(&column.from) && named.insert(bound_name(column.from)) {
            true => bound_name(column.from).to_owned(),
            false => format!("${nth}"),
        };
        (None, Arc::new(field.as_ref().clone().with_name(name)))
    });
    DFSchema::new_with_metadata(fields.collect(), Default::default())
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
    let Some((candidate, pass)) = per_key.below_window else {
        return Err(per_key.refuse("an aggregate over windows of what is no projection or filter"));
    };
    Ok(Some(PerKey { candidate: column_at(flow, candidate), pass: Some(column_at(flow, pass)) }))
}

/// Rows that change must keep the time of what they come from, and stay in windows that lie where they lie whatever rows there are.
fn check_changes(window: &WindowTvf, flow: &Flow) -> Result<()> {
    let name = window.windowing.name();
    let (message, hint) = match window.windowing.bounds() {
        Bounds::Fixed(_) if !flow.time.columns.is_empty() => return Ok(()),
        Bounds::Fixed(_) => (
            format!("{name} is over rows that change, and no column of theirs is the time of the stream"),
            "keep that column as it is: GROUP BY ts, or the rows of a ROW_NUMBER(); or take windows of the stream, and aggregate without \
             windows above them, not below",
        ),
        Bounds::OfRows { .. } | Bounds::OfOrder => (
            format!("{name} is over rows that change: where its windows lie depends on the rows themselves"),
            "TUMBLE, HOP and CUMULATE take rows that change",
        ),
    };
    Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(hint)))
}

fn scans(plan: &LogicalPlan) -> Vec<String> {
    match plan {
        LogicalPlan::TableScan(scan) => vec![scan.table_name.to_string()],
        other => other.inputs().into_iter().flat_map(scans).collect(),
    }
}
