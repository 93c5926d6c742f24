//! What is replayed: the job's own definition, or another one fitted to what the job writes into.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use headwater_plan::{Catalog, Dataflow, Entry, Query, Statement, Target, parse_one};

use crate::ReplaySpec;
use crate::engine::Inner;
use crate::error::{Result, RunError};

/// What is replayed.
pub(super) struct Definition {
    pub dataflow: Arc<Dataflow>,
    /// Whether it is the job's own, which the journal belongs to.
    pub own: bool,
    /// The column by which a result belongs to a stretch.
    pub time: Option<usize>,
}

/// Plans the job's own definition, or the one that `spec` gives. A query is fitted to what the job writes into if it is to be
/// compared with it, and otherwise only if it can be.
pub(super) fn plan(
    inner: &Arc<Inner>,
    catalog: &Catalog,
    entry: &Entry,
    spec: &ReplaySpec,
) -> Result<Definition> {
    let own = own_plan(inner, catalog, entry, spec.speed.is_some())?;
    let time = time_of(&own);
    let Some(text) = spec.query.as_deref() else {
        return Ok(Definition { dataflow: Arc::new(own), own: true, time });
    };
    let statement = parse_one(text)?.statement;
    if let Some(other) = decision_of(inner, catalog, &statement)? {
        return match !spec.diff || has_columns_of(&other, &own) {
            true => Ok(Definition { time: time_of(&other), dataflow: Arc::new(other), own: false }),
            false => Err(misfit(&other, &own, entry)),
        };
    }
    let query = query_of(statement)?;
    match inner.plan_of(catalog, entry, Some(&query)) {
        Ok(fitted) if takes_queries(entry) && has_columns_of(&fitted, &own) => {
            Ok(Definition { dataflow: Arc::new(fitted), own: false, time })
        }
        Ok(other) if spec.diff => Err(misfit(&other, &own, entry)),
        Err(error) if spec.diff => Err(error),
        _ => {
            let free = inner.planner.stream(catalog, &inner.tables(), &query, Target::Anywhere)?;
            let time = time_of(&free);
            Ok(Definition { dataflow: Arc::new(free), own: false, time })
        }
    }
}

/// The job's own definition, to be compared with another one over the same stretch.
pub(super) fn plan_compared(inner: &Arc<Inner>, catalog: &Catalog, entry: &Entry) -> Result<Definition> {
    let own = own_plan(inner, catalog, entry, true)?;
    Ok(Definition { time: time_of(&own), dataflow: Arc::new(own), own: true })
}

/// The plan of the job's own definition, for the steps of the journal or for others.
fn own_plan(inner: &Arc<Inner>, catalog: &Catalog, entry: &Entry, other_steps: bool) -> Result<Dataflow> {
    match entry {
        // Steps of its own know of no progress: what came of its activities belongs to what it decided then.
        Entry::ScalingGroup(group) if other_steps => {
            Ok(inner.planner.scaling_group(catalog, &inner.tables(), group, true)?)
        }
        _ => inner.plan_of(catalog, entry, None),
    }
}

/// The plan of an alarm, a scaling group or a trigger that a statement would create.
fn decision_of(inner: &Arc<Inner>, catalog: &Catalog, statement: &Statement) -> Result<Option<Dataflow>> {
    let tables = inner.tables();
    Ok(match statement {
        Statement::CreateAlarm(alarm) => Some(inner.planner.alarm(catalog, &tables, &alarm.definition)?),
        Statement::CreateScalingGroup(group) => {
            Some(inner.planner.scaling_group(catalog, &tables, &group.definition, true)?)
        }
        Statement::CreateTrigger(trigger) => {
            Some(inner.planner.trigger(catalog, &tables, &trigger.definition)?.dataflow)
        }
        _ => None,
    })
}

/// Whether an entry is a query, so that another query can stand in its place.
fn takes_queries(entry: &Entry) -> bool {
    matches!(entry, Entry::Job(_) | Entry::MaterializedView(_))
}

fn misfit(other: &Dataflow, own: &Dataflow, entry: &Entry) -> RunError {
    RunError::Invalid(format!(
        "the other definition gives ({}), the job {} gives ({}): they cannot be compared",
        columns_of(&other.result.schema),
        entry.name(),
        columns_of(&own.result.schema),
    ))
}

fn query_of(statement: Statement) -> Result<Query> {
    match statement {
        Statement::Query(query) => Ok(query),
        Statement::Insert(insert) => Ok(insert.query),
        Statement::CreateJob(job) => Ok(job.definition.query),
        Statement::CreateMaterializedView(view) => Ok(view.definition.query),
        _ => Err(RunError::Invalid("the other definition of a job must be a query".into())),
    }
}

/// A view takes any columns; two that are compared must have the same.
fn has_columns_of(one: &Dataflow, other: &Dataflow) -> bool {
    let types = |dataflow: &Dataflow| -> Vec<DataType> {
        dataflow.result.schema.fields().iter().map(|field| field.data_type().clone()).collect()
    };
    types(one) == types(other)
}

fn columns_of(schema: &SchemaRef) -> String {
    let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    columns.collect::<Vec<_>>().join(", ")
}

fn time_of(dataflow: &Dataflow) -> Option<usize> {
    let fields = dataflow.result.schema.fields();
    let first = || fields.iter().position(|field| matches!(field.data_type(), DataType::Timestamp(..)));
    dataflow.result.event_time.or_else(first)
}
