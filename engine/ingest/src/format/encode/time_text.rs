//! Timestamps as text: RFC 3339, or a number of units since the epoch.

use std::io::Write as _;

use arrow::array::{Array, AsArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use headwater_core::time::nanos_per;

use super::super::settings::TimestampFormat;
use crate::error::Result;

/// A column of timestamps, to be written value by value.
pub(super) struct TimeText {
    values: Values,
    /// A time with a zone is written in UTC and with a `Z`.
    zoned: bool,
    format: TimestampFormat,
}

/// Coarse units reach further than 64-bit nanoseconds do, so each is kept as it is.
enum Values {
    Nanos(TimestampNanosecondArray),
    Coarse(arrow::array::Int64Array, i64),
}

impl TimeText {
    /// `None` if the column holds no timestamps.
    pub(super) fn new(column: &dyn Array, format: TimestampFormat) -> Result<Option<Self>> {
        let DataType::Timestamp(unit, zone) = column.data_type() else { return Ok(None) };
        let values = match unit {
            TimeUnit::Nanosecond => Values::Nanos(column.as_primitive::<TimestampNanosecondType>().clone()),
            unit => Values::Coarse(cast(column, &DataType::Int64)?.as_primitive().clone(), nanos_per(*unit)),
        };
        Ok(Some(Self { values, zoned: zone.is_some(), format }))
    }

    /// Whether the text is that of a number.
    pub(super) fn is_number(&self) -> bool {
        self.format.nanos().is_some()
    }

    /// Appends the text of a value.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        let nanos = match &self.values {
            Values::Nanos(values) => i128::from(values.value(row)),
            Values::Coarse(values, nanos) => i128::from(values.value(row)) * i128::from(*nanos),
        };
        match self.format.nanos() {
            Some(per_unit) => write_number(nanos, i128::from(per_unit), out),
            None => write_iso(nanos, self.zoned, out),
        }
    }
}

fn write_number(nanos: i128, per_unit: i128, out: &mut Vec<u8>) {
    let (whole, rest) =
        (nanos.unsigned_abs() / per_unit.unsigned_abs(), nanos.unsigned_abs() % per_unit.unsigned_abs());
    push(out, format_args!("{}{whole}", if nanos < 0 { "-" } else { "" }));
    if rest > 0 {
        push(out, format_args!(".{rest:0digits$}", digits = per_unit.ilog10() as usize));
        cut_zeros(out);
    }
}

fn write_iso(nanos: i128, zoned: bool, out: &mut Vec<u8>) {
    let seconds = nanos.div_euclid(1_000_000_000);
    let fraction = nanos.rem_euclid(1_000_000_000) as u32;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
    let (year, month, day) = civil_from_days(days);
    if (0..=9_999).contains(&year) {
        let century = (year / 100) as u32;
        for (pair, after) in [
            (century, None),
            ((year % 100) as u32, Some(b'-')),
            (month, Some(b'-')),
            (day, Some(b'T')),
            (second / 3_600, Some(b':')),
            (second / 60 % 60, Some(b':')),
            (second % 60, None),
        ] {
            out.extend([b'0' + (pair / 10) as u8, b'0' + (pair % 10) as u8]);
            out.extend(after);
        }
    } else {
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        push(out, format_args!("{year:+}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"));
    }
    if fraction > 0 {
        push(out, format_args!(".{fraction:09}"));
        cut_zeros(out);
    }
    if zoned {
        out.push(b'Z');
    }
}

/// The date of a day since the epoch, by Howard Hinnant's algorithm.
fn civil_from_days(days: i128) -> (i128, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = (if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }) as u32;
    (year_of_era + era * 400 + i128::from(month <= 2), month, day)
}

fn cut_zeros(out: &mut Vec<u8>) {
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(nanos: i128) -> String {
        let mut out = Vec::new();
        write_iso(nanos, true, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(iso(1_357_020_000_500_000_000), "2013-01-01T06:00:00.5Z");
        assert_eq!(iso(-1), "1969-12-31T23:59:59.999999999Z");
        for day in (-40_000..80_000).step_by(17) {
            let nanos = i64::from(day) * 86_400_000_000_000 + 3_661_000_000_001;
            let text = iso(nanos.into());
            let read = super::super::super::text::timestamp(text.as_bytes());
            assert_eq!(read.and_then(|at| at.to_unit(TimeUnit::Nanosecond)), Some(nanos), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_fraction() {
        let number = |nanos, per_unit| {
            let mut out = Vec::new();
            write_number(nanos, per_unit, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(number(1_500_000_000, 1_000_000_000), "1.5");
        assert_eq!(number(-1_500_000, 1_000_000), "-1.5");
        assert_eq!(number(7, 1), "7");
    }
}
