//! Text to statements: our own dialect and statement parser over the tokens of DataFusion's SQL parser.
//!
//! Expressions and queries are read by DataFusion's parser; everything around them here. No text is ever rewritten: a syntax
//! tree's spans are places in the text as it was given.

mod alarms;
mod archive;
mod arroyo;
mod begins;
mod calls;
mod cast_types;
mod changes;
mod columns;
mod computed;
mod create;
mod dialect;
mod fetch;
mod flink;
mod foreign;
mod functions;
mod given;
mod given_columns;
mod group_windows;
mod hints;
mod joined_windows;
mod json;
mod json_aggregates;
mod lateral;
mod like;
mod literals;
mod mapreduce;
mod null_treatment;
mod options;
mod overlaps;
mod partitions;
mod patterns;
mod qualified;
mod reader;
mod scaling;
mod scripts;
mod secrets;
mod settings;
mod statements;
mod table_options;
mod tables;
mod together;
mod trigger;
mod types;
mod unicode;
mod unnest;
mod windows;

#[cfg(test)]
pub(crate) use calls::WITH_LAMBDAS;
pub(crate) use calls::call;
pub(crate) use changes::CHANGE_METADATA;
pub(crate) use computed::names_in;
pub(crate) use dialect::{TABLE_ARGUMENT, select_all_from, sole_table};
pub(crate) use foreign::LATERAL_HINT;
pub use given_columns::create_stream_of;
pub(crate) use like::Like;
pub use options::check_altered_options;
pub(crate) use options::{duration as parse_duration, set_connector_options, set_options};
pub(crate) use partitions::{fills_others, named_columns};
pub(crate) use patterns::{FINAL, RUNNING, WITHIN};
pub(crate) use reader::{name_of, normal, position};
pub use scripts::{parse, parse_one};
pub use secrets::without_secrets;
pub(crate) use types::{arrow_type, length_of};
pub(crate) use windows::{OVER_WINDOWS, WINDOW_FUNCTIONS};
