//! Functions of Flink's and PostgreSQL's that DataFusion lacks or has with another meaning.
//!
//! Rows go through what is here, so it is optimised in full; the planner, which registers it, need not be.

mod casts;
mod decimals;
mod elements;
mod expanded;
mod flink;
mod json;
mod map_keys;
mod types;

pub use decimals::{DecimalCasts, DecimalPlanner, narrows};
pub use elements::{FIELD, PLACES, ROWS, ROWS_OR_NULL, functions as element_functions};
pub use expanded::is_expanded;
pub use flink::{
    CAST, CURRENT_WATERMARK, TextCasts, aggregate_functions as flink_aggregates, cast_as, fits,
    functions as flink_functions, is_current_watermark, text_type, with_text_casts,
};
pub use json::{ArrowPlanner, aggregate_functions as json_aggregates, functions as json_functions};
pub use map_keys::MapKeyPlanner;
pub use types::{Length, sql_type};
