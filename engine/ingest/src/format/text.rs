//! Text to numbers, times and bytes. Pure functions; `None` means that the text is no such thing.

use arrow::datatypes::TimeUnit;
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use headwater_core::EventTime;
use headwater_core::time::nanos_per;

/// A decimal number as an integer of some scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scaled {
    pub(super) value: i128,
    /// Whether nothing was rounded away.
    pub(super) exact: bool,
}

/// Reads a decimal number (digits, a fraction, an exponent) as an integer of `10^-scale`, rounded half away from zero.
///
/// `None`: no number. `Some(None)`: a number that 128 bits do not hold.
pub(super) fn decimal(text: &str, scale: i32) -> Option<Option<Scaled>> {
    let (negative, rest) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mantissa_len = rest.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(mantissa_len);
    let exponent = match exponent {
        [] => 0,
        [_, digits @ ..] => std::str::from_utf8(digits).ok()?.parse::<i32>().ok()?,
    };
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let whole = &mantissa[..point];
    let fraction = mantissa.get(point + 1..).unwrap_or_default();
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    // The digits stand for an integer of 10^-fraction.len(), times 10^exponent; `keep` of them lie left of 10^-scale.
    let keep = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let value = shifted(whole.iter().chain(fraction).map(|b| b - b'0'), whole.len() + fraction.len(), keep);
    Some(value.map(|scaled| if negative { Scaled { value: -scaled.value, ..scaled } } else { scaled }))
}

/// The first `keep` of the digits as an integer, with zeros after them if there are fewer, and rounded if there are more.
fn shifted(digits: impl Iterator<Item = u8>, count: usize, keep: i64) -> Option<Scaled> {
    let mut value: i128 = 0;
    let mut exact = true;
    let mut round_up = false;
    for (at, digit) in (0_i64..).zip(digits) {
        if at < keep {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else {
            exact &= digit == 0;
            round_up |= at == keep && digit >= 5;
        }
    }
    let zeros = keep - i64::try_from(count).ok()?;
    if zeros > 0 && value != 0 {
        value = value.checked_mul(10_i128.checked_pow(u32::try_from(zeros).ok()?)?)?;
    }
    Some(Scaled { value: value.checked_add(round_up.into())?, exact })
}

/// Reads base64, standard or URL-safe alphabet, padded or not.
pub(super) fn base64(text: &str, into: &mut Vec<u8>) -> bool {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, CONFIG);
    let engine = if text.bytes().any(|b| matches!(b, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    let before = into.len();
    let read = engine.decode_vec(text, into).is_ok();
    if !read {
        into.truncate(before);
    }
    read
}

/// Writes base64, standard alphabet, padded.
pub(super) fn to_base64(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// A point in time as seconds since the epoch and nanoseconds after those.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Instant {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

impl Instant {
    /// In a unit, rounded down; `None` if that does not fit 64 bits.
    pub(super) fn to_unit(self, unit: TimeUnit) -> Option<i64> {
        let per_second = 1_000_000_000 / nanos_per(unit);
        self.seconds.checked_mul(per_second)?.checked_add(i64::from(self.nanos) / nanos_per(unit))
    }
}

/// Reads RFC 3339, or a date and a time with a space between, or a date alone. Without an offset it is UTC.
pub(super) fn timestamp(text: &[u8]) -> Option<Instant> {
    let days = date_days(text.get(..10)?)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some(Instant { seconds: days * 86_400, nanos: 0 });
    }
    if !matches!(rest[0], b'T' | b't' | b' ') {
        return None;
    }
    let (second, nanos, offset) = clock(&rest[1..])?;
    Some(Instant { seconds: days * 86_400 + i64::from(second) - offset_seconds(offset)?, nanos })
}

/// Reads a point in time as the formats do: RFC 3339, or a date, with or without a time; without an offset it is UTC.
pub fn read_timestamp(text: &str) -> Option<EventTime> {
    timestamp(text.trim().as_bytes())?.to_unit(TimeUnit::Nanosecond).map(EventTime)
}

/// Reads `YYYY-MM-DD` as days since the epoch.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    if text.len() == 10 { date_days(text) } else { timestamp(text).map(|at| at.seconds.div_euclid(86_400)) }
}

/// Reads `hh:mm:ss[.f]` as nanoseconds since midnight.
pub(super) fn time_of_day(text: &[u8]) -> Option<i64> {
    let (second, nanos, offset) = clock(text)?;
    offset.is_empty().then_some(i64::from(second) * 1_000_000_000 + i64::from(nanos))
}

fn date_days(text: &[u8]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let year = i64::from(two(y0, y1)?) * 100 + i64::from(two(y2, y3)?);
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then(|| days_from_civil(year, month, day))
}

/// Days since the epoch, by Howard Hinnant's algorithm: years begin in March, so that the leap day is the last.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Reads `hh:mm[:ss[.f]]`: seconds, nanoseconds, and what follows.
fn clock(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let [h0, h1, b':', m0, m1, rest @ ..] = text else { return None };
    let (hour, minute) = (two(*h0, *h1)?, two(*m0, *m1)?);
    let (second, rest) = match rest {
        [b':', s0, s1, rest @ ..] => (two(*s0, *s1)?, rest),
        rest => (0, rest),
    };
    // A leap second counts as the last second before it: the epoch has no place for it.
    let second = second.min(if second == 60 { 59 } else { u32::MAX });
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = match rest {
        [b'.' | b',', rest @ ..] => fraction(rest)?,
        rest => (0, rest),
    };
    Some((hour * 3_600 + minute * 60 + second, nanos, rest))
}

/// Reads digits after a point as nanoseconds; digits after the ninth are cut off.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let padded = text[..digits].iter().copied().chain(std::iter::repeat(b'0'));
    let nanos = padded.take(9).fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    (digits > 0).then_some((nanos, &text[digits..]))
}

/// Reads `Z`, `±hh:mm`, `±hhmm`, `±hh` or nothing as seconds east of UTC.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match *digits {
        [h0, h1, b':', m0, m1] | [h0, h1, m0, m1] => (two(h0, h1)?, two(m0, m1)?),
        [h0, h1] => (two(h0, h1)?, 0),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 3_600 + minutes * 60))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_in_all_spellings() {
        let at = |text: &str| timestamp(text.as_bytes()).and_then(|at| at.to_unit(TimeUnit::Millisecond));
        assert_eq!(at("2013-01-01T06:00:00Z"), Some(1_357_020_000_000));
        assert_eq!(at("2013-01-01 06:00:00"), Some(1_357_020_000_000));
        assert_eq!(at("2013-01-01T06:00:00.5Z"), Some(1_357_020_000_500));
        assert_eq!(at("2013-01-01T07:00:00+01:00"), Some(1_357_020_000_000));
        assert_eq!(at("2013-01-01T00:30:00.123456789-0530"), Some(1_357_020_000_123));
        assert_eq!(at("2013-01-01"), Some(1_356_998_400_000));
        assert_eq!(at("1969-12-31T23:59:59.999Z"), Some(-1));
        assert_eq!(at("2012-02-29T00:00Z"), Some(1_330_473_600_000));
        for bad in [
            "",
            "2013-02-29T00:00:00Z",
            "2013-13-01",
            "2013-01-01T24:00:00Z",
            "2013-01-01X06:00",
            "2013-01-01T06:00:00+",
            "2013-01-01T06:00:00.",
            "now",
            "2013-1-1",
        ] {
            assert_eq!(at(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut expect = days_from_civil(1970, 1, 1);
        assert_eq!(expect, 0);
        for year in 1970..2370_i64 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(days) = date(format!("{year:04}-{month:02}-{day:02}").as_bytes()) {
                        assert_eq!(days, expect);
                        expect += 1;
                    }
                }
            }
        }
        assert_eq!(expect, 146_097);
    }

    #[test]
    fn decimals_are_exact_and_round_half_away() {
        for (text, scale, value) in [
            ("12.345", 3, 12_345),
            ("-12.345", 2, -1_235),
            ("12.344999", 2, 1_234),
            ("1e3", 0, 1_000),
            ("1.5E-2", 3, 15),
            ("0.0004", 3, 0),
            ("99999", -2, 1_000),
            ("7", 2, 700),
            (".5", 0, 1),
        ] {
            assert_eq!(decimal(text, scale).flatten().map(|d| d.value), Some(value), "{text} at {scale}");
        }
        assert_eq!(decimal("1.50", 1), Some(Some(Scaled { value: 15, exact: true })));
        assert_eq!(decimal("1.0000000000000000000000001", 0), Some(Some(Scaled { value: 1, exact: false })));
        assert_eq!(decimal("1e400", 0), Some(None));
        for bad in ["", "-", ".", "1.2.3", "abc", "1e", "0x1"] {
            assert_eq!(decimal(bad, 0), None, "{bad:?}");
        }
    }

    #[test]
    fn base64_in_both_alphabets() {
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            let mut bytes = vec![7];
            assert!(base64(text, &mut bytes));
            assert_eq!(bytes, [7, 0xfb, 0xff]);
        }
        let mut bytes = vec![7];
        assert!(!base64("not base64!", &mut bytes));
        assert_eq!(bytes, [7]);
    }
}
