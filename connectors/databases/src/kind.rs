//! What a column of ours is to a database.
//!
//! | column | PostgreSQL makes | takes also | MySQL makes | takes also |
//! |---|---|---|---|---|
//! | BOOLEAN | boolean | | boolean | bit |
//! | TINYINT .. BIGINT | smallint, integer, bigint | wider ones, numeric | tinyint .. bigint | wider ones, decimal |
//! | FLOAT, DOUBLE | real, double precision | the wider one | float, double | the wider one |
//! | DECIMAL(p, s) | numeric(p, s) | of no smaller scale | decimal(p, s) | of no smaller scale |
//! | STRING | text | character types, json, uuid, enums .. | longtext, a key varchar(255) | character types, json, enums .. |
//! | BYTES | bytea | | longblob, a key varbinary(255) | binary types |
//! | DATE | date | | date | |
//! | TIME | time | | time(6) | |
//! | TIMESTAMP(p) | timestamp(p) | timestamptz | datetime(p) | timestamp |
//! | TIMESTAMP_LTZ(p) | timestamptz(p) | timestamp | datetime(p), in UTC | timestamp |
//! | ARRAY, ROW, MAP | jsonb | json, text | json | text types |
//!
//! Neither keeps more than microseconds of a time: what is finer is cut off. A column that keeps less than ours has, or fewer digits after
//! the point, would change values silently and is refused.

use arrow::datatypes::{DataType, TimeUnit};

/// What a column of ours is to a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Bool,
    /// Of so many bits.
    Int(u8),
    /// Of so many bits, without a sign.
    Unsigned(u8),
    Float,
    Double,
    /// Precision and scale.
    Decimal(u8, i8),
    Text,
    Bytes,
    Date,
    Time,
    /// A time without a zone, with so many digits of a second.
    Moment(u8),
    /// A time in UTC, with so many digits of a second.
    Instant(u8),
    /// Nested: JSON.
    Json,
}

/// The digits of a second that databases keep at most.
pub(crate) const DIGITS_MAX: u8 = 6;

impl Kind {
    /// What a type is; `None` if no column can hold it.
    pub(crate) fn of(kind: &DataType) -> Option<Self> {
        Some(match kind {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::Int(8),
            DataType::Int16 => Self::Int(16),
            DataType::Int32 => Self::Int(32),
            DataType::Int64 => Self::Int(64),
            DataType::UInt8 => Self::Unsigned(8),
            DataType::UInt16 => Self::Unsigned(16),
            DataType::UInt32 => Self::Unsigned(32),
            DataType::UInt64 => Self::Unsigned(64),
            DataType::Float16 | DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => Self::Decimal(*precision, *scale),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Bytes,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(unit, None) => Self::Moment(digits(*unit)),
            DataType::Timestamp(unit, Some(_)) => Self::Instant(digits(*unit)),
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::Struct(_)
            | DataType::Map(..) => Self::Json,
            DataType::Dictionary(_, value) => return Self::of(value),
            _ => return None,
        })
    }

    /// How many bits with a sign hold the values of an integer type.
    pub(crate) const fn bits(self) -> Option<u8> {
        match self {
            Self::Int(bits) => Some(bits),
            Self::Unsigned(bits) => Some(bits + 1),
            _ => None,
        }
    }
}

fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}
