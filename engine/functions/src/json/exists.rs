//! `JSON_EXISTS(json, path [TRUE | FALSE | UNKNOWN | ERROR ON ERROR])`.
//!
//! As arguments: `json_exists(json, path)` or `json_exists(json, path, on error)`.

use std::sync::Arc;

use arrow::array::BooleanBuilder;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::input::{Found, Input, asked_for, check_path, constant, texts_except};

const NAME: &str = "json_exists";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonExists {
    signature: Signature,
}

impl JsonExists {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonExists {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        match args.len() {
            2 | 3 => Ok(texts_except(args, &[], &DataType::Utf8)),
            _ => plan_err!("JSON_EXISTS takes a text and a path"),
        }
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_path(&args)?;
        Ok(Arc::new(Field::new(NAME, DataType::Boolean, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let input = Input::of(&args)?;
        let on_error = match args.args.len() {
            2 => "false".to_owned(),
            _ => constant(&args.args, 2)?,
        };
        let mut results = BooleanBuilder::with_capacity(input.texts.len());
        for row in 0..input.texts.len() {
            results.append_option(match input.found(row) {
                None => None,
                // A NULL counts as nothing; of several values one is enough.
                Some(Found::Values(found)) => Some(!matches!(found.as_slice(), [] | ["null"])),
                Some(Found::Wrong(what)) => match on_error.as_str() {
                    "true" => Some(true),
                    "unknown" => None,
                    "error" => return Err(asked_for("JSON_EXISTS", what)),
                    _ => Some(false),
                },
            });
        }
        Ok(ColumnarValue::Array(Arc::new(results.finish())))
    }
}
