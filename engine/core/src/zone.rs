//! Time zones: what a clock on a wall shows there, and which moment that is.
//!
//! ```text
//!  UTC             00:30   01:00   01:30          00:30   01:00   01:30
//!  Europe/Berlin   02:30   02:00   02:30          01:30   03:00   03:30
//!                    put back by an hour             put forward by an hour
//! ```

use chrono::{Days, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// By whose clock a time is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zone {
    /// That of a place, which may be put forward and back.
    Place(Tz),
    /// One that is so far from UTC all year.
    Offset(FixedOffset),
}

impl Zone {
    /// The clock that all others are told by.
    pub const UTC: Self = Self::Place(Tz::UTC);

    /// That of a place as the time zone database calls it, such as `Europe/Berlin` or `UTC`.
    pub fn place(name: &str) -> Option<Self> {
        name.parse().ok().map(Self::Place)
    }

    /// When a clock shows this, in UTC. Of a time that comes twice, as clocks are put back, the second is meant; one that is skipped is as
    /// much later as clocks are put forward. `None`: it is no time that can be told.
    pub fn to_utc(&self, local: NaiveDateTime) -> Option<NaiveDateTime> {
        match self {
            Self::Place(zone) => to_utc(zone, local),
            Self::Offset(zone) => to_utc(zone, local),
        }
    }

    /// What a clock shows at this time of UTC. `None`: it is no time that can be told.
    pub fn to_local(&self, utc: NaiveDateTime) -> Option<NaiveDateTime> {
        let offset = match self {
            Self::Place(zone) => zone.offset_from_utc_datetime(&utc).fix(),
            Self::Offset(zone) => *zone,
        };
        utc.checked_add_offset(offset)
    }
}

fn to_utc<Z: TimeZone>(zone: &Z, local: NaiveDateTime) -> Option<NaiveDateTime> {
    let offset = match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(_, offset) => offset.fix(),
        // As it was before clocks were put forward.
        LocalResult::None => {
            zone.offset_from_local_datetime(&local.checked_sub_days(Days::new(1))?).latest()?.fix()
        }
    };
    local.checked_sub_offset(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn times_of_a_place_follow_its_clock() {
        let berlin = Zone::place("Europe/Berlin").unwrap();
        for (local, utc) in [
            ("2026-07-01T12:00:00", "2026-07-01T10:00:00"),
            ("2026-12-01T12:00:00", "2026-12-01T11:00:00"),
            // Clocks are put back at 3:00.
            ("2026-10-25T01:59:59", "2026-10-24T23:59:59"),
            ("2026-10-25T02:30:00", "2026-10-25T01:30:00"),
        ] {
            assert_eq!(berlin.to_utc(time(local)), Some(time(utc)), "{local}");
            assert_eq!(berlin.to_local(time(utc)), Some(time(local)), "{utc}");
        }
        // The first of the times that come twice, and one that is skipped.
        assert_eq!(berlin.to_local(time("2026-10-25T00:30:00")), Some(time("2026-10-25T02:30:00")));
        assert_eq!(berlin.to_utc(time("2026-03-29T02:30:00")), Some(time("2026-03-29T01:30:00")));
        assert_eq!(berlin.to_local(time("2026-03-29T01:30:00")), Some(time("2026-03-29T03:30:00")));
    }

    #[test]
    fn an_offset_is_the_same_all_year() {
        let west = Zone::Offset(FixedOffset::west_opt(8 * 3600).unwrap());
        for (local, utc) in
            [("2026-01-01T20:00:00", "2026-01-02T04:00:00"), ("2026-07-01T20:00:00", "2026-07-02T04:00:00")]
        {
            assert_eq!(west.to_utc(time(local)), Some(time(utc)));
            assert_eq!(west.to_local(time(utc)), Some(time(local)));
        }
        assert_eq!(Zone::UTC.to_utc(time("2026-03-29T02:30:00")), Some(time("2026-03-29T02:30:00")));
        assert_eq!(west.to_utc(NaiveDateTime::MAX), None);
        assert_eq!(west.to_local(NaiveDateTime::MIN), None);
        assert_eq!(Zone::place("Mars"), None);
    }
}
