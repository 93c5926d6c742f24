//! SHOW ALARMS, EXPLAIN ALARM and SHOW SCALING GROUPS: what the histories of alarms and groups tell.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use headwater_core::EventTime;
use headwater_plan::statement::{ExplainAlarm, Kind};
use headwater_plan::{ALARM_HISTORY, Entry, Parsed, SCALING_ACTIVITIES, Statement, parse_one};

use super::show;
use super::state::Inner;
use crate::error::{Result, RunError};

impl Inner {
    /// `SHOW ALARMS`: each alarm, or each value of its dimensions, with its state.
    pub async fn show_alarms(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let alarms: Vec<&str> =
            catalog.entries().filter(|entry| entry.kind() == Kind::Alarm).map(Entry::name).collect();
        let mut rows: Vec<Vec<Option<String>>> = Vec::new();
        let (mut newest, mut since) = (Vec::new(), std::collections::HashMap::new());
        if !alarms.is_empty() {
            let own = self.since_created("alarm", &alarms);
            let last = |columns: &str, condition: &str| {
                format!(
                    "SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY alarm, dimensions \
                     ORDER BY _sequence DESC) AS age FROM {ALARM_HISTORY} WHERE {condition}) WHERE age = 1"
                )
            };
            newest = self.batches(&last("alarm, dimensions, after, value, at", &own)).await?;
            for batch in self.batches(&last("alarm, dimensions, at", &format!("({own}) AND changed"))).await?
            {
                for row in 0..batch.num_rows() {
                    let key = (text(&batch, "alarm", row), text(&batch, "dimensions", row));
                    since.insert(key, time(&batch, "at", row));
                }
            }
        }
        let mut silent: std::collections::BTreeSet<&str> = alarms.iter().copied().collect();
        for batch in &newest {
            for row in 0..batch.num_rows() {
                let (alarm, dimensions) = (text(batch, "alarm", row), text(batch, "dimensions", row));
                if !alarms.contains(&alarm.as_str()) {
                    continue;
                }
                silent.remove(alarm.as_str());
                let value = number(batch, "value", row).map(|value| value.to_string());
                let changed = since.get(&(alarm.clone(), dimensions.clone())).map(EventTime::to_string);
                let (state, at) = (text(batch, "after", row), time(batch, "at", row).to_string());
                rows.push(vec![Some(alarm), Some(dimensions), Some(state), changed, value, Some(at)]);
            }
        }
        // An alarm that has not said anything yet has just been made.
        for alarm in silent {
            let state = Some("INSUFFICIENT_DATA".to_owned());
            rows.push(vec![Some(alarm.to_owned()), Some(String::new()), state, None, None, None]);
        }
        rows.sort();
        show::rows(show::texts(&["name", "dimensions", "state", "since", "value", "evaluated"], &rows)?)
    }

    /// `EXPLAIN ALARM`: the story of its last decision up to a time.
    pub async fn explain_alarm(
        self: &Arc<Self>,
        explain: &ExplainAlarm,
        parsed: &Parsed,
    ) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let name = &explain.name.value;
        if catalog.get(name).is_none_or(|entry| entry.kind() != Kind::Alarm) {
            let error = catalog.not_a(&explain.name, Kind::Alarm);
            return Err(error.at(explain.name.position, &parsed.script).into());
        }
        let mut conditions = format!("({})", self.since_created("alarm", &[name.as_str()]));
        if let Some(at) = explain.at {
            let _ = write!(conditions, " AND at <= TIMESTAMP '{at}'");
        }
        if let Some(dimensions) = &explain.dimensions {
            let _ = write!(conditions, " AND dimensions = {}", quoted(dimensions));
        }
        let newest = |conditions: &str| {
            format!(
                "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY dimensions ORDER BY at DESC, _sequence DESC) AS age \
                 FROM {ALARM_HISTORY} WHERE {conditions}) WHERE age = 1 ORDER BY dimensions"
            )
        };
        let decisions = self.batches(&newest(&conditions)).await?;
        let changes = self.batches(&newest(&format!("{conditions} AND changed"))).await?;
        let mut lines = Vec::new();
        for batch in &decisions {
            for row in 0..batch.num_rows() {
                tell(batch, row, &changes, &mut lines);
            }
        }
        if lines.is_empty() {
            let until = explain.at.map_or(String::new(), |at| format!(" up to {at}"));
            lines.push(format!("{name} has not been evaluated{until}: INSUFFICIENT_DATA"));
        }
        show::lines("explanation", lines.iter().map(String::as_str))
    }

    /// `SHOW SCALING GROUPS`: each with its size, its bounds and its last decision.
    pub async fn show_scaling_groups(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let groups = catalog.entries().filter_map(|entry| match entry {
            Entry::ScalingGroup(group) => Some(group),
            _ => None,
        });
        let groups: Vec<_> = groups.collect();
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let newest = format!(
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY \"group\" ORDER BY _sequence DESC) AS age \
             FROM {SCALING_ACTIVITIES} WHERE {}) WHERE age = 1",
            self.since_created("\"group\"", &names)
        );
        let decisions = if groups.is_empty() { Vec::new() } else { self.batches(&newest).await? };
        let mut rows = Vec::new();
        for group in groups {
            let last = decisions.iter().find_map(|batch| {
                let row = (0..batch.num_rows()).find(|row| text(batch, "group", *row) == group.name)?;
                Some((batch, row))
            });
            let whole = |column: &str, otherwise: i64| {
                let value = last.and_then(|(batch, row)| {
                    Some(batch.column_by_name(column)?.as_primitive::<Int64Type>().value(row))
                });
                Some(value.unwrap_or(otherwise).to_string())
            };
            rows.push(vec![
                Some(group.name.clone()),
                whole("after", group.desired),
                whole("min", group.min),
                whole("max", group.max),
                Some(group.policies.join(", ")),
                Some(group.actuator.as_str().to_owned()),
                last.map(|(batch, row)| time(batch, "at", row).to_string()),
                last.map(|(batch, row)| {
                    format!("{}: {}", text(batch, "by", row), text(batch, "reason", row))
                }),
            ]);
        }
        let columns = ["name", "desired", "min", "max", "policies", "actuator", "decided", "decision"];
        show::rows(show::texts(&columns, &rows)?)
    }

    /// The condition for the rows of these alarms or groups, without those of former ones of their names: a journal is as old as what it is
    /// of.
    fn since_created(&self, column: &str, names: &[&str]) -> String {
        let own = |name: &&str| match self.log.stream_named(&format!("system.journal.{name}")) {
            Ok(journal) => {
                format!("({column} = {} AND _arrival >= TIMESTAMP '{}')", quoted(name), journal.created)
            }
            Err(_) => format!("{column} = {}", quoted(name)),
        };
        names.iter().map(own).collect::<Vec<_>>().join(" OR ")
    }

    /// All rows of a query over the log.
    pub(super) async fn batches(self: &Arc<Self>, sql: &str) -> Result<Vec<RecordBatch>> {
        let parsed = parse_one(sql)?;
        let Statement::Query(query) = &parsed.statement else {
            return Err(RunError::Invalid(format!("not a query: {sql}")));
        };
        Ok(self.query(query).await?.try_collect().await?)
    }
}

/// One decision in words.
fn tell(batch: &RecordBatch, row: usize, changes: &[RecordBatch], lines: &mut Vec<String>) {
    let dimensions = text(batch, "dimensions", row);
    let (before, after) = (text(batch, "before", row), text(batch, "after", row));
    let of = if dimensions.is_empty() { String::new() } else { format!(" for {dimensions}") };
    let was = if before == after { String::new() } else { format!(", was {before}") };
    let at = time(batch, "at", row);
    lines.push(format!("{}{of} at {at}: {after}{was}", text(batch, "alarm", row)));
    lines.push(format!("  rule: {}", text(batch, "rule", row)));
    let points = text(batch, "points", row);
    if !points.is_empty() {
        lines.push(format!("  points, oldest first: {points}"));
    }
    let breaching = batch.column_by_name("breaching").map(|column| column.as_primitive::<Int64Type>());
    if let Some(breaching) = breaching.filter(|breaching| breaching.is_valid(row)) {
        lines.push(format!("  breaching: {}", breaching.value(row)));
    }
    lines.push(format!("  because {}", text(batch, "reason", row)));
    let since = changes.iter().find_map(|changes| {
        let own = (0..changes.num_rows()).find(|row| text(changes, "dimensions", *row) == dimensions)?;
        Some(format!(
            "  in this state since {}, before {}",
            time(changes, "at", own),
            text(changes, "before", own)
        ))
    });
    lines.extend(since.filter(|_| before == after));
}

pub(super) fn text(batch: &RecordBatch, column: &str, row: usize) -> String {
    let column = batch.column_by_name(column).map(|column| column.as_string::<i32>());
    column
        .filter(|column| column.is_valid(row))
        .map_or_else(String::new, |column| column.value(row).to_owned())
}

fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<f64> {
    let column = batch.column_by_name(column)?.as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn time(batch: &RecordBatch, column: &str, row: usize) -> EventTime {
    let column = batch.column_by_name(column).map(|column| column.as_primitive::<TimestampNanosecondType>());
    column.map_or(EventTime::MIN, |column| EventTime(column.value(row)))
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
