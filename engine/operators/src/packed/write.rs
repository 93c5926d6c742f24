//! Arrow columns to bytes of rows.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

/// Calls `take` with each row's text; NULL is one without length.
pub(super) fn each_text(column: &ArrayRef, take: impl FnMut(usize, &[u8])) {
    fn each<'a>(texts: impl Iterator<Item = Option<&'a [u8]>>, mut take: impl FnMut(usize, &[u8])) {
        texts.enumerate().for_each(|(row, text)| take(row, text.unwrap_or_default()));
    }
    match column.data_type() {
        DataType::Utf8 => each(column.as_string::<i32>().iter().map(|text| text.map(str::as_bytes)), take),
        DataType::LargeUtf8 => {
            each(column.as_string::<i64>().iter().map(|text| text.map(str::as_bytes)), take);
        }
        DataType::Utf8View => each(column.as_string_view().iter().map(|text| text.map(str::as_bytes)), take),
        DataType::Binary => each(column.as_binary::<i32>().iter(), take),
        DataType::LargeBinary => each(column.as_binary::<i64>().iter(), take),
        _ => each(column.as_binary_view().iter(), take),
    }
}

/// Writes a column of fixed width; what is NULL stays zeros.
pub(super) fn put_fixed(
    column: &ArrayRef,
    nulls: Option<&NullBuffer>,
    width: usize,
    starts: &[usize],
    at: usize,
    bytes: &mut [u8],
) {
    if let DataType::Boolean = column.data_type() {
        for (row, value) in column.as_boolean().iter().enumerate() {
            bytes[starts[row] + at] = u8::from(value == Some(true));
        }
        return;
    }
    let data = column.to_data();
    let values = &data.buffers()[0].as_slice()[data.offset() * width..];
    match width {
        1 => put_values::<1>(values, nulls, starts, at, bytes),
        2 => put_values::<2>(values, nulls, starts, at, bytes),
        4 => put_values::<4>(values, nulls, starts, at, bytes),
        8 => put_values::<8>(values, nulls, starts, at, bytes),
        _ => put_values::<16>(values, nulls, starts, at, bytes),
    }
}

fn put_values<const N: usize>(
    values: &[u8],
    nulls: Option<&NullBuffer>,
    starts: &[usize],
    at: usize,
    bytes: &mut [u8],
) {
    let (values, _) = values.as_chunks::<N>();
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    for (row, (start, value)) in starts.iter().zip(values).enumerate() {
        if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
            bytes[start + at..start + at + N].copy_from_slice(value);
        }
    }
}
