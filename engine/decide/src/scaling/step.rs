//! Steps: the further the metric is from the threshold, the more a policy does.
//!
//! ```text
//!  threshold 50           (-inf,-20]  (-20,-10]  (-10,0]  [0,10)   [10,20)  [20,inf)
//!  metric - threshold ────────────────────────────────────┼────────────────────────────
//!                             -30%       -10%       0%    │   0%      10%      30%
//! ```
//!
//! Above the threshold a lower bound is part of its step, below it an upper bound is.

use crate::alarm::Side;
use crate::error::{DecideError, Result};

/// One step. Bounds are relative to the threshold; `None` is infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Where it begins.
    pub lower: Option<f64>,
    /// Where it ends.
    pub upper: Option<f64>,
    /// The number of its adjustment.
    pub by: f64,
}

/// The steps of a policy: without a gap and without an overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps(Vec<Step>);

impl Steps {
    /// Checks the steps, in any order.
    pub fn try_new(mut steps: Vec<Step>) -> Result<Self> {
        let wrong = |message: &str| Err(DecideError::new(message));
        if steps.is_empty() {
            return wrong("a step policy has at least one step");
        }
        let bounds = steps.iter().flat_map(|step| [step.lower, step.upper]).flatten();
        if bounds.into_iter().any(|bound| !bound.is_finite()) {
            return wrong("the bound of a step is a finite number; leave it out where the step has no end");
        }
        if steps.iter().any(|step| matches!((step.lower, step.upper), (Some(a), Some(b)) if a >= b)) {
            return wrong("the lower bound of a step lies below its upper bound");
        }
        let low = |step: &Step| step.lower.unwrap_or(f64::NEG_INFINITY);
        steps.sort_by(|a, b| low(a).total_cmp(&low(b)));
        for pair in steps.windows(2) {
            match (pair[0].upper, pair[1].lower) {
                (Some(end), Some(begin)) if end == begin => {}
                (Some(end), Some(begin)) if end < begin => {
                    return Err(DecideError::new(format!("between {end} and {begin} there is no step")));
                }
                _ => return wrong("two steps overlap"),
            }
        }
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        if first.lower.is_some_and(|lower| lower < 0.0) {
            return wrong("below the threshold there must be a step without a lower bound");
        }
        if last.upper.is_some_and(|upper| upper > 0.0) {
            return wrong("above the threshold there must be a step without an upper bound");
        }
        Ok(Self(steps))
    }

    /// Reads `0..10: 0, 10..20: 10, 20..: 30`: bounds relative to the threshold, and the number of each step's adjustment.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |part: &str| {
            DecideError::new(format!("'{}' is no step: write them as '0..10: 1, 10..: 2'", part.trim()))
        };
        let step = |part: &str| {
            let (bounds, by) = part.split_once(':').ok_or_else(|| wrong(part))?;
            let (lower, upper) = bounds.split_once("..").ok_or_else(|| wrong(part))?;
            let bound = |text: &str| match text.trim() {
                "" => Ok(None),
                number => number.parse().map(Some).map_err(|_| wrong(part)),
            };
            let by = by.trim().parse().map_err(|_| wrong(part))?;
            Ok(Step { lower: bound(lower)?, upper: bound(upper)?, by })
        };
        Self::try_new(text.split(',').map(step).collect::<Result<_>>()?)
    }

    /// The step for a metric on a side of the threshold; `None` if the policy has no steps there.
    pub fn find(&self, metric: f64, threshold: f64, side: Side) -> Option<Step> {
        let distance = metric - threshold;
        let holds = |step: &&Step| match side {
            Side::Above => {
                step.lower.is_none_or(|lower| lower <= distance)
                    && step.upper.is_none_or(|upper| distance < upper)
            }
            Side::Below => {
                step.lower.is_none_or(|lower| lower < distance)
                    && step.upper.is_none_or(|upper| distance <= upper)
            }
        };
        self.0.iter().find(holds).copied()
    }

    /// The steps, in order.
    pub fn as_slice(&self) -> &[Step] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(lower: Option<f64>, upper: Option<f64>, by: f64) -> Step {
        Step { lower, upper, by }
    }

    fn both() -> Steps {
        Steps::try_new(vec![
            step(Some(0.0), Some(10.0), 0.0),
            step(Some(10.0), Some(20.0), 10.0),
            step(Some(20.0), None, 30.0),
            step(Some(-10.0), Some(0.0), -0.5),
            step(Some(-20.0), Some(-10.0), -10.0),
            step(None, Some(-20.0), -30.0),
        ])
        .unwrap()
    }

    #[test]
    fn above_the_threshold_the_lower_bound_belongs_to_its_step() {
        let by = |metric: f64| both().find(metric, 50.0, Side::Above).unwrap().by;
        assert_eq!([50.0, 59.9, 60.0, 69.9, 70.0, 1e9].map(by), [0.0, 0.0, 10.0, 10.0, 30.0, 30.0]);
    }

    #[test]
    fn below_the_threshold_the_upper_bound_belongs_to_its_step() {
        let by = |metric: f64| both().find(metric, 50.0, Side::Below).unwrap().by;
        assert_eq!([50.0, 40.1, 40.0, 30.1, 30.0, -1e9].map(by), [-0.5, -0.5, -10.0, -10.0, -30.0, -30.0]);
    }

    #[test]
    fn steps_may_be_on_one_side_only() {
        let out = Steps::try_new(vec![step(Some(0.0), None, 1.0)]).unwrap();
        assert_eq!(out.find(40.0, 50.0, Side::Below), None);
        assert_eq!(out.find(50.0, 50.0, Side::Above), Some(step(Some(0.0), None, 1.0)));
    }

    #[test]
    fn steps_are_read() {
        let steps = Steps::parse("-10..0: -1, ..-10: -2, 0..2.5: 1, 2.5..: 20").unwrap();
        assert_eq!(steps.as_slice()[0], step(None, Some(-10.0), -2.0));
        assert_eq!(steps.as_slice()[3], step(Some(2.5), None, 20.0));
        for wrong in ["", "0..10", "0-10: 1", "a..b: 1", "0..: x"] {
            assert!(Steps::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn gaps_overlaps_and_open_ends_are_refused() {
        let refused = |steps: Vec<Step>| Steps::try_new(steps).unwrap_err().to_string();
        let gap = vec![step(Some(0.0), Some(10.0), 1.0), step(Some(20.0), None, 2.0)];
        assert_eq!(refused(gap), "between 10 and 20 there is no step");
        let overlap = vec![step(Some(0.0), Some(10.0), 1.0), step(Some(5.0), None, 2.0)];
        assert_eq!(refused(overlap), "two steps overlap");
        let twice = vec![step(None, None, 1.0), step(None, Some(3.0), 2.0)];
        assert_eq!(refused(twice), "two steps overlap");
        assert!(refused(vec![step(Some(-10.0), None, 1.0)]).contains("without a lower bound"));
        assert!(refused(vec![step(Some(0.0), Some(10.0), 1.0)]).contains("without an upper bound"));
        assert!(refused(vec![step(Some(10.0), Some(5.0), 1.0)]).contains("lies below"));
        assert!(refused(Vec::new()).contains("at least one"));
    }
}
