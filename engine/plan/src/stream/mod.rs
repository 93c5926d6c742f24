//! From an optimised logical plan to a [`Dataflow`], or the reason why there is none.
//!
//! ```text
//!  LogicalPlan ── refuse what depends on the clock ── optimise ── lower, node by node ── fit to the target ──> Dataflow
//! ```
//!
//! A [`Flow`] is what a node becomes. Its first columns are those of the node's schema, in order; more may follow that
//! the node does not name: a window's time, a key's timeline.

mod aggregate;
mod flow;
mod lower;
mod refuse;
mod source;
mod target;
mod windowed;

use datafusion::common::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::LogicalPlan;

pub(crate) use refuse::place_of;
pub(crate) use target::fit_insert;

use crate::catalog::Catalog;
use crate::dataflow::Dataflow;
use crate::planner::Target;
use crate::session::stream_optimizer;

/// Plans a query that goes on for ever.
pub(crate) fn plan(
    plan: LogicalPlan,
    state: &SessionState,
    catalog: &Catalog,
    target: Target<'_>,
) -> Result<Dataflow> {
    refuse::check(&plan)?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let plan = stream_optimizer().optimize(plan, state, |_, _| {})?;
    let mut lower = lower::Lower::new(state, catalog);
    let flow = lower.lower(&plan, false)?;
    target::finish(lower, flow, &plan, target)
}
