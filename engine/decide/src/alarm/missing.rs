//! What an alarm makes of points that are not there, and of points that say little.

use std::fmt;

use crate::error::{DecideError, Result};

/// How missing points are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MissingData {
    /// They are left out; without any point there is not enough data.
    #[default]
    Missing,
    /// They are left out; without enough points the state stays what it is.
    Ignore,
    /// They count as breaching.
    Breaching,
    /// They count as not breaching.
    NotBreaching,
}

const MISSING: [(&str, MissingData); 4] = [
    ("missing", MissingData::Missing),
    ("ignore", MissingData::Ignore),
    ("breaching", MissingData::Breaching),
    ("notBreaching", MissingData::NotBreaching),
];

impl MissingData {
    /// From the service's name.
    pub fn parse(text: &str) -> Result<Self> {
        let known = MISSING.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, missing)| *missing).ok_or_else(|| {
            DecideError::new(format!(
                "'{text}' is no treatment of missing data: missing, ignore, breaching or notBreaching"
            ))
        })
    }
}

impl fmt::Display for MissingData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MISSING.iter().find(|(_, missing)| missing == self).map_or("", |(name, _)| name))
    }
}

/// What becomes of a percentile over few samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LowSamples {
    /// It counts like any other.
    #[default]
    Evaluate,
    /// The state stays what it is as long as such a point would decide.
    Ignore,
}

impl LowSamples {
    /// From the service's name.
    pub fn parse(text: &str) -> Result<Self> {
        match text.to_lowercase().as_str() {
            "evaluate" => Ok(Self::Evaluate),
            "ignore" => Ok(Self::Ignore),
            _ => Err(DecideError::new(format!("'{text}' must be evaluate or ignore"))),
        }
    }
}
