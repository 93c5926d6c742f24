//! Windows over event time.

mod aggregate;
mod assign;
mod kind;
mod layout;
mod partial;
mod session;

pub use aggregate::{WindowAggregate, WindowAggregateSpec, WindowFinalSpec};
pub use assign::AssignWindowsSpec;
pub use kind::WindowKind;
pub(crate) use layout::describe_columns;
pub use layout::{OutputColumn, PerKey, WindowColumn};
pub use partial::WindowPartialSpec;
pub use session::{SessionAggregate, SessionAggregateSpec};
