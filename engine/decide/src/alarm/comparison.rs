//! When a value breaches a threshold.

use std::fmt;

use crate::error::{DecideError, Result};

/// How a value is held against the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`, `GreaterThanThreshold`.
    Greater,
    /// `>=`, `GreaterThanOrEqualToThreshold`.
    GreaterOrEqual,
    /// `<`, `LessThanThreshold`.
    Less,
    /// `<=`, `LessThanOrEqualToThreshold`.
    LessOrEqual,
}

/// On which side of its threshold a breaching value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Above, or at the threshold with `>=`.
    Above,
    /// Below, or at the threshold with `<=`.
    Below,
}

const NAMES: [(&str, &str, Comparison); 4] = [
    (">", "GreaterThanThreshold", Comparison::Greater),
    (">=", "GreaterThanOrEqualToThreshold", Comparison::GreaterOrEqual),
    ("<", "LessThanThreshold", Comparison::Less),
    ("<=", "LessThanOrEqualToThreshold", Comparison::LessOrEqual),
];

impl Comparison {
    /// From a sign or from the service's name.
    pub fn parse(text: &str) -> Result<Self> {
        let known = NAMES.iter().find(|(sign, name, _)| *sign == text || name.eq_ignore_ascii_case(text));
        known.map(|(_, _, comparison)| *comparison).ok_or_else(|| {
            DecideError::new(format!(
                "'{text}' is no comparison: write >, >=, < or <=, or a name such as GreaterThanThreshold"
            ))
        })
    }

    /// Whether a value breaches.
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }

    /// Where breaching values lie.
    pub fn side(self) -> Side {
        match self {
            Self::Greater | Self::GreaterOrEqual => Side::Above,
            Self::Less | Self::LessOrEqual => Side::Below,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = NAMES.iter().find(|(_, _, comparison)| comparison == self).map_or("", |(sign, ..)| sign);
        f.write_str(sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_itself_breaches_only_where_it_says_so() {
        let breaching = |text: &str| {
            let comparison = Comparison::parse(text).unwrap();
            [69.0, 70.0, 71.0].map(|value| comparison.breaches(value, 70.0))
        };
        assert_eq!(breaching(">"), [false, false, true]);
        assert_eq!(breaching("GreaterThanOrEqualToThreshold"), [false, true, true]);
        assert_eq!(breaching("lessthanthreshold"), [true, false, false]);
        assert_eq!(breaching("<="), [true, true, false]);
        assert!(Comparison::parse("=").is_err());
    }
}
