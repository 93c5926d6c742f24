//! Functions of Flink's that DataFusion lacks or has with another meaning.

mod expanded;
mod flink;

pub(crate) use flink::functions;
