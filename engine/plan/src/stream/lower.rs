//! The walk over the logical plan: projections, filters, unions; scans, aggregates, joins, top-N and OVER are in files of their own.

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Union};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CaseExpr, Column as PhysicalColumn, Literal, lit};
use headwater_operators::{AssignWindowsSpec, Changes, OperatorSpec, WindowKind};

use super::flow::{Flow, Time, external, names_of};
use super::lookup::looked_up;
use super::ranks::{is_window, uses_last_column};
use super::refuse::refusal;
use super::watermark::{drop_watermark, tells_watermark_below, with_watermark};
use super::windowed::{AFTER_END, AFTER_TIME, after_start};
use crate::as_of::Versions;
use crate::catalog::Catalog;
use crate::dataflow::{Exchange, Source, Stage, StageInput, Upstream};
use crate::error::refused;
use crate::error::{Mistake, SqlError};
use crate::parse::LATERAL_HINT;
use crate::patterns::MatchNode;
use crate::physical::physical_expr;
use crate::state_ttl::{Hint, Keeps};
use crate::statement::QueryOptions;
use crate::window::{Bounds, WindowTvf};

/// What has been made so far.
pub(super) struct Lower<'a> {
    pub(super) state: &'a SessionState,
    pub(super) catalog: &'a Catalog,
    pub(super) sources: Vec<Source>,
    pub(super) stages: Vec<Stage>,
    /// What the query says of when its rows come out.
    pub(super) options: QueryOptions,
    /// Whether something takes late rows for as long as the query allows.
    pub(super) takes_late: bool,
    /// Whether what is lowered is below a window in processing time.
    pub(super) processing: bool,
    /// Whether what is lowered is below a `CURRENT_WATERMARK`.
    pub(super) tells_watermark: bool,
}

impl<'a> Lower<'a> {
    pub(super) fn new(state: &'a SessionState, catalog: &'a Catalog) -> Self {
        let (sources, stages, options) = (Vec::new(), Vec::new(), QueryOptions::default());
        let (takes_late, processing, tells_watermark) = Default::default();
        Self { state, catalog, sources, stages, options, takes_late, processing, tells_watermark }
    }

    /// A node and all below it. `below_window`: an aggregate over windows follows, which wants the rows that fail a filter, too,
    /// if the stream has a timeline per key.
    pub(super) fn lower(&mut self, plan: &LogicalPlan, below_window: bool) -> Result<Flow> {
        let above = self.tells_watermark;
        self.tells_watermark = tells_watermark_below(plan, above);
        let flow = self.lower_node(plan, below_window);
        self.tells_watermark = above;
        let mut flow = flow?;
        if !above {
            drop_watermark(&mut flow)?;
        }
        Ok(flow)
    }

    fn lower_node(&mut self, plan: &LogicalPlan, below_window: bool) -> Result<Flow> {
        match plan {
            LogicalPlan::TableScan(scan) if looked_up(plan).is_some() => Ok(Self::answers(scan)),
            LogicalPlan::TableScan(scan) => self.scan(scan, &[], below_window),
            LogicalPlan::SubqueryAlias(alias) => self.lower(&alias.input, below_window),
            LogicalPlan::Projection(projection) => self.projection(projection, below_window),
            LogicalPlan::Filter(filter) if is_window(&filter.input) => self.top_n(filter, true),
            LogicalPlan::Window(window) => self.over(window, None),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Join(join) => match looked_up(&join.right) {
                Some(table) => self.lookup(join, table),
                None => self.join(join, [None, None]),
            },
            LogicalPlan::Filter(filter) => {
                let mut flow = match filter.input.as_ref() {
                    LogicalPlan::TableScan(scan) if looked_up(&filter.input).is_none() => {
                        self.scan(scan, std::slice::from_ref(&filter.predicate), below_window)?
                    }
                    input => self.lower(input, below_window)?,
                };
                self.filter(&mut flow, &filter.predicate, filter.input.schema())?;
                Ok(flow)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, None),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                if let Some(versions) = node.downcast_ref::<Versions>() {
                    return self.lower(&versions.input, false);
                }
                if let Some(keeps) = node.downcast_ref::<Keeps>() {
                    return self.keeps(keeps);
                }
                match (node.downcast_ref::<WindowTvf>(), node.downcast_ref::<MatchNode>()) {
                    (Some(window), _) => self.assign_windows(window),
                    (None, Some(pattern)) => self.recognize(pattern),
                    (None, None) => Err(cannot(plan)),
                }
            }
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(relation) => Ok(self.empty_relation(relation)),
            other => Err(cannot(other)),
        }
    }

    /// A join, an aggregate or OVER with what hints say of its inputs.
    fn keeps(&mut self, keeps: &Keeps) -> Result<Flow> {
        let hints = keeps.hints.each_ref().map(Option::as_ref);
        match &keeps.input {
            LogicalPlan::Join(join) if looked_up(&join.right).is_none() => self.join(join, hints),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, hints[0]),
            LogicalPlan::Window(window) => self.over(window, hints[0]),
            other => {
                check_unused(hints)?;
                self.lower(other, false)
            }
        }
    }

    /// An expression over a flow, in the names of the node that the flow is made of.
    pub(super) fn physical(&self, expr: &Expr, names: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        physical_expr(self.state, expr.clone(), names)
    }

    pub(super) fn filter(&self, flow: &mut Flow, predicate: &Expr, node: &DFSchema) -> Result<()> {
        let names = names_of(node, &flow.schema)?;
        let predicate = self.physical(&with_watermark(predicate, flow, node)?, &names)?;
        let timeline = flow.time.per_key.as_ref().and_then(|per_key| per_key.below_window);
        let Some((_, pass)) = timeline else { return flow.filter(predicate) };
        // The row stays, for the sake of its key's timeline, and notes that it has not passed.
        let mut exprs = all_columns(flow);
        let passed = Arc::clone(&exprs[pass].0);
        exprs[pass].0 = when(passed, predicate, Some(lit(false)))?;
        let from: Vec<_> = (0..exprs.len()).map(Some).collect();
        flow.project(exprs, &from)
    }

    fn projection(&mut self, projection: &Projection, below_window: bool) -> Result<Flow> {
        let mut flow = match projection.input.as_ref() {
            LogicalPlan::Filter(filter) if is_window(&filter.input) => {
                let numbered = uses_last_column(&projection.expr, filter.input.schema());
                self.top_n(filter, numbered)?
            }
            input => self.lower(input, below_window)?,
        };
        let names = names_of(projection.input.schema(), &flow.schema)?;
        let timeline = flow.time.per_key.as_ref().and_then(|per_key| per_key.below_window);
        let (mut exprs, mut from) = (Vec::new(), Vec::new());
        for (expr, field) in projection.expr.iter().zip(projection.schema.fields()) {
            let expr = with_watermark(expr, &flow, projection.input.schema())?;
            let mut physical = self.physical(&expr, &names)?;
            let column = column_of(&physical);
            if let Some((_, pass)) = timeline
                && column.is_none()
                && !physical.is::<Literal>()
            {
                // A row that a filter below has kept out must not fail here.
                physical = when(column_at(&flow, pass), physical, None)?;
            }
            exprs.push((physical, field.name().clone()));
            from.push(column);
        }
        for column in timeline.iter().flat_map(|(time, pass)| [*time, *pass]) {
            exprs.push((column_at(&flow, column), flow.schema.field(column).name().clone()));
            from.push(Some(column));
        }
        if let Some(column) = flow.watermark {
            exprs.push((column_at(&flow, column), flow.schema.field(column).name().clone()));
            from.push(Some(column));
        }
        flow.project(exprs, &from)?;
        Ok(flow)
    }

    fn union(&mut self, union: &Union) -> Result<Flow> {
        let mut inputs = Vec::new();
        let mut schema = None;
        let mut time: Option<Time> = None;
        let mut changes = Changes::AppendOnly;
        for input in &union.inputs {
            let mut flow = self.lower(input, false)?;
            let names = union.schema.fields().iter().enumerate();
            let exprs = names.map(|(nth, field)| (column_at(&flow, nth), field.name().clone())).collect();
            let from: Vec<_> = (0..union.schema.fields().len()).map(Some).collect();
            flow.project(exprs, &from)?;
            if !flow.is_append_only() {
                changes = Changes::Retracting;
            }
            let columns = match &time {
                None => flow.time.columns.clone(),
                Some(time) => {
                    time.columns.iter().copied().filter(|column| flow.time.columns.contains(column)).collect()
                }
            };
            let per_key = time.as_ref().and_then(|time| time.per_key.clone());
            let per_key = per_key.or_else(|| Some(flow.time.per_key.as_ref()?.behind("UNION")));
            let delay = time.as_ref().map_or(0, |time| time.delay).max(flow.time.delay);
            let ends = match &time {
                None => flow.time.ends.clone(),
                Some(time) => time.ends.iter().copied().filter(|end| flow.time.ends.contains(end)).collect(),
            };
            time = Some(Time { columns, ends, delay, per_key });
            // The inputs may differ in which columns can be null: where one can, the union's can.
            schema = Some(match schema {
                None => Arc::clone(&flow.schema),
                Some(before) => nullable_where_either(&before, &flow.schema),
            });
            let from = Upstream::Stage(self.push(flow.into_stage()));
            inputs.push(StageInput { from, exchange: Exchange::Forward });
        }
        let (Some(schema), Some(time)) = (schema, time) else {
            return Err(cannot(&LogicalPlan::Union(union.clone())));
        };
        Ok(Flow::new(inputs, schema, changes, time))
    }

    /// Windows as columns, without an aggregate over them.
    fn assign_windows(&mut self, window: &WindowTvf) -> Result<Flow> {
        let kind = match window.windowing.bounds() {
            Bounds::Fixed(kind) => kind,
            Bounds::OfOrder => return self.ordered_windows(window),
            Bounds::OfRows { .. } => return self.session_rows(window),
        };
        let flow = self.window_input(window, false)?;
        let time = self.check_time(window, &flow)?;
        if let Some(per_key) = &flow.time.per_key {
            let name = window.windowing.name();
            return Err(per_key.refuse(&match self.revises() {
                Some(_) => format!("{name} with EMIT CHANGES, EMIT EVERY or ALLOW LATENESS"),
                None => format!("{name} without an aggregate by its windows"),
            }));
        }
        self.assigned(flow, window, kind, time)
    }

    /// A flow with the columns of windows of its time.
    pub(super) fn assigned(
        &mut self,
        mut flow: Flow,
        window: &WindowTvf,
        kind: WindowKind,
        time: usize,
    ) -> Result<Flow> {
        let own = window.input.schema().fields().len();
        flow.keep_first(own)?;
        let assign = AssignWindowsSpec::try_new(kind, Arc::clone(&flow.schema), time).map_err(external)?;
        let assign = assign.with_lateness(self.lateness()).with_changes(flow.changes.clone());
        flow.changes = assign.changes();
        flow.push(assign);
        self.takes_late = true;
        flow.time.columns.extend([own + 2, own + 1]);
        let late = if flow.is_append_only() { 0 } else { self.lateness() };
        let ends = [(own + 2, AFTER_TIME), (own + 1, AFTER_END), (own, after_start(kind))];
        flow.time.ends.extend(ends.map(|(column, after)| (column, after.saturating_add(late))));
        Ok(flow)
    }

    /// What a window is over. If its time is the arrival of rows, so is the time of all that it is over.
    pub(super) fn window_input(&mut self, window: &WindowTvf, below_window: bool) -> Result<Flow> {
        self.lower_timed(&window.input, window.is_in_processing_time(), below_window)
    }

    /// An input of which is known whether its time is the arrival of rows.
    pub(super) fn lower_timed(
        &mut self,
        input: &LogicalPlan,
        by_arrival: bool,
        below_window: bool,
    ) -> Result<Flow> {
        let before = self.processing;
        self.processing |= by_arrival;
        let flow = self.lower(input, below_window);
        self.processing = before;
        flow
    }

    /// All that a query reads has one kind of time.
    pub(super) fn check_one_time(&self) -> Result<()> {
        let timed = || self.sources.iter().filter_map(|source| Some((source, source.watermark.as_ref()?)));
        let event_time = timed().find(|(_, watermark)| !watermark.processing);
        match (event_time, timed().any(|(_, watermark)| watermark.processing)) {
            (Some((source, _)), true) => {
                let message = format!(
                    "one part of the query is in processing time, and '{}' is read in event time",
                    source.stream
                );
                let hint = "take the parts apart: a window's results are a stream of their own, INSERT INTO or CREATE MATERIALIZED VIEW";
                Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(hint)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn push(&mut self, stage: Stage) -> usize {
        self.stages.push(stage);
        self.stages.len() - 1
    }

    /// How far behind the watermark event time may lie in what comes from these.
    pub(super) fn delay_behind(&self, from: impl IntoIterator<Item = Upstream>) -> i64 {
        let delays = from.into_iter().map(|from| match from {
            Upstream::Stage(stage) => self.stages[stage].delay,
            Upstream::Source(_) => 0,
        });
        delays.max().unwrap_or_default()
    }

    /// Closes a flow's stage and goes on behind one operator with state.
    pub(super) fn exchange(
        &mut self,
        flow: Flow,
        keys: Vec<usize>,
        operator: Arc<dyn OperatorSpec>,
    ) -> StageInput {
        self.exchange_all(vec![(flow, keys)], operator)
    }

    /// The same for an operator with several inputs.
    pub(super) fn exchange_all(
        &mut self,
        flows: Vec<(Flow, Vec<usize>)>,
        operator: Arc<dyn OperatorSpec>,
    ) -> StageInput {
        let delay = flows.iter().map(|(flow, _)| flow.time.delay).max().unwrap_or_default();
        let mut inputs = Vec::with_capacity(flows.len());
        for (flow, keys) in flows {
            let from = match flow.bare_upstream() {
                Some(upstream) => upstream,
                None => Upstream::Stage(self.push(flow.into_stage())),
            };
            let exchange = if keys.is_empty() { Exchange::Gather } else { Exchange::Hash(keys) };
            inputs.push(StageInput { from, exchange });
        }
        let schema = operator.schema();
        let stage = Stage { inputs, operators: vec![operator], schema, delay };
        StageInput { from: Upstream::Stage(self.push(stage)), exchange: Exchange::Forward }
    }
}

/// The error for a node that no operator does.
pub(super) fn cannot(plan: &LogicalPlan) -> datafusion::common::DataFusionError {
    // Those in expressions never come here as a node.
    let lateral = || {
        let error = SqlError::new(Mistake::NotStreaming, "a LATERAL subquery does not run as a stream");
        matches!(plan, LogicalPlan::Subquery(_)).then(|| error.hint(LATERAL_HINT))
    };
    refused(refusal(plan).or_else(lateral).unwrap_or_else(|| {
        let name = plan.display().to_string();
        let name = name.split([':', ' ']).next().unwrap_or_default().to_owned();
        SqlError::new(Mistake::NotStreaming, format!("{name} does not run as a stream"))
            .hint("run it as a bounded query over the rows so far")
    }))
}

/// Where nothing is kept for ever, hints that end it are mistakes.
pub(super) fn check_unused(hints: [Option<&Hint>; 2]) -> Result<()> {
    match hints.into_iter().flatten().next() {
        Some(hint) => Err(refused(hint.unused.clone())),
        None => Ok(()),
    }
}

/// The index of the column that an expression is, if it is nothing more.
pub(super) fn column_of(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expr.downcast_ref::<PhysicalColumn>().map(PhysicalColumn::index)
}

pub(super) fn column_at(flow: &Flow, column: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(PhysicalColumn::new(flow.schema.field(column).name(), column))
}

pub(super) fn all_columns(flow: &Flow) -> Vec<(Arc<dyn PhysicalExpr>, String)> {
    let fields = flow.schema.fields().iter().enumerate();
    fields.map(|(nth, field)| (column_at(flow, nth), field.name().clone())).collect()
}

fn when(
    condition: Arc<dyn PhysicalExpr>,
    then: Arc<dyn PhysicalExpr>,
    otherwise: Option<Arc<dyn PhysicalExpr>>,
) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(Arc::new(CaseExpr::try_new(None, vec![(condition, then)], otherwise)?))
}

fn nullable_where_either(
    a: &arrow::datatypes::SchemaRef,
    b: &arrow::datatypes::SchemaRef,
) -> arrow::datatypes::SchemaRef {
    let fields = a.fields().iter().zip(b.fields());
    let fields = fields.map(|(a, b)| a.as_ref().clone().with_nullable(a.is_nullable() || b.is_nullable()));
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}
