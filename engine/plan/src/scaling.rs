//! Scaling policies and scaling groups, independent of their spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_decide::scaling::{Adjustment, AdjustmentType, Steps, TargetTracking, Times};
use headwater_operators::decide::{scaling_activities_schema, scaling_progress_schema};

use crate::decision::{Metric, engine_stream};
use crate::definition::StreamDef;
use crate::trigger::StartAt;

/// The stream that all scaling groups write their decisions to. It is there as soon as there is a group.
pub const SCALING_ACTIVITIES: &str = "system.scaling_activities";

/// The stream that tells groups what came of their activities.
pub const SCALING_PROGRESS: &str = "system.scaling_progress";

/// A scaling policy.
#[derive(Debug, Clone)]
pub struct PolicyDef {
    /// The name.
    pub name: String,
    /// What it does, and when.
    pub what: PolicyWhat,
}

/// What a policy does, and when.
#[derive(Debug, Clone)]
pub enum PolicyWhat {
    /// One adjustment whenever an alarm is on.
    Simple {
        /// The alarm.
        alarm: String,
        /// The adjustment.
        adjustment: Adjustment,
        /// How long nothing simple happens after its activity.
        cooldown: Option<Duration>,
    },
    /// An adjustment by how far the alarm's metric is from its threshold.
    Step {
        /// The alarm.
        alarm: String,
        /// What the steps' numbers mean.
        kind: AdjustmentType,
        /// The steps.
        steps: Steps,
        /// For percentages: the least number of instances.
        magnitude_min: Option<i64>,
        /// How long a new instance warms up.
        warmup: Option<Duration>,
    },
    /// A metric is kept near a target.
    Target {
        /// The metric.
        metric: Metric,
        /// The target.
        tracking: TargetTracking,
        /// How long a new instance warms up.
        warmup: Option<Duration>,
    },
    /// At certain times bounds and size are set.
    Schedule {
        /// When.
        times: Times,
        /// The new least size.
        min: Option<i64>,
        /// The new greatest size.
        max: Option<i64>,
        /// The new size.
        desired: Option<i64>,
    },
}

/// A scaling group.
#[derive(Debug, Clone)]
pub struct GroupDef {
    /// The name.
    pub name: String,
    /// The least size.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// The size that it begins with.
    pub desired: i64,
    /// The cooldown of simple policies.
    pub cooldown: Duration,
    /// How long new instances warm up.
    pub warmup: Option<Duration>,
    /// Its policies.
    pub policies: Vec<String>,
    /// Who carries its decisions out.
    pub actuator: Actuator,
    /// Which row is the first that its alarms look at.
    pub start: StartAt,
}

/// Who carries decisions out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actuator {
    /// Nobody: an activity is over as soon as it is decided.
    DryRun,
    /// Whoever reads [`SCALING_ACTIVITIES`], and says in [`SCALING_PROGRESS`] when an activity is over.
    External,
    /// One of those that the host of connectors has.
    Host {
        /// Its name.
        name: String,
        /// The options as they were written, those of the group aside.
        options: BTreeMap<String, String>,
    },
}

impl Actuator {
    /// Its name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::DryRun => "dry_run",
            Self::External => "external",
            Self::Host { name, .. } => name,
        }
    }

    /// Whether this engine carries the decisions out.
    pub fn is_host(&self) -> bool {
        matches!(self, Self::Host { .. })
    }
}

impl PolicyDef {
    /// The names of what it reads.
    pub(crate) fn references(&self) -> BTreeSet<String> {
        match &self.what {
            PolicyWhat::Simple { alarm, .. } | PolicyWhat::Step { alarm, .. } => [alarm.clone()].into(),
            PolicyWhat::Target { metric, .. } => metric.references(),
            PolicyWhat::Schedule { .. } => BTreeSet::new(),
        }
    }
}

impl GroupDef {
    /// The names of what it reads and writes.
    pub(crate) fn references(&self) -> BTreeSet<String> {
        let own = [SCALING_ACTIVITIES, SCALING_PROGRESS].map(str::to_owned);
        self.policies.iter().cloned().chain(own).collect()
    }
}

/// The streams of [`SCALING_ACTIVITIES`] and [`SCALING_PROGRESS`].
pub(crate) fn scaling_streams() -> [StreamDef; 2] {
    let progress = engine_stream(SCALING_PROGRESS, scaling_progress_schema());
    // Progress comes now and then, and from outside; time must not wait for it.
    let options = [("open".to_owned(), "true".to_owned())].into();
    let progress = StreamDef { idle_timeout: Some(Duration::from_secs(1)), options, ..progress };
    [engine_stream(SCALING_ACTIVITIES, scaling_activities_schema()), progress]
}
