//! What people tell an alarm or a scaling group to do: a row that goes in with those of its first input. It is in the job's journal, so
//! that it is told again, at the same place, whenever the step is done again.
//!
//! | column | |
//! |---|---|
//! | at | when it was said, by the clock |
//! | dimensions, metric | which of an alarm's metrics, twice: the one or the other is where points and histories have it |
//! | order | as JSON |

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};
use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use headwater_decide::scaling::Resize;
use serde::{Deserialize, Serialize};

use super::former::Former;
use crate::error::{OperatorError, Result};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// An alarm's state is this until it is evaluated again.
    SetState {
        /// Which of its metrics, such as `host=a`.
        dimensions: String,
        /// The state.
        state: AlarmState,
        /// Why.
        reason: String,
    },
    /// A scaling group has other bounds, or another size.
    Resize(Resize),
    /// Another definition takes the place of the one that had come to this, and goes on from it.
    GoOn(Former),
}

/// An order, and when it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When, by the clock.
    pub at: EventTime,
    /// What is to be done.
    pub order: Order,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("dimensions", DataType::Utf8, false),
        Field::new("metric", DataType::Utf8, false),
        Field::new("order", DataType::Utf8, false),
    ]))
}

impl Told {
    /// As a row.
    pub fn row(&self) -> Result<RecordBatch> {
        let dimensions = match &self.order {
            Order::SetState { dimensions, .. } => dimensions.as_str(),
            Order::GoOn(Former::Alarm(former)) => former.dimensions.as_str(),
            Order::Resize(_) | Order::GoOn(Former::Group(_)) => "",
        };
        let order = serde_json::to_string(&self.order)
            .map_err(|error| OperatorError::bad_checkpoint("order", error.to_string()))?;
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let at = TimestampNanosecondArray::from(vec![self.at.0]).with_timezone("UTC");
        let columns = vec![Arc::new(at) as ArrayRef, text(dimensions), text(dimensions), text(&order)];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }

    /// The order that a batch is, if it is one.
    pub(super) fn of(batch: &RecordBatch) -> Result<Option<Self>> {
        let names = || batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        if !names().eq(["at", "dimensions", "metric", "order"]) || batch.num_rows() != 1 {
            return Ok(None);
        }
        let at = batch.column(0).as_primitive::<TimestampNanosecondType>().value(0);
        let order = serde_json::from_str(batch.column(3).as_string::<i32>().value(0))
            .map_err(|error| OperatorError::bad_checkpoint("order", error.to_string()))?;
        Ok(Some(Self { at: EventTime(at), order }))
    }

    /// The event time at which it takes effect: where the watermark is, if there is one.
    pub(super) fn effective(&self, watermark: i64) -> i64 {
        let has_time = watermark != EventTime::MIN.0 && watermark != EventTime::MAX.0;
        if has_time { watermark } else { self.at.0 }
    }
}
