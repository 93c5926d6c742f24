//! A record that cannot become a row, and why.

use std::borrow::Cow;

use bytes::Bytes;
use headwater_core::Code;

/// What is wrong with a record. Each has a code and a page of remedy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFault {
    /// It does not parse.
    Syntax,
    /// A field has another type than the column.
    Type,
    /// A column that is NOT NULL is missing or null.
    Missing,
    /// A field that the stream does not have, where that is not allowed.
    Unknown,
    /// A number or time that the column cannot hold.
    Range,
    /// Larger or more deeply nested than allowed.
    TooLarge,
    /// Not UTF-8.
    Utf8,
    /// More or fewer fields than columns.
    FieldCount,
    /// The event time lies further in the future than the stream's clock guard allows.
    ClockGuard,
    /// The event time is null in a stream that has a watermark.
    NoEventTime,
    /// A row of a stream that the place it was to be delivered to will not take.
    Undeliverable,
}

impl RecordFault {
    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub const fn code(self) -> Code {
        match self {
            Self::Syntax => Code::new("HW2101"),
            Self::Type => Code::new("HW2102"),
            Self::Missing => Code::new("HW2103"),
            Self::Unknown => Code::new("HW2104"),
            Self::Range => Code::new("HW2105"),
            Self::TooLarge => Code::new("HW2106"),
            Self::Utf8 => Code::new("HW2107"),
            Self::FieldCount => Code::new("HW2108"),
            Self::ClockGuard => Code::new("HW2109"),
            Self::NoEventTime => Code::new("HW2110"),
            Self::Undeliverable => Code::new("HW2111"),
        }
    }
}

/// A record that cannot become a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRecord {
    /// Which record of its input, from 1; for formats of lines the number of the line; for a row of a stream its sequence number.
    pub record: u64,
    /// What is wrong.
    pub fault: RecordFault,
    /// The field, with dots for nested ones, if one field is to blame.
    pub field: Option<String>,
    /// What was expected and what was found.
    pub reason: Cow<'static, str>,
    /// The record's bytes.
    pub payload: Bytes,
}

impl BadRecord {
    /// The code of the fault.
    pub fn code(&self) -> Code {
        self.fault.code()
    }
}

impl serde::Serialize for BadRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("BadRecord", 4)?;
        out.serialize_field("record", &self.record)?;
        out.serialize_field("code", self.code().as_str())?;
        out.serialize_field("field", &self.field)?;
        out.serialize_field("reason", &self.reason)?;
        out.end()
    }
}
