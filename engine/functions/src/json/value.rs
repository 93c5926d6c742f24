//! `JSON_VALUE(json, path [RETURNING type] [NULL | ERROR | DEFAULT x ON EMPTY] [NULL | ERROR | DEFAULT x ON ERROR])`.
//!
//! As arguments: `json_value(json, path)` or
//! `json_value(json, path, CAST(NULL AS type), on empty, its default, on error, its default)`.

use std::sync::Arc;

use arrow::array::{Array, StringArray, StringBuilder};
use arrow::compute::kernels::interleave::interleave;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::find::{is_composite, scalar};
use super::input::{Found, Input, Otherwise, asked_for, check_path, texts_except};

const NAME: &str = "json_value";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonValue {
    signature: Signature,
}

impl JsonValue {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonValue {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        match args.len() {
            2 => Ok(texts_except(args, &[], &DataType::Utf8)),
            7 => Ok(texts_except(args, &[2, 4, 6], &args[2])),
            _ => plan_err!("JSON_VALUE takes a text and a path"),
        }
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(args.get(2).cloned().unwrap_or(DataType::Utf8))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_path(&args)?;
        let kind = args.arg_fields.get(2).map_or(DataType::Utf8, |field| field.data_type().clone());
        Ok(Arc::new(Field::new(NAME, kind, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let input = Input::of(&args)?;
        let rows = input.texts.len();
        let (on_empty, on_error) = match args.args.len() {
            2 => (Otherwise::Null, Otherwise::Null),
            _ => (Otherwise::of(&args.args, 3)?, Otherwise::of(&args.args, 5)?),
        };
        let mut outcomes = Vec::with_capacity(rows);
        let mut texts = StringBuilder::with_capacity(rows, rows * 8);
        for row in 0..rows {
            let outcome = Outcome::of(&input, row, &mut texts);
            if !matches!(outcome, Outcome::Value) {
                texts.append_null();
            }
            outcomes.push(outcome);
        }
        let texts = texts.finish();
        let values = cast_with_options(
            &texts,
            args.return_type(),
            &CastOptions { safe: true, ..CastOptions::default() },
        )?;
        refuse_values(&mut outcomes, &texts, &values, args.return_type());
        if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Value | Outcome::Null)) {
            return Ok(ColumnarValue::Array(values));
        }
        let nulls = arrow::array::new_null_array(args.return_type(), 1);
        let default = |nth: usize| match args.args.get(nth) {
            Some(value) => value.to_array(rows),
            None => Ok(Arc::clone(&nulls)),
        };
        let (of_empty, of_error) = (default(4)?, default(6)?);
        let mut picked = Vec::with_capacity(rows);
        for (row, outcome) in outcomes.iter().enumerate() {
            let (otherwise, source, what) = match outcome {
                Outcome::Value => {
                    picked.push((0, row));
                    continue;
                }
                Outcome::Null => (Otherwise::Null, 0, ""),
                Outcome::Empty => (on_empty, 1, "the path leads to nothing"),
                Outcome::Wrong(what) => (on_error, 2, what.as_str()),
            };
            picked.push(match otherwise {
                Otherwise::Error => return Err(asked_for("JSON_VALUE", what)),
                Otherwise::Default => (source, row),
                _ => (3, 0),
            });
        }
        let sources = [&*values, &*of_empty, &*of_error, &*nulls];
        Ok(ColumnarValue::Array(interleave(&sources, &picked)?))
    }
}

/// What a row gives.
enum Outcome {
    /// The text that was appended.
    Value,
    /// There is no JSON.
    Null,
    /// There is nothing at the path.
    Empty,
    /// An error.
    Wrong(String),
}

impl Outcome {
    /// A NULL at the path counts as nothing, and so does what is no scalar, unless the path is strict.
    fn of(input: &Input, row: usize, texts: &mut StringBuilder) -> Self {
        let found = match input.found(row) {
            None => return Self::Null,
            Some(Found::Wrong(what)) => return Self::Wrong(what),
            Some(Found::Values(found)) => found,
        };
        let value = match found.as_slice() {
            [one] if input.path.is_definite() => *one,
            [] if input.path.is_definite() => return Self::Empty,
            _ => "[]",
        };
        match scalar(value) {
            Some(text) => {
                texts.append_value(text);
                Self::Value
            }
            None if is_composite(value) && input.path.strict => {
                Self::Wrong("the path leads to an object or array".to_owned())
            }
            None => Self::Empty,
        }
    }
}

/// A text that is no value of the type wanted is an error.
fn refuse_values(outcomes: &mut [Outcome], texts: &StringArray, values: &dyn Array, kind: &DataType) {
    if values.null_count() == texts.null_count() {
        return;
    }
    for (row, outcome) in outcomes.iter_mut().enumerate() {
        if values.is_null(row) && texts.is_valid(row) {
            *outcome = Outcome::Wrong(format!("'{}' is no {kind}", texts.value(row)));
        }
    }
}
