//! When a scheduled action is due: once, or again and again in a time zone, between a start and an end.

use std::fmt;

use chrono_tz::Tz;
use headwater_core::EventTime;

use super::cron::Cron;
use crate::error::{DecideError, Result};

/// When a scheduled action is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Times {
    /// At one moment.
    Once(EventTime),
    /// Again and again.
    Again(Recurrence),
}

/// The times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// The schedule.
    pub cron: Cron,
    /// In whose clocks.
    pub zone: Tz,
    /// Nothing is due before; at this moment the action is due, whatever the schedule says.
    pub start: Option<EventTime>,
    /// Nothing is due after.
    pub end: Option<EventTime>,
}

impl Recurrence {
    /// A schedule in UTC without an end.
    pub fn new(cron: Cron) -> Self {
        Self { cron, zone: Tz::UTC, start: None, end: None }
    }

    /// Checks that the end lies behind the start.
    pub fn check(&self) -> Result<()> {
        match (self.start, self.end) {
            (Some(start), Some(end)) if start >= end => {
                Err(DecideError::new(format!("the schedule would end at {end}, before it starts at {start}")))
            }
            _ => Ok(()),
        }
    }
}

/// Reads the name of a time zone, such as `Europe/Berlin`.
pub fn zone(text: &str) -> Result<Tz> {
    let unknown = || {
        DecideError::new(format!("'{text}' is no time zone: write its name as IANA has it, 'Europe/Berlin'"))
    };
    text.trim().parse().map_err(|_| unknown())
}

impl Times {
    /// The first time after `after` at which the action is due.
    pub fn next(&self, after: EventTime) -> Option<EventTime> {
        match self {
            Self::Once(at) => Some(*at).filter(|at| *at > after),
            Self::Again(Recurrence { cron, zone, start, end }) => {
                let due = match start {
                    Some(start) if *start > after => Some(*start),
                    _ => cron.next_in(*zone, after),
                };
                due.filter(|due| end.is_none_or(|end| *due <= end))
            }
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(at) => write!(f, "at {at}"),
            Self::Again(Recurrence { cron, zone, start, end }) => {
                write!(f, "{cron}")?;
                if *zone != Tz::UTC {
                    write!(f, " in {zone}")?;
                }
                start.iter().try_for_each(|start| write!(f, " from {start}"))?;
                end.iter().try_for_each(|end| write!(f, " until {end}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;

    use super::*;

    fn time(text: &str) -> EventTime {
        let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        EventTime(time.and_utc().timestamp_nanos_opt().unwrap())
    }

    fn again(cron: &str, in_zone: &str) -> Recurrence {
        Recurrence { zone: zone(in_zone).unwrap(), ..Recurrence::new(Cron::parse(cron).unwrap()) }
    }

    /// The next three times after a moment, in UTC.
    fn next(times: &Times, after: &str) -> Vec<String> {
        let next = std::iter::successors(times.next(time(after)), |last| times.next(*last));
        next.take(3).map(|time| time.to_string().replace(":00Z", "").replace('T', " ")).collect()
    }

    #[test]
    fn an_action_without_a_recurrence_is_done_once() {
        let once = Times::Once(time("2026-03-01 10:00"));
        assert_eq!(next(&once, "2026-03-01 09:59"), ["2026-03-01 10:00"]);
        assert_eq!(next(&once, "2026-03-01 10:00"), [""; 0]);
    }

    #[test]
    fn a_schedule_is_in_utc_unless_it_says_otherwise() {
        assert_eq!(
            next(&Times::Again(Recurrence::new(Cron::parse("0 8 * * *").unwrap())), "2026-01-01 00:00")[0],
            "2026-01-01 08:00"
        );
        assert_eq!(
            next(&Times::Again(again("0 8 * * *", "Asia/Kolkata")), "2026-01-01 00:00"),
            ["2026-01-01 02:30", "2026-01-02 02:30", "2026-01-03 02:30"]
        );
        assert!(zone("Mars/Olympus").unwrap_err().to_string().contains("no time zone"));
    }

    #[test]
    fn a_schedule_goes_with_summer_time() {
        let morning = Times::Again(again("0 8 * * *", "Europe/Berlin"));
        assert_eq!(
            next(&morning, "2026-03-27 12:00"),
            ["2026-03-28 07:00", "2026-03-29 06:00", "2026-03-30 06:00"]
        );
        assert_eq!(
            next(&morning, "2026-10-23 12:00"),
            ["2026-10-24 06:00", "2026-10-25 07:00", "2026-10-26 07:00"]
        );
    }

    #[test]
    fn what_is_due_while_clocks_are_put_forward_is_done_when_they_have_been() {
        let night = Times::Again(again("30 2 * * *", "Europe/Berlin"));
        // 02:30 is 03:00 on that day, which is 01:00 in UTC.
        assert_eq!(
            next(&night, "2026-03-28 00:00"),
            ["2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"]
        );
    }

    #[test]
    fn what_is_due_twice_while_clocks_are_put_back_is_done_once() {
        let night = Times::Again(again("30 2 * * *", "Europe/Berlin"));
        assert_eq!(
            next(&night, "2026-10-24 00:00"),
            ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]
        );
        // Also if time is in the hour that is there for the second time.
        assert_eq!(next(&night, "2026-10-25 01:10")[0], "2026-10-26 01:30");
    }

    #[test]
    fn a_recurrence_begins_with_its_start_and_ends_with_its_end() {
        let (start, end) = (time("2026-03-02 06:30"), time("2026-03-04 08:00"));
        let bounded = Recurrence { start: Some(start), end: Some(end), ..again("0 8 * * *", "UTC") };
        bounded.check().unwrap();
        let times = Times::Again(bounded.clone());
        assert_eq!(
            next(&times, "2026-02-01 00:00"),
            ["2026-03-02 06:30", "2026-03-02 08:00", "2026-03-03 08:00"]
        );
        assert_eq!(next(&times, "2026-03-03 08:00"), ["2026-03-04 08:00"]);
        assert_eq!(times.to_string(), "0 8 * * * from 2026-03-02T06:30:00Z until 2026-03-04T08:00:00Z");
        assert!(Recurrence { end: Some(start), ..bounded }.check().is_err());
    }
}
