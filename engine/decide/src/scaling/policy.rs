//! What a policy is, and what it is told at a moment.

use std::fmt;
use std::time::Duration;

use super::adjustment::{Adjustment, AdjustmentType};
use super::step::Steps;
use super::target::TargetTracking;
use crate::alarm::{AlarmState, Side};

/// A scaling policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: PolicyKind,
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyKind {
    /// One adjustment whenever its alarm is on, then nothing for a while.
    Simple {
        /// The adjustment.
        adjustment: Adjustment,
        /// How long nothing simple happens after its activity; `None`: as long as the group says.
        cooldown: Option<Duration>,
    },
    /// An adjustment by how far the metric is from the threshold of its alarm.
    Step {
        /// What the steps' numbers mean.
        kind: AdjustmentType,
        /// The steps.
        steps: Steps,
        /// For percentages: the least number of instances.
        magnitude_min: Option<i64>,
        /// How long a new instance warms up; `None`: as long as the group says.
        warmup: Option<Duration>,
        /// The threshold of its alarm.
        threshold: f64,
        /// On which side of it the metric is when the alarm is on.
        side: Side,
    },
    /// A metric is kept near a target.
    Target {
        /// The target.
        tracking: TargetTracking,
        /// How long a new instance warms up; `None`: as long as the group says.
        warmup: Option<Duration>,
    },
}

/// What a policy is told at a moment: the state of its alarm and the newest point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ask {
    /// Which policy, by its place in the group's rules.
    pub policy: usize,
    /// The newest point of the metric, if there is one.
    pub metric: Option<f64>,
    /// The state of its alarm; of target tracking, of the one that says that there are too few.
    pub alarm: AlarmState,
    /// Of target tracking: the state of the one that says that there are too many.
    pub low: AlarmState,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple { adjustment, .. } => write!(f, "simple, {adjustment}"),
            Self::Step { kind, steps, .. } => {
                f.write_str("step")?;
                for step in steps.as_slice() {
                    let bound = |bound: Option<f64>| bound.map_or("..".to_owned(), |bound| bound.to_string());
                    let adjustment = Adjustment { kind: *kind, by: step.by, magnitude_min: None };
                    write!(f, ", {} to {}: {adjustment}", bound(step.lower), bound(step.upper))?;
                }
                Ok(())
            }
            Self::Target { tracking, .. } => {
                write!(f, "target tracking at {}", tracking.target)?;
                f.write_str(if tracking.disable_scale_in { ", never in" } else { "" })
            }
        }
    }
}
