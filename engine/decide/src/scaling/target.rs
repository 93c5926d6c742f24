//! Target tracking: a metric per instance is kept near a value.
//!
//! The service does not publish its formula. Ours keeps `capacity * metric` the same: `ceil(capacity * metric / target)`, in both
//! directions, which gives the examples of its documentation. Two alarms say when: above the target for 3 minutes, below 90 per
//! cent of it for 15.

use crate::alarm::{AlarmRule, AlarmState, Comparison, LowSamples, MissingData};
use crate::error::{DecideError, Result};

/// A target for a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetTracking {
    /// The value that the metric is to have.
    pub target: f64,
    /// Whether the policy only ever adds.
    pub disable_scale_in: bool,
}

/// What a target-tracking policy wants at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// More instances.
    Out,
    /// Fewer.
    In,
    /// What there is.
    Stay,
    /// It cannot tell: there is not enough data.
    Unknown,
}

/// Of the target: below this part of it for long enough, fewer instances would do.
const LOW_PART: f64 = 0.9;
const HIGH_MINUTES: usize = 3;
const LOW_MINUTES: usize = 15;

impl TargetTracking {
    /// Checks that the target is a positive number.
    pub fn check(&self) -> Result<()> {
        if self.target.is_finite() && self.target > 0.0 {
            return Ok(());
        }
        Err(DecideError::new(format!("a target of {} is not possible: it is a positive number", self.target)))
    }

    /// The capacity at which the metric would be at its target.
    pub fn capacity(&self, capacity: i64, metric: f64) -> i64 {
        // A quotient that is whole but for a rounding error must not cost an instance.
        let exact = capacity as f64 * metric / self.target;
        (exact - exact.abs() * 1e-12).ceil() as i64
    }

    /// The rule of the alarm that says when there are too few.
    pub fn high(&self) -> AlarmRule {
        self.rule(Comparison::Greater, self.target, HIGH_MINUTES)
    }

    /// The rule of the alarm that says when there are too many.
    pub fn low(&self) -> AlarmRule {
        self.rule(Comparison::Less, self.target * LOW_PART, LOW_MINUTES)
    }

    fn rule(&self, comparison: Comparison, threshold: f64, periods: usize) -> AlarmRule {
        let (missing, low_samples) = (MissingData::Missing, LowSamples::Evaluate);
        AlarmRule { comparison, threshold, periods, to_alarm: periods, missing, low_samples }
    }

    /// What the policy wants when its alarms are in these states.
    pub fn want(&self, high: AlarmState, low: AlarmState) -> Want {
        match (high, low) {
            (AlarmState::Alarm, _) => Want::Out,
            (AlarmState::InsufficientData, _) => Want::Unknown,
            (_, AlarmState::Alarm) => Want::In,
            _ => Want::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(target: f64) -> TargetTracking {
        TargetTracking { target, disable_scale_in: false }
    }

    #[test]
    fn a_backlog_of_1500_on_ten_wants_fifteen() {
        // 0.1 s for each message and 10 s of latency: 100 messages for each instance; there are 150.
        assert_eq!(target(10.0 / 0.1).capacity(10, 1_500.0 / 10.0), 15);
    }

    #[test]
    fn one_and_a_half_more_are_two_and_one_and_a_half_fewer_are_one() {
        assert_eq!(target(100.0).capacity(10, 115.0), 12);
        assert_eq!(target(100.0).capacity(10, 85.0), 9);
    }

    #[test]
    fn a_rounding_error_costs_no_instance() {
        assert_eq!(target(0.1).capacity(3, 0.1), 3);
        assert_eq!(target(0.7).capacity(10, 0.7 * 1.1), 11);
        assert_eq!(target(50.0).capacity(10, 0.0), 0);
    }

    #[test]
    fn its_alarms_look_at_three_minutes_and_at_fifteen() {
        let (high, low) = (target(50.0).high(), target(50.0).low());
        assert_eq!((high.threshold, high.periods, high.to_alarm), (50.0, 3, 3));
        assert_eq!((low.threshold, low.periods, low.to_alarm), (45.0, 15, 15));
    }

    #[test]
    fn without_data_it_wants_nothing() {
        let want = |high, low| target(50.0).want(high, low);
        assert_eq!(want(AlarmState::InsufficientData, AlarmState::InsufficientData), Want::Unknown);
        assert_eq!(want(AlarmState::Alarm, AlarmState::Ok), Want::Out);
        assert_eq!(want(AlarmState::Ok, AlarmState::Alarm), Want::In);
        assert_eq!(want(AlarmState::Ok, AlarmState::Ok), Want::Stay);
    }
}
