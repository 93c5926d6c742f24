//! CREATE ALARM, CREATE COMPOSITE ALARM, EXPLAIN ALARM, ALTER ALARM.
//!
//! ```text
//!  CREATE [OR REPLACE] ALARM name ON stream STATISTIC average(expr) PERIOD interval [WHERE cond] [DIMENSIONS (a, b)] WITH (...)
//!  CREATE ALARM name ON (query) WITH (period = ..., ...)
//!  CREATE [OR REPLACE] COMPOSITE ALARM name AS ALARM(a) AND NOT OK(b) [WITH (...)]
//!  EXPLAIN ALARM name [FOR 'host=a'] [AT time]
//!  ALTER ALARM name [FOR 'host=a'] SET STATE 'OK' REASON '...'
//! ```

use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_decide::DecideError;
use headwater_decide::alarm::{
    AlarmRule, AlarmState, Comparison, LowSamples, MissingData, Statistic, Timing,
};
use headwater_decide::composite::Expression;
use headwater_operators::decide::Report;

use super::create::{if_not_exists, new_name};
use super::given::Options;
use super::options::duration;
use super::reader::Reader;
use super::statements::{read_time, replaces};
use crate::decision::{AlarmDef, AlarmOn, Metric, MetricFrom, OfStream};
use crate::error::{Mistake, Result, SqlError};
use crate::script::Position;
use crate::statement::{CreateAlarm, ExplainAlarm, SetAlarmState, Statement};

/// Reads what follows `CREATE`.
pub(super) fn read_alarm(reader: &mut Reader, or_replace: bool) -> Result<Statement> {
    let composite = reader.take_words("COMPOSITE");
    reader.expect_words("ALARM")?;
    let if_not_exists = if_not_exists(reader);
    let name = new_name(reader, "a name")?;
    let (on, report) = if composite { read_composite(reader)? } else { read_metric_alarm(reader)? };
    if reader.sees("EXECUTE") {
        return Err(reader.expected("';' or the end").hint(format!(
            "a trigger tells of it: CREATE TRIGGER t ON system.alarm_history PARTITION BY (alarm, dimensions) \
             WHEN changed AND alarm = '{}' EXECUTE ...",
            name.value
        )));
    }
    let definition = AlarmDef { name: name.value.clone(), on, report };
    Ok(Statement::CreateAlarm(CreateAlarm { name, definition, or_replace, if_not_exists }))
}

fn read_composite(reader: &mut Reader) -> Result<(AlarmOn, Report)> {
    reader.expect_words("AS")?;
    let at = reader.position();
    let (_, text) = reader.expr()?;
    let expression = Expression::parse(&text).map_err(|error| wrong(error, reader, at))?;
    let mut options = Options::read(reader)?;
    let report = read_report(&mut options)?;
    options.finish("a composite alarm", &["history"])?;
    Ok((AlarmOn::Composite(expression), report))
}

fn read_metric_alarm(reader: &mut Reader) -> Result<(AlarmOn, Report)> {
    let at = reader.position();
    let source = read_source(reader)?;
    let mut options = Options::read(reader)?;
    let metric = source.metric(&mut options, reader, at)?;
    let rule = read_rule(&mut options, metric.timing.period, reader, at)?;
    let report = read_report(&mut options)?;
    options.finish("an alarm", &OPTIONS)?;
    Ok((AlarmOn::Metric { metric: Box::new(metric), rule }, report))
}

const OPTIONS: [&str; 9] = [
    "comparison",
    "threshold",
    "evaluation_periods",
    "datapoints_to_alarm",
    "treat_missing_data",
    "evaluate_low_sample_count_percentile",
    "period",
    "unit",
    "history",
];

/// What stands after ON, before the options are known.
pub(super) struct Source {
    from: MetricFrom,
    period: Option<(Duration, Position)>,
}

/// Reads `ON stream STATISTIC ...` or `ON (query)`.
pub(super) fn read_source(reader: &mut Reader) -> Result<Source> {
    reader.expect_words("ON")?;
    if reader.take(&Token::LParen) {
        let query = reader.query()?;
        query.check_begins_early("an alarm")?;
        reader.expect(&Token::RParen)?;
        return Ok(Source { from: MetricFrom::Query(query), period: None });
    }
    let stream = reader.name("a stream, or a query in parentheses")?.value;
    reader.expect_words("STATISTIC")?;
    let statistic = read_statistic(reader)?;
    reader.expect(&Token::LParen)?;
    let argument = if reader.take(&Token::Mul) { "*".to_owned() } else { reader.expr()?.1 };
    reader.expect(&Token::RParen)?;
    let (mut period, mut condition, mut dimensions) = (None, None, Vec::new());
    loop {
        if period.is_none() && reader.take_words("PERIOD") {
            let at = reader.position();
            let text = super::options::read_value(reader)?;
            let length = duration(&text).ok_or_else(|| {
                SqlError::new(Mistake::Type, format!("'{text}' is no length of time"))
                    .at(at, reader.script())
                    .hint("PERIOD INTERVAL '5' MINUTE")
            })?;
            period = Some((length, at));
        } else if condition.is_none() && reader.take_words("WHERE") {
            condition = Some(reader.expr()?.1);
        } else if dimensions.is_empty() && reader.take_words("DIMENSIONS") {
            dimensions = reader.columns()?.into_iter().map(|name| name.value).collect();
        } else {
            break;
        }
    }
    let from =
        MetricFrom::Stream(OfStream { stream, statistic, argument, condition, dimensions, functions: None });
    Ok(Source { from, period })
}

/// `average`, `p99`, `p99.9`, `'p99.9'`.
fn read_statistic(reader: &mut Reader) -> Result<Statistic> {
    let at = reader.position();
    let mut text = match reader.next() {
        Token::Word(word) => word.value,
        Token::SingleQuotedString(text) => text,
        _ => return Err(SqlError::new(Mistake::Syntax, "expected a statistic").at(at, reader.script())),
    };
    if reader.take(&Token::Period) {
        text.push('.');
    }
    if let Token::Number(digits, _) = reader.peek().clone() {
        reader.next();
        text.push_str(&digits);
    }
    Statistic::parse(&text).map_err(|error| wrong(error, reader, at))
}

impl Source {
    /// The metric, its period from the clause or the option.
    pub(super) fn metric(self, options: &mut Options, reader: &Reader, at: Position) -> Result<Metric> {
        let option = options.duration("period")?;
        let (period, at) = match (self.period, option) {
            (Some(period), _) => period,
            (None, Some(period)) => (period, at),
            (None, None) => {
                return Err(SqlError::new(Mistake::Option, "the period of a point is not given")
                    .at(at, reader.script())
                    .hint("PERIOD INTERVAL '1' MINUTE after the statistic, or WITH (period = '1 minute') for a query"));
            }
        };
        let timing = match &self.from {
            MetricFrom::Query(_) => Timing::per_point(period),
            MetricFrom::Stream(_) => Timing::of_metric(period),
        };
        let timing = timing.map_err(|error| wrong(error, reader, at))?;
        Ok(Metric { from: self.from, timing, unit: options.text("unit") })
    }
}

fn read_rule(options: &mut Options, period: Duration, reader: &Reader, at: Position) -> Result<AlarmRule> {
    let comparison = options.parsed("comparison", Comparison::parse)?;
    let threshold = options.number("threshold")?;
    let (Some(comparison), Some(threshold)) = (comparison, threshold) else {
        return Err(SqlError::new(Mistake::Option, "an alarm needs a comparison and a threshold")
            .at(at, reader.script())
            .hint("WITH (comparison = '>', threshold = 70, evaluation_periods = 2)"));
    };
    let periods = options.whole("evaluation_periods")?.unwrap_or(1);
    let rule = AlarmRule {
        comparison,
        threshold,
        periods,
        to_alarm: options.whole("datapoints_to_alarm")?.unwrap_or(periods),
        missing: options.parsed("treat_missing_data", MissingData::parse)?.unwrap_or_default(),
        low_samples: options
            .parsed("evaluate_low_sample_count_percentile", LowSamples::parse)?
            .unwrap_or_default(),
    };
    rule.check(period).map_err(|error| wrong(error, reader, at))?;
    Ok(rule)
}

fn read_report(options: &mut Options) -> Result<Report> {
    let parse = |text: &str| match text.to_lowercase().as_str() {
        "evaluations" => Ok(Report::Evaluations),
        "changes" => Ok(Report::Changes),
        _ => Err(DecideError::new(format!("'{text}' must be evaluations or changes"))),
    };
    Ok(options.parsed("history", parse)?.unwrap_or(Report::Evaluations))
}

/// Reads what follows `EXPLAIN`.
pub(super) fn read_explain_alarm(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("ALARM")?;
    let name = reader.name("an alarm")?;
    let dimensions =
        if reader.take_words("FOR") { Some(reader.string("dimensions such as 'host=a'")?) } else { None };
    let at = if reader.take_words("AT") { Some(read_time(reader)?) } else { None };
    Ok(Statement::ExplainAlarm(ExplainAlarm { name, dimensions, at }))
}

/// Reads what follows `ALTER ALARM`.
pub(super) fn read_set_state(reader: &mut Reader) -> Result<Statement> {
    let name = reader.name("an alarm")?;
    let dimensions =
        if reader.take_words("FOR") { Some(reader.string("dimensions such as 'host=a'")?) } else { None };
    reader.expect_words("SET STATE").map_err(|error| error.hint(replaces("ALARM")))?;
    let at = reader.position();
    let text = reader.string("a state: 'OK', 'ALARM' or 'INSUFFICIENT_DATA'")?;
    let state = AlarmState::parse(&text.to_uppercase()).ok_or_else(|| {
        SqlError::new(Mistake::Definition, format!("'{text}' is no state of an alarm"))
            .at(at, reader.script())
            .hint("OK, ALARM or INSUFFICIENT_DATA")
    })?;
    reader.expect_words("REASON")?;
    let reason = reader.string("why")?;
    Ok(Statement::SetAlarmState(SetAlarmState { name, dimensions, state, reason }))
}

/// A rule that contradicts itself, at its place.
pub(super) fn wrong(error: DecideError, reader: &Reader, at: Position) -> SqlError {
    SqlError::new(Mistake::Definition, error.to_string()).at(at, reader.script())
}
