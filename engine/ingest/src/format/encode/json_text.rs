//! Rows as JSON objects, and the values of a single column as they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use headwater_core::encoder_of_map;

use super::super::settings::{FormatOptions, TimestampFormat};
use super::super::text;
use super::time_text::TimeText;
use crate::error::Result;

/// Writes each row as an object, with `before` before it and `after` after it.
pub(super) fn write(
    rows: &RecordBatch,
    options: &FormatOptions,
    before: &[u8],
    after: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    write_each(rows, options, out, |_, row, out| {
        out.extend_from_slice(before);
        out.extend_from_slice(row);
        out.extend_from_slice(after);
    })
}

/// Hands each row as an object to `put`, with its number.
pub(super) fn write_each(
    rows: &RecordBatch,
    options: &FormatOptions,
    out: &mut Vec<u8>,
    put: impl Fn(usize, &[u8], &mut Vec<u8>),
) -> Result<()> {
    let factory = Arc::new(Factory { timestamps: options.timestamps });
    let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(factory);
    let array = StructArray::from(rows.clone());
    let field: FieldRef = Arc::new(Field::new("row", array.data_type().clone(), false));
    let mut encoder = make_encoder(&field, &array, &options)?;
    let mut object = Vec::new();
    for row in 0..rows.num_rows() {
        object.clear();
        encoder.encode(row, &mut object);
        put(row, &object, out);
    }
    Ok(())
}

/// One row as an object: the payload of a dead letter that came as columns.
pub(crate) fn row_as_json(rows: &RecordBatch, row: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    write(&rows.slice(row, 1), &FormatOptions::default(), b"", b"", &mut out)?;
    Ok(out)
}

/// Each value of one column as JSON text, NULL as `None`.
pub(super) fn cells(column: &ArrayRef, options: &FormatOptions) -> Result<Vec<Option<Vec<u8>>>> {
    let factory = Arc::new(Factory { timestamps: options.timestamps });
    let options = EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(factory);
    let field: FieldRef = Arc::new(Field::new("cell", column.data_type().clone(), true));
    let mut encoder = make_encoder(&field, column.as_ref(), &options)?;
    let mut cell = |row| {
        let mut out = Vec::new();
        encoder.encode(row, &mut out);
        out
    };
    Ok((0..column.len()).map(|row| (!column.is_null(row)).then(|| cell(row))).collect())
}

/// Writes the values of the only column, one per line, bytes as they are.
pub(super) fn write_raw(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let column = cast(rows.column(0), &DataType::LargeBinary).or_else(|_| {
        cast(rows.column(0), &DataType::Utf8).and_then(|text| cast(&text, &DataType::LargeBinary))
    })?;
    for value in column.as_binary::<i64>() {
        out.extend_from_slice(value.unwrap_or_default());
        out.push(b'\n');
    }
    Ok(())
}

/// Encodes what Arrow would write in another way than the decoder reads it.
#[derive(Debug)]
struct Factory {
    timestamps: TimestampFormat,
}

impl EncoderFactory for Factory {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> std::result::Result<Option<NullableEncoder<'a>>, ArrowError> {
        let nulls = array.nulls().cloned();
        match array.data_type() {
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                let array = cast(array, &DataType::LargeBinary)?;
                Ok(Some(NullableEncoder::new(Box::new(Base64(array)), nulls)))
            }
            DataType::Timestamp(..) => {
                let time = TimeText::new(array, self.timestamps)
                    .map_err(|error| ArrowError::ExternalError(error.into()))?;
                Ok(time.map(|time| NullableEncoder::new(Box::new(Time(time)), nulls)))
            }
            DataType::Map(..) => encoder_of_map(array, options),
            _ => Ok(None),
        }
    }
}

struct Base64(ArrayRef);

impl Encoder for Base64 {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(text::to_base64(self.0.as_binary::<i64>().value(row)).as_bytes());
        out.push(b'"');
    }
}

struct Time(TimeText);

impl Encoder for Time {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let quote: &[u8] = if self.0.is_number() { b"" } else { b"\"" };
        out.extend_from_slice(quote);
        self.0.write(row, out);
        out.extend_from_slice(quote);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BooleanBuilder, Int64Builder, MapArray, MapBuilder, StringBuilder, TimestampMillisecondBuilder,
    };

    use super::*;

    fn object(map: MapArray) -> String {
        let rows = RecordBatch::try_from_iter([("m", Arc::new(map) as ArrayRef)]).unwrap();
        String::from_utf8((0..rows.num_rows()).flat_map(|row| row_as_json(&rows, row).unwrap()).collect())
            .unwrap()
    }

    #[test]
    fn keys_that_are_no_text_are_written_as_text() {
        let mut map = MapBuilder::new(None, Int64Builder::new(), StringBuilder::new());
        map.keys().append_value(-7);
        map.values().append_value("a");
        map.keys().append_value(8);
        map.values().append_null();
        map.append(true).unwrap();
        map.append(true).unwrap();
        map.append(false).unwrap();
        assert_eq!(object(map.finish()), r#"{"m":{"-7":"a","8":null}}{"m":{}}{"m":null}"#);
        let mut map = MapBuilder::new(None, TimestampMillisecondBuilder::new(), BooleanBuilder::new());
        map.keys().append_value(1_000);
        map.values().append_value(true);
        map.append(true).unwrap();
        assert_eq!(object(map.finish()), r#"{"m":{"1970-01-01T00:00:01":true}}"#);
    }
}
