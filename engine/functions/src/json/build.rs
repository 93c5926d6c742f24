//! `JSON_OBJECT([KEY] key VALUE value, ... [NULL | ABSENT ON NULL])`, `JSON_ARRAY(value, ... [NULL | ABSENT ON NULL])`,
//! `JSON_STRING(value)` and `JSON(text)`.
//!
//! As arguments: `json_object(on null, shapes, key, value, ...)` and `json_array(on null, shapes, value, ...)`, the shapes having a
//! letter for each value: `v`, a value to be written as JSON, or `j`, JSON that is put in as it is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use headwater_core::encoder_of_map;

use super::find::{compact, find};
use super::input::constant;

/// All of them.
pub(super) fn functions() -> [ScalarUDF; 4] {
    [Shape::Object, Shape::Array, Shape::Value, Shape::Json].map(|shape| {
        let signature = match shape {
            Shape::Json => Signature::exact(vec![DataType::Utf8], Volatility::Immutable),
            Shape::Value => Signature::any(1, Volatility::Immutable),
            Shape::Object | Shape::Array => Signature::user_defined(Volatility::Immutable),
        };
        ScalarUDF::new_from_impl(Build { shape, signature })
    })
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    Object,
    Array,
    /// A value as JSON.
    Value,
    /// A text that is JSON already.
    Json,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Build {
    shape: Shape,
    signature: Signature,
}

impl ScalarUDFImpl for Build {
    fn name(&self) -> &str {
        match self.shape {
            Shape::Object => "json_object",
            Shape::Array => "json_array",
            Shape::Value => "json_string",
            Shape::Json => "json",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        if args.len() < 2 {
            return plan_err!("{} takes values", self.name());
        }
        // The clause, the shapes and the keys are texts, values what they are.
        let is_text = |nth: usize| nth < 2 || self.shape == Shape::Object && nth.is_multiple_of(2);
        Ok(args
            .iter()
            .enumerate()
            .map(|(nth, kind)| if is_text(nth) { DataType::Utf8 } else { kind.clone() })
            .collect())
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let options =
            EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(MapKeys));
        let text = match self.shape {
            Shape::Json => json(arrays[0].as_string())?,
            Shape::Value => {
                let mut value = Value::new(&args.arg_fields[0], &arrays[0], false, &options)?;
                let mut out = StringBuilder::with_capacity(rows, rows * 16);
                let mut buffer = Vec::new();
                for row in 0..rows {
                    buffer.clear();
                    match value.is_null(row) {
                        true => out.append_null(),
                        false => append(&mut out, value.write(row, &mut buffer))?,
                    }
                }
                out.finish()
            }
            Shape::Object | Shape::Array => {
                let absent = constant(&args.args, 0)? == "absent";
                let shapes = constant(&args.args, 1)?;
                let step = if self.shape == Shape::Object { 2 } else { 1 };
                let values = (1 + step..arrays.len()).step_by(step).zip(shapes.bytes());
                let values = values
                    .map(|(nth, shape)| {
                        Value::new(&args.arg_fields[nth], &arrays[nth], shape == b'j', &options)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let keys: Vec<&StringArray> = match self.shape {
                    Shape::Object => {
                        (2..arrays.len()).step_by(2).map(|nth| arrays[nth].as_string()).collect()
                    }
                    _ => Vec::new(),
                };
                composites(self.shape, rows, &keys, values, absent)?
            }
        };
        Ok(ColumnarValue::Array(Arc::new(text)))
    }
}

/// Objects of these keys, or arrays.
fn composites(
    shape: Shape,
    rows: usize,
    keys: &[&StringArray],
    mut values: Vec<Value<'_>>,
    absent: bool,
) -> Result<StringArray> {
    let (open, close) = if shape == Shape::Object { (b'{', b'}') } else { (b'[', b']') };
    let mut out = StringBuilder::with_capacity(rows, rows * 32);
    let mut buffer = Vec::new();
    for row in 0..rows {
        buffer.clear();
        buffer.push(open);
        for (nth, value) in values.iter_mut().enumerate() {
            if absent && value.is_null(row) {
                continue;
            }
            if buffer.len() > 1 {
                buffer.push(b',');
            }
            if let Some(keys) = keys.get(nth) {
                if keys.is_null(row) {
                    return exec_err!("JSON_OBJECT: the key {} is NULL", nth + 1);
                }
                write_text(keys.value(row), &mut buffer)?;
                buffer.push(b':');
            }
            value.write(row, &mut buffer);
        }
        buffer.push(close);
        append(&mut out, &buffer)?;
    }
    Ok(out.finish())
}

/// Writes maps whose keys are no text.
#[derive(Debug)]
struct MapKeys;

impl EncoderFactory for MapKeys {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> std::result::Result<Option<NullableEncoder<'a>>, ArrowError> {
        encoder_of_map(array, options)
    }
}

/// A column of values.
enum Value<'a> {
    /// To be written as JSON.
    Encoded(NullableEncoder<'a>),
    /// That are JSON.
    Json(&'a StringArray),
}

impl<'a> Value<'a> {
    fn new(
        field: &'a FieldRef,
        array: &'a ArrayRef,
        is_json: bool,
        options: &'a EncoderOptions,
    ) -> Result<Self> {
        Ok(match array.as_string_opt::<i32>() {
            Some(texts) if is_json => Self::Json(texts),
            _ => Self::Encoded(make_encoder(field, array, options)?),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Encoded(encoder) => encoder.is_null(row),
            Self::Json(texts) => texts.is_null(row),
        }
    }

    fn write<'b>(&mut self, row: usize, out: &'b mut Vec<u8>) -> &'b [u8] {
        if self.is_null(row) {
            out.extend(b"null");
            return out;
        }
        match self {
            Self::Encoded(encoder) => encoder.encode(row, out),
            Self::Json(texts) => out.extend(texts.value(row).as_bytes()),
        }
        out
    }
}

pub(super) fn write_text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, text)
        .map_err(|error| datafusion::common::DataFusionError::External(error.into()))
}

fn append(out: &mut StringBuilder, json: &[u8]) -> Result<()> {
    match str::from_utf8(json) {
        Ok(text) => out.append_value(text),
        Err(error) => return exec_err!("JSON that is no UTF-8: {error}"),
    }
    Ok(())
}

/// Texts that must be JSON, without spaces.
fn json(texts: &StringArray) -> Result<StringArray> {
    let mut out = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut buffer = String::new();
    for text in texts {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        if let Err(error) = find(text, &[]) {
            return exec_err!("JSON: '{text}' is no JSON: {error}");
        }
        buffer.clear();
        compact(text, &mut buffer);
        out.append_value(&buffer);
    }
    Ok(out.finish())
}
