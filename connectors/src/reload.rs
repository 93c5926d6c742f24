//! When a table that is kept in memory as a whole is read again.
//!
//! ```text
//!  FIXED_DELAY   [read]──interval──>[read]──interval──>[read]      from the end of one reading to the next
//!  FIXED_RATE    [read]   |[read]   |[read]   |[read]              each interval, counted from when the first reading began
//!  TIMED         [read]  10:15[read]      10:15[read]              at a time of day, and so many days later again
//! ```
//!
//! Intervals are measured by the monotonic clock, times of day by the wall clock. Nothing runs by itself: a table that is due is read when
//! keys are asked for next, and what was missed meanwhile is not made up for.

use std::time::Duration;

use headwater_core::{EventTime, World};
use headwater_ingest::Options;

use crate::error::Result;

const DAY: Duration = Duration::from_secs(86_400);

const STRATEGY: &str = "lookup.full-cache.reload-strategy";
const INTERVAL: &str = "lookup.full-cache.periodic-reload.interval";
const MODE: &str = "lookup.full-cache.periodic-reload.schedule-mode";
const TIME: &str = "lookup.full-cache.timed-reload.iso-time";
const DAYS: &str = "lookup.full-cache.timed-reload.interval-in-days";

/// When a table that is kept in memory is read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    /// Never.
    Never,
    /// So long after it was read.
    FixedDelay(Duration),
    /// Each time that so much has passed since it was first read.
    FixedRate(Duration),
    /// At a time of day.
    Timed {
        /// Since midnight, UTC.
        time: Duration,
        /// How many days lie between two readings, at least one.
        days: u32,
    },
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) passed: Duration,
    pub(crate) wall: EventTime,
}

/// Until when rows that were read are good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    Never,
    /// By the monotonic clock.
    Passed(Duration),
    /// By the wall clock.
    Wall(EventTime),
}

impl Reload {
    /// The options of Flink's full cache.
    pub(crate) const OPTIONS: [&str; 5] = [STRATEGY, INTERVAL, MODE, TIME, DAYS];

    /// Takes the options of Flink's full cache. Without any, a table is read once.
    pub(crate) fn take(options: &mut Options) -> Result<Self> {
        let timed = options.parse_with(STRATEGY, |text| match text.trim().to_ascii_uppercase().as_str() {
            "PERIODIC" => Ok(false),
            "TIMED" => Ok(true),
            _ => Err("it is PERIODIC or TIMED".to_owned()),
        })?;
        let (others, strategy) = match timed {
            Some(true) => ([INTERVAL, MODE], "PERIODIC"),
            _ => ([TIME, DAYS], "TIMED"),
        };
        for name in others {
            let reason = format!("it is of '{STRATEGY}' = '{strategy}'");
            options.parse_with(name, |_| Err::<(), _>(reason))?;
        }
        if timed == Some(true) { Self::take_timed(options) } else { Self::take_periodic(options, timed) }
    }

    fn take_timed(options: &mut Options) -> Result<Self> {
        options.require(TIME)?;
        let time = options.parse_with(TIME, parse_time)?.unwrap_or_default();
        let days = options.parse_with(DAYS, |text| match text.trim().parse::<u32>() {
            Ok(days) if days > 0 => Ok(days),
            _ => Err("it is a number of days, at least 1".to_owned()),
        })?;
        Ok(Self::Timed { time, days: days.unwrap_or(1) })
    }

    fn take_periodic(options: &mut Options, strategy: Option<bool>) -> Result<Self> {
        let rate = options.parse_with(MODE, |text| match text.trim().to_ascii_uppercase().as_str() {
            "FIXED_DELAY" => Ok(false),
            "FIXED_RATE" => Ok(true),
            _ => Err("it is FIXED_DELAY or FIXED_RATE".to_owned()),
        })?;
        if strategy.is_some() || rate.is_some() {
            options.require(INTERVAL)?;
        }
        let Some(interval) = options.duration(INTERVAL)? else { return Ok(Self::Never) };
        if interval.is_zero() {
            let given = options.require(INTERVAL)?;
            return Err(options.bad(INTERVAL, &given, "it is longer than nothing").into());
        }
        Ok(if rate == Some(true) { Self::FixedRate(interval) } else { Self::FixedDelay(interval) })
    }

    /// When rows are due to be read again that were read from `began` to `ended`, because they were due then or for the first time.
    pub(crate) fn next(self, was: Option<Due>, began: Moment, ended: Moment) -> Due {
        match self {
            Self::Never => Due::Never,
            Self::FixedDelay(interval) => Due::Passed(ended.passed.saturating_add(interval)),
            Self::FixedRate(interval) => {
                let from = match was {
                    Some(Due::Passed(due)) => due,
                    _ => began.passed,
                };
                Due::Passed(from.saturating_add(until(from, interval, ended.passed)))
            }
            Self::Timed { time, days } => {
                // A reading may have begun before that time and ended after it: then it is due again at once.
                let (from, period) = match was {
                    Some(Due::Wall(due)) => (due, DAY.saturating_mul(days)),
                    _ => (midnight(began.wall).plus(time).minus(DAY), DAY),
                };
                let passed = u64::try_from(began.wall.0.saturating_sub(from.0)).unwrap_or(0);
                Due::Wall(from.plus(until(Duration::ZERO, period, Duration::from_nanos(passed))))
            }
        }
    }
}

impl Moment {
    pub(crate) fn now(world: &World) -> Self {
        Self { passed: world.clock.monotonic(), wall: world.clock.now() }
    }
}

impl Due {
    pub(crate) fn is_past(self, now: Moment) -> bool {
        match self {
            Self::Never => false,
            Self::Passed(due) => now.passed >= due,
            Self::Wall(due) => now.wall >= due,
        }
    }
}

/// How far behind `from` the first of its multiples of `period` lies that is later than `now`.
fn until(from: Duration, period: Duration, now: Duration) -> Duration {
    let done = now.saturating_sub(from).as_nanos() / period.as_nanos().max(1);
    let nanos = (done + 1).saturating_mul(period.as_nanos());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// When the day of a moment began, UTC.
fn midnight(at: EventTime) -> EventTime {
    let day = i64::try_from(DAY.as_nanos()).unwrap_or(i64::MAX);
    EventTime(at.0.saturating_sub(at.0.rem_euclid(day)))
}

/// Reads `10:15`, `10:15:30`, `10:15:30.5`, each with `Z`, `+02:00` or nothing behind it, which is UTC.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || {
        "it is a time of day such as 10:15, 10:15:00Z or 10:15+02:00; one without an offset is UTC".to_owned()
    };
    let text = text.trim();
    let at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (time, offset) = text.split_at(at);
    let time = seconds_of(time, 23).ok_or_else(wrong)?;
    let offset_of =
        |text: &str| seconds_of(text, 18).filter(|offset| *offset <= Duration::from_secs(18 * 3_600));
    let since = match offset.as_bytes() {
        [] | [b'Z' | b'z'] => time,
        // East of Greenwich a time of day comes earlier.
        [b'+', ..] => time + DAY - offset_of(&offset[1..]).ok_or_else(wrong)?,
        [b'-', ..] => time + offset_of(&offset[1..]).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    Ok(if since >= DAY { since - DAY } else { since })
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.fraction`.
fn seconds_of(text: &str, hours_max: u64) -> Option<Duration> {
    let two = |text: &str, most: u64| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| is_two && *number <= most)
    };
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = time.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] if !text.contains('.') => (two(hours, hours_max)?, two(minutes, 59)?, 0),
        [hours, minutes, seconds] => (two(hours, hours_max)?, two(minutes, 59)?, two(seconds, 59)?),
        _ => return None,
    };
    let is_fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let nanos = is_fraction.then(|| format!("{fraction:0<9}").parse::<u32>().ok()).flatten()?;
    Some(Duration::new(hours * 3_600 + minutes * 60 + seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);

    /// So long after a midnight, by both clocks; the monotonic one began an hour later.
    fn at(since: Duration) -> Moment {
        Moment { passed: since - HOUR, wall: EventTime(1_767_225_600_000_000_000).plus(since) }
    }

    fn of(options: &[(&str, &str)]) -> Result<Reload, String> {
        let mut options = Options::new("connector jdbc", options.iter().copied());
        let reload = Reload::take(&mut options).map_err(|error| error.to_string())?;
        options.finish().map_err(|error| error.to_string())?;
        Ok(reload)
    }

    #[test]
    fn a_fixed_delay_begins_when_a_reading_ends() {
        let reload = Reload::FixedDelay(10 * MINUTE);
        let due = reload.next(None, at(2 * HOUR), at(2 * HOUR + MINUTE));
        assert_eq!(due, Due::Passed(HOUR + 11 * MINUTE));
        assert!(!due.is_past(at(2 * HOUR + 10 * MINUTE)));
        assert!(due.is_past(at(2 * HOUR + 11 * MINUTE)));
        // It was read an hour late: that moves the next.
        let due = reload.next(Some(due), at(3 * HOUR), at(3 * HOUR + MINUTE));
        assert_eq!(due, Due::Passed(2 * HOUR + 11 * MINUTE));
    }

    #[test]
    fn a_fixed_rate_stays_on_the_grid_of_the_first_reading() {
        let reload = Reload::FixedRate(10 * MINUTE);
        let due = reload.next(None, at(2 * HOUR), at(2 * HOUR + MINUTE));
        assert_eq!(due, Due::Passed(HOUR + 10 * MINUTE));
        // Read late, and two were missed meanwhile: they are not made up for.
        let due = reload.next(Some(due), at(2 * HOUR + 32 * MINUTE), at(2 * HOUR + 33 * MINUTE));
        assert_eq!(due, Due::Passed(HOUR + 40 * MINUTE));
        // A reading takes longer than the interval: the next begins on the grid behind it.
        let due = reload.next(Some(due), at(2 * HOUR + 40 * MINUTE), at(2 * HOUR + 60 * MINUTE));
        assert_eq!(due, Due::Passed(2 * HOUR + 10 * MINUTE));
    }

    #[test]
    fn a_time_of_day_comes_again_over_midnight() {
        let reload = Reload::Timed { time: 30 * MINUTE, days: 1 };
        let (evening, soon) = (23 * HOUR, 23 * HOUR + MINUTE);
        let due = reload.next(None, at(evening), at(soon));
        assert_eq!(due, Due::Wall(at(24 * HOUR + 30 * MINUTE).wall));
        assert!(!due.is_past(at(24 * HOUR + 29 * MINUTE)));
        assert!(due.is_past(at(24 * HOUR + 30 * MINUTE)));
        // Nobody asked for three days.
        let late = at(97 * HOUR);
        let due = reload.next(Some(due), late, late);
        assert_eq!(due, Due::Wall(at(120 * HOUR + 30 * MINUTE).wall));
        // Later on the first day it comes on that day.
        let reload = Reload::Timed { time: 22 * HOUR, days: 1 };
        assert_eq!(reload.next(None, at(2 * HOUR), at(2 * HOUR)), Due::Wall(at(22 * HOUR).wall));
        // At that very moment the rows are read, and it is the next day's turn.
        assert_eq!(reload.next(None, at(22 * HOUR), at(22 * HOUR)), Due::Wall(at(46 * HOUR).wall));
        // What began before it and ended after it is read again.
        let due = reload.next(None, at(22 * HOUR - MINUTE), at(22 * HOUR + MINUTE));
        assert!(due.is_past(at(22 * HOUR + MINUTE)));
    }

    #[test]
    fn days_are_counted_from_the_first_time_on() {
        let reload = Reload::Timed { time: 2 * HOUR, days: 3 };
        let due = reload.next(None, at(5 * HOUR), at(5 * HOUR));
        assert_eq!(due, Due::Wall(at(26 * HOUR).wall));
        let due = reload.next(Some(due), at(27 * HOUR), at(27 * HOUR));
        assert_eq!(due, Due::Wall(at(98 * HOUR).wall));
        let due = reload.next(Some(due), at(30 * DAY), at(30 * DAY));
        assert_eq!(due, Due::Wall(at(746 * HOUR).wall));
    }

    #[test]
    fn times_of_day_are_of_utc_unless_they_say_otherwise() {
        for (text, hours, minutes, millis) in [
            ("10:15", 10, 15, 0),
            ("10:15Z", 10, 15, 0),
            (" 10:15:00z ", 10, 15, 0),
            ("10:15:00.25", 10, 15, 250),
            ("10:15+07:00", 3, 15, 0),
            ("01:15:00+02:00", 23, 15, 0),
            ("22:15:00-02:30", 0, 45, 0),
            ("00:00", 0, 0, 0),
        ] {
            let expect = hours * HOUR + minutes * MINUTE + Duration::from_millis(millis);
            assert_eq!(parse_time(text), Ok(expect), "{text}");
        }
        for bad in [
            "",
            "10",
            "10:5",
            "24:00",
            "10:60",
            "10:15:60",
            "10:15.5",
            "10:15ZZ",
            "10:15+19:00",
            "10:15 Uhr",
            "+10:15",
        ] {
            assert!(parse_time(bad).unwrap_err().contains("such as 10:15"), "{bad}");
        }
    }

    #[test]
    fn options_say_when() {
        assert_eq!(of(&[]), Ok(Reload::Never));
        assert_eq!(of(&[(INTERVAL, "10 min")]), Ok(Reload::FixedDelay(10 * MINUTE)));
        let rate = [(STRATEGY, "periodic"), (INTERVAL, "1 h"), (MODE, "fixed_rate")];
        assert_eq!(of(&rate), Ok(Reload::FixedRate(HOUR)));
        let timed = [(STRATEGY, "TIMED"), (TIME, "10:15"), (DAYS, "2")];
        assert_eq!(of(&timed), Ok(Reload::Timed { time: 10 * HOUR + 15 * MINUTE, days: 2 }));
        for (options, why) in [
            (&[(STRATEGY, "HOURLY")][..], "it is PERIODIC or TIMED"),
            (&[(STRATEGY, "PERIODIC")], "needs option 'lookup.full-cache.periodic-reload.interval'"),
            (&[(MODE, "FIXED_RATE")], "needs option 'lookup.full-cache.periodic-reload.interval'"),
            (&[(INTERVAL, "1 h"), (MODE, "SOMETIMES")], "it is FIXED_DELAY or FIXED_RATE"),
            (&[(INTERVAL, "0 s")], "longer than nothing"),
            (&[(INTERVAL, "1 h"), (TIME, "10:15")], "it is of 'lookup.full-cache.reload-strategy' = 'TIMED'"),
            (&[(STRATEGY, "TIMED")], "needs option 'lookup.full-cache.timed-reload.iso-time'"),
            (&[(STRATEGY, "TIMED"), (TIME, "noon")], "such as 10:15"),
            (&[(STRATEGY, "TIMED"), (TIME, "10:15"), (DAYS, "0")], "at least 1"),
            (&[(STRATEGY, "TIMED"), (TIME, "10:15"), (INTERVAL, "1 h")], "= 'PERIODIC'"),
        ] {
            let error = of(options).unwrap_err();
            assert!(error.contains(why), "{options:?}: {error}");
        }
    }
}
