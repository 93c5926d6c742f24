//! An alarm over points of a metric, one for each value of the dimensions.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_decide::alarm::{AlarmRule, MissingData, Statistic, Timing};

use super::alarm_operator::{AlarmOperator, hand_over};
use super::history::{AT, DIMENSIONS, alarm_history_schema};
use super::orders::Order;
use crate::api::{Changes, Emission, Operator, OperatorSpec, Reach, StateBound, StateEntries};
use crate::error::Result;

/// What an alarm says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// Every evaluation.
    Evaluations,
    /// Changes of state only.
    Changes,
}

/// An alarm. Takes rows of [`super::alarm_points_schema`], partitioned by `dimensions`.
#[derive(Clone, Debug)]
pub struct AlarmSpec {
    /// Its name.
    pub name: String,
    /// What the points are, such as `Average(value) of cpu, every 5 minutes`.
    pub subject: String,
    /// When it is on.
    pub rule: AlarmRule,
    /// Its rhythm.
    pub timing: Timing,
    /// What the points are computed from, if it is known: of percentiles over few samples the rule may want to know.
    pub statistic: Option<Statistic>,
    /// What it says.
    pub report: Report,
    /// Whether it goes on being evaluated while it is on and has no points: so that what it sets off is set off again.
    pub insists: bool,
}

impl AlarmSpec {
    /// The rule as it is told to people.
    pub fn text(&self) -> String {
        format!("{} {}", self.subject, self.rule)
    }
}

impl OperatorSpec for AlarmSpec {
    fn name(&self) -> &'static str {
        "Alarm"
    }

    fn describe(&self) -> String {
        let says = match self.report {
            Report::Evaluations => "evaluations",
            Report::Changes => "changes",
        };
        let insists = if self.insists { ", insists" } else { "" };
        format!("{}: {}, says {says}{insists}", self.name, self.text())
    }

    fn takes_orders_for(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn hand_over(&self, entries: &StateEntries) -> Result<Vec<(String, Order)>> {
        hand_over(entries)
    }

    /// The points that it looks at.
    fn reach_when_told(&self) -> Option<Reach> {
        let periods = i64::try_from(self.rule.range() + 1).unwrap_or(i64::MAX);
        let period = i64::try_from(self.timing.period.as_nanos()).unwrap_or(i64::MAX);
        Some(Reach::Within(periods.saturating_mul(period)))
    }

    fn schema(&self) -> SchemaRef {
        alarm_history_schema()
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        Emission { order: vec![AT, DIMENSIONS] }
    }

    /// An alarm that comes to have not enough data when its metric ends is then forgotten; others keep their last state.
    fn state_bound(&self) -> StateBound {
        match self.rule.missing {
            MissingData::Missing => StateBound::Watermark,
            _ => StateBound::Grows(vec!["dimensions".to_owned()]),
        }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(AlarmOperator::new(Arc::new(self.clone()))?))
    }
}
