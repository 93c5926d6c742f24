//! Aggregates over the rows of a variable, which grow by a row at a time and are copied when ways part.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};
use datafusion::scalar::ScalarValue;

use super::spec::NAME;
use crate::error::{OperatorError, Result};

/// What an aggregate makes of its values. NULLs do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Fold {
    /// How many rows, or how many values that are not NULL.
    Count,
    /// The sum of BIGINT, DOUBLE or DECIMAL values; NULL of none.
    Sum,
    /// The mean of DOUBLE values; NULL of none.
    Avg,
    /// The least value; NULL of none.
    Min,
    /// The greatest value; NULL of none.
    Max,
}

impl Fold {
    /// The type of the result over values of this type; `None` if there is none.
    pub fn return_type(self, values: Option<&DataType>) -> Option<DataType> {
        match (self, values) {
            (Self::Count, _) => Some(DataType::Int64),
            (Self::Sum, Some(kind @ (DataType::Int64 | DataType::Float64))) => Some(kind.clone()),
            (Self::Sum, Some(DataType::Decimal128(precision, scale))) => {
                Some(DataType::Decimal128(precision.saturating_add(10).min(38), *scale))
            }
            (Self::Avg, Some(DataType::Float64)) => Some(DataType::Float64),
            (Self::Min | Self::Max, Some(kind)) => Some(kind.clone()),
            _ => None,
        }
    }

    /// The aggregate of no rows.
    pub(super) fn none(self, values: Option<&DataType>) -> Result<Accumulator> {
        let unfit = || {
            let kind = values.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            OperatorError::unsupported(NAME, format!("{self:?} over {kind} is not known"))
        };
        Ok(match (self, values) {
            (Self::Count, _) => Accumulator::Count(0),
            (Self::Sum, Some(DataType::Int64)) => Accumulator::Int(None),
            (Self::Sum, Some(DataType::Float64)) => Accumulator::Float(None),
            (Self::Sum, Some(DataType::Decimal128(_, scale))) => {
                let kind = self.return_type(values).ok_or_else(unfit)?;
                let DataType::Decimal128(precision, _) = kind else { return Err(unfit()) };
                Accumulator::Decimal(None, precision, *scale)
            }
            (Self::Avg, Some(DataType::Float64)) => Accumulator::Mean(0.0, 0),
            (Self::Min, Some(kind)) => Accumulator::Extreme(null(kind)?, Ordering::Less),
            (Self::Max, Some(kind)) => Accumulator::Extreme(null(kind)?, Ordering::Greater),
            _ => return Err(unfit()),
        })
    }
}

fn null(kind: &DataType) -> Result<ScalarValue> {
    Ok(ScalarValue::try_from(kind)?)
}

/// An aggregate so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Accumulator {
    Count(i64),
    /// Wraps around, as every sum of whole numbers does.
    Int(Option<i64>),
    Float(Option<f64>),
    Decimal(Option<i256>, u8, i8),
    Mean(f64, u64),
    /// The value, and how a new one must compare to take its place.
    Extreme(ScalarValue, Ordering),
}

impl Accumulator {
    /// Takes a row in: the value at this place of its column, or, without a column, the row itself.
    pub(super) fn add(&mut self, value: Option<(&ArrayRef, usize)>) -> Result<()> {
        let Some((column, row)) = value else {
            if let Self::Count(count) = self {
                *count += 1;
            }
            return Ok(());
        };
        if column.is_null(row) {
            return Ok(());
        }
        match self {
            Self::Count(count) => *count += 1,
            Self::Int(sum) => {
                let value = column.as_primitive::<Int64Type>().value(row);
                *sum = Some(sum.unwrap_or(0).wrapping_add(value));
            }
            Self::Float(sum) => {
                *sum = Some(sum.unwrap_or(0.0) + column.as_primitive::<Float64Type>().value(row));
            }
            Self::Decimal(sum, ..) => {
                let value = column.as_primitive::<Decimal128Type>().value(row);
                *sum = Some(sum.unwrap_or(i256::ZERO).wrapping_add(i256::from_i128(value)));
            }
            Self::Mean(sum, count) => {
                *sum += column.as_primitive::<Float64Type>().value(row);
                *count += 1;
            }
            Self::Extreme(extreme, wanted) => {
                let value = ScalarValue::try_from_array(column, row)?;
                if extreme.is_null() || value.try_cmp(extreme)? == *wanted {
                    *extreme = value;
                }
            }
        }
        Ok(())
    }

    pub(super) fn value(&self) -> ScalarValue {
        match self {
            Self::Count(count) => ScalarValue::Int64(Some(*count)),
            Self::Int(sum) => ScalarValue::Int64(*sum),
            Self::Float(sum) => ScalarValue::Float64(*sum),
            Self::Decimal(sum, precision, scale) => {
                let bound = 10_u128.pow((*precision).into());
                let sum = sum.and_then(i256::to_i128).filter(|sum| sum.unsigned_abs() < bound);
                ScalarValue::Decimal128(sum, *precision, *scale)
            }
            Self::Mean(_, 0) => ScalarValue::Float64(None),
            Self::Mean(sum, count) => ScalarValue::Float64(Some(sum / *count as f64)),
            Self::Extreme(value, _) => value.clone(),
        }
    }

    /// Whether the two will stay the same as long as the same rows are added.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(Some(a)), Self::Float(Some(b))) => a.to_bits() == b.to_bits(),
            (Self::Mean(a, n), Self::Mean(b, m)) => a.to_bits() == b.to_bits() && n == m,
            (a, b) => a == b,
        }
    }

    /// A hash that is equal for those that are the same.
    pub(super) fn mix(&self, hash: u64) -> u64 {
        let own = match self {
            Self::Count(count) => *count as u64,
            Self::Int(sum) => sum.map_or(1, |sum| sum as u64),
            Self::Float(sum) => sum.map_or(1, f64::to_bits),
            Self::Decimal(sum, ..) => sum.map_or(1, |sum| sum.to_parts().0 as u64),
            Self::Mean(sum, count) => sum.to_bits() ^ count,
            Self::Extreme(..) => 0,
        };
        (hash ^ own).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    }
}
