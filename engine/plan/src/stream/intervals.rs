//! The interval that ties the times of a join's sides: conditions such as `a.ts BETWEEN b.ts - INTERVAL '1' HOUR AND b.ts`.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// What is known of the sides' times.
pub(super) struct Sides<'a> {
    pub(super) left: &'a DFSchema,
    pub(super) right: &'a DFSchema,
    /// The columns that are times.
    pub(super) left_times: &'a [usize],
    pub(super) right_times: &'a [usize],
}

/// `least <= left - right <= most`, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Interval {
    pub(super) left: usize,
    pub(super) right: usize,
    pub(super) least: i64,
    pub(super) most: i64,
}

/// A time of one side, and what is added to it.
#[derive(Clone, Copy)]
struct Shifted {
    is_left: bool,
    column: usize,
    by: i64,
}

/// The interval that a condition keeps the times in, if it does so on both ends for the same columns.
pub(super) fn interval(condition: &Expr, sides: &Sides<'_>) -> Option<Interval> {
    let mut found: Vec<(usize, usize, Option<i64>, Option<i64>)> = Vec::new();
    for part in split_conjunction(condition) {
        for (left, right, least, most) in bounds(part, sides) {
            let place = found.iter().position(|known| (known.0, known.1) == (left, right));
            let place = place.unwrap_or_else(|| {
                found.push((left, right, None, None));
                found.len() - 1
            });
            let known = &mut found[place];
            known.2 = known.2.max(least);
            known.3 = match (known.3, most) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    found
        .into_iter()
        .find_map(|(left, right, least, most)| Some(Interval { left, right, least: least?, most: most? }))
}

/// The bounds that one condition sets.
fn bounds(condition: &Expr, sides: &Sides<'_>) -> Vec<(usize, usize, Option<i64>, Option<i64>)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            comparison(left, *op, right, sides).into_iter().collect()
        }
        Expr::Between(between) if !between.negated => {
            let low = comparison(&between.expr, Operator::GtEq, &between.low, sides);
            let high = comparison(&between.expr, Operator::LtEq, &between.high, sides);
            low.into_iter().chain(high).collect()
        }
        _ => Vec::new(),
    }
}

fn comparison(
    a: &Expr,
    op: Operator,
    b: &Expr,
    sides: &Sides<'_>,
) -> Option<(usize, usize, Option<i64>, Option<i64>)> {
    let (a, b) = (shifted(a, sides)?, shifted(b, sides)?);
    let (left, op, right) = match (a.is_left, b.is_left) {
        (true, false) => (a, op, b),
        (false, true) => (b, op.swap()?, a),
        _ => return None,
    };
    // left + x <op> right + y: left - right <op> y - x. A strict bound is taken for one that is not.
    let difference = right.by.checked_sub(left.by)?;
    let (least, most) = match op {
        Operator::Eq => (Some(difference), Some(difference)),
        Operator::Gt | Operator::GtEq => (Some(difference), None),
        Operator::Lt | Operator::LtEq => (None, Some(difference)),
        _ => return None,
    };
    Some((left.column, right.column, least, most))
}

/// A time column, plus or minus intervals.
fn shifted(expr: &Expr, sides: &Sides<'_>) -> Option<Shifted> {
    match expr {
        Expr::Column(column) => {
            let place = |schema: &DFSchema, times: &[usize]| {
                schema.maybe_index_of_column(column).filter(|place| times.contains(place))
            };
            let left =
                place(sides.left, sides.left_times).map(|column| Shifted { is_left: true, column, by: 0 });
            let right = || {
                place(sides.right, sides.right_times).map(|column| Shifted { is_left: false, column, by: 0 })
            };
            left.or_else(right)
        }
        Expr::Cast(cast) => shifted(&cast.expr, sides),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            let (time, by) = match (shifted(left, sides), nanos(right)) {
                (Some(time), Some(by)) => (time, by),
                _ => (shifted(right, sides)?, nanos(left)?),
            };
            Some(Shifted { by: time.by.checked_add(by)?, ..time })
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            let time = shifted(left, sides)?;
            Some(Shifted { by: time.by.checked_sub(nanos(right)?)?, ..time })
        }
        _ => None,
    }
}

/// The length of an interval that is always as long: without months.
fn nanos(expr: &Expr) -> Option<i64> {
    const DAY: i64 = 86_400_000_000_000;
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) if value.months == 0 => {
            i64::from(value.days).checked_mul(DAY)?.checked_add(value.nanoseconds)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(value)), _) => {
            let millis = i64::from(value.milliseconds).checked_mul(1_000_000)?;
            i64::from(value.days).checked_mul(DAY)?.checked_add(millis)
        }
        Expr::Literal(ScalarValue::DurationNanosecond(Some(value)), _) => Some(*value),
        Expr::Literal(ScalarValue::DurationMicrosecond(Some(value)), _) => value.checked_mul(1_000),
        Expr::Literal(ScalarValue::DurationMillisecond(Some(value)), _) => value.checked_mul(1_000_000),
        Expr::Literal(ScalarValue::DurationSecond(Some(value)), _) => value.checked_mul(1_000_000_000),
        Expr::Cast(cast) => nanos(&cast.expr),
        Expr::Negative(inner) => nanos(inner)?.checked_neg(),
        _ => None,
    }
}
