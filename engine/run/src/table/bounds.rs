//! Filters as bounds on columns: `ts >= x AND ts < y` leaves out every batch of the log whose statistics lie outside.
//!
//! Only conjunctions of `column <op> literal` with `=`, `<`, `<=`, `>`, `>=` count. The bounds are inclusive and only leave
//! out batches, so the filter itself is still applied to the rows.

use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;
use headwater_core::EventTime;
use headwater_log::ColumnBound;

use arrow::array::ArrayRef;
use arrow::datatypes::{SchemaRef, TimeUnit};

/// The bounds that filters put on the columns of `schema`.
pub(crate) fn bounds_of(filters: &[Expr], schema: &SchemaRef) -> Vec<ColumnBound> {
    filters.iter().flat_map(split_conjunction).filter_map(|filter| bound_of(filter, schema)).collect()
}

fn bound_of(filter: &Expr, schema: &SchemaRef) -> Option<ColumnBound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    let (column, op, value) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    let index = schema.index_of(&column.name).ok()?;
    if value.is_null() {
        return None;
    }
    let exact = value.cast_to(schema.field(index).data_type()).ok()?;
    // A literal that the column's type cannot hold exactly bounds nothing that could be told from statistics.
    if exact.cast_to(&value.data_type()).ok().as_ref() != Some(value) {
        return None;
    }
    let array = |value: &ScalarValue| value.to_array().ok();
    let (min, max) = match op {
        Operator::Eq => (array(&exact), array(&exact)),
        Operator::Gt | Operator::GtEq => (array(&exact), None),
        Operator::Lt | Operator::LtEq => (None, array(&exact)),
        _ => return None,
    };
    Some(ColumnBound { column: index, min, max })
}

/// Whether times (nanoseconds, least and greatest) of a timestamp column lie outside of its bounds.
pub(super) fn outside((least, greatest): (i64, i64), column: usize, bounds: &[ColumnBound]) -> bool {
    let nanos = |array: &Option<ArrayRef>| {
        let (value, unit) = match ScalarValue::try_from_array(array.as_ref()?, 0).ok()? {
            ScalarValue::TimestampSecond(value, _) => (value, TimeUnit::Second),
            ScalarValue::TimestampMillisecond(value, _) => (value, TimeUnit::Millisecond),
            ScalarValue::TimestampMicrosecond(value, _) => (value, TimeUnit::Microsecond),
            ScalarValue::TimestampNanosecond(value, _) => (value, TimeUnit::Nanosecond),
            _ => return None,
        };
        value.map(|value| EventTime::from_unit(value, unit).0)
    };
    bounds.iter().filter(|bound| bound.column == column).any(|bound| {
        nanos(&bound.min).is_some_and(|min| greatest < min)
            || nanos(&bound.max).is_some_and(|max| least > max)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::prelude::{col, lit};

    use super::*;

    fn check(filter: Expr, expect: &str) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Utf8, true),
        ]));
        let show = |side: &Option<ArrayRef>| {
            side.as_ref()
                .map_or("..".to_owned(), |array| ScalarValue::try_from_array(array, 0).unwrap().to_string())
        };
        let all = bounds_of(&[filter], &schema);
        let text: Vec<_> =
            all.iter().map(|b| format!("{}:{}:{}", b.column, show(&b.min), show(&b.max))).collect();
        assert_eq!(text.join(" "), expect);
    }

    #[test]
    fn conjunctions_of_comparisons_bound_columns() {
        check(col("a").gt(lit(5)).and(lit(9).gt_eq(col("a"))), "0:5:.. 0:..:9");
        check(col("b").eq(lit("x")), "1:x:x");
        check(col("a").eq(lit(5_i64)), "0:5:5");
        check(col("a").eq(lit(5_000_000_000_i64)), "");
        check(col("a").eq(lit(5)).or(col("b").eq(lit("x"))), "");
        check(col("a").not_eq(lit(5)), "");
        check(col("a").gt(lit(ScalarValue::Int32(None))), "");
    }
}
