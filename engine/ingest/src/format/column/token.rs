//! Values that are written as text, into columns of any type.

use std::fmt;

use super::{Column, DateUnit, Values};
use crate::bad::RecordFault;
use crate::format::fault::{Fault, Parsed};
use crate::format::settings::FormatOptions;
use crate::format::text;
use crate::format::type_name::type_name;

/// What text is read by.
#[derive(Clone, Debug, Default)]
pub(in crate::format) struct Rules {
    pub(in crate::format) options: FormatOptions,
}

/// A value as it is written, and as messages show it.
#[derive(Clone, Copy)]
pub(in crate::format) enum Token<'a> {
    Text(&'a str),
    Number(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Number(_))
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.text().chars().take(40).collect();
        let dots = if short.len() < self.text().len() { "…" } else { "" };
        match self {
            Self::Text(_) => write!(f, "text {short:?}{dots}"),
            Self::Number(_) => write!(f, "number {short}{dots}"),
        }
    }
}

impl Column {
    /// Adds a value that is written as text: in CSV, between quotes in JSON, or a number of JSON.
    pub(in crate::format) fn push_text(&mut self, token: Token<'_>, rules: &Rules) -> Parsed {
        let text = token.text().trim();
        let data_type = &self.data_type;
        let wrong = || expected(&type_name(data_type), token);
        let range =
            || Fault::new(RecordFault::Range, format!("{token} does not fit {}", type_name(data_type)));
        match &mut self.values {
            Values::Text(strings) => strings.push(token.text().as_bytes()),
            Values::Binary(strings) => {
                if token.is_number() || !text::base64(text, &mut strings.bytes) {
                    return Err(expected("BYTES (base64)", token));
                }
                strings.end();
            }
            Values::Bool(values) => values.append(match text {
                "true" | "TRUE" | "True" => true,
                "false" | "FALSE" | "False" => false,
                _ => return Err(wrong()),
            }),
            Values::Int { values, min, max } => {
                let value = integer(text).ok_or_else(wrong)?;
                let value = value.and_then(|value| i64::try_from(value).ok());
                values.push(value.filter(|value| (*min..=*max).contains(value)).ok_or_else(range)?);
            }
            Values::UInt(values) => {
                let value = integer(text).ok_or_else(wrong)?;
                values.push(value.and_then(|value| u64::try_from(value).ok()).ok_or_else(range)?);
            }
            Values::Float { values, single } => {
                let value = text.parse::<f64>().map_err(|_| wrong())?;
                let infinite = value.is_infinite() || (*single && (value as f32).is_infinite());
                if infinite && text.bytes().any(|b| b.is_ascii_digit()) {
                    return Err(range());
                }
                values.push(value);
            }
            Values::Decimal { values, precision, scale } => {
                let value = text::decimal(text, i32::from(*scale)).ok_or_else(wrong)?.map(|read| read.value);
                let most = 10_i128.pow(u32::from(*precision)) - 1;
                values.push(value.filter(|value| value.abs() <= most).ok_or_else(range)?);
            }
            Values::Timestamp { values, unit } => {
                let instant = timestamp(text, token, rules)?;
                values.push(instant.to_unit(*unit).ok_or_else(range)?);
            }
            Values::Date { values, unit } => {
                let days = text::date(text.as_bytes()).ok_or_else(wrong)?;
                values.push(if *unit == DateUnit::Days { days } else { days * 86_400_000 });
            }
            Values::TimeOfDay { values, unit } => {
                let nanos = text::time_of_day(text.as_bytes()).ok_or_else(wrong)?;
                values.push(nanos / headwater_core::time::nanos_per(*unit));
            }
            Values::Struct(_) | Values::List { .. } | Values::Map { .. } => return Err(wrong()),
        }
        self.mark_valid();
        Ok(())
    }
}

/// Reads a point in time: as text, or as a number if the rules say what that counts.
fn timestamp(text: &str, token: Token<'_>, rules: &Rules) -> Parsed<text::Instant> {
    let format = rules.options.timestamps;
    let epoch = format.nanos().and_then(|nanos| epoch_time(text, nanos));
    epoch.or_else(|| text::timestamp(text.as_bytes())).ok_or_else(|| match format.nanos() {
        None if token.is_number() => expected("TIMESTAMP as text (or set option timestamp-format)", token),
        _ => expected(&format!("TIMESTAMP ({format})"), token),
    })
}

#[cold]
fn expected(what: &str, token: Token<'_>) -> Box<Fault> {
    Fault::new(RecordFault::Type, format!("expected {what}, found {token}"))
}

/// Reads an integer; a fraction of zeros and an exponent are allowed. `None`: no integer. `Some(None)`: too large for 128 bits.
fn integer(text: &str) -> Option<Option<i128>> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(Some(value.into()));
    }
    match text::decimal(text, 0)? {
        Some(read) if !read.exact => None,
        read => Some(read.map(|read| read.value)),
    }
}

/// Reads a number of units since the epoch.
fn epoch_time(text: &str, nanos_per_unit: i64) -> Option<text::Instant> {
    let digits = nanos_per_unit.ilog10().cast_signed();
    let nanos = text::decimal(text, digits)??.value;
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Some(text::Instant { seconds, nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()? })
}
