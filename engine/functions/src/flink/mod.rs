//! Functions of Flink's that DataFusion lacks, or has with another meaning. `docs/functions.md` lists them.
//!
//! Most stand for expressions over functions of DataFusion; what no such expression says, or says slowly, is computed.

mod as_text;
mod calendar;
mod charsets;
mod clock;
mod collect;
mod collections;
mod computed;
mod date_format;
mod digits;
mod extract;
mod extremes;
mod lists;
mod matches;
mod numbers;
mod parsed;
mod pattern;
mod percentile;
mod printf;
mod quotes;
mod random;
mod registry;
mod rounded;
mod rows;
mod signature;
mod text;
mod time;
mod watermark;
mod web;
mod zones;

pub use as_text::{TextCasts, text_type, with_text_casts};
pub use registry::{aggregate_functions, functions};
pub use rows::{CAST, cast_as, fits};
use signature::{any_of, arguments, quoted, timestamps, to_text};
pub use watermark::{CURRENT_WATERMARK, is_current_watermark};
