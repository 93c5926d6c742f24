//! Event time that is computed from a row's columns, told to who takes rows in: it is judged there as one that is a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::physical_expr::PhysicalExpr;
use headwater_ingest::EventTimes;
use headwater_plan::{Catalog, StreamDef};

use super::state::Inner;
use crate::error::Result;

struct ComputedTime {
    column: String,
    expr: Arc<dyn PhysicalExpr>,
}

impl EventTimes for ComputedTime {
    fn column(&self) -> &str {
        &self.column
    }

    fn times(&self, rows: &RecordBatch) -> std::result::Result<ArrayRef, String> {
        let times = self.expr.evaluate(rows).and_then(|times| times.into_array(rows.num_rows()));
        times.map_err(|error| error.strip_backtrace())
    }
}

impl Inner {
    /// Tells what computes the event time of a stream's rows, or that it is a column.
    pub fn tell_time(self: &Arc<Self>, catalog: &Catalog, stream: &StreamDef) -> Result<()> {
        let column = stream.watermark.as_ref().map(|watermark| watermark.column.clone());
        let expr = self.planner.computed_time(catalog, &self.tables(), stream)?;
        let times = column.zip(expr).map(|(column, expr)| {
            let times: Arc<dyn EventTimes> = Arc::new(ComputedTime { column, expr });
            times
        });
        self.ingest.tell_time(&stream.name, times);
        Ok(())
    }
}
