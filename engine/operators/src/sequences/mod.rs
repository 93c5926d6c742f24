//! How often a sequence occurs, as functions of SQL; the rules are in `headwater-sequences`.
//!
//! | function | what it gives |
//! |---|---|
//! | `sequence_match(pattern, time, condition, ...)` | whether the pattern of events occurs |
//! | `sequence_count(pattern, time, condition, ...)` | how often it occurs, without overlaps |
//! | `window_funnel(window, [mode, ...] time, condition, ...)` | how many steps of the chain of conditions were taken within the window |
//! | `retention(condition, ...)` | 1 for each condition that held, with the first one, in any row |
//! | `sequence_count(line, sequence [, options])` | how often a sequence of text is in the lines |
//! | `sequence_occurrences(line, sequence [, options])` | the same for one line: not an aggregate |
//!
//! The constants in front are bound when a query is optimised: what runs has the columns alone as its arguments. As in
//! ClickHouse, a row in which any of them is NULL is passed over.
//!
//! Each aggregate is an [`Aggregator`](crate::aggregates) over groups, as streaming operators want it; for batch queries the same is
//! dressed as DataFusion's accumulators. States merge, whatever order rows come in.

mod accumulators;
mod arguments;
mod call;
mod events;
mod function;
mod line_count;
mod registry;
mod retained;
mod scalar;

pub(crate) use function::SequenceFunction;
pub use registry::{aggregate_functions, scalar_functions};
