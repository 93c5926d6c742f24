//! What alarms say: one row for each evaluation, or for each change of state.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampNanosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;

use crate::api::{Clocks, Output, Rows};
use crate::error::Result;

/// Rows are handed on when there are so many.
const BATCH_ROWS: usize = 8_192;

/// The column of the evaluation's time.
pub(super) const AT: usize = 0;
/// The column of the dimensions.
pub(super) const DIMENSIONS: usize = 2;
/// The column of the state after the evaluation.
pub(super) const AFTER: usize = 4;

/// The column of the newest point.
pub(super) const VALUE: usize = 6;

/// The columns of `system.alarm_history`.
pub fn alarm_history_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // When the alarm was evaluated, in event time.
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("alarm", DataType::Utf8, false),
        // Of an alarm with dimensions: which metric, such as `host=a`; otherwise empty.
        Field::new("dimensions", DataType::Utf8, false),
        // The states before and after.
        Field::new("before", DataType::Utf8, false),
        Field::new("after", DataType::Utf8, false),
        Field::new("changed", DataType::Boolean, false),
        // The newest point, if there is one for the newest period.
        Field::new("value", DataType::Float64, true),
        // How many of the points that counted breach.
        Field::new("breaching", DataType::Int64, true),
        // The points that were looked at, oldest first, as a JSON array; null is a missing one.
        Field::new("points", DataType::Utf8, true),
        // The rule, and why it came to this.
        Field::new("rule", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
    ]))
}

/// One evaluation.
pub(super) struct Line<'a> {
    pub(super) at: i64,
    pub(super) dimensions: &'a str,
    pub(super) before: AlarmState,
    pub(super) after: AlarmState,
    pub(super) value: Option<f64>,
    pub(super) breaching: Option<usize>,
    pub(super) points: Option<&'a str>,
    pub(super) reason: &'a str,
}

/// Rows in the making.
pub(super) struct History {
    alarm: String,
    rule: String,
    schema: SchemaRef,
    at: TimestampNanosecondBuilder,
    texts: [StringBuilder; 7],
    changed: BooleanBuilder,
    value: Float64Builder,
    breaching: Int64Builder,
    rows: usize,
}

impl History {
    pub(super) fn new(alarm: &str, rule: &str) -> Self {
        Self {
            alarm: alarm.to_owned(),
            rule: rule.to_owned(),
            schema: alarm_history_schema(),
            at: TimestampNanosecondBuilder::new().with_timezone("UTC"),
            texts: Default::default(),
            changed: BooleanBuilder::new(),
            value: Float64Builder::new(),
            breaching: Int64Builder::new(),
            rows: 0,
        }
    }

    /// Adds a row, and hands on what has come together if that is enough.
    pub(super) fn push(&mut self, line: &Line<'_>, clock: EventTime, out: &mut Output) -> Result<()> {
        self.at.append_value(line.at);
        let [alarm, dimensions, before, after, points, rule, reason] = &mut self.texts;
        alarm.append_value(&self.alarm);
        dimensions.append_value(line.dimensions);
        before.append_value(line.before.as_str());
        after.append_value(line.after.as_str());
        self.changed.append_value(line.before != line.after);
        self.value.append_option(line.value);
        self.breaching.append_option(line.breaching.map(|breaching| breaching as i64));
        points.append_option(line.points);
        rule.append_value(&self.rule);
        reason.append_value(line.reason);
        self.rows += 1;
        if self.rows >= BATCH_ROWS { self.flush(clock, out) } else { Ok(()) }
    }

    /// Hands on what has come together.
    pub(super) fn flush(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        self.rows = 0;
        let [alarm, dimensions, before, after, points, rule, reason] = &mut self.texts;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.at.finish()),
            Arc::new(alarm.finish()),
            Arc::new(dimensions.finish()),
            Arc::new(before.finish()),
            Arc::new(after.finish()),
            Arc::new(self.changed.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.breaching.finish()),
            Arc::new(points.finish()),
            Arc::new(rule.finish()),
            Arc::new(reason.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        out.emit(Rows { batch, weights: None, clocks: Clocks::Uniform(clock) });
        Ok(())
    }
}
