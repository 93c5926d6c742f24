//! A whole query to a dataflow that goes on for ever: checked, brought into shape, lowered.

use datafusion::common::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;

use super::{lookup, lower, ranks, refuse, target};
use crate::catalog::Catalog;
use crate::dataflow::Dataflow;
use crate::planner::Target;
use crate::session::stream_optimizer;
use crate::state_ttl;
use crate::statement::QueryOptions;

/// Plans a query that goes on for ever.
pub(crate) fn plan(
    plan: LogicalPlan,
    state: &SessionState,
    catalog: &Catalog,
    options: QueryOptions,
    into: Target<'_>,
) -> Result<Dataflow> {
    let plan = prepare(plan, state, options.late.is_none())?;
    let mut lower = lower::Lower { options, ..lower::Lower::new(state, catalog) };
    let flow = lower.lower(&plan, false)?;
    lower.check_one_time()?;
    lower.check_lateness()?;
    lower.tell_values()?;
    let dataflow = target::finish(lower, flow, &plan, into)?;
    lookup::check(&dataflow)?;
    Ok(dataflow)
}

/// Refuses what does not run as a stream, and brings the rest into the shape that is lowered. `prunes`: columns that are not used are
/// not read.
pub(super) fn prepare(plan: LogicalPlan, state: &SessionState, prunes: bool) -> Result<LogicalPlan> {
    refuse::check(&plan)?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let mut state = state.clone();
    // A subquery that stands for a value is a side of a join like any other.
    state.config_mut().options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let plan = stream_optimizer(prunes).optimize(plan, &state, |_, _| {})?;
    refuse::check_subqueries(&plan)?;
    state_ttl::settle(ranks::sink_filters(plan)?)
}
