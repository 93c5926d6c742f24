//! `CAST(x AS STRING)` as Flink writes it: a time with a space before the clock and with the digits of its precision, `TRUE`, and
//! numbers with a point as Java has them, `1.5E10`; bytes that are no UTF-8 do not fail. `VARCHAR(n)` and `CHAR(n)` cut a text off, and
//! `CHAR(n)` fills it up with spaces.
//! Casts of rows, lists and maps, and of texts to whole numbers, are those of `rows.rs`.
//!
//! Casts that somebody has written are turned before types are coerced; those that coercion adds are DataFusion's.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TransformedResult;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::functions::expr_fn::{left, rpad};
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF, cast as cast_to, lit, try_cast};
use datafusion::optimizer::AnalyzerRule;

use super::super::casts::{Cast, turn_in, turn_in_plan};
use super::computed::Computed;
use super::rows::{cast_as, fits, is_ours};
use crate::types::{Length, sql_type};

/// What a type's field says of the length of its texts, while a plan is made.
const VARCHAR: &str = "varchar";

/// The same of one whose texts all have that length.
const CHAR: &str = "char";

/// The type of texts that are so long.
pub fn text_type(field: FieldRef, length: Option<Length>) -> FieldRef {
    let (key, count) = match length {
        None => return field,
        Some(Length::AtMost(count)) => (VARCHAR, count),
        Some(Length::Exactly(count)) => (CHAR, count),
    };
    let metadata = HashMap::from([(key.to_owned(), count.to_string())]);
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

/// Turns the casts to texts that are in a plan.
#[derive(Debug)]
pub struct TextCasts;

impl AnalyzerRule for TextCasts {
    fn name(&self) -> &str {
        "text_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        turn_in_plan(plan, in_place_of)
    }
}

/// An expression over columns with its casts to texts turned, where none is analysed as a plan.
pub fn with_text_casts(expr: Expr, names: &DFSchema) -> Result<Expr> {
    turn_in(expr, names, in_place_of).data()
}

fn in_place_of(cast: &Cast<'_>) -> Result<Option<Expr>> {
    if is_ours(&cast.from, cast.to.data_type()) {
        return computed(cast).map(Some);
    }
    if *cast.to.data_type() != DataType::Utf8 {
        return Ok(None);
    }
    let is_written = is_written(&cast.from);
    let length = |key: &str| cast.to.metadata().get(key).and_then(|count| count.parse::<i64>().ok());
    let (at_most, exactly) = (length(VARCHAR), length(CHAR));
    if !is_written && at_most.is_none() && exactly.is_none() {
        return Ok(None);
    }
    let text = match is_written {
        true => as_text(cast.expr.clone()),
        false if cast.may_fail => try_cast(cast.expr.clone(), DataType::Utf8),
        false => cast_to(cast.expr.clone(), DataType::Utf8),
    };
    Ok(Some(match (at_most, exactly) {
        (Some(count), _) => left(text, lit(count)),
        (_, Some(count)) => rpad(vec![text, lit(count), lit(" ")]),
        _ => text,
    }))
}

/// A cast of a row, a list or a map, or of a text to a whole number.
fn computed(cast: &Cast<'_>) -> Result<Expr> {
    let to = cast.to.data_type();
    if !fits(&cast.from, to) {
        return plan_err!("{} cannot be cast to {}", sql_type(&cast.from), sql_type(to));
    }
    Ok(cast_as(to, cast.may_fail).call(vec![cast.expr.clone()]))
}

/// Whether values of a type are written otherwise than DataFusion does.
pub(super) fn is_written(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Timestamp(..)
            | DataType::Boolean
            | DataType::Float32
            | DataType::Float64
            | DataType::Binary
    )
}

/// A value of such a type as text.
fn as_text(value: Expr) -> Expr {
    static AS_TEXT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        let text = Computed {
            name: "$text",
            coerce: |types| Ok(types.to_vec()),
            returns: |_| DataType::Utf8,
            call: |args| written(&args[0]),
        };
        Arc::new(text.function())
    });
    AS_TEXT.call(vec![value])
}

/// Values of such a type as texts.
pub(super) fn written(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        DataType::Timestamp(unit, _) => times(values, *unit),
        DataType::Boolean => {
            let word = |truth: bool| if truth { "TRUE" } else { "FALSE" };
            Ok(Arc::new(values.as_boolean().iter().map(|truth| truth.map(word)).collect::<StringArray>()))
        }
        DataType::Float32 => {
            let texts = values.as_primitive::<Float32Type>().iter();
            let texts = texts.map(|x| x.map(|x| number(x.into(), &format!("{x:e}"), &x.to_string())));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        DataType::Float64 => {
            let texts = values.as_primitive::<Float64Type>().iter();
            let texts = texts.map(|x| x.map(|x| number(x, &format!("{x:e}"), &x.to_string())));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        DataType::Binary => Ok(characters(values)),
        _ => Ok(cast(values, &DataType::Utf8)?),
    }
}

/// The text that bytes are in UTF-8; what is none becomes `\u{fffd}`.
fn characters(bytes: &ArrayRef) -> ArrayRef {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(bytes, &DataType::Utf8, &strict).unwrap_or_else(|_| {
        let texts = bytes.as_binary::<i32>().iter().map(|value| value.map(String::from_utf8_lossy));
        Arc::new(texts.collect::<StringArray>())
    })
}

/// `2026-03-01 10:00:07.120`: with at least the digits that the unit has, but none that say nothing if these are nine, as that is what a
/// time has which does not say how many.
fn times(times: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef> {
    let least = match unit {
        TimeUnit::Second | TimeUnit::Nanosecond => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
    };
    let texts = cast(&cast(times, &DataType::Timestamp(unit, None))?, &DataType::Utf8)?;
    let with_space = |text: &str| {
        let mut text = text.replacen('T', " ", 1);
        let digits = text.rfind('.').map_or(0, |point| text.len() - point - 1);
        if digits < least {
            if digits == 0 {
                text.push('.');
            }
            text.extend(std::iter::repeat_n('0', least - digits));
        }
        text
    };
    let texts = texts.as_string::<i32>().iter().map(|text| text.map(with_space));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// A number as Java writes it, from how Rust does: with an exponent, and without.
pub(super) fn number(x: f64, exponent: &str, plain: &str) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let with_point = |digits: &str| {
        if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") }
    };
    if x == 0.0 || (1e-3..1e7).contains(&x.abs()) {
        return with_point(plain);
    }
    let (digits, power) = exponent.split_once('e').unwrap_or((exponent, "0"));
    format!("{}E{power}", with_point(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_java_has_them() {
        let double = |x: f64| number(x, &format!("{x:e}"), &x.to_string());
        for (x, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.25, "-12.25"),
            (0.001, "0.001"),
            (0.00095, "9.5E-4"),
            (9_999_999.5, "9999999.5"),
            (1e7, "1.0E7"),
            (1.5e10, "1.5E10"),
            (-1e-10, "-1.0E-10"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(x), text);
        }
    }
}
