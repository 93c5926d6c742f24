//! What envelopes say, and the columns that hold it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, TimeUnit};
use headwater_connectors::{ConnectorError, Context, Result};

/// What an envelope says in one of its fields.
pub(crate) enum About {
    /// A text.
    Text(Option<String>),
    /// A number.
    Number(Option<i64>),
    /// Milliseconds since the epoch.
    Millis(Option<i64>),
}

/// One thing that envelopes say.
pub(crate) struct AboutField {
    /// The name, as `METADATA FROM` has it; `_` is the same as `-`.
    pub name: &'static str,
    /// What comes out of it: a text, a number or a time.
    pub kind: fn() -> DataType,
    /// Whether every envelope says it.
    pub is_always: bool,
}

pub(crate) fn text() -> DataType {
    DataType::Utf8
}

pub(crate) fn number() -> DataType {
    DataType::Int64
}

pub(crate) fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// The names of metadata are compared without case, and `_` is the same as `-`.
fn canonical(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

/// The place among the envelope's fields of what a column is to hold.
pub(super) fn field_for(column: &Field, wanted: &str, fields: &[AboutField]) -> Result<usize> {
    let refuse = |reason: String| ConnectorError::refused(format!("fill column {}", column.name()), reason);
    let Some(at) = fields.iter().position(|field| field.name == canonical(wanted)) else {
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        return Err(refuse(format!("a message has no {wanted:?}; it has {}", names.join(", "))));
    };
    let kind = (fields[at].kind)();
    if !can_cast_types(&kind, column.data_type()) {
        return Err(refuse(format!("its type cannot hold a {kind}")));
    }
    if !fields[at].is_always && !column.is_nullable() {
        return Err(refuse("not every message has it; leave out NOT NULL".to_owned()));
    }
    Ok(at)
}

/// A column of values that are all of one kind.
pub(super) fn column_of(values: impl Iterator<Item = About>) -> ArrayRef {
    let (mut texts, mut numbers, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        match value {
            About::Text(text) => texts.push(text),
            About::Number(number) => numbers.push(number),
            About::Millis(millis) => times.push(millis),
        }
    }
    if !numbers.is_empty() {
        Arc::new(Int64Array::from(numbers))
    } else if !times.is_empty() {
        Arc::new(TimestampMillisecondArray::from(times))
    } else {
        Arc::new(StringArray::from(texts))
    }
}

/// The column that goes to this part of the envelope. One that goes to a part that is not among `known` is refused.
pub(crate) fn column_for(context: &Context, part: &str, known: &[&str]) -> Result<Option<String>> {
    if let Some((column, wanted)) =
        context.metadata.iter().find(|(_, wanted)| !known.contains(&canonical(wanted).as_str()))
    {
        let reason = match known.is_empty() {
            true => "there is no metadata to write".to_owned(),
            false => format!("{wanted:?} cannot be written; what can: {}", known.join(", ")),
        };
        return Err(ConnectorError::refused(format!("send column {column}"), reason));
    }
    let found = context.metadata.iter().find(|(_, wanted)| canonical(wanted) == part);
    Ok(found.map(|(column, _)| column.clone()))
}
