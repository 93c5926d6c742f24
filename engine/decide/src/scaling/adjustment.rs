//! How a policy changes a capacity.

use std::fmt;

use crate::error::{DecideError, Result};

/// What the number of an adjustment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjustmentType {
    /// So many more, or fewer if it is negative.
    ChangeInCapacity,
    /// Exactly so many.
    ExactCapacity,
    /// So many per cent more, or fewer.
    PercentChangeInCapacity,
}

/// An adjustment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adjustment {
    /// What the number means.
    pub kind: AdjustmentType,
    /// The number.
    pub by: f64,
    /// For percentages: the least number of instances that are added or removed.
    pub magnitude_min: Option<i64>,
}

impl AdjustmentType {
    /// From the service's name.
    pub fn parse(text: &str) -> Result<Self> {
        let all = [Self::ChangeInCapacity, Self::ExactCapacity, Self::PercentChangeInCapacity];
        all.into_iter().find(|kind| kind.to_string().eq_ignore_ascii_case(text)).ok_or_else(|| {
            DecideError::new(format!(
                "there is no adjustment '{text}': ChangeInCapacity, ExactCapacity or PercentChangeInCapacity"
            ))
        })
    }
}

impl Adjustment {
    /// Checks that the number fits its meaning.
    pub fn check(&self) -> Result<()> {
        let percent = self.kind == AdjustmentType::PercentChangeInCapacity;
        if !self.by.is_finite() || (!percent && self.by.fract() != 0.0) {
            return Err(DecideError::new(format!(
                "an adjustment of {} is not a number of instances",
                self.by
            )));
        }
        if self.kind == AdjustmentType::ExactCapacity && self.by < 0.0 {
            return Err(DecideError::new("an exact capacity cannot be negative"));
        }
        match self.magnitude_min {
            Some(_) if !percent => {
                Err(DecideError::new("a least magnitude goes with PercentChangeInCapacity only"))
            }
            Some(..=0) => Err(DecideError::new("the least magnitude of an adjustment is at least 1")),
            _ => Ok(()),
        }
    }

    /// The capacity that it asks for, before it is held within the group's bounds.
    pub fn apply(&self, capacity: i64) -> i64 {
        match self.kind {
            AdjustmentType::ChangeInCapacity => capacity.saturating_add(self.by as i64),
            AdjustmentType::ExactCapacity => self.by as i64,
            AdjustmentType::PercentChangeInCapacity => {
                let change = round(capacity as f64 * self.by / 100.0);
                let least = self.magnitude_min.unwrap_or(0);
                let change = if change.abs() < least && self.by != 0.0 {
                    if self.by > 0.0 { least } else { -least }
                } else {
                    change
                };
                capacity.saturating_add(change)
            }
        }
    }
}

/// Toward zero, but what is not zero is at least one.
fn round(change: f64) -> i64 {
    if change == 0.0 {
        0
    } else if change.abs() < 1.0 {
        change.signum() as i64
    } else {
        change.trunc() as i64
    }
}

impl fmt::Display for AdjustmentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChangeInCapacity => "ChangeInCapacity",
            Self::ExactCapacity => "ExactCapacity",
            Self::PercentChangeInCapacity => "PercentChangeInCapacity",
        })
    }
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            AdjustmentType::ChangeInCapacity => write!(f, "{:+}", self.by)?,
            AdjustmentType::ExactCapacity => write!(f, "to {}", self.by)?,
            AdjustmentType::PercentChangeInCapacity => write!(f, "{:+}%", self.by)?,
        }
        match self.magnitude_min {
            Some(least) => write!(f, ", at least {least}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(by: f64, magnitude_min: Option<i64>) -> Adjustment {
        Adjustment { kind: AdjustmentType::PercentChangeInCapacity, by, magnitude_min }
    }

    fn exact(by: f64) -> Adjustment {
        Adjustment { kind: AdjustmentType::ExactCapacity, by, magnitude_min: None }
    }

    fn change(by: f64) -> Adjustment {
        Adjustment { kind: AdjustmentType::ChangeInCapacity, by, magnitude_min: None }
    }

    #[test]
    fn three_and_five_more_are_eight() {
        assert_eq!(change(5.0).apply(3), 8);
    }

    #[test]
    fn exactly_five_are_five() {
        assert_eq!(exact(5.0).apply(3), 5);
        assert_eq!(exact(5.0).apply(30), 5);
    }

    #[test]
    fn ten_and_ten_per_cent_are_eleven() {
        assert_eq!(percent(10.0, None).apply(10), 11);
    }

    #[test]
    fn four_and_a_quarter_but_at_least_two_are_six() {
        assert_eq!(percent(25.0, Some(2)).apply(4), 6);
        assert_eq!(percent(-25.0, Some(2)).apply(4), 2, "the least magnitude holds in both directions");
        assert_eq!(percent(100.0, Some(2)).apply(4), 8, "and changes nothing that is larger");
    }

    #[test]
    fn percentages_are_rounded_as_the_service_does() {
        assert_eq!(round(12.7), 12);
        assert_eq!(round(0.67), 1);
        assert_eq!(round(-0.58), -1);
        assert_eq!(round(-6.67), -6);
        assert_eq!([round(1.0), round(0.0), round(-1.0)], [1, 0, -1]);
    }

    #[test]
    fn numbers_have_to_fit() {
        assert!(change(1.5).check().is_err() && change(-1.0).check().is_ok());
        assert!(exact(-1.0).check().is_err() && exact(0.0).check().is_ok());
        assert!(percent(12.5, Some(1)).check().is_ok() && percent(f64::NAN, None).check().is_err());
        assert!(percent(10.0, Some(0)).check().is_err());
        assert!(Adjustment { magnitude_min: Some(1), ..change(1.0) }.check().is_err());
    }
}
