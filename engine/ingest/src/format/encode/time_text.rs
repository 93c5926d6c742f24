//! Timestamps as text: RFC 3339, or a number of units since the epoch.

use std::io::Write as _;

use arrow::array::{Array, AsArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use headwater_core::time::nanos_per;

use super::super::settings::TimestampFormat;
use crate::error::Result;

/// Nanoseconds.
const SECOND: i64 = 1_000_000_000;

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
        let (value, nanos) = match &self.values {
            Values::Nanos(values) => (values.value(row), 1),
            Values::Coarse(values, nanos) => (values.value(row), *nanos),
        };
        match self.format.nanos() {
            Some(per_unit) => write_number(i128::from(value) * i128::from(nanos), i128::from(per_unit), out),
            None => {
                let per_second = SECOND / nanos;
                let fraction = value.rem_euclid(per_second) * nanos;
                write_iso(value.div_euclid(per_second), fraction as u32, self.zoned, out);
            }
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

/// `fraction`: of a second, in nanoseconds.
fn write_iso(seconds: i64, fraction: u32, zoned: bool, out: &mut Vec<u8>) {
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
        let mut rest = fraction;
        let mut digits = [b'0'; 9];
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let last = digits.iter().rposition(|digit| *digit != b'0').unwrap_or(0);
        out.push(b'.');
        out.extend_from_slice(&digits[..=last]);
    }
    if zoned {
        out.push(b'Z');
    }
}

/// The date of a day since the epoch, by Howard Hinnant's algorithm.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = (if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }) as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
    use arrow::array::{TimestampMicrosecondArray, TimestampMillisecondArray, TimestampSecondArray};

    use super::*;

    fn iso(nanos: i64) -> String {
        let mut out = Vec::new();
        write_iso(nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND) as u32, true, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_of_any_unit_is_written_as_far_as_it_reaches() {
        let seconds = TimestampSecondArray::from(vec![0, -1, 253_402_300_799, 253_402_300_800]);
        let millis =
            TimestampMillisecondArray::from(vec![-1, 1_500, i64::MAX, i64::MIN]).with_timezone("UTC");
        let micros = TimestampMicrosecondArray::from(vec![1, -1_000_001, 120_000]);
        let texts = |column: &dyn Array| -> Vec<String> {
            let times = TimeText::new(column, TimestampFormat::default()).unwrap().unwrap();
            let text = |row| {
                let mut out = Vec::new();
                times.write(row, &mut out);
                String::from_utf8(out).unwrap()
            };
            (0..column.len()).map(text).collect()
        };
        assert_eq!(
            texts(&seconds),
            ["1970-01-01T00:00:00", "1969-12-31T23:59:59", "9999-12-31T23:59:59", "+10000-01-01T00:00:00"]
        );
        assert_eq!(
            texts(&millis),
            [
                "1969-12-31T23:59:59.999Z",
                "1970-01-01T00:00:01.5Z",
                "+292278994-08-17T07:12:55.807Z",
                "-292275055-05-16T16:47:04.192Z"
            ]
        );
        assert_eq!(
            texts(&micros),
            ["1970-01-01T00:00:00.000001", "1969-12-31T23:59:58.999999", "1970-01-01T00:00:00.12"]
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(iso(1_357_020_000_500_000_000), "2013-01-01T06:00:00.5Z");
        assert_eq!(iso(-1), "1969-12-31T23:59:59.999999999Z");
        for day in (-40_000..80_000).step_by(17) {
            let nanos = i64::from(day) * 86_400_000_000_000 + 3_661_000_000_001;
            let text = iso(nanos);
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
