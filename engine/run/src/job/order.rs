//! The order of rows by some of their columns, ascending, nulls first; rows that are equal stay in theirs.
//!
//! Integers and times that lie close enough together are packed into one number for each row, in which those of the first column come
//! first: so two rows are compared at once, and without a look at their columns. All else is compared in `arrow-row` encoding.
//!
//! ```text
//!  window_end   device                           │ window_end less the least │ device less the least │
//!  12:00:00     17          all of 12:00:00 ►                                │          10           │
//!  12:00:00     7                                                            │           0           │
//! ```

use std::ops::{BitOr, Shl};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use arrow_row::{RowConverter, SortField};

use super::exchange::ASCENDING;

/// The rows of these columns in order. What is in order already, in long runs, is only merged.
pub(super) fn order_of(columns: &[ArrayRef]) -> Result<Vec<u32>, ArrowError> {
    match Packing::of(columns)? {
        Some(packing) if packing.bits() <= u32::BITS => Ok(sorted_with_row(packing.pack())),
        Some(packing) if packing.bits() <= u64::BITS => Ok(sorted(packing.pack::<u64>())),
        Some(packing) if packing.bits() <= u128::BITS => Ok(sorted(packing.pack::<u128>())),
        _ => by_encoding(columns),
    }
}

/// The number of the row fits into the key, behind it.
fn sorted_with_row(mut keys: Vec<u64>) -> Vec<u32> {
    keys.iter_mut().zip(0..).for_each(|(key, row)| *key = *key << u32::BITS | row);
    // By the stable way, which finds what is in order.
    keys.sort();
    keys.into_iter().map(|key| key as u32).collect()
}

fn sorted<K: Ord>(keys: Vec<K>) -> Vec<u32> {
    let mut pairs: Vec<(K, u32)> = keys.into_iter().zip(0..).collect();
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    pairs.into_iter().map(|(_, row)| row).collect()
}

fn by_encoding(columns: &[ArrayRef]) -> Result<Vec<u32>, ArrowError> {
    let field = |column: &ArrayRef| SortField::new_with_options(column.data_type().clone(), ASCENDING);
    let rows = RowConverter::new(columns.iter().map(field).collect())?.convert_columns(columns)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by(|one, other| rows.row(*one as usize).cmp(&rows.row(*other as usize)));
    Ok(order)
}

/// Columns as parts of a number.
struct Packing {
    rows: usize,
    /// Those in which rows differ.
    parts: Vec<Part>,
}

struct Part {
    values: ScalarBuffer<i64>,
    least: i64,
    bits: u32,
}

impl Packing {
    /// `None`: not all are integers or times, or there are nulls.
    fn of(columns: &[ArrayRef]) -> Result<Option<Self>, ArrowError> {
        let mut packing = Self { rows: columns.first().map_or(0, Array::len), parts: Vec::new() };
        for column in columns {
            let Some(values) = integers(column)? else { return Ok(None) };
            let (Some(least), Some(greatest)) = (values.iter().min(), values.iter().max()) else { continue };
            let bits = u64::BITS - (greatest.wrapping_sub(*least) as u64).leading_zeros();
            if bits > 0 {
                packing.parts.push(Part { least: *least, bits, values });
            }
        }
        Ok(Some(packing))
    }

    fn bits(&self) -> u32 {
        self.parts.iter().map(|part| part.bits).sum()
    }

    fn pack<K>(&self) -> Vec<K>
    where
        K: Copy + From<u64> + Shl<u32, Output = K> + BitOr<Output = K>,
    {
        let Some((first, others)) = self.parts.split_first() else { return vec![K::from(0_u64); self.rows] };
        let mut keys: Vec<K> = first.digits().map(K::from).collect();
        for part in others {
            let digits = keys.iter_mut().zip(part.digits());
            digits.for_each(|(key, digit)| *key = (*key << part.bits) | K::from(digit));
        }
        keys
    }
}

impl Part {
    fn digits(&self) -> impl Iterator<Item = u64> {
        self.values.iter().map(|value| value.wrapping_sub(self.least) as u64)
    }
}

/// A column as integers in the same order, if it is one of integers or times, without nulls.
pub(super) fn integers(column: &ArrayRef) -> Result<Option<ScalarBuffer<i64>>, ArrowError> {
    use DataType::{Date32, Date64, Duration, Int8, Int16, Int32, Int64, Timestamp, UInt8, UInt16, UInt32};
    if column.null_count() > 0 {
        return Ok(None);
    }
    match column.data_type() {
        Int64 | Date64 | Timestamp(..) | Duration(_) => {
            let data = column.to_data();
            Ok(Some(ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())))
        }
        Int32 | Int16 | Int8 | UInt32 | UInt16 | UInt8 | Date32 => {
            Ok(Some(cast(column, &Int64)?.as_primitive::<Int64Type>().values().clone()))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Date32Array, Int8Array, Int64Array, StringArray, TimestampMillisecondArray, UInt32Array,
    };

    use super::*;

    /// The same as the encoding has it, which knows all types.
    fn check(columns: &[ArrayRef], is_packed: bool) {
        assert_eq!(Packing::of(columns).unwrap().is_some_and(|packing| packing.bits() <= 128), is_packed);
        assert_eq!(order_of(columns).unwrap(), by_encoding(columns).unwrap());
    }

    #[test]
    fn packed_rows_are_in_the_order_of_their_columns() {
        let rows = 2_000_i64;
        let mixed =
            |n: i64, range: i64| n.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(29).rem_euclid(range);
        let ints = |range: i64, least: i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values((0..rows).map(|n| mixed(n, range) + least)))
        };
        let wide: ArrayRef = Arc::new(Int64Array::from_iter_values(
            (0..rows).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)),
        ));
        let times: ArrayRef = Arc::new(
            TimestampMillisecondArray::from_iter_values(
                (0..rows).map(|n| 1_700_000_000_000 + mixed(n, 3) * 60_000),
            )
            .with_timezone("UTC"),
        );
        let days: ArrayRef =
            Arc::new(Date32Array::from_iter_values((0..rows).map(|n| mixed(n, 9) as i32 - 4)));
        let small: ArrayRef =
            Arc::new(Int8Array::from_iter_values((0..rows).map(|n| mixed(n, 256) as u8 as i8)));
        let unsigned: ArrayRef =
            Arc::new(UInt32Array::from_iter_values((0..rows).map(|n| mixed(n, 1 << 32) as u32)));
        let same: ArrayRef = Arc::new(Int64Array::from_value(-3, rows as usize));
        check(&[ints(50, -25)], true);
        check(std::slice::from_ref(&wide), true);
        check(std::slice::from_ref(&same), true);
        check(&[times.clone(), same, ints(1_000, 7)], true);
        check(&[days, small, unsigned], true);
        check(&[times.clone(), wide.clone(), ints(2, -1)], true);
        check(&[wide.clone(), wide.clone(), ints(2, 0)], false);
        let some: ArrayRef =
            Arc::new((0..rows).map(|n| (n % 7 > 0).then_some(n % 5)).collect::<Int64Array>());
        check(&[times, some], false);
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..rows).map(|n| mixed(n, 99).to_string())));
        check(&[texts, wide], false);
        check(&[ints(5, 0).slice(3, 100), ints(9, 0).slice(800, 100)], true);
        check(&[ints(5, 0).slice(3, 0)], true);
    }
}
