//! Alarms and scaling groups as operators: the rules are those of `headwater-decide`, the time is the watermark's.
//!
//! ```text
//!  (at, dimensions, value, samples) ── Alarm ──> history ──┬── CompositeAlarm ──> history
//!                                                          └── ScalingGroup ──> activities
//! ```
//!
//! People may say something, too, and so does a definition to the one that takes its place: [`Told`].
//!
//! An evaluation happens when the watermark has come to it, so that its points are all there. What is said is in the order of time.

mod activities;
mod alarm;
mod alarm_operator;
mod composite;
mod composite_operator;
mod former;
mod history;
mod orders;
mod points;
mod saved;
mod scaling;
mod scaling_operator;

pub use activities::{scaling_activities_schema, scaling_progress_schema};
pub use alarm::{AlarmSpec, Report};
pub use composite::CompositeAlarmSpec;
pub use former::{Former, FormerAlarm, FormerGroup, Heard};
pub use history::alarm_history_schema;
pub use orders::{Order, Told};
pub use points::alarm_points_schema;
pub use scaling::{ScalingInput, ScalingSpec};
