//! `GREATEST` and `LEAST`: NULL as soon as an argument is, as in Flink. DataFusion's pass over NULLs.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::Array;
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::core::{greatest, least};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

pub(super) fn functions() -> Vec<ScalarUDF> {
    [greatest(), least()].map(|own| ScalarUDF::new_from_impl(Extreme { own })).into()
}

/// DataFusion's, and NULL where it would pass over one.
#[derive(Debug)]
struct Extreme {
    own: Arc<ScalarUDF>,
}

impl PartialEq for Extreme {
    fn eq(&self, other: &Self) -> bool {
        self.own == other.own
    }
}

impl Eq for Extreme {}

impl Hash for Extreme {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.own.hash(state);
    }
}

impl ScalarUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.own.name()
    }

    fn signature(&self) -> &Signature {
        self.own.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.own.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.own.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        if args.args.iter().any(|arg| matches!(arg, ColumnarValue::Scalar(value) if value.is_null())) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?));
        }
        let missing = args.args.iter().fold(None, |missing: Option<NullBuffer>, arg| match arg {
            ColumnarValue::Array(values) => {
                NullBuffer::union(missing.as_ref(), values.logical_nulls().as_ref())
            }
            ColumnarValue::Scalar(_) => missing,
        });
        let found = self.own.invoke_with_args(args)?;
        let Some(missing) = missing.filter(|missing| missing.null_count() > 0) else { return Ok(found) };
        let is_missing = arrow::array::BooleanArray::new(!missing.inner(), None);
        Ok(ColumnarValue::Array(nullif(&found.to_array(rows)?, &is_missing)?))
    }
}
