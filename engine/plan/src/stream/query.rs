//! A whole query, step by step.

use datafusion::common::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;

use super::{lookup, lower, ranks, refuse, target};
use crate::catalog::Catalog;
use crate::dataflow::Dataflow;
use crate::planner::Target;
use crate::session::stream_optimizer;
use crate::statement::QueryOptions;

/// Plans a query that goes on for ever.
pub(crate) fn plan(
    plan: LogicalPlan,
    state: &SessionState,
    catalog: &Catalog,
    options: QueryOptions,
    into: Target<'_>,
) -> Result<Dataflow> {
    let plan = prepare(plan, state)?;
    let mut lower = lower::Lower { options, ..lower::Lower::new(state, catalog) };
    let flow = lower.lower(&plan, false)?;
    let dataflow = target::finish(lower, flow, &plan, into)?;
    lookup::check(&dataflow)?;
    Ok(dataflow)
}

/// Refuses what does not run as a stream, and brings the rest into the shape that is lowered.
pub(super) fn prepare(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    refuse::check(&plan)?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let plan = stream_optimizer().optimize(plan, state, |_, _| {})?;
    refuse::check_subqueries(&plan)?;
    ranks::sink_filters(plan)
}
