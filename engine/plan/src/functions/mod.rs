//! Functions of Flink's that DataFusion lacks or has with another meaning.

mod expanded;
mod flink;
mod parameters;

pub(crate) use flink::functions;
pub(crate) use parameters::take_parameters;
