//! The functions.
//!
//! | function | what it gives |
//! |---|---|
//! | `MOD(a, b)` | the remainder of `a / b` |
//! | `SPLIT_INDEX(text, separator, n)` | the `n`th part of a text, from 0; NULL if there are not so many |
//! | `REGEXP_EXTRACT(text, regex, n)` | what group `n` of the first match matched, the whole of it for 0; NULL if nothing did |
//! | `DATE_FORMAT(time, pattern)` | the time as text, by a pattern such as `yyyy-MM-dd HH:mm:ss` |
//! | `HOUR(time)`, and `YEAR`, `MONTH`, `DAYOFMONTH`, `MINUTE`, `SECOND` | that part of the time |

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, plan_err};
use datafusion::functions::expr_fn::date_part;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, ScalarUDF, Signature, TypeSignature, Volatility, cast, lit,
};

use super::date_format::DateFormat;
use super::expanded::Expanded;
use super::texts::{RegexpExtract, SplitIndex};

/// All of them.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let immutable = Volatility::Immutable;
    let mut all = vec![Expanded {
        name: "mod",
        signature: Signature::numeric(2, immutable),
        returns: |arguments| arguments[0].clone(),
        expand: |args| {
            let [a, b] = arguments(args)?;
            Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::Modulo, Box::new(b))))
        },
    }];
    let parts: [(&str, fn(Vec<Expr>) -> Result<Expr>); 6] = [
        ("year", |args| part("year", args)),
        ("month", |args| part("month", args)),
        ("dayofmonth", |args| part("day", args)),
        ("hour", |args| part("hour", args)),
        ("minute", |args| part("minute", args)),
        ("second", |args| part("second", args)),
    ];
    all.extend(parts.map(|(name, expand)| Expanded {
        name,
        signature: Signature::one_of(
            timestamps().into_iter().map(|time| TypeSignature::Exact(vec![time])).collect(),
            immutable,
        ),
        returns: |_| DataType::Int64,
        expand,
    }));
    let mut all: Vec<ScalarUDF> = all.into_iter().map(Expanded::function).collect();
    all.push(ScalarUDF::new_from_impl(DateFormat::new()));
    all.push(ScalarUDF::new_from_impl(SplitIndex::new()));
    all.push(ScalarUDF::new_from_impl(RegexpExtract::new()));
    all
}

/// Times of every precision, with and without a zone. A date, or a time as text, is taken for the first of them.
pub(super) fn timestamps() -> Vec<DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let units = [Millisecond, Second, Microsecond, Nanosecond];
    [None, Some("UTC")]
        .into_iter()
        .flat_map(|zone| units.map(|unit| DataType::Timestamp(unit, zone.map(Into::into))))
        .collect()
}

fn part(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let [time] = arguments(args)?;
    Ok(cast(date_part(lit(name), time), DataType::Int64))
}

fn arguments<const N: usize>(args: Vec<Expr>) -> Result<[Expr; N]> {
    match args.try_into() {
        Ok(args) => Ok(args),
        Err(args) => plan_err!("{N} arguments are expected, not {}", args.len()),
    }
}
