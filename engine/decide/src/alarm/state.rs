//! The state of an alarm.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of an alarm. A new one has not enough data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum AlarmState {
    /// The metric is within its threshold.
    Ok,
    /// It is not.
    Alarm,
    /// The alarm has just been made, or its metric has no points.
    #[default]
    InsufficientData,
}

impl AlarmState {
    /// As the service writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    /// From what [`AlarmState::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for AlarmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
