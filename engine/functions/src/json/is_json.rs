//! `json IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]`, as the function `is_json(json, kind)`. NULL is none.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::find::{find, is_composite};
use super::input::constant;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct IsJson {
    signature: Signature,
}

impl IsJson {
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for IsJson {
    fn name(&self) -> &str {
        "is_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kind = constant(&args.args, 1)?;
        let texts = args.args[0].to_array(args.number_rows)?;
        let fits = |text: &str| {
            find(text, &[]).is_ok_and(|found| match (kind.as_str(), found.first()) {
                ("array", Some(value)) => value.starts_with('['),
                ("object", Some(value)) => value.starts_with('{'),
                ("scalar", Some(value)) => !is_composite(value),
                (_, value) => value.is_some(),
            })
        };
        let results = texts.as_string::<i32>().iter().map(|text| Some(text.is_some_and(fits)));
        Ok(ColumnarValue::Array(Arc::new(results.collect::<BooleanArray>())))
    }
}
