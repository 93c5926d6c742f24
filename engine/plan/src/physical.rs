//! Expressions as they are computed: DataFusion's, with fixed intervals as plain numbers.

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalMonthDayNano, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
use headwater_functions::is_expanded;

use crate::stream::check_no_watermark;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;

/// An expression over a relation with these names, its types coerced.
pub(crate) fn physical_expr(
    state: &SessionState,
    expr: Expr,
    names: &DFSchema,
) -> Result<Arc<dyn PhysicalExpr>> {
    check_no_watermark(&expr)?;
    let expr = expanded(state, expr, names)?;
    plain_intervals(state.create_physical_expr(expr, names)?, names.as_arrow())
}

/// Puts what they stand for in the place of functions that are never called, which no optimiser may have seen: in a trigger's condition,
/// in the body of a function.
fn expanded(state: &SessionState, expr: Expr, names: &DFSchema) -> Result<Expr> {
    let is_left =
        expr.exists(|part| Ok(matches!(part, Expr::ScalarFunction(call) if is_expanded(&call.func))))?;
    if !is_left {
        return Ok(expr);
    }
    simplified(state, expr, names)
}

fn simplified(state: &SessionState, expr: Expr, names: &DFSchema) -> Result<Expr> {
    let context = SimplifyContext::builder().with_schema(Arc::new(names.clone()));
    let context = context.with_config_options(Arc::clone(state.config_options()));
    let simplifier = ExprSimplifier::new(context.build());
    simplifier.simplify(simplifier.coerce(expr, names)?)
}

/// Fails if a part of an expression that depends on no row cannot be computed: it could be for none.
pub(crate) fn check_constants(state: &SessionState, expr: &Expr, names: &DFSchema) -> Result<()> {
    simplified(state, expr.clone(), names).map(drop)
}

/// Makes `time - INTERVAL '4' SECOND` a subtraction of numbers. As an interval of months, days and nanoseconds it is computed
/// by the calendar, row by row, which for a watermark costs as much as everything else that a small query does with a row.
///
/// Only for times without a zone, whose days have 24 hours, and intervals without months that the time's unit can hold.
fn plain_intervals(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let plain = |expr: Arc<dyn PhysicalExpr>| {
        let replaced = expr.downcast_ref::<BinaryExpr>().map(|binary| plain_interval(binary, schema));
        Ok(match replaced.transpose()?.flatten() {
            Some(replaced) => Transformed::yes(replaced),
            None => Transformed::no(expr),
        })
    };
    expr.transform_up(plain).data()
}

fn plain_interval(binary: &BinaryExpr, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    if !matches!(binary.op(), Operator::Plus | Operator::Minus) {
        return Ok(None);
    }
    let DataType::Timestamp(unit, None) = binary.left().data_type(schema)? else { return Ok(None) };
    let Some(literal) = binary.right().downcast_ref::<Literal>() else { return Ok(None) };
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = literal.value() else { return Ok(None) };
    let Some(duration) = duration_of(*interval, unit) else { return Ok(None) };
    let right = Arc::new(Literal::new(duration));
    Ok(Some(Arc::new(BinaryExpr::new(Arc::clone(binary.left()), *binary.op(), right))))
}

/// An interval as a number of units, if it is a whole number of them whatever the date.
fn duration_of(interval: IntervalMonthDayNano, unit: TimeUnit) -> Option<ScalarValue> {
    let nanos = i64::from(interval.days).checked_mul(NANOS_PER_DAY)?.checked_add(interval.nanoseconds)?;
    let (in_unit, wrap): (i64, fn(Option<i64>) -> ScalarValue) = match unit {
        TimeUnit::Second => (1_000_000_000, ScalarValue::DurationSecond),
        TimeUnit::Millisecond => (1_000_000, ScalarValue::DurationMillisecond),
        TimeUnit::Microsecond => (1_000, ScalarValue::DurationMicrosecond),
        TimeUnit::Nanosecond => (1, ScalarValue::DurationNanosecond),
    };
    (interval.months == 0 && nanos % in_unit == 0).then(|| wrap(Some(nanos / in_unit)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
    use arrow::datatypes::Field;
    use datafusion::logical_expr::{col, lit};

    use super::*;
    use crate::session::new_session;

    fn interval(months: i32, days: i32, nanoseconds: i64) -> Expr {
        lit(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds })))
    }

    #[test]
    fn a_fixed_interval_is_a_number_and_says_what_the_calendar_says() {
        let kind = DataType::Timestamp(TimeUnit::Millisecond, None);
        let schema = Arc::new(Schema::new(vec![Field::new("t", kind, true)]));
        let times = [Some(0), Some(-1), None, Some(1_772_323_207_123), Some(951_782_400_000)];
        let column: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter(times));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let (state, names) = (new_session(None), DFSchema::try_from(schema.as_ref().clone()).unwrap());
        let cases = [
            (interval(0, 0, 4_000_000_000), true),
            (interval(0, 3, -1_000_000), true),
            (interval(0, -1, 0), true),
            // A part of a millisecond, and a month, are not.
            (interval(0, 0, 1_500_000), false),
            (interval(1, 0, 0), false),
        ];
        for (interval, is_plain) in cases {
            for expr in [col("t") - interval.clone(), col("t") + interval] {
                let by_calendar = state.create_physical_expr(expr.clone(), &names).unwrap();
                let ours = physical_expr(&state, expr, &names).unwrap();
                assert_eq!(ours.to_string() != by_calendar.to_string(), is_plain, "{ours}");
                let values =
                    |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch).unwrap().into_array(5).unwrap();
                assert_eq!(values(&ours).as_ref(), values(&by_calendar).as_ref(), "{ours}");
            }
        }
    }
}
