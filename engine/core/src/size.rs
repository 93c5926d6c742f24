//! How many bytes rows take.
//!
//! Columns are often slices: columns of a batch share the buffer that it was read into, morsels the buffers of their batch. Arrow's
//! `get_array_memory_size` counts such a buffer whole for each of them, so that ten columns of one buffer seem to take ten times what
//! is there. Here a column counts as what it would take in buffers of its own.

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::datatypes::{ArrowNativeType, DataType};

/// The bytes of some rows, whatever they are slices of.
pub fn bytes_of_rows(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| bytes_of_column(column)).sum()
}

/// The bytes of a column.
pub fn bytes_of_column(column: &dyn Array) -> usize {
    bytes_of(&column.to_data())
}

fn bytes_of(data: &ArrayData) -> usize {
    let own = match data.data_type() {
        DataType::List(_) | DataType::Map(_, _) => list::<i32>(data),
        DataType::LargeList(_) => list::<i64>(data),
        DataType::Struct(_) => data.child_data().iter().map(bytes_of).sum(),
        DataType::Utf8View | DataType::BinaryView => views(data),
        // Arrow knows the others, nulls included. It cannot count what it does not know as a slice.
        _ => return data.get_slice_memory_size().unwrap_or_else(|_| data.get_array_memory_size()),
    };
    own + data.nulls().map_or(0, |nulls| nulls.len().div_ceil(8))
}

/// Offsets, and the items between the first and the last of them.
fn list<O: ArrowNativeType>(data: &ArrayData) -> usize {
    let offsets = data.buffers()[0].typed_data::<O>();
    let offset = |nth: usize| offsets.get(data.offset() + nth).map_or(0, |offset| offset.as_usize());
    let (first, last) = (offset(0), offset(data.len()));
    (data.len() + 1) * size_of::<O>() + bytes_of(&data.child_data()[0].slice(first, last - first))
}

/// Views, and the bytes of those that do not hold them.
fn views(data: &ArrayData) -> usize {
    const WITHIN: usize = 12;
    let views = &data.buffers()[0].typed_data::<u128>()[data.offset()..data.offset() + data.len()];
    let length = |view: &u128| *view as u32 as usize;
    let beyond = views.iter().map(length).filter(|length| *length > WITHIN).sum::<usize>();
    size_of_val(views) + beyond
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, FixedSizeListBuilder, Int64Array, Int64Builder, ListBuilder, StringArray, StringViewArray,
        StructArray,
    };
    use arrow::buffer::{Buffer, ScalarBuffer};
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn columns_of_one_buffer_count_once() {
        let buffer = Buffer::from_vec((0_i64..1_000).collect::<Vec<_>>());
        let column = |nth: usize| -> ArrayRef {
            Arc::new(Int64Array::new(ScalarBuffer::new(buffer.clone(), nth * 100, 100), None))
        };
        let names = (0..10).map(|nth| (format!("c{nth}"), column(nth)));
        let rows = RecordBatch::try_from_iter(names).unwrap();
        assert_eq!(bytes_of_rows(&rows), 8_000);
        assert!(rows.get_array_memory_size() > 80_000, "that is what this module is there for");
        assert_eq!(bytes_of_rows(&rows.slice(20, 10)), 800);
    }

    #[test]
    fn a_slice_counts_its_own_part() {
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), None, Some("some text"), Some("b")]));
        assert_eq!(bytes_of_column(&texts), 5 * 4 + 11 + 1);
        assert_eq!(bytes_of_column(&texts.slice(1, 2)), 3 * 4 + 9 + 1);
        // Where none is NULL, nothing says which are.
        assert_eq!(bytes_of_column(&texts.slice(2, 1)), 2 * 4 + 9);
        let long = "more than twelve bytes";
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["short", long, long]));
        assert_eq!(bytes_of_column(&views), 3 * 16 + 2 * long.len());
        assert_eq!(bytes_of_column(&views.slice(0, 2)), 2 * 16 + long.len());
        assert_eq!(bytes_of_column(&views.slice(0, 0)), 0);
    }

    #[test]
    fn a_slice_counts_its_own_items() {
        let mut lists = ListBuilder::new(Int64Builder::new());
        let mut pairs = FixedSizeListBuilder::new(Int64Builder::new(), 2);
        for row in 0..100_i64 {
            lists.values().append_slice(&vec![row; row as usize]);
            lists.append(true);
            pairs.values().append_slice(&[row, row]);
            pairs.append(true);
        }
        let (lists, pairs): (ArrayRef, ArrayRef) = (Arc::new(lists.finish()), Arc::new(pairs.finish()));
        assert_eq!(bytes_of_column(&lists), 101 * 4 + 99 * 100 / 2 * 8);
        assert_eq!(bytes_of_column(&lists.slice(10, 2)), 3 * 4 + 21 * 8);
        assert_eq!(bytes_of_column(&lists.slice(100, 0)), 4);
        assert_eq!(bytes_of_column(&pairs.slice(10, 2)), 4 * 8);
        let field =
            |name: &str, column: &ArrayRef| Arc::new(Field::new(name, column.data_type().clone(), true));
        let both = StructArray::from(vec![
            (field("lists", &lists), Arc::clone(&lists)),
            (field("pairs", &pairs), Arc::clone(&pairs)),
        ]);
        assert_eq!(bytes_of_column(&both.slice(10, 2)), 3 * 4 + 21 * 8 + 4 * 8);
    }
}
