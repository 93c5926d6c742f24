//! When an alarm is evaluated, and how far it looks back.
//!
//! ```text
//!  period 5 min, evaluated every minute: the points of an evaluation end at it and at whole periods before it
//!
//!           |---- 3 ----|---- 2 ----|---- 1 ----|            at 10:15
//!             |---- 3 ----|---- 2 ----|---- 1 ----|          at 10:16
//! ```

use std::time::Duration;

use crate::error::{DecideError, Result};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The rhythm of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long the stretch is that a point is about.
    pub period: Duration,
    /// How often the alarm is evaluated; the period is a multiple of it.
    pub every: Duration,
}

impl Timing {
    /// That of a metric: evaluated each minute, or every 10 seconds if the period is shorter than a minute.
    pub fn of_metric(period: Duration) -> Result<Self> {
        check_period(period)?;
        let every = if period.as_secs() < MINUTE { 10 } else { MINUTE };
        Ok(Self { period, every: Duration::from_secs(every) })
    }

    /// That of points that are made once per period: evaluated with each.
    pub fn per_point(period: Duration) -> Result<Self> {
        check_period(period)?;
        Ok(Self { period, every: period })
    }

    /// How many evaluations there are in a period.
    pub fn stride(self) -> usize {
        (self.period.as_secs() / self.every.as_secs()) as usize
    }

    /// The evaluation that a time belongs to: the first at or after it, nanoseconds.
    pub fn tick_of(self, time: i64) -> i64 {
        let every = self.every.as_nanos() as i64;
        let down = time.div_euclid(every).saturating_mul(every);
        if down == time { time } else { down.saturating_add(every) }
    }
}

/// A period is 10, 20 or 30 seconds, or whole minutes.
pub fn check_period(period: Duration) -> Result<()> {
    let seconds = period.as_secs();
    let fits = matches!(seconds, 10 | 20 | 30) || (seconds > 0 && seconds.is_multiple_of(MINUTE));
    if fits && period.subsec_nanos() == 0 && seconds <= 7 * DAY {
        return Ok(());
    }
    Err(DecideError::new(format!(
        "a period of {period:?} is not possible: 10, 20 or 30 seconds, or whole minutes"
    )))
}

/// All periods of an evaluation together last at most a day, or seven if a period lasts an hour or more.
pub(super) fn check_span(period: Duration, periods: usize) -> Result<()> {
    let most = if period.as_secs() >= HOUR { 7 * DAY } else { DAY };
    if period.as_secs().saturating_mul(periods as u64) <= most {
        return Ok(());
    }
    Err(DecideError::new(format!(
        "{periods} periods of {period:?} are longer than {} days, the most that an alarm looks back over",
        most / DAY
    )))
}

/// How many points an evaluation looks at, so that missing ones among the newest do not decide: the service's
/// documentation shows 5 for 3 periods and gives no formula; this one is ours.
pub fn range_of(periods: usize) -> usize {
    periods + (periods / 3).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn periods_are_those_of_the_service() {
        for period in [10, 20, 30, 60, 300, 3_600, 86_400] {
            assert!(check_period(seconds(period)).is_ok(), "{period}");
        }
        for period in [0, 1, 15, 40, 90, 8 * 86_400] {
            assert!(check_period(seconds(period)).is_err(), "{period}");
        }
        assert!(check_period(Duration::from_millis(60_500)).is_err());
    }

    #[test]
    fn an_alarm_is_evaluated_each_minute_or_every_ten_seconds() {
        let strides = [10, 30, 60, 300].map(|period| Timing::of_metric(seconds(period)).unwrap().stride());
        assert_eq!(strides, [1, 3, 1, 5]);
        assert_eq!(Timing::per_point(seconds(300)).unwrap().stride(), 1);
    }

    #[test]
    fn a_time_belongs_to_the_next_evaluation() {
        let timing = Timing::of_metric(seconds(300)).unwrap();
        let minute = 60_000_000_000;
        assert_eq!(timing.tick_of(minute), minute);
        assert_eq!(timing.tick_of(minute + 1), 2 * minute);
        assert_eq!(timing.tick_of(-1), 0);
    }

    #[test]
    fn an_alarm_looks_back_over_a_day_or_a_week() {
        assert!(check_span(seconds(60), 1_440).is_ok());
        assert!(check_span(seconds(60), 1_441).is_err());
        assert!(check_span(seconds(3_600), 168).is_ok());
        assert!(check_span(seconds(3_600), 169).is_err());
    }

    #[test]
    fn three_periods_look_at_five_points() {
        assert_eq!([1, 2, 3, 6, 15].map(range_of), [3, 4, 5, 8, 20]);
    }
}
