//! Bytes of rows to Arrow columns.

use arrow::array::{
    ArrayData, ArrayRef, BinaryViewBuilder, GenericBinaryArray, GenericStringArray, NullBufferBuilder,
    OffsetSizeTrait, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::error::ArrowError;

use super::order::array;
use super::{Place, is_null};

/// A column that is being read.
pub(super) struct Builder {
    values: Values,
    nulls: NullBufferBuilder,
}

enum Values {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
    Eight(Vec<u64>),
    Sixteen(Vec<i128>),
    Text { bytes: Vec<u8>, ends: Vec<usize> },
}

impl Builder {
    pub(super) fn new(place: Place, rows: usize) -> Self {
        let values = match place {
            Place::Text => Values::Text { bytes: Vec::new(), ends: Vec::with_capacity(rows) },
            Place::Fixed { width: 1, .. } => Values::One(Vec::with_capacity(rows)),
            Place::Fixed { width: 2, .. } => Values::Two(Vec::with_capacity(rows)),
            Place::Fixed { width: 4, .. } => Values::Four(Vec::with_capacity(rows)),
            Place::Fixed { width: 8, .. } => Values::Eight(Vec::with_capacity(rows)),
            Place::Fixed { .. } => Values::Sixteen(Vec::with_capacity(rows)),
        };
        Self { values, nulls: NullBufferBuilder::new(rows) }
    }

    pub(super) fn add_fixed(&mut self, rows: &[&[u8]], at: usize, nth: usize) {
        match &mut self.values {
            Values::One(values) => values.extend(rows.iter().map(|row| row[at])),
            Values::Two(values) => {
                values.extend(rows.iter().map(|row| u16::from_ne_bytes(array(&row[at..]))));
            }
            Values::Four(values) => {
                values.extend(rows.iter().map(|row| u32::from_ne_bytes(array(&row[at..]))));
            }
            Values::Eight(values) => {
                values.extend(rows.iter().map(|row| u64::from_ne_bytes(array(&row[at..]))));
            }
            Values::Sixteen(values) => {
                values.extend(rows.iter().map(|row| i128::from_ne_bytes(array(&row[at..]))));
            }
            Values::Text { .. } => debug_assert!(false, "a text has no fixed width"),
        }
        rows.iter().for_each(|row| self.nulls.append(!is_null(row, nth)));
    }

    #[inline]
    pub(super) fn add_text(&mut self, text: &[u8], is_null: bool) {
        if let Values::Text { bytes, ends } = &mut self.values {
            bytes.extend_from_slice(text);
            ends.push(bytes.len());
        }
        self.nulls.append(!is_null);
    }

    pub(super) fn finish(mut self, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        let nulls = self.nulls.finish();
        let buffer = match self.values {
            Values::One(values) if *kind == DataType::Boolean => {
                let values = BooleanBuffer::collect_bool(values.len(), |row| values[row] != 0);
                return Ok(std::sync::Arc::new(arrow::array::BooleanArray::new(values, nulls)));
            }
            Values::One(values) => (values.len(), Buffer::from_vec(values)),
            Values::Two(values) => (values.len(), Buffer::from_vec(values)),
            Values::Four(values) => (values.len(), Buffer::from_vec(values)),
            Values::Eight(values) => (values.len(), Buffer::from_vec(values)),
            Values::Sixteen(values) => (values.len(), Buffer::from_vec(values)),
            Values::Text { bytes, ends } => return finish_text(kind, bytes, &ends, nulls),
        };
        let (rows, values) = buffer;
        let data = ArrayData::builder(kind.clone()).len(rows).nulls(nulls).add_buffer(values);
        Ok(make_array(data.build()?))
    }
}

fn finish_text(
    kind: &DataType,
    bytes: Vec<u8>,
    ends: &[usize],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    use std::sync::Arc;
    Ok(match kind {
        DataType::Utf8 => {
            Arc::new(GenericStringArray::<i32>::try_new(offsets(ends)?, Buffer::from_vec(bytes), nulls)?)
        }
        DataType::LargeUtf8 => {
            Arc::new(GenericStringArray::<i64>::try_new(offsets(ends)?, Buffer::from_vec(bytes), nulls)?)
        }
        DataType::Binary => {
            Arc::new(GenericBinaryArray::<i32>::try_new(offsets(ends)?, Buffer::from_vec(bytes), nulls)?)
        }
        DataType::LargeBinary => {
            Arc::new(GenericBinaryArray::<i64>::try_new(offsets(ends)?, Buffer::from_vec(bytes), nulls)?)
        }
        kind => {
            let mut builder = BinaryViewBuilder::with_capacity(ends.len());
            let mut start = 0;
            for (row, end) in ends.iter().enumerate() {
                match nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                    true => builder.append_null(),
                    false => builder.append_value(&bytes[start..*end]),
                }
                start = *end;
            }
            let views = builder.finish();
            match kind {
                DataType::Utf8View => Arc::new(views.to_string_view()?),
                _ => Arc::new(views),
            }
        }
    })
}

fn offsets<O: OffsetSizeTrait + ArrowNativeType>(ends: &[usize]) -> Result<OffsetBuffer<O>, ArrowError> {
    let last = ends.last().copied().unwrap_or(0);
    if O::from_usize(last).is_none() {
        return Err(ArrowError::OffsetOverflowError(last));
    }
    let all = std::iter::once(0).chain(ends.iter().copied());
    let all: ScalarBuffer<O> = all.map(O::usize_as).collect();
    Ok(OffsetBuffer::new(all))
}
