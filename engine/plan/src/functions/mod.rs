//! Functions of Flink's and PostgreSQL's that DataFusion lacks or has with another meaning.

mod date_format;
mod expanded;
mod flink;
mod json;
mod parameters;
mod texts;

pub(crate) use flink::functions as flink_functions;
pub(crate) use json::{ArrowPlanner, aggregate_functions as json_aggregates, functions as json_functions};
pub(crate) use parameters::take_parameters;
