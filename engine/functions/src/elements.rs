//! What a join with a list has beside the list's elements; the parser writes calls of these (`parse/unnest.rs`).
//!
//! | function | what it gives |
//! |---|---|
//! | `$rows(list or map)` | the list; of a map its entries |
//! | `$rows_or_null(list or map)` | the same, but one NULL if there are no elements |
//! | `$places(list or map)` | 1, 2, 3, ... for as many elements as there are |
//! | `$field(row, n)` | the `n`th field of a row, from 1 |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::types::sql_type;

/// The function that gives a list or map as rows.
pub const ROWS: &str = "$rows";
/// The same, with a row of NULLs for one that has none.
pub const ROWS_OR_NULL: &str = "$rows_or_null";
/// The function that gives the places of a list's elements, from 1 on.
pub const PLACES: &str = "$places";
/// The function that gives a field of a row by its place.
pub const FIELD: &str = "$field";

/// The functions of these names.
pub fn functions() -> [ScalarUDF; 4] {
    let signature = || Signature::user_defined(Volatility::Immutable);
    [ROWS, ROWS_OR_NULL, PLACES, FIELD]
        .map(|name| ScalarUDF::new_from_impl(Elements { name, signature: signature() }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Elements {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Elements {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let plain = |kind: &DataType| match kind {
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => DataType::List(Arc::clone(item)),
            other => other.clone(),
        };
        // What does not fit is told when the type of the result is asked for.
        Ok(types.iter().map(plain).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::List(_) | DataType::Map(..) if self.name == PLACES => {
                Ok(DataType::new_list(DataType::Int32, true))
            }
            // A NULL may stand where no element does.
            DataType::List(item) => Ok(DataType::new_list(item.data_type().clone(), true)),
            DataType::Map(entries, _) => Ok(DataType::new_list(entries.data_type().clone(), true)),
            other => plan_err!("UNNEST takes a list or a map, not {}", sql_type(other)),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let kind = args.arg_fields[0].data_type();
        if self.name != FIELD {
            let kind = self.return_type(std::slice::from_ref(kind))?;
            return Ok(Arc::new(Field::new(self.name, kind, true)));
        }
        let DataType::Struct(fields) = kind else {
            return plan_err!("the elements of UNNEST are {}, of which each is one column", sql_type(kind));
        };
        let Some(Some(ScalarValue::Int64(Some(nth)))) = args.scalar_arguments.get(1) else {
            return plan_err!("a field has a number");
        };
        match usize::try_from(nth - 1).ok().and_then(|nth| fields.get(nth)) {
            Some(field) => Ok(Arc::new(Field::new(field.name(), field.data_type().clone(), true))),
            None => plan_err!("the elements of UNNEST have {} columns, not {nth}", fields.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let call = |columns: &[ArrayRef]| match self.name {
            FIELD => field(&columns[0], &args.args[1]),
            PLACES => places(&rows(&columns[0])?),
            ROWS_OR_NULL => or_null(&rows(&columns[0])?),
            _ => Ok(Arc::new(rows(&columns[0])?) as ArrayRef),
        };
        make_scalar_function(call, Vec::new())(&args.args)
    }
}

fn field(rows: &ArrayRef, nth: &ColumnarValue) -> Result<ArrayRef> {
    let ColumnarValue::Scalar(ScalarValue::Int64(Some(nth))) = nth else {
        return exec_err!("a field has a number");
    };
    let rows = rows.as_struct();
    let column = rows.column(*nth as usize - 1);
    // A row that is NULL has no fields.
    let places = (0..rows.len() as u32).map(|row| rows.is_valid(row as usize).then_some(row));
    Ok(take(column, &places.collect::<UInt32Array>(), None)?)
}

/// A column of lists, with items that may be NULL.
fn rows(column: &ArrayRef) -> Result<ListArray> {
    let (offsets, items, nulls) = match column.data_type() {
        DataType::Map(..) => {
            let (_, offsets, entries, nulls, _) = column.as_map().clone().into_parts();
            (offsets, Arc::new(entries) as ArrayRef, nulls)
        }
        _ => {
            let (_, offsets, items, nulls) = column.as_list::<i32>().clone().into_parts();
            (offsets, items, nulls)
        }
    };
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    Ok(ListArray::try_new(item, offsets, items, nulls)?)
}

fn length(lists: &ListArray, row: usize) -> usize {
    if lists.is_null(row) { 0 } else { lists.value_length(row) as usize }
}

fn places(lists: &ListArray) -> Result<ArrayRef> {
    let lengths: Vec<usize> = (0..lists.len()).map(|row| length(lists, row)).collect();
    let places: Int32Array = lengths.iter().flat_map(|length| 1..=*length as i32).collect::<Vec<_>>().into();
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(places), None)?))
}

fn or_null(lists: &ListArray) -> Result<ArrayRef> {
    let null = new_null_array(&lists.value_type(), 1);
    let items = concat(&[lists.values().as_ref(), null.as_ref()])?;
    let the_null = lists.values().len() as u32;
    let mut places: Vec<u32> = Vec::new();
    for row in 0..lists.len() {
        let first = lists.value_offsets()[row] as u32;
        match length(lists, row) as u32 {
            0 => places.push(the_null),
            length => places.extend(first..first + length),
        }
    }
    let lengths = (0..lists.len()).map(|row| length(lists, row).max(1));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let item = Arc::new(Field::new_list_field(lists.value_type(), true));
    let items = take(&items, &UInt32Array::from(places), None)?;
    Ok(Arc::new(ListArray::try_new(item, offsets, items, None)?))
}
