//! Actuators: what scaling groups decide is carried out.
//!
//! ```text
//!  system.scaling_activities ── feed ──> the newest size ── scale, retry, give up ──> processes, a webhook, a cloud ..
//!  cursor: the first row that is not settled             ├─> a row in system.scaling_attempts for each attempt
//!                                                        └─> a row in system.scaling_progress when it is over
//! ```
//!
//! - An actuator is a cursor over its group's decisions, as the deliveries of a trigger are over its firings; each group has its own.
//!   The cursor, what was attempted and what came of it are one atomic append: a decision is carried out once.
//! - Sizes are absolute. So an attempt that a crash cut short is made again without harm, and of several decisions that wait only the
//!   newest is carried out; those before it are `superseded`, and are over together with it. One that comes while an attempt is under
//!   way cuts that short.
//! - The group's first size is carried out as activity 0. After a restart an actuator whose size does not outlive the process is given
//!   its last one again ([`Actuator::resume`]).
//! - What an actuator does on its own, such as replacing a worker that is not well, is a row as well ([`Actuator::tend`]).
//! - Replays do not run actuators; nothing but a live group's stream is read.
//!
//! | option of every actuator | meaning |
//! |---|---|
//! | `timeout` | of an attempt; 10 minutes unless set |
//! | `attempts` | how many at most; 16 unless set |
//! | `retry.first`, `retry.longest` | waits double from the first to the longest, each cut by up to half at random; a second, a minute |
//!
//! Progress is reported in event time: at the decision's own time, and as much later as carrying it out took by the clock since the
//! decision was in the log. Cooldown and warm-up are counted from there.

mod actuator;
mod command;
mod feed;
mod job;
mod kinds;
mod ledger;
mod settings;
mod task;
mod webhook;

pub use actuator::{Activity, Actuator, ActuatorContext, Deed, SetWorkers};
pub use kinds::{ActuatorKind, add_actuator};
pub use ledger::{ATTEMPTS, attempts_schema};
pub use settings::ActuatorDef;
pub(crate) use settings::make;
pub(crate) use task::ActuatorTask;
