//! Minimum, maximum and null count of a column.

use arrow::datatypes::i256;

/// The least or greatest value of a column.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// Signed integers, dates, times, timestamps, durations.
    Int(i64),
    /// Unsigned integers.
    UInt(u64),
    /// Floats; never NaN.
    Float(f64),
    /// Booleans.
    Bool(bool),
    /// Decimals, unscaled.
    Decimal(i256),
    /// Strings and binary, at most 32 bytes.
    Bytes(Box<[u8]>),
}

/// Statistics of one column of one batch.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ColumnStats {
    /// How many NULLs.
    pub nulls: u64,
    /// At most the least value; `None` if unknown or if all are NULL.
    pub min: Option<Value>,
    /// At least the greatest value; `None` if unknown or if all are NULL.
    pub max: Option<Value>,
}
