//! `FLOOR(time TO unit)` and `CEIL(time TO unit)`, as the parser hands them on: the unit is a text. A date stays one, and so does a time
//! of day. Weeks begin with Sunday, as in Flink; elsewhere (`WEEK(time)`) they are those of ISO.

use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions::expr_fn::date_trunc;
use datafusion::logical_expr::{Expr, ScalarUDF, cast, lit, when};

use super::super::expanded::ExpandedByType;
use super::{any_of, arguments, quoted, timestamps};

const SECOND: i64 = 1_000_000_000;
const TIME_OF_DAY: DataType = DataType::Time64(TimeUnit::Nanosecond);

pub(super) fn functions() -> Vec<ScalarUDF> {
    let kinds = || timestamps().chain([DataType::Date32, TIME_OF_DAY]).map(|kind| vec![kind, DataType::Utf8]);
    let rounded = |name, expand| ExpandedByType {
        name,
        signature: any_of(kinds()),
        returns: |arguments| arguments[0].clone(),
        expand,
    };
    let both = [
        rounded("$floor", |args, types| round(args, &types[0], false)),
        rounded("$ceil", |args, types| round(args, &types[0], true)),
    ];
    both.into_iter().map(ExpandedByType::function).collect()
}

fn round(args: Vec<Expr>, kind: &DataType, up: bool) -> Result<Expr> {
    let [time, unit] = arguments(args)?;
    let unit = quoted(&unit, "FLOOR and CEIL", "day")?;
    let length = length_of(unit)?;
    if *kind == TIME_OF_DAY {
        return match length {
            IntervalMonthDayNano { months: 0, days: 0, nanoseconds } => of_day(time, nanoseconds, up),
            _ => plan_err!("a time of day has no {unit}"),
        };
    }
    let is_date = *kind == DataType::Date32;
    let time = match is_date {
        true => cast(time, DataType::Timestamp(TimeUnit::Second, None)),
        false => time,
    };
    let floor = match unit {
        "week" => date_trunc(lit(unit), time.clone() + interval(ONE_DAY)) - interval(ONE_DAY),
        _ => date_trunc(lit(unit), time.clone()),
    };
    let rounded = match up {
        true => when(floor.clone().eq(time.clone()), time).otherwise(floor + interval(length))?,
        false => floor,
    };
    Ok(if is_date { cast(rounded, DataType::Date32) } else { rounded })
}

fn of_day(time: Expr, length: i64, up: bool) -> Result<Expr> {
    let nanos = cast(time, DataType::Int64);
    let nanos = if up { nanos + lit(length - 1) } else { nanos };
    Ok(cast(nanos.clone() - nanos % lit(length), TIME_OF_DAY))
}

const ONE_DAY: IntervalMonthDayNano = IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 };

fn interval(length: IntervalMonthDayNano) -> Expr {
    lit(ScalarValue::IntervalMonthDayNano(Some(length)))
}

fn length_of(unit: &str) -> Result<IntervalMonthDayNano> {
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
    Ok(IntervalMonthDayNano::new(months, days, nanos))
}
