//! What the clock says: `LOCALTIMESTAMP` and `LOCALTIME`, of the moment at which a query begins, and `CURRENT_ROW_TIMESTAMP()` and
//! `UNIX_TIMESTAMP()` (the parser writes `$unix_timestamp()`), of each row. All in UTC.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::Utc;
use datafusion::common::Result;
use datafusion::functions::expr_fn::now;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast as cast_to,
};

use super::super::expanded::Expanded;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let of_query = [
        Expanded {
            name: "localtimestamp",
            signature: Signature::nullary(Volatility::Stable),
            returns: |_| DataType::Timestamp(TimeUnit::Millisecond, None),
            expand: |_| Ok(cast_to(now(), DataType::Timestamp(TimeUnit::Millisecond, None))),
        },
        // Of whole seconds.
        Expanded {
            name: "localtime",
            signature: Signature::nullary(Volatility::Stable),
            returns: |_| DataType::Time64(TimeUnit::Nanosecond),
            expand: |_| {
                let second = cast_to(now(), DataType::Timestamp(TimeUnit::Second, None));
                Ok(cast_to(second, DataType::Time64(TimeUnit::Nanosecond)))
            },
        },
    ];
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let signature = || Signature::nullary(Volatility::Volatile);
    let of_row = [
        Clock { name: "current_row_timestamp", returns: instant, signature: signature() },
        Clock { name: "$unix_timestamp", returns: DataType::Int64, signature: signature() },
    ];
    of_query.into_iter().map(Expanded::function).chain(of_row.map(ScalarUDF::new_from_impl)).collect()
}

/// The clock at each row: an instant in milliseconds, or seconds as a number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Clock {
    name: &'static str,
    returns: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Clock {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = || match self.returns {
            DataType::Int64 => Utc::now().timestamp(),
            _ => Utc::now().timestamp_millis(),
        };
        let ticks: ArrayRef = Arc::new((0..args.number_rows).map(|_| Some(now())).collect::<Int64Array>());
        Ok(ColumnarValue::Array(cast(&ticks, &self.returns)?))
    }
}
