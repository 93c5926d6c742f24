//! What one point of a metric is computed from the samples of its period.

use std::fmt;

use crate::error::{DecideError, Result};

/// A statistic over the samples of a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// How many samples there are.
    SampleCount,
    /// Their mean.
    Average,
    /// Their sum.
    Sum,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// A percentile, from 0 to 100.
    Percentile(f64),
}

impl Statistic {
    /// From the service's name or the one of SQL: `Average` and `avg`, `p99`, `p99.9`.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.to_lowercase();
        Ok(match name.as_str() {
            "samplecount" | "count" => Self::SampleCount,
            "average" | "avg" => Self::Average,
            "sum" => Self::Sum,
            "minimum" | "min" => Self::Minimum,
            "maximum" | "max" => Self::Maximum,
            _ => {
                let percent = name.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                Self::Percentile(percent.ok_or_else(|| {
                    DecideError::new(format!(
                        "there is no statistic '{text}': SampleCount, Average, Sum, Minimum, Maximum, or a percentile such as p99"
                    ))
                })?)
            }
        })
    }

    /// Whether so few samples say little: for a percentile p (as a fraction) fewer than 10 / (1 - p), or 10 / p below the median.
    pub fn is_low(self, samples: u64) -> bool {
        let Self::Percentile(percent) = self else { return false };
        let side = if percent >= 50.0 { 100.0 - percent } else { percent };
        // In per cent, and with room for the rounding of what 0.1 per cent are: p99 wants exactly 1,000 samples.
        (samples as f64) * side < 1_000.0 - 1e-6
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SampleCount => f.write_str("SampleCount"),
            Self::Average => f.write_str("Average"),
            Self::Sum => f.write_str("Sum"),
            Self::Minimum => f.write_str("Minimum"),
            Self::Maximum => f.write_str("Maximum"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_are_fewer_than_ten_on_the_smaller_side() {
        let least = |text: &str| {
            let statistic = Statistic::parse(text).unwrap();
            (0..100_000).find(|samples| !statistic.is_low(*samples))
        };
        assert_eq!(least("p99"), Some(1_000));
        assert_eq!(least("p90"), Some(100));
        assert_eq!(least("p50"), Some(20));
        assert_eq!(least("p10"), Some(100));
        assert_eq!(least("p99.9"), Some(10_000));
        assert_eq!(least("p100"), None, "nothing lies above the greatest");
        assert_eq!(least("average"), Some(0));
    }

    #[test]
    fn names_are_those_of_the_service_and_of_sql() {
        for (text, shown) in
            [("avg", "Average"), ("COUNT", "SampleCount"), ("P99.5", "p99.5"), ("min", "Minimum")]
        {
            assert_eq!(Statistic::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["median", "p101", "p", "p-1", ""] {
            assert!(Statistic::parse(wrong).is_err(), "{wrong}");
        }
    }
}
