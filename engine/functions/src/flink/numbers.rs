//! Functions of Flink's over numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{Result, plan_err};
use datafusion::functions::expr_fn::{ln, log};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ScalarUDF, Signature, Volatility, lit};

use super::super::expanded::Expanded;
use super::computed::Computed;
use super::{any_of, arguments};

pub(super) fn functions() -> Vec<ScalarUDF> {
    let float = || DataType::Float64;
    let expanded = [
        Expanded {
            name: "mod",
            signature: Signature::numeric(2, Volatility::Immutable),
            returns: |arguments| arguments[0].clone(),
            expand: |args| {
                let [a, b] = arguments(args)?;
                Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::Modulo, Box::new(b))))
            },
        },
        // Without a base the natural logarithm.
        Expanded {
            name: "log",
            signature: any_of([vec![float()], vec![float(), float()]]),
            returns: |_| DataType::Float64,
            expand: |mut args| match args.len() {
                1 => Ok(ln(args.remove(0))),
                _ => {
                    let [base, x] = arguments(args)?;
                    Ok(log(base, x))
                }
            },
        },
        Expanded {
            name: "e",
            signature: Signature::nullary(Volatility::Immutable),
            returns: |_| DataType::Float64,
            expand: |_| Ok(lit(std::f64::consts::E)),
        },
    ];
    let computed = [
        Computed {
            name: "sign",
            coerce: |types| match types {
                [kind] if kind.is_numeric() => Ok(vec![kind.clone()]),
                _ => plan_err!("SIGN takes a number"),
            },
            returns: |types| types[0].clone(),
            call: |args| {
                let numbers = cast(&args[0], &DataType::Float64)?;
                // Unlike that of Rust's own function the sign of 0 is 0.
                let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
                let signs = numbers.as_primitive::<Float64Type>().unary::<_, Float64Type>(sign);
                Ok(cast(&signs, args[0].data_type())?)
            },
        },
        Computed {
            name: "bin",
            coerce: |types| match types {
                [kind] if kind.is_integer() => Ok(vec![DataType::Int64]),
                _ => plan_err!("BIN takes a whole number"),
            },
            returns: |_| DataType::Utf8,
            call: |args| numbers(&args[0], |n| format!("{n:b}")),
        },
        Computed {
            name: "hex",
            coerce: |types| match types {
                [kind] if kind.is_integer() => Ok(vec![DataType::Int64]),
                [_] => Ok(vec![DataType::Utf8]),
                _ => plan_err!("HEX takes a whole number or a text"),
            },
            returns: |_| DataType::Utf8,
            call: |args| match args[0].data_type() {
                DataType::Int64 => numbers(&args[0], |n| format!("{n:X}")),
                _ => {
                    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
                    let texts = args[0].as_string::<i32>().iter().map(|text| text.map(hex));
                    Ok(Arc::new(texts.collect::<StringArray>()))
                }
            },
        },
    ];
    let computed = computed.into_iter().map(Computed::function);
    expanded.into_iter().map(Expanded::function).chain(computed).collect()
}

fn numbers(column: &ArrayRef, shown: impl Fn(i64) -> String) -> Result<ArrayRef> {
    let numbers = column.as_primitive::<Int64Type>().iter().map(|n| n.map(&shown));
    Ok(Arc::new(numbers.collect::<StringArray>()))
}
