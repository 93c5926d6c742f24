//! What a group decided, and why or why not.

use std::fmt;

use headwater_core::EventTime;

/// What a group made of what one policy asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// When.
    pub at: EventTime,
    /// The policy or scheduled action.
    pub by: String,
    /// The newest point of the policy's metric.
    pub metric: Option<f64>,
    /// The desired capacity before.
    pub before: i64,
    /// What the policy asked for, before it was held within the bounds; `None`: it could not tell.
    pub wanted: Option<i64>,
    /// The desired capacity after.
    pub after: i64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The group changes its size: the number of the activity.
    Scaled(u64),
    /// The bounds changed, the size stays.
    Bounds,
    /// Nothing happens.
    Nothing(WhyNot),
}

/// Why nothing happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// An activity is going on.
    InProgress(u64),
    /// The cooldown of a simple policy lasts until then.
    Cooldown(EventTime),
    /// The instances that are warming up count already.
    Warming(i64),
    /// Nothing is taken away while instances warm up.
    ScaleInWhileWarming(i64),
    /// The group is as large as it may be.
    AtMax(i64),
    /// The group is as small as it may be.
    AtMin(i64),
    /// The size is what the policy asks for.
    Same,
    /// Another policy asks for a larger size.
    OtherWins(String),
    /// The policy never takes away.
    ScaleInDisabled,
    /// Another target-tracking policy does not want fewer.
    NotAllWantIn(String),
    /// The policy has no step for the metric.
    NoStep,
    /// The newest point is missing.
    NoData,
    /// The bounds that a scheduled action or somebody by hand sets contradict each other.
    BadBounds,
    /// The size lies outside of these bounds.
    OutOfBounds(i64, i64),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress(activity) => write!(f, "activity {activity} is in progress"),
            Self::Cooldown(until) => write!(f, "in cooldown until {until}"),
            Self::Warming(count) => write!(f, "warming up: {count}, which count already"),
            Self::ScaleInWhileWarming(count) => {
                write!(f, "warming up: {count}, nothing is taken away meanwhile")
            }
            Self::AtMax(max) => write!(f, "at the maximum of {max}"),
            Self::AtMin(min) => write!(f, "at the minimum of {min}"),
            Self::Same => f.write_str("the size is what is asked for"),
            Self::OtherWins(policy) => write!(f, "{policy} asks for a larger size"),
            Self::ScaleInDisabled => f.write_str("the policy never takes away"),
            Self::NotAllWantIn(policy) => write!(f, "{policy} does not want fewer"),
            Self::NoStep => f.write_str("there is no step for the metric"),
            Self::NoData => f.write_str("the newest point is missing"),
            Self::BadBounds => f.write_str("the minimum would be greater than the maximum"),
            Self::OutOfBounds(min, max) => write!(f, "the size must lie within the bounds {min} to {max}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scaled(activity) => write!(f, "activity {activity}"),
            Self::Bounds => f.write_str("the bounds changed"),
            Self::Nothing(why) => write!(f, "{why}"),
        }
    }
}
