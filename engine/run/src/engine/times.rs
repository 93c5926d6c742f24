//! Event time that is computed from a row's columns, told to who takes rows in: it is judged there as one that is a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::error::ArrowError;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use headwater_core::EventTime;
use headwater_ingest::EventTimes;
use headwater_plan::{Catalog, METADATA_COLUMNS, StreamDef};

use super::state::Inner;
use crate::error::Result;

/// The metadata column of arrivals.
const ARRIVAL: &str = METADATA_COLUMNS[2];

struct ComputedTime {
    column: String,
    /// Over the columns of the stream and, behind them, the time of arrival.
    expr: Arc<dyn PhysicalExpr>,
    is_by_arrival: bool,
}

impl ComputedTime {
    fn new(column: String, expr: Arc<dyn PhysicalExpr>) -> Self {
        let is_by_arrival = collect_columns(&expr).iter().any(|column| column.name() == ARRIVAL);
        Self { column, expr, is_by_arrival }
    }
}

impl EventTimes for ComputedTime {
    fn column(&self) -> &str {
        &self.column
    }

    fn times(&self, rows: &RecordBatch, now: EventTime) -> std::result::Result<ArrayRef, String> {
        let arrived;
        let rows = match self.is_by_arrival {
            true => {
                arrived = with_arrivals(rows, now).map_err(|error| error.to_string())?;
                &arrived
            }
            false => rows,
        };
        let times = self.expr.evaluate(rows).and_then(|times| times.into_array(rows.num_rows()));
        times.map_err(|error| error.strip_backtrace())
    }
}

/// The rows, each with the same time of arrival behind its columns.
fn with_arrivals(rows: &RecordBatch, now: EventTime) -> std::result::Result<RecordBatch, ArrowError> {
    let arrivals = TimestampNanosecondArray::from_value(now.0, rows.num_rows()).with_timezone("UTC");
    let columns = rows.columns().iter().cloned().chain([Arc::new(arrivals) as ArrayRef]).collect();
    let field = Field::new(ARRIVAL, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false);
    let fields = rows.schema_ref().fields().iter().cloned().chain([Arc::new(field)]);
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)
}

impl Inner {
    /// Tells what computes the event time of a stream's rows, or that it is a column.
    pub fn tell_time(self: &Arc<Self>, catalog: &Catalog, stream: &StreamDef) -> Result<()> {
        let column = stream.watermark.as_ref().map(|watermark| watermark.column.clone());
        let expr = self.planner.computed_time(catalog, &self.tables(), stream)?;
        let times = column.zip(expr).map(|(column, expr)| {
            let times: Arc<dyn EventTimes> = Arc::new(ComputedTime::new(column, expr));
            times
        });
        self.ingest.tell_time(&stream.name, times);
        Ok(())
    }
}
