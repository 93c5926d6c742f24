//! One generated column: row numbers to values, without any state.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use headwater_core::EventTime;
use headwater_core::time::nanos_per;
use headwater_ingest::{Options, read_timestamp};

use crate::error::Result;

/// What one column holds.
pub(super) struct FieldPlan {
    data_type: DataType,
    kind: Kind,
    null_rate: f64,
}

enum Kind {
    Integer {
        min: i64,
        max: i64,
    },
    Float {
        min: f64,
        max: f64,
    },
    Bool,
    Text {
        length: usize,
    },
    Bytes {
        length: usize,
    },
    Sequence {
        start: i64,
        end: Option<i64>,
    },
    /// Counted in units of `unit_nanos`.
    Time {
        start: Option<EventTime>,
        interval: Duration,
        max_past: Duration,
        unit_nanos: i128,
    },
}

impl Kind {
    /// Takes what a column's values are made of.
    fn take(field: &Field, interval: Duration, options: &mut Options) -> Result<Self> {
        let name = |option: &str| format!("fields.{}.{option}", field.name());
        let kind_name = name("kind");
        let is_sequence =
            options.parse_with(&kind_name, |text| match text.trim().to_ascii_lowercase().as_str() {
                "random" => Ok(false),
                "sequence" => Ok(true),
                _ => Err("it is random or sequence".to_owned()),
            })?;
        let data_type = field.data_type();
        if is_sequence == Some(true) && !matches!(data_type, DataType::Timestamp(..)) {
            let (start, end) = (options.parse(&name("start"))?.unwrap_or(0), options.parse(&name("end"))?);
            if !(data_type.is_numeric() || is_text(data_type)) {
                let reason = format!("a column of {data_type} has none");
                return Err(options.bad(&kind_name, "sequence", reason).into());
            }
            return Ok(Self::Sequence { start, end });
        }
        Ok(match data_type {
            integer if integer.is_integer() => {
                let (least, most) = range_of(integer);
                let min = options.parse(&name("min"))?.unwrap_or(0);
                let max = options.parse(&name("max"))?.unwrap_or(1_000_000.min(most));
                if min > max || min < least || max > most {
                    let reason = format!("it lies between min and {most}, and min is {min}");
                    return Err(options.bad(&name("max"), &max.to_string(), reason).into());
                }
                Self::Integer { min, max }
            }
            number if number.is_numeric() => {
                let min = options.parse(&name("min"))?.unwrap_or(0.0);
                Self::Float { min, max: options.parse(&name("max"))?.unwrap_or(1_000_000.0_f64.max(min)) }
            }
            text if is_text(text) => Self::Text { length: options.parse(&name("length"))?.unwrap_or(16) },
            DataType::Boolean => Self::Bool,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Self::Bytes { length: options.parse(&name("length"))?.unwrap_or(16) }
            }
            DataType::Timestamp(..) | DataType::Date32 => Self::Time {
                start: options.parse_with(&name("start-time"), |text| {
                    read_timestamp(text).ok_or_else(|| "it is a time such as 2013-01-01T00:00:00Z".to_owned())
                })?,
                interval: options.duration(&name("interval"))?.unwrap_or(interval),
                max_past: options.duration(&name("max-past"))?.unwrap_or_default(),
                unit_nanos: match data_type {
                    DataType::Timestamp(unit, _) => nanos_per(*unit).into(),
                    _ => 86_400_000_000_000,
                },
            },
            other => {
                let reason = format!("a column of {other} cannot be made up");
                return Err(options.bad(&kind_name, "random", reason).into());
            }
        })
    }
}

impl FieldPlan {
    /// Takes the options of a column.
    pub(super) fn take(field: &Field, interval: Duration, options: &mut Options) -> Result<Self> {
        let name = |option: &str| format!("fields.{}.{option}", field.name());
        let kind = Kind::take(field, interval, options)?;
        let null_rate = options.parse::<f64>(&name("null-rate"))?.unwrap_or(0.0);
        if null_rate > 0.0 && !field.is_nullable() {
            return Err(options
                .bad(&name("null-rate"), &null_rate.to_string(), "the column is NOT NULL")
                .into());
        }
        Ok(Self { data_type: field.data_type().clone(), kind, null_rate })
    }

    /// How many rows there are before this column runs out.
    pub(super) fn rows(&self) -> Option<u64> {
        match self.kind {
            Kind::Sequence { start, end: Some(end) } => {
                Some(end.saturating_sub(start).saturating_add(1).max(0).cast_unsigned())
            }
            _ => None,
        }
    }

    /// The values of some rows. `seed` is that of the column, `began` when the source first started.
    pub(super) fn make(&self, rows: std::ops::Range<u64>, seed: u64, began: EventTime) -> Result<ArrayRef> {
        let value = |row: u64| mix(seed ^ mix(row));
        let present = |row: u64| self.null_rate <= 0.0 || unit(mix(!value(row))) >= self.null_rate;
        let some = |row: u64| present(row).then(|| value(row));
        let array: ArrayRef = match &self.kind {
            Kind::Integer { min, max } => {
                let span = max.abs_diff(*min);
                let pick = |random: u64| {
                    min.wrapping_add_unsigned(if span == u64::MAX { random } else { random % (span + 1) })
                };
                Arc::new(rows.map(|row| some(row).map(pick)).collect::<Int64Array>())
            }
            Kind::Float { min, max } => {
                let pick = |random: u64| min + unit(random) * (max - min);
                Arc::new(rows.map(|row| some(row).map(pick)).collect::<Float64Array>())
            }
            Kind::Bool => {
                Arc::new(rows.map(|row| some(row).map(|random| random >> 63 == 1)).collect::<BooleanArray>())
            }
            Kind::Text { length } => Arc::new(
                rows.map(|row| some(row).map(|random| letters(random, *length))).collect::<StringArray>(),
            ),
            Kind::Bytes { length } => {
                let bytes = |random: u64| letters(random, *length).into_bytes();
                Arc::new(BinaryArray::from_iter(rows.map(|row| some(row).map(bytes))))
            }
            Kind::Sequence { start, .. } => {
                let nth = |row: u64| start.wrapping_add_unsigned(row);
                Arc::new(rows.map(|row| present(row).then(|| nth(row))).collect::<Int64Array>())
            }
            Kind::Time { start, interval, max_past, unit_nanos } => {
                let start = i128::from(start.unwrap_or(began).0);
                let past = u64::try_from(max_past.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
                let time = |row: u64, random: u64| {
                    let nanos = start + interval.as_nanos().cast_signed() * i128::from(row)
                        - i128::from(random % past);
                    i64::try_from(nanos.div_euclid(*unit_nanos)).unwrap_or(i64::MAX)
                };
                Arc::new(rows.map(|row| some(row).map(|random| time(row, random))).collect::<Int64Array>())
            }
        };
        let array = cast(&array, &self.data_type);
        Ok(array.map_err(headwater_ingest::IngestError::from)?)
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn range_of(data_type: &DataType) -> (i64, i64) {
    match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, i64::MAX),
        _ => (i64::MIN, i64::MAX),
    }
}

/// The finaliser of SplitMix64: neighbouring numbers become unrelated ones.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number from 0 up to but not including 1.
fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// Hexadecimal digits.
fn letters(random: u64, length: usize) -> String {
    let mut text = String::with_capacity(length + 16);
    let mut word = random;
    while text.len() < length {
        text.push_str(&format!("{word:016x}"));
        word = mix(word);
    }
    text.truncate(length);
    text
}
