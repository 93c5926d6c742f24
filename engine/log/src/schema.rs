//! Schemas of streams: which are allowed, how they may change, how rows of an old one read as the new one, and how the
//! catalog keeps them.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::error::Result;

/// Whether a stream may have this schema; if not, why (for [`crate::LogError::BadSpec`]).
pub(crate) fn check(schema: &Schema) -> std::result::Result<(), String> {
    let _ = schema;
    todo!()
}

/// Whether `old` may become `new`; if not, why (for [`crate::LogError::BadSpec`]): the old columns in order, each with the
/// same name, the same type or a wider one, and at most a looser nullability; then new columns, all nullable.
pub(crate) fn evolve(old: &Schema, new: &Schema) -> std::result::Result<(), String> {
    let _ = (old, new);
    todo!()
}

/// Converts a column to a type that is the same or wider.
pub(crate) fn widen(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let _ = (column, to);
    todo!()
}

/// A schema as bytes: an encapsulated Arrow IPC schema message.
pub(crate) fn to_bytes(schema: &Schema) -> Vec<u8> {
    let _ = schema;
    todo!()
}

/// A schema from the bytes of [`to_bytes`]; if they are not such, why.
pub(crate) fn from_bytes(bytes: &[u8]) -> std::result::Result<SchemaRef, String> {
    let _ = bytes;
    todo!()
}
