//! Joins with tables that are looked up.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Join as JoinNode, LogicalPlan, TableScan};
use headwater_operators::{Changes, Lookup, LookupRetry, LookupSpec, OperatorSpec};

use super::flow::{Flow, Time, external};
use super::joins::{drop_computed, pair_names, same_types};
use super::lower::Lower;
use crate::dataflow::{Dataflow, Exchange, Stage, StageInput, Upstream};
use crate::error::{Mistake, SqlError, refused};
use crate::lookup::looked_up_name;

/// A table that is looked up, as a side of a join.
pub(super) struct LookedUp<'a> {
    scan: &'a TableScan,
    table: String,
    retry: Option<LookupRetry>,
}

/// The scan of a table that is looked up, if a side of a join is nothing more than that, filtered and projected.
pub(super) fn looked_up(plan: &LogicalPlan) -> Option<LookedUp<'_>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => looked_up(&alias.input),
        LogicalPlan::Projection(projection) => looked_up(&projection.input),
        LogicalPlan::Filter(filter) => looked_up(&filter.input),
        LogicalPlan::TableScan(scan) => {
            let name = scan.table_name.to_string();
            looked_up_name(&name).map(|(retry, table)| LookedUp { scan, table: table.to_owned(), retry })
        }
        _ => None,
    }
}

fn wrong(message: String, hint: &str) -> datafusion::common::DataFusionError {
    refused(SqlError::new(Mistake::NotStreaming, message).hint(hint))
}

/// Everything that is looked up must have become part of a join by now.
pub(super) fn check(dataflow: &Dataflow) -> Result<()> {
    if dataflow.stages.iter().all(|stage| !stage.inputs.is_empty()) {
        return Ok(());
    }
    Err(wrong(
        "a table that is looked up stands on the right of an inner or left join, filtered and projected at most".into(),
        "s LEFT JOIN d FOR SYSTEM_TIME AS OF PROCTIME() AS d ON s.key = d.key",
    ))
}

impl Lower<'_> {
    /// The rows that a table answers: nothing gives them yet.
    pub(super) fn answers(scan: &TableScan) -> Flow {
        let schema: SchemaRef = Arc::new(scan.projected_schema.as_arrow().clone());
        Flow::new(Vec::new(), schema, Changes::AppendOnly, Time::default())
    }

    pub(super) fn lookup(&mut self, join: &JoinNode, looked_up: LookedUp<'_>) -> Result<Flow> {
        let LookedUp { scan, table, retry } = looked_up;
        let is_left = match join.join_type {
            JoinType::Inner => false,
            JoinType::Left => true,
            other => {
                return Err(wrong(
                    format!("a {other} join with '{table}' would need all of its rows"),
                    "JOIN or LEFT JOIN, with the stream on the left",
                ));
            }
        };
        let (on, more) = same_types(join.on.clone(), join.left.schema(), join.right.schema())?;
        if on.is_empty() {
            return Err(wrong(
                format!("'{table}' is asked for the rows of a key, and ON names none"),
                "ON s.key = d.key",
            ));
        }
        let mut left = self.side(&join.left, on.iter().map(|(left, _)| left), "left")?;
        let right = self.side(&join.right, on.iter().map(|(_, right)| right), "right")?;
        if !left.flow.is_append_only() {
            return Err(wrong(
                format!(
                    "rows that change cannot be joined with '{table}': it may answer otherwise when a row is retracted"
                ),
                "look the rows up first, and aggregate then",
            ));
        }
        let key_columns = on.iter().map(|(_, key)| key_column(key, scan, &table)).collect::<Result<_>>()?;
        let residual = conjunction(join.filter.iter().flat_map(split_conjunction).cloned().chain(more));
        let names = pair_names(&left, &right)?;
        let residual = residual.map(|expr| self.physical(&expr, &names)).transpose()?;
        let widths = [&left, &right].map(|side| (side.node.fields().len(), side.flow.schema.fields().len()));
        let spec = LookupSpec::try_new(Lookup {
            table,
            input: Arc::clone(&left.flow.schema),
            keys: std::mem::take(&mut left.keys),
            fetched: Arc::new(scan.projected_schema.as_arrow().clone()),
            key_columns,
            answer: right.flow.operators.clone(),
            answered: Arc::clone(&right.flow.schema),
            answer_keys: right.keys,
            residual,
            is_left,
            retry,
        });
        let operator: Arc<dyn OperatorSpec> = Arc::new(spec.map_err(external)?);
        let (schema, time) = (operator.schema(), left.flow.time.clone().without_timelines("a lookup join"));
        let from = match left.flow.bare_upstream() {
            Some(upstream) => upstream,
            None => Upstream::Stage(self.push(left.flow.into_stage())),
        };
        let inputs = vec![StageInput { from, exchange: Exchange::Forward }];
        let delay = time.delay;
        let stage = Stage { inputs, operators: vec![operator], schema: Arc::clone(&schema), delay };
        let from = Upstream::Stage(self.push(stage));
        let inputs = vec![StageInput { from, exchange: Exchange::Forward }];
        let mut flow = Flow::new(inputs, schema, Changes::AppendOnly, time);
        drop_computed(&mut flow, widths)?;
        Ok(flow)
    }
}

/// The table's column that a key is, whatever it is cast to.
fn key_column(key: &Expr, scan: &TableScan, table: &str) -> Result<String> {
    match key {
        Expr::Cast(cast) => key_column(&cast.expr, scan, table),
        Expr::TryCast(cast) => key_column(&cast.expr, scan, table),
        Expr::Alias(alias) => key_column(&alias.expr, scan, table),
        Expr::Column(column) if has(&scan.projected_schema, &column.name) => Ok(column.name.clone()),
        other => Err(wrong(
            format!("'{table}' can be asked by its columns alone, not by {other}"),
            "compute on the stream's side of ON",
        )),
    }
}

fn has(schema: &DFSchema, name: &str) -> bool {
    let schema: &Schema = schema.as_arrow();
    schema.field_with_name(name).is_ok()
}
