//! Minimum, maximum and null count of a column: how they are found, written and read.
//!
//! Floats compare as numbers, so that -0 equals 0; a column with a NaN anywhere has neither minimum nor maximum, since SQL
//! engines order NaN differently. Strings and binary keep 32 bytes: of the minimum the first 32, which is at most the
//! minimum; of the maximum the first 32 counted up by one, which is at least the maximum, or nothing if all are `0xff`.
//! Nested types and intervals have a null count only.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, ArrowNumericType, AsArray, GenericByteArray};
use arrow::compute::kernels::aggregate as agg;
use arrow::datatypes::*;

use super::error::{BatchError, Result};
use super::wire::{Reader, padded_8};

/// Of strings and binary, how many bytes are kept.
const BYTES_KEPT: usize = 32;

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

impl ColumnStats {
    /// Looks through a column.
    pub(super) fn of(column: &ArrayRef) -> Self {
        let (min, max) = extremes(column);
        let nulls = if column.data_type() == &DataType::Null { column.len() } else { column.null_count() };
        Self { nulls: nulls as u64, min, max }
    }

    /// Appends the entry: kind, which of minimum and maximum there are, their lengths, null count, then the values,
    /// each padded to 8 bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (min, max) = (self.min.as_ref().map(Value::to_bytes), self.max.as_ref().map(Value::to_bytes));
        let kind = self.min.as_ref().or(self.max.as_ref()).map_or(0, Value::kind);
        let len = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |bytes| bytes.len() as u8);
        let flags = u8::from(min.is_some()) | u8::from(max.is_some()) << 1;
        out.extend_from_slice(&[kind, flags, len(&min), len(&max), 0, 0, 0, 0]);
        out.extend_from_slice(&self.nulls.to_le_bytes());
        for bytes in [min, max].into_iter().flatten() {
            out.extend_from_slice(&bytes);
            out.resize(out.len() + padded_8(bytes.len()) - bytes.len(), 0);
        }
    }

    pub(super) fn read(read: &mut Reader<'_>) -> Result<Self> {
        let at = read.at();
        let (kind, flags, min_len, max_len) = (read.u8()?, read.u8()?, read.u8()?, read.u8()?);
        read.zeros(4)?;
        if flags > 3 {
            return Err(BatchError::damaged(at + 1, format!("unknown flags of statistics {flags:#04x}")));
        }
        let nulls = read.u64()?;
        let mut value = |present: bool, len: u8| -> Result<Option<Value>> {
            let at = read.at();
            let len = usize::from(len);
            let bytes = read.take(len)?;
            read.zeros(padded_8(len) - len)?;
            match (present, len) {
                (false, 0) => Ok(None),
                (false, _) => Err(BatchError::damaged(at, format!("{len} bytes of no value"))),
                (true, _) => Value::from_bytes(kind, bytes).map(Some).ok_or_else(|| {
                    BatchError::damaged(at, format!("statistics of kind {kind} cannot be {len} bytes long"))
                }),
            }
        };
        let min = value(flags & 1 != 0, min_len)?;
        let max = value(flags & 2 != 0, max_len)?;
        Ok(Self { nulls, min, max })
    }
}

impl Value {
    fn kind(&self) -> u8 {
        match self {
            Self::Int(_) => 1,
            Self::UInt(_) => 2,
            Self::Float(_) => 3,
            Self::Bool(_) => 4,
            Self::Decimal(_) => 5,
            Self::Bytes(_) => 6,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Int(value) => value.to_le_bytes().to_vec(),
            Self::UInt(value) => value.to_le_bytes().to_vec(),
            Self::Float(value) => value.to_le_bytes().to_vec(),
            Self::Bool(value) => vec![u8::from(*value)],
            Self::Decimal(value) => value.to_le_bytes().to_vec(),
            Self::Bytes(value) => value.to_vec(),
        }
    }

    fn from_bytes(kind: u8, bytes: &[u8]) -> Option<Self> {
        match kind {
            1 => Some(Self::Int(i64::from_le_bytes(bytes.try_into().ok()?))),
            2 => Some(Self::UInt(u64::from_le_bytes(bytes.try_into().ok()?))),
            3 => {
                let value = f64::from_le_bytes(bytes.try_into().ok()?);
                (!value.is_nan()).then_some(Self::Float(value))
            }
            4 => match bytes {
                [0] => Some(Self::Bool(false)),
                [1] => Some(Self::Bool(true)),
                _ => None,
            },
            5 => Some(Self::Decimal(i256::from_le_bytes(bytes.try_into().ok()?))),
            6 => Some(Self::Bytes(bytes.into())).filter(|_| bytes.len() <= BYTES_KEPT),
            _ => None,
        }
    }

    /// Compares two values of the same kind; NaN and different kinds do not compare.
    pub(super) fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::UInt(a), Self::UInt(b)) => Some(a.cmp(b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Decimal(a), Self::Decimal(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

type Extremes = (Option<Value>, Option<Value>);

/// A value that is at most the least, and one that is at least the greatest, as far as they are known.
pub(super) fn extremes(column: &ArrayRef) -> Extremes {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match column.data_type() {
        DataType::Boolean => {
            let column = column.as_boolean();
            (agg::min_boolean(column).map(Value::Bool), agg::max_boolean(column).map(Value::Bool))
        }
        DataType::Int8 => ints::<Int8Type>(column),
        DataType::Int16 => ints::<Int16Type>(column),
        DataType::Int32 => ints::<Int32Type>(column),
        DataType::Int64 => ints::<Int64Type>(column),
        DataType::Date32 => ints::<Date32Type>(column),
        DataType::Date64 => ints::<Date64Type>(column),
        DataType::Time32(Second) => ints::<Time32SecondType>(column),
        DataType::Time32(_) => ints::<Time32MillisecondType>(column),
        DataType::Time64(Microsecond) => ints::<Time64MicrosecondType>(column),
        DataType::Time64(_) => ints::<Time64NanosecondType>(column),
        DataType::Timestamp(Second, _) => ints::<TimestampSecondType>(column),
        DataType::Timestamp(Millisecond, _) => ints::<TimestampMillisecondType>(column),
        DataType::Timestamp(Microsecond, _) => ints::<TimestampMicrosecondType>(column),
        DataType::Timestamp(Nanosecond, _) => ints::<TimestampNanosecondType>(column),
        DataType::Duration(Second) => ints::<DurationSecondType>(column),
        DataType::Duration(Millisecond) => ints::<DurationMillisecondType>(column),
        DataType::Duration(Microsecond) => ints::<DurationMicrosecondType>(column),
        DataType::Duration(Nanosecond) => ints::<DurationNanosecondType>(column),
        DataType::UInt8 => primitives::<UInt8Type>(column, |v| Value::UInt(v.into())),
        DataType::UInt16 => primitives::<UInt16Type>(column, |v| Value::UInt(v.into())),
        DataType::UInt32 => primitives::<UInt32Type>(column, |v| Value::UInt(v.into())),
        DataType::UInt64 => primitives::<UInt64Type>(column, Value::UInt),
        DataType::Float16 => floats::<Float16Type>(column),
        DataType::Float32 => floats::<Float32Type>(column),
        DataType::Float64 => floats::<Float64Type>(column),
        DataType::Decimal32(..) => decimals::<Decimal32Type>(column),
        DataType::Decimal64(..) => decimals::<Decimal64Type>(column),
        DataType::Decimal128(..) => decimals::<Decimal128Type>(column),
        DataType::Decimal256(..) => primitives::<Decimal256Type>(column, Value::Decimal),
        _ => bytes_extremes(column),
    }
}

fn bytes_extremes(column: &ArrayRef) -> Extremes {
    let (min, max) = match column.data_type() {
        DataType::Utf8 => return kept_extremes(column.as_bytes::<Utf8Type>()),
        DataType::LargeUtf8 => return kept_extremes(column.as_bytes::<LargeUtf8Type>()),
        DataType::Binary => return kept_extremes(column.as_bytes::<BinaryType>()),
        DataType::LargeBinary => return kept_extremes(column.as_bytes::<LargeBinaryType>()),
        DataType::Utf8View => {
            text(agg::min_string_view(column.as_string_view()), agg::max_string_view(column.as_string_view()))
        }
        DataType::BinaryView => {
            (agg::min_binary_view(column.as_binary_view()), agg::max_binary_view(column.as_binary_view()))
        }
        DataType::FixedSizeBinary(_) => {
            let column = column.as_fixed_size_binary();
            (agg::min_fixed_size_binary(column), agg::max_fixed_size_binary(column))
        }
        _ => (None, None),
    };
    (min.map(|bytes| Value::Bytes(kept(bytes).into())), max.and_then(rounded_up))
}

/// What is kept of a value.
fn kept(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(BYTES_KEPT)]
}

/// The extremes of values of any length, in one pass and by what is kept of them: that they go on alike for long costs nothing.
fn kept_extremes<T: ByteArrayType>(column: &GenericByteArray<T>) -> Extremes {
    let (data, offsets) = (column.value_data(), column.value_offsets());
    let value = |row: usize| &data[offsets[row].as_usize()..offsets[row + 1].as_usize()];
    let mut found: Option<(&[u8], &[u8])> = None;
    for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
        let value = value(row);
        let (min, max) = found.get_or_insert((kept(value), value));
        if kept(value) < *min {
            *min = kept(value);
        }
        match kept(value).cmp(kept(max)) {
            Ordering::Greater => *max = value,
            // Of those that begin alike a longer one is greater.
            Ordering::Equal if value.len() > max.len() => *max = value,
            _ => {}
        }
    }
    found.map_or((None, None), |(min, max)| (Some(Value::Bytes(min.into())), rounded_up(max)))
}

fn text<'a>(min: Option<&'a str>, max: Option<&'a str>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    (min.map(str::as_bytes), max.map(str::as_bytes))
}

/// The shortest text of at most [`BYTES_KEPT`] bytes that is not less than `bytes` and starts like it.
fn rounded_up(bytes: &[u8]) -> Option<Value> {
    if bytes.len() <= BYTES_KEPT {
        return Some(Value::Bytes(bytes.into()));
    }
    let kept = &bytes[..BYTES_KEPT];
    let last = kept.iter().rposition(|byte| *byte != 0xff)?;
    let mut up = kept[..=last].to_vec();
    up[last] += 1;
    Some(Value::Bytes(up.into()))
}

fn primitives<T: ArrowNumericType>(column: &ArrayRef, value: impl Fn(T::Native) -> Value) -> Extremes {
    let column = column.as_primitive::<T>();
    (agg::min(column).map(&value), agg::max(column).map(&value))
}

fn ints<T: ArrowNumericType>(column: &ArrayRef) -> Extremes
where
    T::Native: Into<i64>,
{
    primitives::<T>(column, |value| Value::Int(value.into()))
}

fn decimals<T: ArrowNumericType>(column: &ArrayRef) -> Extremes
where
    T::Native: Into<i128>,
{
    primitives::<T>(column, |value| Value::Decimal(i256::from_i128(value.into())))
}

fn floats<T: ArrowNumericType>(column: &ArrayRef) -> Extremes
where
    T::Native: Into<f64>,
{
    // The kernels follow the total order, in which NaN is an end: below -inf or above inf by its sign.
    let column = column.as_primitive::<T>();
    let (min, max): (Option<f64>, Option<f64>) =
        (agg::min(column).map(Into::into), agg::max(column).map(Into::into));
    if min.is_some_and(f64::is_nan) || max.is_some_and(f64::is_nan) {
        return (None, None);
    }
    (min.map(Value::Float), max.map(Value::Float))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, LargeStringArray};
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    #[test]
    fn extremes_are_those_of_whole_values() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..2_000 {
            // Much alike, and about as long as what is kept.
            let mut value = || {
                let mut bytes =
                    vec![if random.random_bool(0.5) { 0xff } else { b'a' }; random.random_range(28..36)];
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random_range(0xfd..=0xff);
                random.random_bool(0.8).then_some(bytes)
            };
            let values: Vec<Option<Vec<u8>>> = (0..4).map(|_| value()).collect();
            let column: ArrayRef = Arc::new(BinaryArray::from_iter(values.iter().map(Option::as_ref)));
            let least = values.iter().flatten().min().map(|bytes| Value::Bytes(kept(bytes).into()));
            let greatest = values.iter().flatten().max().and_then(|bytes| rounded_up(bytes));
            assert_eq!(extremes(&column), (least, greatest), "{values:?}");
        }
    }

    #[test]
    fn of_a_slice_only_its_own_rows_count() {
        let all: ArrayRef = Arc::new(LargeStringArray::from(vec!["z", "b", "c", "a"]));
        let column = all.slice(1, 2);
        let value = |text: &str| Some(Value::Bytes(text.as_bytes().into()));
        assert_eq!(extremes(&column), (value("b"), value("c")));
        assert_eq!(extremes(&column.slice(0, 0)), (None, None));
    }
}
