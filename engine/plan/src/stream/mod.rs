//! From an optimised logical plan to a [`crate::Dataflow`], or the reason why there is none.
//!
//! ```text
//!  LogicalPlan ── refuse what depends on the clock ── optimise ── lower, node by node ── fit to the target ──> Dataflow
//! ```
//!
//! A `Flow` is what a node becomes. Its first columns are those of the node's schema, in order; more may follow that
//! the node does not name: a window's time, a key's timeline.

mod aggregate;
mod alarm;
mod arguments;
mod decide;
mod every;
mod flow;
mod intervals;
mod joins;
mod late;
mod lateness;
mod lookup;
mod lower;
mod narrower;
mod not_in;
mod ordered;
mod over;
mod patterns;
mod query;
mod ranks;
mod refuse;
mod scaling;
mod sets;
mod source;
mod target;
mod temporal;
mod unnest;
mod values;
mod watermark;
mod windowed;

pub(crate) use decide::Decide;
pub use late::LATENESS;
pub(crate) use late::late_into;
pub(crate) use query::plan;
pub(crate) use refuse::{check_expression, place_of};
pub use target::Insertion;
pub(crate) use target::{assignable, fit_insert};
pub(crate) use watermark::check_no_watermark;
