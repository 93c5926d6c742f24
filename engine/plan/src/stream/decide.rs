//! Whole dataflows of alarms.
//!
//! What an alarm is made of is always in its own dataflow, also if it is part of a composite alarm: so every decision is a
//! function of rows and their times alone, and not of how far another job has come.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use headwater_decide::alarm::{AlarmRule, Statistic, Timing};
use headwater_operators::Changes;
use headwater_operators::decide::{AlarmSpec, Report};

use super::alarm::{Alarmed, Points};
use super::lower::Lower;
use super::query::prepare;
use crate::catalog::{Catalog, Entry};
use crate::dataflow::{Dataflow, ResultSpec};
use crate::decision::{AlarmDef, AlarmOn, Metric, MetricFrom, OfStream};
use crate::error::{Mistake, SqlError};
use crate::parse::parse_one;
use crate::planning::Planning;
use crate::statement::{Query, Statement};
use crate::translate::{translate, translate_with};
use crate::user_functions::Functions;

/// Samples lie between -2^360 and 2^360.
const SAMPLE_MAX_EXPONENT: f64 = 360.0;

/// Puts a dataflow together.
pub(crate) struct Decide<'a> {
    pub(super) planning: Planning<'a>,
    pub(super) lower: Lower<'a>,
}

impl<'a> Decide<'a> {
    pub(crate) fn new(planning: Planning<'a>) -> Self {
        Self { planning, lower: Lower::new(planning.state, planning.catalog) }
    }

    /// Closes the dataflow: its last stage is the result, whose first column is its time.
    pub(crate) fn finish(self) -> Dataflow {
        let schema = self.lower.stages.last().map(|stage| Arc::clone(&stage.schema));
        let schema = schema.expect("an alarm has at least one stage");
        let result = ResultSpec { schema, changes: Changes::AppendOnly, event_time: Some(0) };
        Dataflow {
            sources: self.lower.sources,
            stages: self.lower.stages,
            result,
            late: None,
            notes: Vec::new(),
        }
    }

    /// An alarm of the catalog.
    pub(crate) fn alarm(
        &mut self,
        alarm: &AlarmDef,
        report: Report,
        insists: bool,
    ) -> crate::error::Result<Alarmed> {
        match &alarm.on {
            AlarmOn::Metric { metric, rule } => self.metric(&alarm.name, metric, rule, report, insists),
            AlarmOn::Composite(expression) => {
                let mut expression = expression.clone();
                // Composite alarms do not refer to themselves: the catalog sees to that.
                while let Some((name, inner)) = self.composite_in(&expression) {
                    expression = expression.inline(&name, &inner);
                }
                let names: Vec<String> = expression.names().into_iter().map(str::to_owned).collect();
                let mut alarms = Vec::new();
                for name in names {
                    let Some(Entry::Alarm(inner)) = self.planning.catalog.get(&name) else {
                        return Err(unknown(self.planning.catalog, &name));
                    };
                    // One that is to be heard again and again has to evaluate again and again.
                    let of_inner = if insists { report } else { Report::Changes };
                    let alarmed = self.alarm(inner, of_inner, insists)?;
                    alarms.push((name, alarmed));
                }
                let composite = self.lower.composite(&alarm.name, &expression, alarms, report);
                composite.map_err(|error| own(error).unwrap_or_else(plain))
            }
        }
    }

    /// A composite alarm that an expression names, and its own expression.
    fn composite_in(
        &self,
        expression: &headwater_decide::composite::Expression,
    ) -> Option<(String, headwater_decide::composite::Expression)> {
        expression.names().into_iter().find_map(|name| match self.planning.catalog.get(name) {
            Some(Entry::Alarm(alarm)) => match &alarm.on {
                AlarmOn::Composite(inner) => Some((name.to_owned(), inner.clone())),
                AlarmOn::Metric { .. } => None,
            },
            _ => None,
        })
    }

    /// A metric, held against a rule.
    pub(crate) fn metric(
        &mut self,
        name: &str,
        metric: &Metric,
        rule: &AlarmRule,
        report: Report,
        insists: bool,
    ) -> crate::error::Result<Alarmed> {
        let points = self.points(metric)?;
        Ok(self.over(&points, name, metric, rule, report, insists))
    }

    /// A rule over points that are there.
    pub(super) fn over(
        &mut self,
        points: &Points,
        name: &str,
        metric: &Metric,
        rule: &AlarmRule,
        report: Report,
        insists: bool,
    ) -> Alarmed {
        let spec = AlarmSpec {
            name: name.to_owned(),
            subject: metric.to_string(),
            rule: rule.clone(),
            timing: metric.timing,
            statistic: metric.statistic(),
            report,
            insists,
        };
        self.lower.alarm(points, spec)
    }

    /// The points of a metric.
    pub(super) fn points(&mut self, metric: &Metric) -> crate::error::Result<Points> {
        match &metric.from {
            MetricFrom::Query(query) => self
                .of_query(query)
                .map_err(|error| translate_with(error, query, |error| super::place_of(error, query))),
            MetricFrom::Stream(of) => {
                let time = time_of(of, self.planning.catalog)?;
                let query = statistic_query(of, time, self.samples(of)?, metric.timing)?;
                self.of_query(&query).map_err(|error| placeless(error, &query))
            }
        }
    }

    /// The condition for a row to be a sample; none if all are, or give no value that would count.
    fn samples(&self, of: &OfStream) -> crate::error::Result<Option<String>> {
        let OfStream { stream, statistic, argument, functions, .. } = of;
        if argument == "*" {
            return Ok(None);
        }
        let query = query_of(&format!("SELECT {argument} FROM {}", quoted(stream)), argument, functions)?;
        let plan = self.planning.plan(&query).map_err(|error| placeless(error, &query))?;
        match plan.schema().field(0).data_type() {
            // As the service takes them: neither NaN nor beyond 2^360.
            kind if kind.is_floating() => {
                let most = SAMPLE_MAX_EXPONENT.exp2();
                let bound = |sign: &str| format!("CAST('{sign}{most:e}' AS DOUBLE)");
                Ok(Some(format!("CAST({argument} AS DOUBLE) BETWEEN {} AND {}", bound("-"), bound(""))))
            }
            _ if *statistic == Statistic::SampleCount => Ok(Some(format!("({argument}) IS NOT NULL"))),
            kind if kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Null) => Ok(None),
            kind => {
                let kind = headwater_functions::sql_type(kind);
                let message = format!("{statistic} takes numbers, and '{argument}' is {kind}");
                Err(SqlError::new(Mistake::Type, message).hint("CAST it, or count it by SampleCount"))
            }
        }
    }

    fn of_query(&mut self, query: &Query) -> Result<Points> {
        let plan: LogicalPlan = self.planning.plan(query)?;
        let plan = prepare(plan, self.planning.state, true)?;
        self.lower.points(&plan)
    }
}

/// One of our errors on its way through DataFusion.
fn own(
    error: datafusion::common::DataFusionError,
) -> std::result::Result<SqlError, datafusion::common::DataFusionError> {
    match error {
        datafusion::common::DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
            Ok(error) => Ok(*error),
            Err(inner) => Err(datafusion::common::DataFusionError::External(inner)),
        },
        other => Err(other),
    }
}

fn plain(error: datafusion::common::DataFusionError) -> SqlError {
    SqlError::new(Mistake::Query, error.strip_backtrace())
}

pub(super) fn unknown(catalog: &Catalog, name: &str) -> SqlError {
    match catalog.get(name) {
        Some(other) => SqlError::new(
            Mistake::UnknownName,
            format!("'{name}' is {}, not an alarm", other.kind().with_article()),
        ),
        None => {
            let alarms = catalog.entries().filter(|entry| matches!(entry, Entry::Alarm(_))).map(Entry::name);
            SqlError::new(Mistake::UnknownName, format!("there is no alarm '{name}'"))
                .hint_if(crate::error::did_you_mean(name, alarms))
        }
    }
}

/// An error of a query that nobody has written: its place means nothing.
fn placeless(error: datafusion::common::DataFusionError, query: &Query) -> SqlError {
    let error = translate(error, query);
    let placeless = SqlError::new(error.mistake(), error.message());
    placeless.hint_if(error.advice().map(str::to_owned))
}

/// The column of event time of the stream that a statistic is over.
fn time_of<'a>(of: &OfStream, catalog: &'a Catalog) -> crate::error::Result<&'a str> {
    let stream = &of.stream;
    let def = catalog.stream(stream).ok_or_else(|| match catalog.get(stream) {
        Some(other) => SqlError::new(
            Mistake::UnknownName,
            format!("'{stream}' is {}, not a stream", other.kind().with_article()),
        )
        .hint("ON (SELECT window_end, ... AS value FROM ...) takes any query"),
        None => SqlError::new(Mistake::UnknownName, format!("there is no stream '{stream}'"))
            .hint_if(crate::error::did_you_mean(stream, catalog.names())),
    })?;
    match &def.watermark {
        Some(watermark) => Ok(&watermark.column),
        None => {
            let message = format!("'{stream}' has no watermark, so that the periods of its points never end");
            Err(SqlError::new(Mistake::NoWatermark, message)
                .hint("declare it with the stream: WATERMARK FOR ts AS ts - INTERVAL '5' SECOND"))
        }
    }
}

/// The query that gives the points of a statistic over the rows that are samples: windows of the period, one for each evaluation.
fn statistic_query(
    of: &OfStream,
    time: &str,
    samples: Option<String>,
    timing: Timing,
) -> crate::error::Result<Query> {
    let OfStream { stream, statistic, argument, condition, dimensions, functions } = of;
    let (period, every) = (timing.period.as_secs(), timing.every.as_secs());
    let (table, time) = (quoted(stream), quoted(time));
    let window = if period == every {
        format!("TUMBLE(TABLE {table}, DESCRIPTOR({time}), INTERVAL '{period}' SECOND)")
    } else {
        format!(
            "HOP(TABLE {table}, DESCRIPTOR({time}), INTERVAL '{every}' SECOND, INTERVAL '{period}' SECOND)"
        )
    };
    let keys: String = dimensions.iter().map(|name| format!(", {}", quoted(name))).collect();
    let conditions: Vec<_> = condition.iter().chain(&samples).map(|one| format!("({one})")).collect();
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let value = function(*statistic, argument);
    let text = format!(
        "SELECT window_end{keys}, {value} AS value, COUNT({argument}) AS samples FROM TABLE({window}){condition} \
         GROUP BY window_start, window_end{keys}"
    );
    query_of(&text, argument, functions)
}

fn query_of(text: &str, argument: &str, functions: &Option<Functions>) -> crate::error::Result<Query> {
    match parse_one(text)?.statement {
        Statement::Query(query) => Ok(Query { functions: functions.clone(), ..query }),
        _ => Err(SqlError::new(Mistake::Syntax, format!("'{argument}' is not an expression"))),
    }
}

fn function(statistic: Statistic, argument: &str) -> String {
    match statistic {
        Statistic::SampleCount => format!("COUNT({argument})"),
        Statistic::Average => format!("AVG(CAST({argument} AS DOUBLE))"),
        Statistic::Sum => format!("SUM(CAST({argument} AS DOUBLE))"),
        Statistic::Minimum => format!("MIN({argument})"),
        Statistic::Maximum => format!("MAX({argument})"),
        Statistic::Percentile(percent) => {
            format!("PERCENTILE_CONT({}) WITHIN GROUP (ORDER BY CAST({argument} AS DOUBLE))", percent / 100.0)
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
