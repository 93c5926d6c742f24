//! What functions take, and how their arguments are told apart.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{Expr, Signature, TypeSignature, Volatility};

/// Any of these lists of types.
pub(super) fn any_of(lists: impl IntoIterator<Item = Vec<DataType>>) -> Signature {
    Signature::one_of(lists.into_iter().map(TypeSignature::Exact).collect(), Volatility::Immutable)
}

/// Times of every precision, with and without a zone. A date, or a time as text, is taken for the first of them.
pub(super) fn timestamps() -> impl Iterator<Item = DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let units = [Millisecond, Second, Microsecond, Nanosecond];
    [None, Some("UTC")]
        .into_iter()
        .flat_map(move |zone| units.map(|unit| DataType::Timestamp(unit, zone.map(Into::into))))
}

pub(super) fn arguments<const N: usize>(args: Vec<Expr>) -> Result<[Expr; N]> {
    match args.try_into() {
        Ok(args) => Ok(args),
        Err(args) => plan_err!("{N} arguments are expected, not {}", args.len()),
    }
}

/// A text that the query says in quotes.
pub(super) fn quoted<'a>(expr: &'a Expr, function: &str, example: &str) -> Result<&'a str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Ok(text),
        _ => plan_err!("what {function} goes by is a text in quotes, such as '{example}'"),
    }
}

pub(super) fn to_text(_: &[DataType]) -> DataType {
    DataType::Utf8
}
