//! The arguments of a call: their types, and the constants among them.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;
use headwater_sequences::{CONDITIONS_MAX, Funnel, FunnelMode, Pattern};

use super::call::{Call, Kind, Text, TextOptions, Window, mistake};

/// The types that arguments are cast to, constants included if the call has them still.
pub(super) fn coerce(kind: Kind, bound: Option<&Call>, types: &[DataType]) -> Result<Vec<DataType>> {
    if matches!(bound, Some(Call::Lines(_))) || (bound.is_none() && is_over_text(kind, types)) {
        return over_text(kind, types, bound.is_some());
    }
    let constants = match (kind, bound) {
        (Kind::Retention, _) | (_, Some(_)) => 0,
        (Kind::Match | Kind::Count, None) => 1,
        // The window, and modes: what is text cannot be the time.
        (Kind::Funnel, None) => types.iter().skip(1).take_while(|kind| is_text(kind)).count() + 1,
    };
    let name = kind.name();
    let times = usize::from(kind != Kind::Retention);
    if types.len() <= constants + times {
        let form = match kind {
            Kind::Match | Kind::Count => "(pattern, time, condition, ...)",
            Kind::Funnel => "(window, [mode, ...] time, condition, ...)",
            Kind::Retention => "(condition, ...)",
        };
        return plan_err!("too few arguments; it is {name}{form}");
    }
    let (constants, columns) = types.split_at(constants);
    if columns.len() - times > CONDITIONS_MAX {
        return plan_err!("{name} takes at most {CONDITIONS_MAX} conditions, not {}", columns.len() - times);
    }
    let mut coerced: Vec<_> = constants
        .iter()
        .map(|constant| if is_text(constant) { DataType::Utf8 } else { constant.clone() })
        .collect();
    for (at, column) in columns.iter().enumerate() {
        coerced.push(if at < times { time(name, column)? } else { condition(name, column)? });
    }
    Ok(coerced)
}

/// Whether it is `sequence_count(line, sequence)`.
pub(super) fn is_over_text(kind: Kind, types: &[DataType]) -> bool {
    kind == Kind::Count && types.get(1).is_some_and(is_text)
}

fn over_text(kind: Kind, types: &[DataType], bound: bool) -> Result<Vec<DataType>> {
    let expected = if bound { 1..=1 } else { 2..=3 };
    if !expected.contains(&types.len()) || !types[1..].iter().all(is_text) {
        return plan_err!("it is {}(line, 'sequence' [, 'options'])", kind.name());
    }
    let line = match &types[0] {
        line if is_text(line) => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        other => return plan_err!("{} searches lines of text, not {other}", kind.name()),
    };
    let mut coerced = vec![DataType::Utf8; types.len()];
    coerced[0] = line;
    Ok(coerced)
}

pub(super) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn time(name: &str, kind: &DataType) -> Result<DataType> {
    match kind {
        DataType::Timestamp(..) => Ok(kind.clone()),
        DataType::Date32 | DataType::Date64 => Ok(DataType::Timestamp(TimeUnit::Second, None)),
        kind if kind.is_integer() || kind.is_null() => Ok(DataType::Int64),
        other => plan_err!("the time of {name} is a timestamp or an integer, not {other}"),
    }
}

fn condition(name: &str, kind: &DataType) -> Result<DataType> {
    match kind {
        DataType::Boolean | DataType::Null => Ok(DataType::Boolean),
        kind if kind.is_integer() => Ok(DataType::Boolean),
        other => plan_err!("a condition of {name} is a BOOLEAN, not {other}"),
    }
}

/// Binds the constants, and gives the arguments that remain.
pub(super) fn bind(kind: Kind, mut args: Vec<Expr>) -> Result<(Call, Vec<Expr>)> {
    let name = kind.name();
    if kind == Kind::Retention {
        return Ok((Call::Retention, args));
    }
    if kind == Kind::Count
        && let [_, sequence, options @ ..] = args.as_slice()
        && let Some(sequence) = constant_text(sequence)
    {
        let options = match options {
            [] => TextOptions::default(),
            [words] => TextOptions::read(&required_text(name, "the options", words)?)?,
            _ => return plan_err!("it is {name}(line, 'sequence' [, 'options'])"),
        };
        let text = Text { sequence, options };
        text.sequence()?;
        args.truncate(1);
        return Ok((Call::Lines(text), args));
    }
    if kind == Kind::Funnel {
        return bind_funnel(name, args);
    }
    let Some(pattern) = args.first().and_then(constant_text) else {
        return plan_err!("the pattern of {name} is a text in quotes, such as '(?1)(?2)'");
    };
    let columns = args.split_off(1);
    // The unit matters only when it runs.
    Pattern::parse(&pattern, columns.len() - 1, 1).map_err(mistake)?;
    let call = if kind == Kind::Match { Call::Match(pattern) } else { Call::Count(pattern) };
    Ok((call, columns))
}

fn bind_funnel(name: &str, mut args: Vec<Expr>) -> Result<(Call, Vec<Expr>)> {
    let mut mode = FunnelMode::default();
    let modes = args.iter().skip(1).map_while(constant_text).collect::<Vec<_>>();
    modes.iter().try_for_each(|one| mode.add(one)).map_err(mistake)?;
    let window = match args.first() {
        Some(Expr::Literal(window, _)) => read_window(window),
        _ => None,
    };
    let Some(window) = window else {
        return plan_err!(
            "the window of {name} is a number of seconds, such as 3600, or an interval, such as INTERVAL '1' HOUR"
        );
    };
    let columns = args.split_off(modes.len() + 1);
    Funnel::new(0, columns.len() - 1, mode).map_err(mistake)?;
    Ok((Call::Funnel { window, mode }, columns))
}

fn read_window(window: &ScalarValue) -> Option<Window> {
    if window.data_type().is_integer() {
        let ScalarValue::Int64(units) = window.cast_to(&DataType::Int64).ok()? else { return None };
        return units.filter(|units| *units >= 0).map(Window::Units);
    }
    let wide = DataType::Interval(IntervalUnit::MonthDayNano);
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = window.cast_to(&wide).ok()? else { return None };
    let nanos =
        i64::from(interval.days).checked_mul(86_400_000_000_000)?.checked_add(interval.nanoseconds)?;
    (interval.months == 0 && nanos >= 0).then_some(Window::Nanos(nanos))
}

fn constant_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    }
}

fn required_text(name: &str, what: &str, expr: &Expr) -> Result<String> {
    match constant_text(expr) {
        Some(text) => Ok(text),
        None => plan_err!("{what} of {name} are a text in quotes"),
    }
}
