//! The state column of functions over rows that may be retracted: for each group a list of structs, of a row in `arrow-row` encoding
//! and how often it is there. A count below zero is what has been retracted before it was added.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};

use crate::error::Result;

/// The column's type.
pub(super) fn entries_type() -> DataType {
    DataType::new_list(DataType::Struct(fields()), false)
}

/// The column of these groups, each with its entries.
pub(super) fn write_entries(groups: &[Vec<(&[u8], i64)>]) -> Result<ArrayRef> {
    let entries = || groups.iter().flatten();
    let rows: BinaryArray = entries().map(|(row, _)| Some(*row)).collect();
    let counts = Int64Array::from_iter_values(entries().map(|(_, count)| *count));
    let values = StructArray::try_new(fields(), vec![Arc::new(rows), Arc::new(counts)], None)?;
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(Vec::len));
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(values), None)?))
}

/// Calls `add` with each entry of a column and its group, in the column's order.
pub(super) fn read_entries(column: &ArrayRef, groups: &[u32], mut add: impl FnMut(u32, &[u8], i64)) {
    let lists = column.as_list::<i32>();
    for (index, group) in groups.iter().enumerate() {
        let entries = lists.value(index);
        let (rows, counts) = (entries.as_struct().column(0), entries.as_struct().column(1));
        for (row, count) in rows.as_binary::<i32>().iter().zip(counts.as_primitive::<Int64Type>().values()) {
            add(*group, row.expect("rows are not null"), *count);
        }
    }
}

fn fields() -> Fields {
    let row = Field::new("row", DataType::Binary, false);
    Fields::from(vec![row, Field::new("count", DataType::Int64, false)])
}
