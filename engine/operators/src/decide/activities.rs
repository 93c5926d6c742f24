//! What scaling groups decide, and what is told to them of what came of it: the columns of two streams.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_decide::scaling::{Decision, Outcome};

use crate::error::Result;

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The columns of `system.scaling_activities`: one row for each policy or scheduled action that wanted something.
pub fn scaling_activities_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // When it was decided, in event time.
        Field::new("at", utc(), false),
        Field::new("group", DataType::Utf8, false),
        // The policy or scheduled action.
        Field::new("by", DataType::Utf8, false),
        // The newest point of the policy's metric.
        Field::new("metric", DataType::Float64, true),
        // The desired capacity before, what was asked for, and the desired capacity after.
        Field::new("before", DataType::Int64, false),
        Field::new("wanted", DataType::Int64, true),
        Field::new("after", DataType::Int64, false),
        // Whether the group changes its size, and the number of that activity.
        Field::new("scaled", DataType::Boolean, false),
        Field::new("activity", DataType::Int64, true),
        // Why, or why not.
        Field::new("reason", DataType::Utf8, false),
        // The bounds after the decision.
        Field::new("min", DataType::Int64, false),
        Field::new("max", DataType::Int64, false),
    ]))
}

/// A decision, why the policy does what it does, and the bounds after it.
pub(super) struct Decided {
    pub(super) decision: Decision,
    pub(super) rule: String,
    pub(super) bounds: (i64, i64),
}

/// Decisions as rows.
pub(super) fn activities(group: &str, all: &[Decided]) -> Result<RecordBatch> {
    let each = || all.iter().map(|decided| &decided.decision);
    let activity = |decision: &Decision| match decision.outcome {
        Outcome::Scaled(activity) => Some(activity as i64),
        _ => None,
    };
    let reason = |decided: &Decided| match &decided.decision.outcome {
        Outcome::Scaled(_) => decided.rule.clone(),
        other => format!("{}: {other}", decided.rule),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            TimestampNanosecondArray::from_iter_values(each().map(|decision| decision.at.0))
                .with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter_values(each().map(|_| group))),
        Arc::new(StringArray::from_iter_values(each().map(|decision| &decision.by))),
        Arc::new(each().map(|decision| decision.metric).collect::<Float64Array>()),
        Arc::new(Int64Array::from_iter_values(each().map(|decision| decision.before))),
        Arc::new(each().map(|decision| decision.wanted).collect::<Int64Array>()),
        Arc::new(Int64Array::from_iter_values(each().map(|decision| decision.after))),
        Arc::new(each().map(|decision| Some(activity(decision).is_some())).collect::<BooleanArray>()),
        Arc::new(each().map(activity).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values(all.iter().map(reason))),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|decided| decided.bounds.0))),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|decided| decided.bounds.1))),
    ];
    Ok(RecordBatch::try_new(scaling_activities_schema(), columns)?)
}

/// The columns of `system.scaling_progress`: what came of activities.
pub fn scaling_progress_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // When the last instance had been launched or stopped.
        Field::new("at", utc(), false),
        Field::new("group", DataType::Utf8, false),
        Field::new("activity", DataType::Int64, false),
        Field::new("succeeded", DataType::Boolean, false),
        // What the actuator said.
        Field::new("detail", DataType::Utf8, true),
    ]))
}
