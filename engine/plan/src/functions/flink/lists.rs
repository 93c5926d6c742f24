//! Functions of Flink's over lists.

use arrow::datatypes::DataType;
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_nested::expr_fn::{array_position, array_remove_all};
use datafusion::logical_expr::{ScalarUDF, Signature, Volatility, cast, lit, when};

use super::super::expanded::Expanded;
use super::arguments;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let signature = || Signature::array_and_element(Volatility::Immutable);
    let all = [
        // What is not there is at 0.
        Expanded {
            name: "array_position",
            signature: signature(),
            returns: |_| DataType::Int32,
            expand: |args| {
                let [list, element] = arguments(args)?;
                let place = array_position(list.clone(), element.clone(), lit(1_i64));
                let place = coalesce(vec![cast(place, DataType::Int32), lit(0_i32)]);
                when(list.is_not_null().and(element.is_not_null()), place).end()
            },
        },
        // All of them, not only the first.
        Expanded {
            name: "array_remove",
            signature: signature(),
            returns: |arguments| arguments[0].clone(),
            expand: |args| {
                let [list, element] = arguments(args)?;
                Ok(array_remove_all(list, element))
            },
        },
    ];
    all.into_iter().map(Expanded::function).collect()
}
