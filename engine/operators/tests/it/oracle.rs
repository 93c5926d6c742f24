//! DataFusion: plans aggregate calls, and computes the same in one go.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use headwater_operators::AggregateCall;

fn context(batch: RecordBatch) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The rows that a query over table `t` gives.
pub fn query(batch: RecordBatch, sql: &str) -> RecordBatch {
    let context = context(batch);
    block_on(async {
        let frame = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let schema = batches.first().map_or(schema, |batch| batch.schema());
        concat_batches(&schema, &batches).unwrap()
    })
}

/// The aggregate calls of `SELECT <list> FROM t`.
pub fn calls(schema: &SchemaRef, list: &[&str]) -> Vec<AggregateCall> {
    let context = context(RecordBatch::new_empty(Arc::clone(schema)));
    list.iter()
        .map(|text| {
            let sql = format!("SELECT {text} FROM t");
            let plan = block_on(context.state().create_logical_plan(&sql)).unwrap();
            let state = context.state();
            let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).unwrap();
            let (expr, input) = aggregate(&plan).unwrap_or_else(|| panic!("{sql} has no aggregate"));
            let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
            let lowered =
                LoweredAggregateBuilder::new(&expr, &input, schema, &props, &planning).build().unwrap();
            AggregateCall::try_new(lowered.aggregate, lowered.filter).unwrap()
        })
        .collect()
}

fn aggregate(plan: &LogicalPlan) -> Option<(datafusion::logical_expr::Expr, datafusion::common::DFSchema)> {
    match plan {
        LogicalPlan::Aggregate(node) => {
            Some((node.aggr_expr[0].clone(), node.input.schema().as_ref().clone()))
        }
        other => other.inputs().into_iter().find_map(aggregate),
    }
}
