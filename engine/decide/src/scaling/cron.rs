//! When a scheduled action is due: the five fields of cron, in the clocks of a time zone.
//!
//! ```text
//!  minute  hour  day of month  month  day of week        */15  8-18  *  JAN,jul  MON-FRI
//! ```
//!
//! If both days are restricted, either suffices, as cron has had it since Version 7. Sunday is 0 and 7.
//!
//! Each time comes once. Where clocks are put forward, what would be due in between is due when they have been; where they are put back,
//! what would be due twice is due the first time.

use std::fmt;

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use chrono_tz::Tz;
use headwater_core::EventTime;

use crate::error::{DecideError, Result};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether either day suffices.
    either_day: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Within so many days any schedule that is ever due is due: 29 February on a certain weekday may wait for 40 years.
const DAYS_MAX: i64 = 366 * 41;

impl Cron {
    /// Reads five fields.
    pub fn parse(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(DecideError::new(format!(
                "'{text}' has {} fields, a schedule has five: minute, hour, day of month, month, day of week",
                fields.len()
            )));
        };
        let weekday = read(weekdays, 0, 7, &WEEKDAYS, 0)?;
        let cron = Self {
            text: fields.join(" "),
            minutes: read(minutes, 0, 59, &[], 0)?,
            hours: read(hours, 0, 23, &[], 0)?,
            days: read(days, 1, 31, &[], 0)?,
            months: read(months, 1, 12, &MONTHS, 1)?,
            weekdays: weekday | u64::from(holds(weekday, 7)),
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        match cron.next(EventTime(0)) {
            Some(_) => Ok(cron),
            None => Err(DecideError::new(format!("'{text}' is never due: there is no such day"))),
        }
    }

    /// The first time after `after` at which it is due in UTC.
    pub fn next(&self, after: EventTime) -> Option<EventTime> {
        self.next_in(Tz::UTC, after)
    }

    /// The same in a time zone.
    pub fn next_in(&self, zone: Tz, after: EventTime) -> Option<EventTime> {
        let mut local = DateTime::from_timestamp_nanos(after.0).with_timezone(&zone).naive_local();
        loop {
            local = self.next_local(local)?;
            let due = instant(zone, local)?;
            // In the hour that is there twice it may have been due already.
            if due > after {
                return Some(due);
            }
        }
    }

    /// The first reading of a clock after this one at which it is due.
    fn next_local(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let start = after.checked_add_signed(Duration::minutes(1))?;
        let mut day = start.date();
        let mut from = (start.hour(), start.minute());
        for _ in 0..DAYS_MAX {
            if self.holds_day(day)
                && let Some(time) = self.time_from(day, from)
            {
                return Some(time);
            }
            day = day.succ_opt()?;
            from = (0, 0);
        }
        None
    }

    fn holds_day(&self, day: NaiveDate) -> bool {
        let of_month = holds(self.days, day.day());
        let of_week = holds(self.weekdays, day.weekday().num_days_from_sunday());
        let fits = if self.either_day { of_month || of_week } else { of_month && of_week };
        fits && holds(self.months, day.month())
    }

    fn time_from(&self, day: NaiveDate, (hour, minute): (u32, u32)) -> Option<NaiveDateTime> {
        let hours = (hour..24).filter(|hour| holds(self.hours, *hour));
        hours
            .filter_map(|now| {
                let first = if now == hour { minute } else { 0 };
                let minute = (first..60).find(|minute| holds(self.minutes, *minute))?;
                day.and_hms_opt(now, minute, 0)
            })
            .next()
    }
}

/// When clocks of a zone show this first, or have just been put beyond it: by an hour, mostly, and once by a day.
fn instant(zone: Tz, local: NaiveDateTime) -> Option<EventTime> {
    let mut readings = (0..=24 * 60).map(|minutes| local + Duration::minutes(minutes));
    let there = readings.find_map(|local| zone.from_local_datetime(&local).earliest())?;
    there.timestamp_nanos_opt().map(EventTime)
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn holds(set: u64, value: u32) -> bool {
    set & (1 << value) != 0
}

/// Reads `*`, `5`, `1-5`, `*/15`, `10-50/10`, `MON`, and such separated by commas. Names count from `names_from`.
fn read(field: &str, least: u32, most: u32, names: &[&str], names_from: u32) -> Result<u64> {
    let wrong =
        || DecideError::new(format!("'{field}' is no field of a schedule: values go from {least} to {most}"));
    let value = |text: &str| -> Result<u32> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = named.map_or_else(|| text.parse().ok(), |place| Some(place as u32 + names_from));
        value.filter(|value| (least..=most).contains(value)).ok_or_else(wrong)
    };
    let mut set = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (value(from)?, value(to)?),
            // A value with a step begins there and has no end.
            None if part.contains('/') => (value(range)?, most),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return Err(wrong());
        }
        set |= (from..=to).step_by(step).fold(0, |set, value| set | 1 << value);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> EventTime {
        let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
        EventTime(time.and_utc().timestamp_nanos_opt().unwrap())
    }

    /// The next three times after a moment.
    fn next(cron: &str, after: &str) -> Vec<String> {
        let cron = Cron::parse(cron).unwrap();
        let next = std::iter::successors(cron.next(time(after)), |last| cron.next(*last));
        next.take(3).map(|time| time.to_string().replace(":00Z", "").replace('T', " ")).collect()
    }

    #[test]
    fn every_field_restricts() {
        assert_eq!(
            next("* * * * *", "2026-03-01 10:00"),
            ["2026-03-01 10:01", "2026-03-01 10:02", "2026-03-01 10:03"]
        );
        assert_eq!(
            next("30 8 * * *", "2026-03-01 08:30"),
            ["2026-03-02 08:30", "2026-03-03 08:30", "2026-03-04 08:30"]
        );
        assert_eq!(
            next("*/20 9-10 * * *", "2026-03-01 09:45"),
            ["2026-03-01 10:00", "2026-03-01 10:20", "2026-03-01 10:40"]
        );
        assert_eq!(
            next("0 0 1 jan,7 *", "2026-03-01 00:00"),
            ["2026-07-01 00:00", "2027-01-01 00:00", "2027-07-01 00:00"]
        );
        assert_eq!(
            next("0 18 * * MON-FRI", "2026-03-06 12:00"),
            ["2026-03-06 18:00", "2026-03-09 18:00", "2026-03-10 18:00"]
        );
        assert_eq!(
            next("0 12 * * 7", "2026-03-02 00:00"),
            ["2026-03-08 12:00", "2026-03-15 12:00", "2026-03-22 12:00"]
        );
    }

    #[test]
    fn a_leap_day_waits_for_its_year() {
        assert_eq!(next("0 0 29 2 *", "2026-03-01 00:00")[..2], ["2028-02-29 00:00", "2032-02-29 00:00"]);
    }

    #[test]
    fn of_two_restricted_days_either_suffices() {
        assert_eq!(
            next("0 0 13 * FRI", "2026-03-01 00:00"),
            ["2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00"]
        );
        assert_eq!(next("0 0 1 * MON", "2026-03-02 00:00")[2], "2026-03-23 00:00");
    }

    #[test]
    fn seconds_within_a_minute_do_not_count() {
        let cron = Cron::parse("* * * * *").unwrap();
        let half = EventTime(time("2026-03-01 10:00").0 + 30_000_000_000);
        assert_eq!(cron.next(half), Some(time("2026-03-01 10:01")));
    }

    #[test]
    fn what_is_never_due_is_refused() {
        for wrong in [
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
        ] {
            assert!(Cron::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Cron::parse("0 0 31 2 *").unwrap_err().to_string().contains("never due"));
    }
}
