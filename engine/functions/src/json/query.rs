//! `JSON_QUERY(json, path [RETURNING type] [wrapper] [... ON EMPTY] [... ON ERROR])`.
//!
//! As arguments: `json_query(json, path)` or `json_query(json, path, CAST(NULL AS type), wrapper, on empty, on error)`, the wrapper being
//! `without`, `conditional` or `unconditional`.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::find::{compact, find, is_composite, scalar};
use super::input::{Found, Input, Otherwise, asked_for, check_path, constant, texts_except};
use super::path::Step;

const NAME: &str = "json_query";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonQuery {
    signature: Signature,
}

impl JsonQuery {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonQuery {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        match args.len() {
            2 => Ok(texts_except(args, &[], &DataType::Utf8)),
            6 => Ok(texts_except(args, &[2], &args[2])),
            _ => plan_err!("JSON_QUERY takes a text and a path"),
        }
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        match args.get(2) {
            None => Ok(DataType::Utf8),
            Some(DataType::List(item)) if *item.data_type() == DataType::Utf8 => Ok(args[2].clone()),
            Some(DataType::Utf8) => Ok(DataType::Utf8),
            Some(other) => plan_err!("JSON_QUERY returns STRING or ARRAY<STRING>, not {other}"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        check_path(&args)?;
        let kinds: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(NAME, self.return_type(&kinds)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let input = Input::of(&args)?;
        let (wrapper, on_empty, on_error) = match args.args.len() {
            2 => ("without".to_owned(), Otherwise::Null, Otherwise::Null),
            _ => (constant(&args.args, 3)?, Otherwise::of(&args.args, 4)?, Otherwise::of(&args.args, 5)?),
        };
        let otherwise = |clause: Otherwise, what: &str| match clause {
            Otherwise::Error => Err(asked_for("JSON_QUERY", what)),
            Otherwise::EmptyArray => Ok(Some("[]".to_owned())),
            Otherwise::EmptyObject => Ok(Some("{}".to_owned())),
            Otherwise::Null | Otherwise::Default => Ok(None),
        };
        let mut results = Vec::with_capacity(input.texts.len());
        for row in 0..input.texts.len() {
            results.push(match input.found(row) {
                None => None,
                Some(Found::Wrong(what)) => otherwise(on_error, &what)?,
                Some(Found::Values(found)) => match wrapped(&found, input.path.is_definite(), &wrapper) {
                    Some(value) if is_composite(&value) => Some(value),
                    Some(_) if input.path.strict => otherwise(on_error, "the path leads to a scalar")?,
                    _ => otherwise(on_empty, "the path leads to no object or array")?,
                },
            });
        }
        Ok(ColumnarValue::Array(match args.return_type() {
            DataType::List(_) => lists(&results),
            _ => Arc::new(arrow::array::StringArray::from(results)),
        }))
    }
}

/// What was found as one value, within an array if that is asked for. Several values are an array; a NULL counts as nothing.
fn wrapped(found: &[&str], definite: bool, wrapper: &str) -> Option<String> {
    let is_array = !definite || found.first()?.starts_with('[');
    let mut out = String::new();
    if !definite {
        out.push('[');
        for (nth, value) in found.iter().enumerate() {
            if nth > 0 {
                out.push(',');
            }
            compact(value, &mut out);
        }
        out.push(']');
    } else if found[0] == "null" {
        return None;
    } else {
        compact(found[0], &mut out);
    }
    let wraps = wrapper == "unconditional" || wrapper == "conditional" && !is_array;
    Some(if wraps { format!("[{out}]") } else { out })
}

/// Arrays of texts from arrays in JSON: scalars as their text, what is within as JSON. An object gives NULL.
fn lists(results: &[Option<String>]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for result in results {
        let array = result.as_deref().filter(|json| json.starts_with('['));
        let Some(elements) = array.and_then(|json| find(json, &[Step::Every]).ok()) else {
            lists.append(false);
            continue;
        };
        for element in elements {
            match scalar(element) {
                Some(text) => lists.values().append_value(text),
                None if is_composite(element) => lists.values().append_value(element),
                None => lists.values().append_null(),
            }
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}
