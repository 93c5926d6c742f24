//! What is decided by itself: alarms, scaling policies and scaling groups, independent of their spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use headwater_decide::alarm::{AlarmRule, Statistic, Timing};
use headwater_decide::composite::Expression;
use headwater_operators::decide::{Report, alarm_history_schema};

use crate::catalog::tables_of;
use crate::definition::{Compression, Durability, RetentionDef, StreamDef};
use crate::statement::Query;
use crate::user_functions::Functions;

/// The stream that all alarms write to.
pub const ALARM_HISTORY: &str = "system.alarm_history";

/// An alarm.
#[derive(Debug, Clone)]
pub struct AlarmDef {
    /// The name.
    pub name: String,
    /// What it is about.
    pub on: AlarmOn,
    /// What it writes to its history.
    pub report: Report,
}

/// What an alarm is about.
#[derive(Debug, Clone)]
pub enum AlarmOn {
    /// A metric.
    Metric {
        /// The metric.
        metric: Box<Metric>,
        /// When the alarm is on.
        rule: AlarmRule,
    },
    /// Other alarms.
    Composite(Expression),
}

/// Points over time.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Where they come from.
    pub from: MetricFrom,
    /// How long a point's period is, and how often it is looked at.
    pub timing: Timing,
    /// The unit of its values, for people.
    pub unit: Option<String>,
}

/// Where points come from.
#[derive(Debug, Clone)]
pub enum MetricFrom {
    /// A query that gives one row for each point: event time, `value`, perhaps `samples`; the other columns are dimensions.
    Query(Query),
    /// A statistic over the rows of a stream.
    Stream(OfStream),
}

/// A statistic over the rows of a stream.
#[derive(Debug, Clone)]
pub struct OfStream {
    /// The stream.
    pub stream: String,
    /// The statistic.
    pub statistic: Statistic,
    /// Of what, as SQL.
    pub argument: String,
    /// Of which rows, as SQL.
    pub condition: Option<String>,
    /// The columns whose values have a metric each.
    pub dimensions: Vec<String>,
    /// The functions of the user's that are called, as they were when this was defined. `None`: those that there are.
    pub functions: Option<Functions>,
}

impl AlarmDef {
    /// The names of what it reads.
    pub(crate) fn references(&self) -> BTreeSet<String> {
        let mut names = match &self.on {
            AlarmOn::Metric { metric, .. } => metric.references(),
            AlarmOn::Composite(expression) => expression.names().into_iter().map(str::to_owned).collect(),
        };
        names.insert(ALARM_HISTORY.to_owned());
        names
    }
}

impl Metric {
    pub(crate) fn references(&self) -> BTreeSet<String> {
        match &self.from {
            MetricFrom::Query(query) => tables_of(query),
            MetricFrom::Stream(of) => [of.stream.clone()].into(),
        }
    }

    /// The statistic, if it is known.
    pub(crate) fn statistic(&self) -> Option<Statistic> {
        match &self.from {
            MetricFrom::Query(_) => None,
            MetricFrom::Stream(of) => Some(of.statistic),
        }
    }
}

/// Such as `Average(value) of cpu in Percent, over 5m`.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            MetricFrom::Query(_) => f.write_str("a query's value")?,
            MetricFrom::Stream(OfStream { stream, statistic, argument, condition, .. }) => {
                write!(f, "{statistic}({argument}) of {stream}")?;
                if let Some(condition) = condition {
                    write!(f, " where {condition}")?;
                }
            }
        }
        if let Some(unit) = &self.unit {
            write!(f, " in {unit}")?;
        }
        write!(f, ", over {}", Span(self.timing.period))
    }
}

/// A length of time in the largest unit that it is a whole number of.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds.is_multiple_of(3_600) => write!(f, "{}h", seconds / 3_600),
            seconds if seconds.is_multiple_of(60) => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

/// The stream of that name. Alarms come to it each at its own pace, so that it has no watermark.
pub(crate) fn alarm_history() -> StreamDef {
    engine_stream(ALARM_HISTORY, alarm_history_schema())
}

/// A stream of the engine itself.
pub(crate) fn engine_stream(name: &str, schema: arrow::datatypes::SchemaRef) -> StreamDef {
    StreamDef {
        name: name.to_owned(),
        schema,
        metadata: BTreeMap::new(),
        read_only: BTreeSet::new(),
        computed: Vec::new(),
        functions: Functions::default(),
        watermark: None,
        partition_by: Vec::new(),
        primary_key: Vec::new(),
        proctime: Vec::new(),
        shards: 1,
        retention: RetentionDef::default(),
        durability: Durability::default(),
        compression: Compression::default(),
        idle_timeout: None,
        clock_guard: None,
        format: None,
        connector: None,
        options: BTreeMap::new(),
    }
}
