//! A whole query, step by step.

use datafusion::common::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;

use super::{lower, refuse, target};
use crate::catalog::Catalog;
use crate::dataflow::Dataflow;
use crate::planner::Target;
use crate::session::stream_optimizer;

/// Plans a query that goes on for ever.
pub(crate) fn plan(
    plan: LogicalPlan,
    state: &SessionState,
    catalog: &Catalog,
    into: Target<'_>,
) -> Result<Dataflow> {
    refuse::check(&plan)?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let plan = stream_optimizer().optimize(plan, state, |_, _| {})?;
    let mut lower = lower::Lower::new(state, catalog);
    let flow = lower.lower(&plan, false)?;
    target::finish(lower, flow, &plan, into)
}
