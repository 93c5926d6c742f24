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
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions::expr_fn::{concat, date_part, regexp_match, to_char};
use datafusion::functions_nested::expr_fn::{array_element, string_to_array};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, ScalarUDF, Signature, TypeSignature, Volatility, cast, lit, when,
};

use super::expanded::Expanded;

/// All of them.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let immutable = Volatility::Immutable;
    let exact = |types: Vec<DataType>| Signature::exact(types, immutable);
    let text = |_: &[DataType]| DataType::Utf8;
    let mut all = vec![
        Expanded {
            name: "mod",
            signature: Signature::numeric(2, immutable),
            returns: |arguments| arguments[0].clone(),
            expand: |args| {
                let [a, b] = arguments(args)?;
                Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::Modulo, Box::new(b))))
            },
        },
        Expanded {
            name: "split_index",
            signature: exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
            returns: text,
            expand: |args| {
                let [text, separator, n] = arguments(args)?;
                let part =
                    array_element(string_to_array(text, separator, text_null()), n.clone() + lit(1_i64));
                when(n.gt_eq(lit(0_i64)), part).end()
            },
        },
        Expanded {
            name: "regexp_extract",
            signature: Signature::one_of(
                vec![
                    TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8]),
                    TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
                ],
                immutable,
            ),
            returns: text,
            expand: |mut args| {
                let n = if args.len() > 2 { args.remove(2) } else { lit(0_i64) };
                let [text, regex] = arguments(args)?;
                // A group around the whole shifts the others by one, and arrays are counted from one.
                let whole = concat(vec![lit("("), regex, lit(")")]);
                Ok(array_element(regexp_match(text, whole, None), n + lit(1_i64)))
            },
        },
        Expanded {
            name: "date_format",
            signature: Signature::one_of(
                timestamps()
                    .into_iter()
                    .map(|time| TypeSignature::Exact(vec![time, DataType::Utf8]))
                    .collect(),
                immutable,
            ),
            returns: text,
            expand: |args| {
                let [time, pattern] = arguments(args)?;
                let Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) = &pattern else {
                    return plan_err!("the pattern of date_format is a text in quotes, such as 'yyyy-MM-dd'");
                };
                Ok(to_char(time, lit(strftime(pattern)?)))
            },
        },
    ];
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
    all.into_iter().map(Expanded::function).collect()
}

/// Times of every precision, with and without a zone. A date, or a time as text, is taken for the first of them.
fn timestamps() -> Vec<DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let units = [Millisecond, Second, Microsecond, Nanosecond];
    [None, Some("UTC")]
        .into_iter()
        .flat_map(|zone| units.map(|unit| DataType::Timestamp(unit, zone.map(Into::into))))
        .collect()
}

fn text_null() -> Expr {
    lit(ScalarValue::Utf8(None))
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

/// A pattern of Java's as one of strftime's.
fn strftime(pattern: &str) -> Result<String> {
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            // Text in quotes stands for itself, two quotes for one.
            let Some((quoted, after)) = rest[1..].split_once('\'') else {
                return plan_err!("a quote is open in the pattern \"{pattern}\"");
            };
            text.push_str(&if quoted.is_empty() { "'".to_owned() } else { quoted.replace('%', "%%") });
            rest = after;
            continue;
        }
        let run = rest.len() - rest.trim_start_matches(first).len();
        match (first, run / first.len_utf8()) {
            ('y', 4) | ('u', 4) => text.push_str("%Y"),
            ('y', 2) => text.push_str("%y"),
            ('M', 2) => text.push_str("%m"),
            ('M', 3) => text.push_str("%b"),
            ('d', 2) => text.push_str("%d"),
            ('D', 3) => text.push_str("%j"),
            ('H', 2) => text.push_str("%H"),
            ('h', 2) => text.push_str("%I"),
            ('m', 2) => text.push_str("%M"),
            ('s', 2) => text.push_str("%S"),
            ('S', 3) => text.push_str("%3f"),
            ('a', 1) => text.push_str("%p"),
            ('E', 1..=3) => text.push_str("%a"),
            ('%', run) => text.push_str(&"%%".repeat(run)),
            (letter, _) if letter.is_ascii_alphabetic() => {
                return plan_err!(
                    "date_format does not know \"{}\" in the pattern \"{pattern}\"",
                    &rest[..run]
                );
            }
            _ => text.push_str(&rest[..run]),
        }
        rest = &rest[run..];
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(strftime("yyyy-MM-dd HH:mm:ss.SSS").unwrap(), "%Y-%m-%d %H:%M:%S.%3f");
        assert_eq!(strftime("dd'th of 100%'").unwrap(), "%dth of 100%%");
        assert!(strftime("yyyy QQ").is_err());
    }
}
