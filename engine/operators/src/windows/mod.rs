//! Windows over event time.

mod aggregate;
mod assign;
mod emit;
mod kind;
mod layout;
mod numbers;
mod operator;
mod partial;
mod place;
mod said;
mod session;
mod session_operator;
mod sessions;
mod slice;
mod slices;
mod tables;
mod timelines;

pub use aggregate::{WindowAggregate, WindowAggregateSpec, WindowFinalSpec};
pub use assign::AssignWindowsSpec;
pub(crate) use emit::{Closed, Layout, MILLISECOND, window_column};
pub use kind::WindowKind;
pub(crate) use kind::floor_to;
pub use layout::{OutputColumn, PerKey, WindowColumn};
pub(crate) use layout::{describe_columns, window_schema, window_type};
pub use partial::WindowPartialSpec;
pub(crate) use partial::key_columns;
pub(crate) use place::{Sorting, Times, refuse_weights};
pub use session::{SessionAggregate, SessionAggregateSpec};
pub(crate) use tables::{PART_ROWS, check_schema, push_entries, push_watermark, read_watermark, slots};
