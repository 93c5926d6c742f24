//! Functions of Flink's over times: their parts, and how they are written.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions::expr_fn::{date_part, date_trunc, to_char};
use datafusion::logical_expr::{Expr, ScalarUDF, cast, lit, when};

use super::super::expanded::Expanded;
use super::pattern::strftime;
use super::{any_of, arguments, quoted, timestamps, to_text};

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = shapes().into_iter().chain(parts()).chain(rounded()).chain(epochs());
    all.map(Expanded::function).collect()
}

/// An instant, to the millisecond.
fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn parts() -> Vec<Expanded> {
    let parts: [(&str, fn(Vec<Expr>) -> Result<Expr>); 10] = [
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
    ];
    let part = |(name, expand)| Expanded {
        name,
        signature: any_of(timestamps().map(|time| vec![time])),
        returns: |_| DataType::Int64,
        expand,
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

/// `FLOOR(time TO unit)` and `CEIL(time TO unit)`, as the parser hands them on.
fn rounded() -> [Expanded; 2] {
    let signature = || any_of(timestamps().map(|time| vec![time, DataType::Utf8]));
    [
        Expanded {
            name: "$floor",
            signature: signature(),
            returns: |arguments| arguments[0].clone(),
            expand: |args| {
                let [time, unit] = arguments(args)?;
                Ok(date_trunc(unit, time))
            },
        },
        Expanded {
            name: "$ceil",
            signature: signature(),
            returns: |arguments| arguments[0].clone(),
            expand: |args| {
                let [time, unit] = arguments(args)?;
                let length = length(quoted(&unit, "CEIL", "day")?)?;
                let floor = date_trunc(unit, time.clone());
                when(floor.clone().eq(time.clone()), time).otherwise(floor + length)
            },
        },
    ]
}

fn length(unit: &str) -> Result<Expr> {
    const SECOND: i64 = 1_000_000_000;
    let (months, days, nanos) = match unit {
        "millisecond" => (0, 0, SECOND / 1_000),
        "second" => (0, 0, SECOND),
        "minute" => (0, 0, 60 * SECOND),
        "hour" => (0, 0, 3_600 * SECOND),
        "day" => (0, 1, 0),
        "week" => (0, 7, 0),
        "month" => (1, 0, 0),
        "quarter" => (3, 0, 0),
        "year" => (12, 0, 0),
        _ => return plan_err!("there is no unit of time {unit}"),
    };
    Ok(lit(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))))
}

/// Seconds, with a precision of 3 milliseconds, since 1970; fractions count.
fn epochs() -> [Expanded; 1] {
    let number = [DataType::Int64, DataType::Float64];
    let numbers = number.into_iter().flat_map(|kind| [vec![kind.clone()], vec![kind, DataType::Int64]]);
    [Expanded {
        name: "to_timestamp_ltz",
        signature: any_of(numbers),
        returns: |_| instant(),
        expand: |mut args| {
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
    }]
}
