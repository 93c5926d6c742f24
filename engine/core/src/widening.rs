//! Which types take every value of another one: what a column may become while rows of it are there.

use arrow::datatypes::DataType;

use crate::time::nanos_per;

/// Whether a type takes every value of another: integers and floats go into larger ones (an integer only into a float that holds it
/// exactly), strings and binary into larger offsets or views, timestamps into finer units, decimals into more digits before the point. A
/// finer unit does not reach as far as a coarser one: whoever converts says what becomes of times that it does not hold.
pub fn is_wider(old: &DataType, new: &DataType) -> bool {
    use DataType::*;
    if old.is_integer() {
        return integer_fits(old, new);
    }
    match (old, new) {
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Utf8, LargeUtf8 | Utf8View) | (Binary, LargeBinary | BinaryView) => true,
        (Timestamp(old, old_zone), Timestamp(new, new_zone)) => {
            old_zone == new_zone && nanos_per(*old) > nanos_per(*new)
        }
        (Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s), new) => {
            let kind = |data_type: &DataType| data_type.primitive_width();
            let digits = match new {
                Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) | Decimal256(p, s) => Some((*p, *s)),
                _ => None,
            };
            kind(new) >= kind(old) && digits.is_some_and(|(digits, scale)| digits >= *p && scale == *s)
        }
        _ => false,
    }
}

/// Whether each value of one integer type is one of the other type, exactly.
fn integer_fits(old: &DataType, new: &DataType) -> bool {
    let bits = |data_type: &DataType| data_type.primitive_width().map_or(0, |bytes| bytes * 8);
    let exact_bits = match new {
        DataType::Float16 => 11,
        DataType::Float32 => 24,
        DataType::Float64 => 53,
        other if other.is_integer() => bits(other),
        _ => return false,
    };
    if new.is_unsigned_integer() {
        old.is_unsigned_integer() && exact_bits > bits(old)
    } else if new.is_floating() {
        exact_bits >= bits(old)
    } else {
        exact_bits > bits(old)
    }
}
