//! The Arrow arrays of columns that have grown.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, ListArray, MapArray,
    PrimitiveArray, StringArray, StructArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type,
};

use super::{Column, Values, take_vec};
use crate::error::Result;

impl Column {
    /// Ends the column and begins it anew.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int { values, .. }
            | Values::Timestamp { values, .. }
            | Values::Date { values, .. }
            | Values::TimeOfDay { values, .. } => {
                let values = take_vec(values);
                integers(&self.data_type, values, nulls)?
            }
            Values::UInt(values) => Arc::new(UInt64Array::new(take_vec(values).into(), nulls)),
            Values::Float { values, single: true } => {
                let values: Vec<f32> = take_vec(values).into_iter().map(|value| value as f32).collect();
                Arc::new(Float32Array::new(values.into(), nulls))
            }
            Values::Float { values, single: false } => {
                Arc::new(Float64Array::new(take_vec(values).into(), nulls))
            }
            Values::Decimal { values, precision, scale } => Arc::new(
                Decimal128Array::new(take_vec(values).into(), nulls)
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Text(strings) => {
                let (offsets, bytes) = strings.take();
                as_declared(Arc::new(StringArray::try_new(offsets, bytes, nulls)?), &self.data_type)?
            }
            Values::Binary(strings) => {
                let (offsets, bytes) = strings.take();
                as_declared(Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?), &self.data_type)?
            }
            Values::Struct(group) => {
                let DataType::Struct(fields) = &self.data_type else {
                    unreachable!("a group is made for a struct")
                };
                let columns = group.finish()?;
                if columns.is_empty() {
                    Arc::new(StructArray::new_empty_fields(rows, nulls))
                } else {
                    Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
                }
            }
            Values::List { offsets, child } => {
                let DataType::List(item) = &self.data_type else { unreachable!("a list is made for a list") };
                Arc::new(ListArray::try_new(item.clone(), take_offsets(offsets), child.finish()?, nulls)?)
            }
            Values::Map { offsets, key, value } => {
                let DataType::Map(entries, sorted) = &self.data_type else {
                    unreachable!("a map is made for a map")
                };
                let DataType::Struct(fields) = entries.data_type() else {
                    unreachable!("a map has a struct inside")
                };
                let pairs = StructArray::try_new(fields.clone(), vec![key.finish()?, value.finish()?], None)?;
                Arc::new(MapArray::try_new(entries.clone(), take_offsets(offsets), pairs, nulls, *sorted)?)
            }
        })
    }
}

/// An array of the type that its column was declared with, which may be another of the same kind.
fn as_declared(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type { Ok(array) } else { Ok(arrow::compute::cast(&array, data_type)?) }
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = take_vec(offsets);
    offsets.push(0);
    OffsetBuffer::new(taken.into())
}

/// An array of integers or times out of 64-bit values that are known to fit.
fn integers(data_type: &DataType, values: Vec<i64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    fn narrow<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(values: &[i64]) -> ScalarBuffer<T::Native> {
        values.iter().map(|value| T::Native::try_from(*value).unwrap_or_default()).collect::<Vec<_>>().into()
    }
    fn array<T: ArrowPrimitiveType>(values: ScalarBuffer<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values, nulls))
    }
    let array = match data_type {
        DataType::Int8 => array::<Int8Type>(narrow::<Int8Type>(&values), nulls),
        DataType::Int16 => array::<Int16Type>(narrow::<Int16Type>(&values), nulls),
        DataType::Int32 | DataType::Time32(_) => array::<Int32Type>(narrow::<Int32Type>(&values), nulls),
        DataType::UInt8 => array::<UInt8Type>(narrow::<UInt8Type>(&values), nulls),
        DataType::UInt16 => array::<UInt16Type>(narrow::<UInt16Type>(&values), nulls),
        DataType::UInt32 => array::<UInt32Type>(narrow::<UInt32Type>(&values), nulls),
        DataType::Date32 => array::<Date32Type>(narrow::<Date32Type>(&values), nulls),
        _ => array::<Int64Type>(values.into(), nulls),
    };
    // Times are integers with another name: the cast shares the buffer.
    if array.data_type() == data_type { Ok(array) } else { Ok(arrow::compute::cast(&array, data_type)?) }
}
