//! The year: the readings as JSON lines in the order of their time, one chunk a day, and what is asked of them.
//!
//! The file is as it was found: hours are missing, fields are `NA`, and in November a local hour comes twice. Nothing of that is
//! mended here; `NA` becomes null.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use headwater_core::EventTime;

/// 26,115 readings; see `fixtures/weather/README.md` for where they come from.
const WEATHER: &str = include_str!("../../../../fixtures/weather/weather.csv");

/// 2014-01-02: by then, if nothing more comes, every window has closed that a reading of the year lies in.
pub(crate) const OVER: EventTime = EventTime(1_388_620_800_000_000_000);

/// The jobs, in the order in which they are to run.
pub(crate) const QUERIES: [(&str, &str); 6] = [
    ("1_streams.sql", include_str!("../../../../queries/weather/1_streams.sql")),
    ("2_daily.sql", include_str!("../../../../queries/weather/2_daily.sql")),
    ("3_moving_mean.sql", include_str!("../../../../queries/weather/3_moving_mean.sql")),
    ("4_spells.sql", include_str!("../../../../queries/weather/4_spells.sql")),
    ("5_newest.sql", include_str!("../../../../queries/weather/5_newest.sql")),
    ("6_missing_hours.sql", include_str!("../../../../queries/weather/6_missing_hours.sql")),
];

/// The jobs that those files make.
pub(crate) const JOBS: [&str; 6] = ["daily", "moving", "heat", "freeze", "runs", "newest_reading"];

/// The stations: code, name, latitude, longitude.
pub(crate) const STATIONS: [(&str, &str, f64, f64); 3] = [
    ("EWR", "Newark Liberty", 40.6925, -74.168667),
    ("JFK", "John F. Kennedy", 40.639751, -73.778925),
    ("LGA", "La Guardia", 40.777245, -73.872608),
];

/// The year, a chunk a day.
pub(crate) struct Year {
    /// The days, in order.
    pub days: Vec<Day>,
}

/// The readings of one day (UTC), all stations, in order of time.
pub(crate) struct Day {
    /// Such as `2013-01-01`.
    pub date: String,
    /// JSON lines.
    pub lines: String,
    /// How many.
    pub readings: u64,
}

impl Year {
    /// Reads the year that the binary carries.
    pub fn read() -> Result<Self> {
        let mut lines = WEATHER.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let time =
            header.iter().position(|column| *column == "time_hour").context("the file has no time_hour")?;
        let mut rows = lines.map(|line| line.split(',').collect()).collect::<Vec<Vec<&str>>>();
        ensure!(
            rows.iter().all(|row| row.len() == header.len()),
            "a row has another number of fields than the header"
        );
        // The file has one station after the other; the year had them all at once. The sort is stable.
        rows.sort_by_key(|row| row[time]);

        let mut days: Vec<Day> = Vec::new();
        for row in rows {
            let date = row[time].get(..10).context("a time is too short")?;
            if days.last().is_none_or(|day| day.date != date) {
                days.push(Day { date: date.to_owned(), lines: String::new(), readings: 0 });
            }
            if let Some(day) = days.last_mut() {
                push_json(&header, &row, &mut day.lines);
                day.readings += 1;
            }
        }
        Ok(Self { days })
    }

    /// How many readings there are.
    pub fn readings(&self) -> u64 {
        self.days.iter().map(|day| day.readings).sum()
    }
}

/// Appends a row as a JSON object. Numbers keep the digits that they have in the file.
fn push_json(header: &[&str], row: &[&str], out: &mut String) {
    for (at, (name, value)) in header.iter().zip(row).enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        // Writing to a string does not fail.
        let _ = match *value {
            "NA" => write!(out, "\"{name}\":null"),
            text if *name == "origin" || *name == "time_hour" => write!(out, "\"{name}\":\"{text}\""),
            number => write!(out, "\"{name}\":{number}"),
        };
    }
    out.push_str("}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_is_whole_and_in_order() {
        let year = Year::read().unwrap();
        assert_eq!(year.readings(), 26_115);
        assert_eq!((year.days.len(), year.days[0].date.as_str()), (364, "2013-01-01"));
        let mut times = Vec::new();
        for line in year.days.iter().flat_map(|day| day.lines.lines()) {
            let reading: serde_json::Value = serde_json::from_str(line).unwrap();
            times.push(reading["time_hour"].as_str().unwrap().to_owned());
        }
        assert!(times.is_sorted());
        let first = year.days[0].lines.lines().next().unwrap();
        assert!(first.contains("\"wind_speed\":10.357019999999999,\"wind_gust\":null"), "{first}");
    }
}
