//! Functions of Flink's over times: their parts, and how they are written.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions::expr_fn::{date_part, to_char};
use datafusion::logical_expr::{Expr, ScalarUDF, cast, lit};

use super::super::expanded::{Expanded, ExpandedByType};
use super::parsed::TO_TIMESTAMP;
use super::pattern::strftime;
use super::zones::BY_ZONE;
use super::{any_of, arguments, quoted, timestamps, to_text};

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = shapes().into_iter().chain(parts()).map(Expanded::function);
    all.chain([epochs().function()]).collect()
}

/// An instant, to the millisecond.
fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn parts() -> Vec<Expanded> {
    let parts: [(&str, fn(Vec<Expr>) -> Result<Expr>); 14] = [
        ("year", |args| part("year", args)),
        ("quarter", |args| part("quarter", args)),
        ("month", |args| part("month", args)),
        ("week", |args| part("week", args)),
        ("dayofyear", |args| part("doy", args)),
        ("dayofmonth", |args| part("day", args)),
        // Sunday is the first.
        ("dayofweek", |args| Ok(part("dow", args)? + lit(1_i64))),
        ("hour", |args| part("hour", args)),
        ("minute", |args| part("minute", args)),
        ("second", |args| part("second", args)),
        // EXTRACT of these, as the parser hands it on.
        ("$dow", |args| Ok(part("dow", args)? + lit(1_i64))),
        ("$decade", |args| Ok(part("year", args)? / lit(10_i64))),
        ("$century", |args| Ok((part("year", args)? + lit(99_i64)) / lit(100_i64))),
        ("$millennium", |args| Ok((part("year", args)? + lit(999_i64)) / lit(1_000_i64))),
    ];
    let part = |(name, expand)| {
        // A time of day has no year.
        let is_of_clock = ["hour", "minute", "second"].contains(&name);
        let of_day = is_of_clock.then_some(DataType::Time64(TimeUnit::Nanosecond));
        let signature = any_of(timestamps().chain(of_day).map(|time| vec![time]));
        Expanded { name, signature, returns: |_| DataType::Int64, expand }
    };
    parts.map(part).into()
}

fn part(name: &str, args: Vec<Expr>) -> Result<Expr> {
    let [time] = arguments(args)?;
    Ok(cast(date_part(lit(name), time), DataType::Int64))
}

fn shapes() -> [Expanded; 1] {
    [Expanded {
        name: "from_unixtime",
        signature: any_of([vec![DataType::Int64], vec![DataType::Int64, DataType::Utf8]]),
        returns: to_text,
        expand: |mut args| {
            let pattern = if args.len() > 1 { args.remove(1) } else { lit("yyyy-MM-dd HH:mm:ss") };
            let [seconds] = arguments(args)?;
            let time = cast(seconds, DataType::Timestamp(TimeUnit::Second, None));
            Ok(to_char(time, lit(strftime(quoted(&pattern, "FROM_UNIXTIME", "yyyy-MM-dd")?)?)))
        },
    }]
}

/// Seconds, with a precision of 3 milliseconds, since 1970; fractions count. Or a text, by a pattern if there is one.
fn epochs() -> ExpandedByType {
    let number = [DataType::Int64, DataType::Float64];
    let numbers = number.into_iter().flat_map(|kind| [vec![kind.clone()], vec![kind, DataType::Int64]]);
    let texts = [vec![DataType::Utf8], vec![DataType::Utf8; 2], vec![DataType::Utf8; 3]];
    ExpandedByType {
        name: "to_timestamp_ltz",
        signature: any_of(numbers.chain(texts)),
        returns: |_| instant(),
        expand: |mut args, types| {
            if args.len() == 3 {
                return Ok(BY_ZONE.call(args));
            }
            if types[0] == DataType::Utf8 {
                return Ok(cast(TO_TIMESTAMP.call(args), instant()));
            }
            let precision = if args.len() > 1 { args.remove(1) } else { lit(3_i64) };
            let [number] = arguments(args)?;
            let millis = match precision {
                // Exact for times of the next two hundred thousand years.
                Expr::Literal(ScalarValue::Int64(Some(0)), _) => {
                    cast(number, DataType::Float64) * lit(1_000_f64)
                }
                Expr::Literal(ScalarValue::Int64(Some(3)), _) => number,
                _ => {
                    return plan_err!("the precision of TO_TIMESTAMP_LTZ is 0 (seconds) or 3 (milliseconds)");
                }
            };
            Ok(cast(cast(millis, DataType::Int64), instant()))
        },
    }
}
