//! When an alarm is in which state.

use std::fmt;
use std::time::Duration;

use super::comparison::Comparison;
use super::missing::{LowSamples, MissingData};
use super::timing::{check_span, range_of};
use crate::error::{DecideError, Result};

/// The rule of an alarm.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmRule {
    /// How a point is held against the threshold.
    pub comparison: Comparison,
    /// The threshold.
    pub threshold: f64,
    /// How many of the newest points are looked at: N.
    pub periods: usize,
    /// How many of them have to breach: M of N.
    pub to_alarm: usize,
    /// What becomes of missing points.
    pub missing: MissingData,
    /// What becomes of percentiles over few samples.
    pub low_samples: LowSamples,
}

impl AlarmRule {
    /// Checks that M lies between 1 and N, that the threshold is a number, and that N periods are not too long.
    pub fn check(&self, period: Duration) -> Result<()> {
        if self.periods == 0 || self.to_alarm == 0 || self.to_alarm > self.periods {
            return Err(DecideError::new(format!(
                "{} of {} points cannot decide: datapoints_to_alarm is at least 1 and at most evaluation_periods",
                self.to_alarm, self.periods
            )));
        }
        if !self.threshold.is_finite() {
            return Err(DecideError::new("the threshold must be a finite number"));
        }
        check_span(period, self.periods)
    }

    /// How many points an evaluation looks at.
    pub fn range(&self) -> usize {
        range_of(self.periods)
    }
}

impl fmt::Display for AlarmRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { comparison, threshold, periods, to_alarm, missing, low_samples } = self;
        write!(f, "{comparison} {threshold} at {to_alarm} of {periods} points, missing data: {missing}")?;
        if *low_samples == LowSamples::Ignore {
            f.write_str(", few samples: ignore")?;
        }
        Ok(())
    }
}
