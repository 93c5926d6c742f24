//! The time that the values of a partition say, such as `dt=2026-11-27/hm=10%3A05`.
//!
//! ```text
//!  values                        timestamp-pattern     text                    timestamp-formatter    time
//!  dt = 2026-11-27, hm = 10:05   '$dt $hm:00'      ->  2026-11-27 10:05:00  -> yyyy-MM-dd HH:mm:ss -> 2026-11-27T10:05 by the zone's clock
//! ```
//!
//! A formatter is a pattern of Java's, whose letters stand for numbers alone. Unless one is set, `yyyy-MM-dd HH:mm:ss` and `yyyy-MM-dd`
//! are read, each number but the year with one digit or two, and a fraction of the second behind it.

use std::iter::Peekable;
use std::str::Chars;

use chrono::{NaiveDate, NaiveDateTime};
use headwater_core::{EventTime, Zone};

/// Reads the time of partitions.
pub(super) struct PartitionTime {
    pattern: Pattern,
    /// The first that fits a text reads it.
    formatters: Vec<Formatter>,
    zone: Zone,
}

impl PartitionTime {
    /// Unless they are set, the pattern is the first value, and the formatters are the usual ones.
    pub(super) fn new(pattern: Option<Pattern>, formatter: Option<Formatter>, zone: Option<Zone>) -> Self {
        let usual = || vec![Formatter::usual(true), Formatter::usual(false)];
        Self {
            pattern: pattern.unwrap_or(Pattern(vec![Piece::Value(0)])),
            formatters: formatter.map_or_else(usual, |formatter| vec![formatter]),
            zone: zone.unwrap_or(Zone::UTC),
        }
    }

    /// The time of the partition of these values, or why there is none.
    pub(super) fn of(&self, values: &[String]) -> Result<EventTime, String> {
        let text = self.pattern.text(values);
        let local = self.formatters.iter().find_map(|formatter| formatter.read(&text));
        let forms: Vec<&str> = self.formatters.iter().map(|formatter| formatter.text.as_str()).collect();
        let local = local.ok_or_else(|| format!("'{text}' is no time of the form {}", forms.join(" or ")))?;
        let utc = self.zone.to_utc(local).and_then(|utc| utc.and_utc().timestamp_nanos_opt());
        utc.map(EventTime).ok_or_else(|| format!("'{text}' is outside the years 1678 to 2261"))
    }
}

/// A text in which values stand for the names of their columns.
pub(super) struct Pattern(Vec<Piece>);

enum Piece {
    Text(String),
    /// That of the partition column of this number.
    Value(usize),
}

impl Pattern {
    /// Reads one such as `$dt $hm:00` over partition columns of these names.
    pub(super) fn parse(given: &str, names: &[String]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = given;
        while let Some((before, behind)) = rest.split_once('$') {
            let is_named = |name: &String| {
                behind.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
            };
            // One name may begin with another.
            let named = names.iter().enumerate().filter(|(_, name)| is_named(name));
            let Some((nth, name)) = named.max_by_key(|(_, name)| name.len()) else {
                let word: String = behind.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                return Err(format!("'${word}' is no column of PARTITIONED BY ({})", names.join(", ")));
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Value(nth));
            rest = &behind[name.len()..];
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    fn text(&self, values: &[String]) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Value(nth) => values.get(*nth).cloned().unwrap_or_default(),
        };
        self.0.iter().map(text).collect()
    }
}

/// How a time is written.
pub(super) struct Formatter {
    text: String,
    items: Vec<Item>,
    /// Whether `.123` may follow.
    takes_fraction: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Item {
    /// A number of so many digits, at least and at most.
    Number(Unit, usize, usize),
    Letter(char),
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Year,
    /// The last two digits of a year of this century.
    YearOfCentury,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Digits behind the point.
    Fraction,
}

/// The most digits of a year.
const YEAR_DIGITS: usize = 6;

impl Formatter {
    /// Reads a pattern of Java's, such as `yyyyMMdd'T'HH`.
    pub(super) fn parse(given: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        let mut chars = given.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => quoted(&mut chars, &mut items)?,
                'a'..='z' | 'A'..='Z' => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    items.push(number(c, count)?);
                }
                '[' | ']' | '{' | '}' | '#' => {
                    return Err(format!("{c} is not read; in quotes, as '{c}', it stands for itself"));
                }
                _ => items.push(Item::Letter(c)),
            }
        }
        let says = |units: &[Unit]| {
            items.iter().any(|item| matches!(item, Item::Number(unit, ..) if units.contains(unit)))
        };
        if !says(&[Unit::Year, Unit::YearOfCentury]) || !says(&[Unit::Month]) || !says(&[Unit::Day]) {
            return Err("it says no day: yyyy, MM and dd belong to it".to_owned());
        }
        Ok(Self { text: given.to_owned(), items, takes_fraction: false })
    }

    /// As times or days are usually written.
    fn usual(with_time: bool) -> Self {
        let two = |unit| Item::Number(unit, 1, 2);
        let mut items = vec![Item::Number(Unit::Year, 1, YEAR_DIGITS), Item::Letter('-'), two(Unit::Month)];
        items.extend([Item::Letter('-'), two(Unit::Day)]);
        if with_time {
            items.extend([Item::Letter(' '), two(Unit::Hour), Item::Letter(':'), two(Unit::Minute)]);
            items.extend([Item::Letter(':'), two(Unit::Second)]);
        }
        let text = if with_time { "yyyy-MM-dd HH:mm:ss" } else { "yyyy-MM-dd" };
        Self { text: text.to_owned(), items, takes_fraction: with_time }
    }

    /// The time that a text says; `None` if it is written otherwise or there is no such time.
    fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut read = Read { year: 0, month: 0, day: 0, hour: 0, minute: 0, second: 0, nano: 0 };
        let mut rest = text;
        for item in &self.items {
            rest = match *item {
                Item::Letter(c) => rest.strip_prefix(c)?,
                Item::Number(unit, least, most) => {
                    let (digits, behind) = take_digits(rest, least, most)?;
                    read.take(unit, digits)?;
                    behind
                }
            };
        }
        if let Some(fraction) = rest.strip_prefix('.').filter(|_| self.takes_fraction) {
            let (digits, behind) = take_digits(fraction, 1, 9)?;
            read.take(Unit::Fraction, digits)?;
            rest = behind;
        }
        rest.is_empty().then(|| read.time()).flatten()
    }
}

/// What was read of a time.
struct Read {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nano: u32,
}

impl Read {
    fn take(&mut self, unit: Unit, digits: &str) -> Option<()> {
        let number: u32 = digits.parse().ok()?;
        match unit {
            Unit::Year => self.year = number.try_into().ok()?,
            Unit::YearOfCentury => self.year = i32::try_from(number).ok()? + 2000,
            Unit::Month => self.month = number,
            Unit::Day => self.day = number,
            Unit::Hour => self.hour = number,
            Unit::Minute => self.minute = number,
            Unit::Second => self.second = number,
            Unit::Fraction => self.nano = format!("{digits:0<9}").parse().ok()?,
        }
        Some(())
    }

    fn time(&self) -> Option<NaiveDateTime> {
        let day = NaiveDate::from_ymd_opt(self.year, self.month, self.day)?;
        day.and_hms_nano_opt(self.hour, self.minute, self.second, self.nano)
    }
}

/// Text within quotes, of which the first was read; two of them are one.
fn quoted(chars: &mut Peekable<Chars<'_>>, items: &mut Vec<Item>) -> Result<(), String> {
    if chars.next_if_eq(&'\'').is_some() {
        items.push(Item::Letter('\''));
        return Ok(());
    }
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_none() => return Ok(()),
            Some(c) => items.push(Item::Letter(c)),
            None => return Err("a quote is not closed".to_owned()),
        }
    }
}

/// What a letter that stands there so often means.
fn number(letter: char, count: usize) -> Result<Item, String> {
    let unit = match letter {
        'y' | 'u' if count == 2 => Unit::YearOfCentury,
        'y' | 'u' => Unit::Year,
        'M' | 'L' => Unit::Month,
        'd' => Unit::Day,
        'H' => Unit::Hour,
        'm' => Unit::Minute,
        's' => Unit::Second,
        'S' => Unit::Fraction,
        _ => return Err(format!("{letter} is not read; there are y, M, d, H, m, s and S")),
    };
    let most = match unit {
        Unit::Year => YEAR_DIGITS,
        Unit::Fraction => 9,
        _ => 2,
    };
    if count > most {
        let shown: String = std::iter::repeat_n(letter, count).collect();
        return Err(format!("{shown} is not read: {letter} stands there {most} times at most"));
    }
    // One letter is a number as it is, several are so many digits.
    let is_plain = count == 1 && unit != Unit::Fraction;
    Ok(if is_plain { Item::Number(unit, 1, most) } else { Item::Number(unit, count, count) })
}

fn take_digits(text: &str, least: usize, most: usize) -> Option<(&str, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (count >= least).then(|| text.split_at(count))
}

/// Reads by whose clock partitions are named: `Europe/Berlin`, `UTC`, `GMT+08:00` or `+08:00`. Of a time that comes twice the second is
/// meant: so no partition is over too early.
pub(super) fn parse_zone(given: &str) -> Result<Zone, String> {
    let given = given.trim();
    if let Some(place) = Zone::place(given) {
        return Ok(place);
    }
    let offset = ["UTC", "GMT"].iter().find_map(|prefix| given.strip_prefix(prefix)).unwrap_or(given);
    let offset = offset.parse().map_err(|_| "give one such as 'UTC', 'Europe/Berlin' or 'GMT+08:00'");
    Ok(Zone::Offset(offset?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["d", "dt", "hm"];

    fn names() -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    /// The time of values by a pattern, a formatter and a zone, each of which may be empty: then it is not set.
    fn read(pattern: &str, formatter: &str, zone: &str, values: [&str; 3]) -> Result<String, String> {
        let pattern = (!pattern.is_empty()).then(|| Pattern::parse(pattern, &names())).transpose()?;
        let formatter = (!formatter.is_empty()).then(|| Formatter::parse(formatter)).transpose()?;
        let zone = (!zone.is_empty()).then(|| parse_zone(zone)).transpose()?;
        let values = values.map(str::to_owned);
        PartitionTime::new(pattern, formatter, zone).of(&values).map(|time| time.to_string())
    }

    #[test]
    fn times_are_read_by_pattern_formatter_and_zone() {
        let values = ["7", "2026-11-27", "10:05"];
        let by = |pattern, formatter, zone| read(pattern, formatter, zone, values).unwrap();
        assert_eq!(by("$dt $hm:00", "", ""), "2026-11-27T10:05:00Z");
        assert_eq!(by("$dt", "", ""), "2026-11-27T00:00:00Z");
        assert_eq!(by("$DT 1:2:3.25", "", ""), "2026-11-27T01:02:03.250Z");
        assert_eq!(by("$dt $hm", "yyyy-MM-dd HH:mm", ""), "2026-11-27T10:05:00Z");
        assert_eq!(by("2026-$d-1$d", "yyyy-M-d", ""), "2026-07-17T00:00:00Z");
        assert_eq!(by("$dt'$hm", "yyyy-MM-dd''HH:mm", ""), "2026-11-27T10:05:00Z");
        assert_eq!(by("27.11.26, $hm h", "dd.MM.yy, HH:mm 'h'", ""), "2026-11-27T10:05:00Z");
        assert_eq!(by("20261127103000123", "yyyyMMddHHmmssSSS", ""), "2026-11-27T10:30:00.123Z");
        assert_eq!(by("$dt $hm:00", "", "Asia/Shanghai"), "2026-11-27T02:05:00Z");
        assert_eq!(by("$dt $hm:00", "", "GMT-08:00"), "2026-11-27T18:05:00Z");
        // Clocks are put back at 3:00 and forward at 2:00.
        assert_eq!(by("2026-10-25 02:30:00", "", "Europe/Berlin"), "2026-10-25T01:30:00Z");
        assert_eq!(by("2026-03-29 02:30:00", "", "Europe/Berlin"), "2026-03-29T01:30:00Z");
        // The first value, unless a pattern is set.
        assert_eq!(read("", "", "", ["2026-1-2 3:4:5", "", ""]).unwrap(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn what_is_no_time_is_told() {
        let told = |pattern, formatter, values| read(pattern, formatter, "", values).unwrap_err();
        let values = ["7", "__DEFAULT_PARTITION__", "10:05"];
        assert_eq!(
            told("$dt $hm:00", "", values),
            "'__DEFAULT_PARTITION__ 10:05:00' is no time of the form yyyy-MM-dd HH:mm:ss or yyyy-MM-dd"
        );
        assert_eq!(told("", "yyyy-MM-dd", values), "'7' is no time of the form yyyy-MM-dd");
        for text in ["2026-02-29", "2026-11-27 24:00:00", "2026-11-27 10:05", "2026-11-27x", "2026-11-27 "] {
            assert!(told("", "", [text, "", ""]).contains("is no time"), "{text}");
        }
        assert!(told("", "", ["9999-01-01", "", ""]).contains("outside the years"));
    }

    #[test]
    fn mistakes_name_what_there_is() {
        let told = |pattern, formatter, zone| read(pattern, formatter, zone, ["", "", ""]).unwrap_err();
        assert_eq!(told("$year-01-01", "", ""), "'$year' is no column of PARTITIONED BY (d, dt, hm)");
        assert!(told("", "yyyy-MM-dd hh", "").contains("there are y, M, d, H, m, s and S"));
        assert!(told("", "yyyy-MMM-dd", "").contains("MMM is not read"));
        assert!(told("", "HH:mm", "").contains("it says no day"));
        assert!(told("", "yyyy-MM-dd'T", "").contains("a quote is not closed"));
        assert!(told("", "", "Mars").contains("'Europe/Berlin'"));
    }
}
