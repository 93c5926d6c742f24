//! Event time, as one integer.
//!
//! Nanoseconds since 1970-01-01T00:00:00Z, the unit of SQL's unqualified `TIMESTAMP` in DataFusion, so from 1677 to
//! 2262. A coarser column whose value does not fit is clamped to [`EventTime::MIN`] or [`EventTime::MAX`].

use std::fmt;
use std::time::Duration;

use arrow::datatypes::TimeUnit;

/// A point in event time, or a wall clock's reading: nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before everything: the watermark of a shard that has no row yet.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// From a column's value in the column's unit; clamps what does not fit.
    pub const fn from_unit(value: i64, unit: TimeUnit) -> Self {
        Self(value.saturating_mul(nanos_per(unit)))
    }

    /// In a column's unit, rounded down.
    pub const fn to_unit(self, unit: TimeUnit) -> i64 {
        self.0.div_euclid(nanos_per(unit))
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.to_unit(TimeUnit::Millisecond)
    }

    /// This time less a duration, clamped.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This time and a duration more, clamped.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }
}

/// How many nanoseconds one of `unit` has.
pub const fn nanos_per(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// RFC 3339 in UTC with as many digits as needed; `-inf` and `inf` for the two ends.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-inf"),
            Self::MAX => f.write_str("inf"),
            Self(nanos) => match arrow::temporal_conversions::timestamp_ns_to_datetime(nanos) {
                Some(time) => write!(f, "{}Z", time.format("%Y-%m-%dT%H:%M:%S%.f")),
                None => write!(f, "{nanos}ns"),
            },
        }
    }
}

impl fmt::Debug for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_round_down_and_clamp() {
        assert_eq!(EventTime::from_unit(-1, TimeUnit::Millisecond), EventTime(-1_000_000));
        assert_eq!(EventTime(-1).to_unit(TimeUnit::Second), -1);
        assert_eq!(EventTime::from_unit(i64::MAX, TimeUnit::Second), EventTime::MAX);
        assert_eq!(EventTime(1_357_020_000_500_000_000).to_string(), "2013-01-01T06:00:00.500Z");
        assert_eq!(EventTime::MIN.to_string(), "-inf");
    }
}
