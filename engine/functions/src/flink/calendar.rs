//! `TIMESTAMPADD(unit, n, time)` and `TIMESTAMPDIFF(unit, from, to)`, as the parser hands them on: the unit is a text.
//!
//! Months are those of the calendar: a month after 31 January is the last day of February, and from 31 January to 28 February no
//! month has passed. A difference is of whole units, towards zero. A date to which days are added is one; the parser calls
//! `$timestampadd` with units of the clock.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit};
use chrono::{Datelike, Days, Months, NaiveDate};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::computed::Computed;

const DAY: i64 = 86_400_000_000;

/// A length of time.
#[derive(Clone, Copy)]
enum Unit {
    Micros(i64),
    Months(i64),
}

impl Unit {
    fn of(name: &str) -> Result<Self> {
        Ok(match name {
            "microsecond" => Self::Micros(1),
            "millisecond" => Self::Micros(1_000),
            "second" => Self::Micros(1_000_000),
            "minute" => Self::Micros(60_000_000),
            "hour" => Self::Micros(DAY / 24),
            "day" => Self::Micros(DAY),
            "week" => Self::Micros(7 * DAY),
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Months(12),
            _ => {
                return exec_err!(
                    "'{name}' is no unit of time: SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER, YEAR"
                );
            }
        })
    }
}

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [
        Computed {
            name: "timestampadd",
            coerce: |types| match types {
                [_, n, DataType::Date32] if n.is_integer() => {
                    Ok(vec![DataType::Utf8, DataType::Int64, DataType::Date32])
                }
                _ => with_clock(types),
            },
            returns: |types| types[2].clone(),
            call: add,
        },
        Computed { name: "$timestampadd", coerce: with_clock, returns: |types| types[2].clone(), call: add },
        Computed {
            name: "timestampdiff",
            coerce: |types| match types {
                [_, _, _] => Ok(vec![DataType::Utf8, micros(), micros()]),
                _ => plan_err!("TIMESTAMPDIFF takes a unit and two times"),
            },
            returns: |_| DataType::Int32,
            call: difference,
        },
    ];
    all.into_iter().map(Computed::function).collect()
}

fn with_clock(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_, n, time] if n.is_integer() => Ok(vec![DataType::Utf8, DataType::Int64, as_time(time)]),
        _ => plan_err!("TIMESTAMPADD takes a unit, a whole number and a time"),
    }
}

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// A time stays what it is; a date, or a text, is a time to the millisecond.
fn as_time(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(..) => kind.clone(),
        _ => DataType::Timestamp(TimeUnit::Millisecond, None),
    }
}

/// The unit, which is the same in all rows.
fn unit(args: &[ArrayRef]) -> Result<Unit> {
    let names = args[0].as_string::<i32>();
    if names.is_empty() { Ok(Unit::Micros(1)) } else { Unit::of(names.value(0)) }
}

fn add(args: &[ArrayRef]) -> Result<ArrayRef> {
    let unit = unit(args)?;
    if *args[2].data_type() == DataType::Date32 {
        return add_days(unit, args);
    }
    let DataType::Timestamp(scale, _) = args[2].data_type() else {
        return exec_err!("TIMESTAMPADD takes a time");
    };
    let second = match scale {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let ticks = cast(&args[2], &DataType::Int64)?;
    let later = |n: i64, ticks: i64| match unit {
        Unit::Micros(micros) => {
            let more = i128::from(n) * i128::from(micros) * i128::from(second) / 1_000_000;
            i64::try_from(i128::from(ticks) + more).ok()
        }
        Unit::Months(months) => {
            let day = 86_400 * second;
            let date = months_later(date_of(ticks.div_euclid(day))?, n.checked_mul(months)?)?;
            day_of(date).checked_mul(day)?.checked_add(ticks.rem_euclid(day))
        }
    };
    let pairs = args[1].as_primitive::<Int64Type>().iter().zip(ticks.as_primitive::<Int64Type>());
    let sums = pairs.map(|(n, ticks)| later(n?, ticks?)).collect::<Int64Array>();
    Ok(cast(&sums, args[2].data_type())?)
}

fn add_days(unit: Unit, args: &[ArrayRef]) -> Result<ArrayRef> {
    let later = |n: i64, day: i32| match unit {
        Unit::Micros(micros) => i32::try_from(i64::from(day).checked_add(n.checked_mul(micros / DAY)?)?).ok(),
        Unit::Months(months) => {
            let date = months_later(date_of(day.into())?, n.checked_mul(months)?)?;
            i32::try_from(day_of(date)).ok()
        }
    };
    let pairs = args[1].as_primitive::<Int64Type>().iter().zip(args[2].as_primitive::<Date32Type>());
    Ok(Arc::new(pairs.map(|(n, day)| later(n?, day?)).collect::<Date32Array>()))
}

fn difference(args: &[ArrayRef]) -> Result<ArrayRef> {
    let unit = unit(args)?;
    let between = |from: i64, to: i64| match unit {
        Unit::Micros(micros) => i32::try_from(to.checked_sub(from)? / micros).ok(),
        Unit::Months(months) => i32::try_from(months_between(from, to)? / months).ok(),
    };
    let [from, to] = [cast(&args[1], &DataType::Int64)?, cast(&args[2], &DataType::Int64)?];
    let pairs = from.as_primitive::<Int64Type>().iter().zip(to.as_primitive::<Int64Type>());
    Ok(Arc::new(pairs.map(|(from, to)| between(from?, to?)).collect::<Int32Array>()))
}

/// The months that have passed, towards zero.
fn months_between(from: i64, to: i64) -> Option<i64> {
    let [a, b] = [from, to].map(|micros| (date_of(micros.div_euclid(DAY)), micros.rem_euclid(DAY)));
    let ((a, a_time), (b, b_time)) = ((a.0?, a.1), (b.0?, b.1));
    let months = i64::from(b.year() - a.year()) * 12 + i64::from(b.month()) - i64::from(a.month());
    let rest = (b.day(), b_time).cmp(&(a.day(), a_time));
    Some(match months {
        1.. if rest.is_lt() => months - 1,
        ..=-1 if rest.is_gt() => months + 1,
        _ => months,
    })
}

fn date_of(day: i64) -> Option<NaiveDate> {
    let days = Days::new(day.unsigned_abs());
    if day < 0 {
        NaiveDate::default().checked_sub_days(days)
    } else {
        NaiveDate::default().checked_add_days(days)
    }
}

fn day_of(date: NaiveDate) -> i64 {
    date.signed_duration_since(NaiveDate::default()).num_days()
}

fn months_later(date: NaiveDate, months: i64) -> Option<NaiveDate> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { date.checked_sub_months(count) } else { date.checked_add_months(count) }
}
