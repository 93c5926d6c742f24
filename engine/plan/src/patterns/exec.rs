//! How DataFusion runs a pattern over the rows so far: the operator of the streams, over all rows at once, to their
//! end.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt};
use headwater_core::EventTime;
use headwater_operators::{MatchRecognizeSpec, OperatorSpec, Output, Rows};

use super::node::MatchNode;

/// Turns [`MatchNode`] into an execution plan.
#[derive(Debug)]
pub(crate) struct PatternPlanner;

#[async_trait]
impl ExtensionPlanner for PatternPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<MatchNode>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("a pattern has one input") };
        let physical = |expr: &Expr, names: &DFSchema| {
            // What stands for the moment of the query, such as now(), becomes a literal.
            let context = SimplifyContext::builder()
                .with_schema(Arc::new(names.clone()))
                .with_config_options(Arc::clone(session.config().options()))
                .with_query_execution_start_time(session.execution_props().query_execution_start_time)
                .build();
            let simplifier = ExprSimplifier::new(context);
            let expr = simplifier.simplify(simplifier.coerce(expr.clone(), names)?)?;
            session.create_physical_expr(expr, names)
        };
        let operator = node.operator(&input.schema(), &physical)?;
        Ok(Some(Arc::new(MatchExec::new(Arc::clone(input), operator))))
    }
}

#[derive(Debug)]
struct MatchExec {
    input: Arc<dyn ExecutionPlan>,
    operator: MatchRecognizeSpec,
    properties: Arc<PlanProperties>,
}

impl MatchExec {
    fn new(input: Arc<dyn ExecutionPlan>, operator: MatchRecognizeSpec) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(operator.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, operator, properties: Arc::new(properties) }
    }
}

impl DisplayAs for MatchExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatchExec: {}", self.operator.describe())
    }
}

impl ExecutionPlan for MatchExec {
    fn name(&self) -> &str {
        "MatchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("a pattern has one input") };
        Ok(Arc::new(Self::new(input, self.operator.clone())))
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (operator, schema) = (self.operator.clone(), self.operator.schema());
        let out_schema: SchemaRef = Arc::clone(&schema);
        let found = futures::stream::once(matches(input, operator)).map_ok(|batches| {
            futures::stream::iter(batches.into_iter().map(Ok::<RecordBatch, DataFusionError>))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(out_schema, found.try_flatten().boxed())))
    }
}

/// Runs the operator over all rows, to the end of time.
async fn matches(
    mut input: SendableRecordBatchStream,
    operator: MatchRecognizeSpec,
) -> Result<Vec<RecordBatch>> {
    let external = |error| DataFusionError::External(Box::new(error));
    let mut instance = operator.instantiate().map_err(external)?;
    let mut out = Output::default();
    while let Some(batch) = input.try_next().await? {
        instance.on_batch(0, Rows::new(batch), &mut out).map_err(external)?;
    }
    instance.on_watermark(EventTime::MAX, &mut out).map_err(external)?;
    Ok(out.rows.into_iter().map(|rows| rows.batch).collect())
}
