//! Functions of Flink's and PostgreSQL's that DataFusion lacks or has with another meaning.

mod casts;
mod decimals;
mod elements;
mod expanded;
mod flink;
mod json;
mod map_keys;
mod parameters;

pub(crate) use decimals::{DecimalCasts, DecimalPlanner, narrows};
pub(crate) use elements::{FIELD, PLACES, ROWS, ROWS_OR_NULL, functions as element_functions};
pub(crate) use expanded::is_expanded;
pub(crate) use flink::{
    CAST, CURRENT_WATERMARK, TextCasts, aggregate_functions as flink_aggregates, cast_as, fits,
    functions as flink_functions, is_current_watermark, text_type, with_text_casts,
};
pub(crate) use json::{ArrowPlanner, aggregate_functions as json_aggregates, functions as json_functions};
pub(crate) use map_keys::MapKeyPlanner;
pub(crate) use parameters::take_parameters;
