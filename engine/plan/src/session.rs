//! The DataFusion session that queries are planned and run in: its settings, functions and our window node.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{QueryPlanner, SessionState};
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::optimizer::optimizer::OptimizerRule;
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use headwater_functions::{
    ArrowPlanner, DecimalCasts, DecimalPlanner, MapKeyPlanner, TextCasts, element_functions,
    flink_aggregates, flink_functions, json_aggregates, json_functions, text_type,
};
use headwater_operators::sequences;

use crate::parse::{arrow_type, length_of};
use crate::patterns::PatternPlanner;
use crate::window::WindowPlanner;
/// Names that Flink has for functions of DataFusion, with the same arguments and meaning.
const ALIASES: [(&str, &str); 5] = [
    ("ceil", "ceiling"),
    ("trunc", "truncate"),
    ("starts_with", "startswith"),
    ("ends_with", "endswith"),
    ("map", "map_from_arrays"),
];

/// The same of aggregates.
const AGGREGATE_ALIASES: [(&str, &str); 3] =
    [("grouping", "grouping_id"), ("approx_distinct", "approx_count_distinct"), ("var_samp", "variance")];

/// The rule that leaves out columns which are not used.
const PRUNING: &str = "optimize_projections";

/// What a sort keeps of its memory to merge what it has put into files: DataFusion's own measure, or less of a small pool.
const MERGE_BYTES: usize = 10 << 20;

/// A session with all of DataFusion's functions and ours. Queries that run once share the runtime's memory.
pub(crate) fn new_session(runtime: Option<Arc<RuntimeEnv>>) -> SessionState {
    let mut config = SessionConfig::new();
    let runtime = runtime.unwrap_or_default();
    if let MemoryLimit::Finite(bytes) = runtime.memory_pool.memory_limit() {
        config.options_mut().execution.sort_spill_reservation_bytes = MERGE_BYTES.min(bytes / 16);
    }
    let parser = &mut config.options_mut().sql_parser;
    parser.collect_spans = true;
    parser.map_string_types_to_utf8view = false;
    let mut state = SessionStateBuilder::new()
        // Before DataFusion's own, which plans every access.
        .with_expr_planners(vec![Arc::new(MapKeyPlanner)])
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_query_planner(Arc::new(Physical))
        .with_type_planner(Arc::new(Types))
        .with_analyzer_rules(analyzer_rules())
        .build();
    for (name, alias) in ALIASES {
        if let Some(function) = state.scalar_functions().get(name).cloned() {
            let function = Arc::unwrap_or_clone(function).with_aliases([alias]);
            // Registering fails only in registries that are read-only.
            let _ = state.register_udf(Arc::new(function));
        }
    }
    for (name, alias) in AGGREGATE_ALIASES {
        if let Some(function) = state.aggregate_functions().get(name).cloned() {
            let function = Arc::unwrap_or_clone(function).with_aliases([alias]);
            // As above.
            let _ = state.register_udaf(Arc::new(function));
        }
    }
    let ours = flink_functions()
        .into_iter()
        .chain(json_functions())
        .chain(element_functions())
        .chain(sequences::scalar_functions())
        .chain(crate::as_of::functions());
    for function in ours {
        // As above.
        let _ = state.register_udf(Arc::new(function));
    }
    // As above.
    let _ = state.register_expr_planner(Arc::new(ArrowPlanner));
    let _ = state.register_expr_planner(Arc::new(DecimalPlanner));
    let ours =
        sequences::aggregate_functions().into_iter().chain(json_aggregates()).chain(flink_aggregates());
    for function in ours {
        // As above.
        let _ = state.register_udaf(Arc::new(function));
    }
    state
}

/// DataFusion's, and before them what asks which casts somebody has written.
fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(TextCasts)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(DecimalCasts));
    rules
}

/// The optimiser for streams: the rules that keep a plan recognisable. It prunes columns and pushes filters down to
/// the scans, and turns subqueries in conditions into joins; it never turns an aggregate into two. Unless it `prunes`, all columns
/// are read.
pub(crate) fn stream_optimizer(prunes: bool) -> Optimizer {
    const RULES: [&str; 11] = [
        "optimize_unions",
        "simplify_expressions",
        "replace_distinct_aggregate",
        "decorrelate_predicate_subquery",
        "scalar_subquery_to_join",
        "extract_equijoin_predicate",
        "eliminate_cross_join",
        "eliminate_outer_join",
        "eliminate_duplicated_expr",
        "push_down_filter",
        PRUNING,
    ];
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        Optimizer::new().rules.into_iter().filter(|rule| RULES.contains(&rule.name())).collect();
    debug_assert_eq!(rules.len(), RULES.len(), "DataFusion renamed a rule");
    let kept = |rule: &Arc<dyn OptimizerRule + Send + Sync>| prunes || rule.name() != PRUNING;
    Optimizer::with_rules(rules.into_iter().filter(kept).collect())
}

#[derive(Debug)]
struct Physical;

#[async_trait]
impl QueryPlanner for Physical {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![
            Arc::new(WindowPlanner),
            Arc::new(PatternPlanner),
        ]);
        planner.create_physical_plan(plan, session).await
    }
}

/// Types in CAST have the meaning that they have in CREATE STREAM.
#[derive(Debug)]
pub(crate) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        use datafusion::common::datatype::DataTypeExt;
        let field = arrow_type(sql_type).map(DataTypeExt::into_nullable_field_ref);
        Ok(field.map(|field| text_type(field, length_of(sql_type))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::WITH_LAMBDAS;

    #[test]
    fn the_parser_knows_who_takes_lambdas() {
        let mut known: Vec<_> = new_session(None).higher_order_functions().keys().cloned().collect();
        known.sort();
        assert_eq!(known, WITH_LAMBDAS);
    }
}
