//! `CURRENT_WATERMARK(time)`: of the rows so far there is no watermark, so it is NULL, as in a batch of Flink's. In a job it is a column
//! that the source tells (`stream/watermark.rs`), so the function itself is not called.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function's name.
pub const CURRENT_WATERMARK: &str = "current_watermark";

/// Whether an expression is a call of it.
pub fn is_current_watermark(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == CURRENT_WATERMARK)
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Volatile);
    vec![ScalarUDF::new_from_impl(CurrentWatermark { signature })]
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentWatermark {
    signature: Signature,
}

impl ScalarUDFImpl for CurrentWatermark {
    fn name(&self) -> &str {
        CURRENT_WATERMARK
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())),
            _ => plan_err!("CURRENT_WATERMARK takes the event time of a stream"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from(args.return_field.data_type())?))
    }
}
