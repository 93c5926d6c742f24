//! Auto-scaling: policies that ask for a capacity, and groups that decide.

mod adjustment;
mod cron;
mod decision;
mod group;
mod policy;
mod step;
mod target;
mod times;
mod warming;

pub use adjustment::{Adjustment, AdjustmentType};
pub use cron::Cron;
pub use decision::{Decision, Outcome, WhyNot};
pub use group::{BY_HAND, Group, GroupRules, GroupState, Resize, Schedule};
pub use policy::{Ask, Policy, PolicyKind};
pub use step::{Step, Steps};
pub use target::{TargetTracking, Want};
pub use times::{Recurrence, Times, zone};
