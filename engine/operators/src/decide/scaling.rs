//! A scaling group: what alarms say, as decisions.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_decide::scaling::GroupRules;

use super::activities::scaling_activities_schema;
use super::orders::Order;
use super::scaling_operator::{ScalingOperator, hand_over};
use crate::api::{Changes, Operator, OperatorSpec, Reach, StateEntries};
use crate::error::Result;

/// What an input of a scaling group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScalingInput {
    /// What came of activities: rows of [`super::scaling_progress_schema`].
    Progress,
    /// The history of a policy's alarm; of target tracking, of the one that says that there are too few.
    Alarm(usize),
    /// Of target tracking, the history of the one that says that there are too many.
    Low(usize),
    /// Rows that tell the time to a group without alarms, and nothing else.
    Clock,
}

/// A scaling group. Its inputs are gathered; those of [`ScalingInput::Progress`] come first.
#[derive(Clone, Debug)]
pub struct ScalingSpec {
    /// Its name.
    pub name: String,
    /// Its rules.
    pub rules: GroupRules,
    /// What comes in.
    pub inputs: Vec<ScalingInput>,
}

impl ScalingSpec {
    /// Whether every activity is over at once, as nobody will say when it is.
    pub(super) fn is_instant(&self) -> bool {
        !self.inputs.contains(&ScalingInput::Progress)
    }
}

impl OperatorSpec for ScalingSpec {
    fn name(&self) -> &'static str {
        "ScalingGroup"
    }

    fn describe(&self) -> String {
        let GroupRules { min, max, desired, cooldown, policies, schedules, .. } = &self.rules;
        let policies = policies.iter().map(|policy| format!("{}: {}", policy.name, policy.kind));
        let schedules = schedules.iter().map(|schedule| format!("{}: {}", schedule.name, schedule.times));
        let all: Vec<String> = policies.chain(schedules).collect();
        let progress = if self.is_instant() { "at once" } else { "when it is done" };
        format!(
            "{} from {min} to {max}, begins with {desired}, cooldown {cooldown:?}, over {progress}, [{}]",
            self.name,
            all.join("; ")
        )
    }

    fn takes_orders_for(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn hand_over(&self, entries: &StateEntries) -> Result<Vec<(String, Order)>> {
        hand_over(self, entries)
    }

    /// All that it knows is told, and its policies ask again when their alarms are evaluated.
    fn reach_when_told(&self) -> Option<Reach> {
        Some(Reach::Row)
    }

    fn schema(&self) -> SchemaRef {
        scaling_activities_schema()
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(ScalingOperator::new(Arc::new(self.clone()))))
    }
}
