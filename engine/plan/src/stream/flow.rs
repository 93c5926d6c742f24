//! What a node of the logical plan becomes on its way to a [`crate::Dataflow`].

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use headwater_operators::{Changes, Complete, FilterSpec, OperatorSpec, ProjectSpec};

use crate::dataflow::{Exchange, Stage, StageInput, Upstream};
use crate::error::{Mistake, SqlError, refused};

/// Operators that still wait for their stage, and what is known of the rows that come out of them.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) inputs: Vec<StageInput>,
    pub(super) operators: Vec<Arc<dyn OperatorSpec>>,
    pub(super) schema: SchemaRef,
    pub(super) changes: Changes,
    pub(super) time: Time,
    /// The column that holds the watermark before each row, if one above asks for it.
    pub(super) watermark: Option<usize>,
    /// Whether all its rows are there when others come, or can be made to be.
    pub(super) complete: Option<Complete>,
    /// What the last operator computes from what, if it is a projection: the next one is merged with it.
    projected: Option<Projected>,
}

#[derive(Debug)]
struct Projected {
    input: SchemaRef,
    exprs: Exprs,
}

/// Expressions and the names of their columns.
pub(super) type Exprs = Vec<(Arc<dyn PhysicalExpr>, String)>;

/// What is known of event time in a flow.
#[derive(Debug, Clone, Default)]
pub(super) struct Time {
    /// The columns by which windows can close: the source's own time, or a window's. Where rows change only windows go by them.
    pub(super) columns: Vec<usize>,
    /// Columns that stand for a whole window, which ends when the watermark is more than so many nanoseconds past them: -1 for its
    /// end, which does not belong to it. Of several, that of the end comes before that of the start, from which the end may lie further
    /// than it must. A window's start is here and not among `columns`: windows over it would close before its rows come. Where rows
    /// change the lateness is a part of the ends, by which the last change has come; where windows come out before, there are no `columns`.
    pub(super) ends: Vec<(usize, i64)>,
    /// How far behind the watermark these columns may lie, in nanoseconds.
    pub(super) delay: i64,
    /// The timeline per key, if the source has one.
    pub(super) per_key: Option<PerKeyColumns>,
}

/// Where a flow carries what a timeline per key needs.
///
/// Only aggregates over windows follow such timelines, right above the stream: whatever else goes by event time refuses them.
#[derive(Debug, Clone)]
pub(super) struct PerKeyColumns {
    /// The stream's name, for messages.
    pub(super) stream: String,
    /// The key's names, and where they are, if they have come this far unchanged.
    pub(super) keys: Vec<(String, Option<usize>)>,
    /// Below a window: the columns of the key's watermark and of whether the row has passed the filters.
    pub(super) below_window: Option<(usize, usize)>,
    /// What the rows have come through in which their timelines are lost.
    pub(super) behind: Option<&'static str>,
}

impl PerKeyColumns {
    /// The same behind what loses the timelines.
    pub(super) fn behind(&self, what: &'static str) -> Self {
        let behind = self.behind.or(Some(what));
        Self { below_window: None, behind, ..self.clone() }
    }

    /// The refusal of what goes by event time, and not by timelines per key.
    pub(super) fn refuse(&self, what: &str) -> DataFusionError {
        let behind = self.behind.map(|behind| format!(" behind {behind}")).unwrap_or_default();
        let stream = &self.stream;
        let message = format!(
            "{what} does not run over '{stream}'{behind}, whose keys have timelines of their own (PER)"
        );
        let keys: Vec<&str> = self.keys.iter().map(|(name, _)| name.as_str()).collect();
        let hint = format!(
            "timelines per key go through aggregates over the stream's own windows alone: GROUP BY {}, window_start, window_end; \
             for anything else declare the watermark without PER",
            keys.join(", ")
        );
        refused(SqlError::new(Mistake::NotStreaming, message).hint(hint))
    }
}

impl Time {
    /// Behind an operator that gives out what belongs to a window when that ends; `from` as in [`Self::follow`]. Only bounds of windows
    /// are times there.
    pub(super) fn at_ends(&self, from: &[Option<usize>]) -> Self {
        let mut time = Self { per_key: None, ..self.clone() };
        time.follow(from);
        time.columns.retain(|column| time.ends.iter().any(|(end, _)| end == column));
        time
    }

    /// Behind an operator whose rows come before their window has ended and change until so many nanoseconds after it.
    pub(super) fn revised(mut self, lateness: i64) -> Self {
        self.columns.clear();
        self.ends.iter_mut().for_each(|(_, after)| *after = after.saturating_add(lateness));
        self
    }

    /// How far a window's end is behind a column, if the column stands for a window.
    pub(super) fn end_of(&self, column: usize) -> Option<i64> {
        self.ends.iter().find(|(end, _)| *end == column).map(|(_, after)| *after)
    }

    /// Behind what loses the timelines of keys, which are refused from there on where they are asked for.
    pub(super) fn without_timelines(self, what: &'static str) -> Self {
        let per_key = self.per_key.as_ref().map(|per_key| per_key.behind(what));
        Self { per_key, ..self }
    }

    /// The column of event time of a result.
    pub(super) fn of_result(&self) -> Option<usize> {
        let is_lost = self.per_key.as_ref().is_some_and(|per_key| per_key.behind.is_some());
        self.columns.first().copied().filter(|_| !is_lost)
    }

    /// Behind an operator that gives out changes of rows with the step that makes them; `from` as in [`Self::follow`].
    pub(super) fn of_changes(&self, from: &[Option<usize>]) -> Self {
        let mut time = Self { ends: Vec::new(), ..self.clone() };
        time.follow(from);
        if time.columns.is_empty() || time.per_key.is_some() { Self::default() } else { time }
    }

    /// The same behind an operator with other columns. `from` says for each of them which old one it is, if it is one unchanged.
    pub(super) fn follow(&mut self, from: &[Option<usize>]) {
        let place = |old: usize| from.iter().position(|column| *column == Some(old));
        self.columns = self.columns.iter().filter_map(|column| place(*column)).collect();
        let ends = self.ends.iter();
        self.ends = ends.filter_map(|(column, after)| Some((place(*column)?, *after))).collect();
        if let Some(per_key) = &mut self.per_key {
            for (_, column) in &mut per_key.keys {
                *column = column.and_then(place);
            }
            per_key.below_window =
                per_key.below_window.and_then(|(time, pass)| Some((place(time)?, place(pass)?)));
        }
    }
}

impl Flow {
    pub(super) fn new(inputs: Vec<StageInput>, schema: SchemaRef, changes: Changes, time: Time) -> Self {
        let (operators, watermark, complete, projected) = Default::default();
        Self { inputs, operators, schema, changes, time, watermark, complete, projected }
    }

    /// Adds an operator; rows have its columns from here on.
    pub(super) fn push(&mut self, operator: impl OperatorSpec + 'static) {
        self.schema = operator.schema();
        self.operators.push(Arc::new(operator));
        self.projected = None;
    }

    pub(super) fn filter(&mut self, predicate: Arc<dyn PhysicalExpr>) -> Result<()> {
        let filter = FilterSpec::try_new(predicate, Arc::clone(&self.schema)).map_err(external)?;
        self.push(filter.with_changes(self.changes.clone()));
        Ok(())
    }

    /// Replaces the columns. `from` says for each new column which old one it is, if it is one unchanged.
    pub(super) fn project(&mut self, exprs: Exprs, from: &[Option<usize>]) -> Result<()> {
        let (input, exprs) = match self.projected.take() {
            Some(before) if can_merge(&before.exprs, &exprs) => {
                self.operators.pop();
                (before.input, merge(&before.exprs, exprs)?)
            }
            _ => (Arc::clone(&self.schema), exprs),
        };
        let place = |old: usize| from.iter().position(|column| *column == Some(old));
        self.changes = match &self.changes {
            Changes::Updating { key } => match key.iter().map(|column| place(*column)).collect() {
                Some(key) => Changes::Updating { key },
                None => Changes::Retracting,
            },
            other => other.clone(),
        };
        let project = ProjectSpec::try_new(exprs.clone(), &input).map_err(external)?;
        self.push(project.with_changes(self.changes.clone()));
        self.projected = Some(Projected { input, exprs });
        self.time.follow(from);
        self.watermark = self.watermark.and_then(place);
        Ok(())
    }

    /// Keeps the first columns alone.
    pub(super) fn keep_first(&mut self, columns: usize) -> Result<()> {
        if self.schema.fields().len() == columns {
            return Ok(());
        }
        let name = |nth: usize| self.schema.field(nth).name().clone();
        let column = |nth: usize| Arc::new(Column::new(&name(nth), nth)) as Arc<dyn PhysicalExpr>;
        let exprs = (0..columns).map(|nth| (column(nth), name(nth))).collect();
        let from: Vec<_> = (0..columns).map(Some).collect();
        self.project(exprs, &from)
    }

    pub(super) fn is_append_only(&self) -> bool {
        self.changes == Changes::AppendOnly
    }

    /// Where the rows come from, if nothing waits to be done with them.
    pub(super) fn bare_upstream(&self) -> Option<Upstream> {
        match self.inputs.as_slice() {
            [StageInput { from, exchange: Exchange::Forward }] if self.operators.is_empty() => Some(*from),
            _ => None,
        }
    }

    pub(super) fn into_stage(self) -> Stage {
        Stage { inputs: self.inputs, operators: self.operators, schema: self.schema, delay: self.time.delay }
    }
}

/// Whether nothing would be computed twice.
fn can_merge(before: &Exprs, after: &Exprs) -> bool {
    let mut uses = vec![0; before.len()];
    for (expr, _) in after {
        let _ = expr.apply(|part| {
            if let Some(column) = part.downcast_ref::<Column>() {
                uses[column.index()] += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    let is_free = |expr: &Arc<dyn PhysicalExpr>| expr.is::<Column>() || expr.is::<Literal>();
    before.iter().zip(uses).all(|((expr, _), uses)| uses <= 1 || is_free(expr))
}

fn merge(before: &Exprs, after: Exprs) -> Result<Exprs> {
    let merged = after.into_iter().map(|(expr, name)| {
        let expr = expr.transform_up(|part| {
            let below = part.downcast_ref::<Column>().map(|column| Arc::clone(&before[column.index()].0));
            Ok(below.map_or_else(|| Transformed::no(part), Transformed::yes))
        })?;
        Ok((expr.data, name))
    });
    merged.collect()
}

/// The columns of a flow under a node's names, those that follow under their own.
pub(super) fn names_of(node: &DFSchema, schema: &SchemaRef) -> Result<DFSchema> {
    let mut fields: Vec<_> =
        node.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    fields.extend(schema.fields()[fields.len()..].iter().map(|field| (None, Arc::clone(field))));
    DFSchema::new_with_metadata(fields, Default::default())
}

/// An operator's error, which says what it does not take.
pub(super) fn external(error: headwater_operators::OperatorError) -> DataFusionError {
    refused(SqlError::new(Mistake::NotStreaming, error.to_string()))
}
