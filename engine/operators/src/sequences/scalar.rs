//! SEQUENCE_OCCURRENCES: how often a sequence of text is in one line.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::arguments::is_text;
use super::call::{Text, TextOptions};
use super::line_count::scan;

const NAME: &str = "sequence_occurrences";

/// How often a sequence of text is in a line: NULL for NULL, 0 or 1 if lines are counted.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Occurrences {
    signature: Signature,
}

impl Occurrences {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Occurrences {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=3).contains(&types.len()) || !types[1..].iter().all(is_text) {
            return plan_err!("it is {NAME}(line, 'sequence' [, 'options'])");
        }
        let mut coerced = vec![DataType::Utf8; types.len()];
        match &types[0] {
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => coerced[0] = DataType::Binary,
            line if is_text(line) || line.is_null() => {}
            other => return plan_err!("{NAME} searches lines of text, not {other}"),
        }
        Ok(coerced)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [lines, constants @ ..] = args.args.as_slice() else {
            return plan_err!("it is {NAME}(line, 'sequence' [, 'options'])");
        };
        let constant = |value: &ColumnarValue| match value {
            ColumnarValue::Scalar(value) if value.try_as_str().flatten().is_some() => {
                Ok(value.try_as_str().flatten().unwrap_or_default().to_owned())
            }
            _ => plan_err!("the sequence and the options of {NAME} are texts in quotes"),
        };
        let constants = constants.iter().map(constant).collect::<Result<Vec<_>>>()?;
        let options = TextOptions::read(constants.get(1).map_or("", String::as_str))?;
        let text = Text { sequence: constants.into_iter().next().unwrap_or_default(), options };
        let sequence = text.sequence()?;
        let count = |lines: &ArrayRef| {
            let mut counts = vec![0_i64; lines.len()];
            scan(&sequence, options.counting, lines, |row, count| counts[row] += count);
            Int64Array::new(ScalarBuffer::from(counts), lines.nulls().cloned())
        };
        Ok(match lines {
            ColumnarValue::Array(lines) => ColumnarValue::Array(Arc::new(count(lines))),
            ColumnarValue::Scalar(line) => {
                let counts = count(&line.to_array()?);
                ColumnarValue::Scalar(ScalarValue::try_from_array(&counts, 0)?)
            }
        })
    }
}
