//! `EMIT EVERY`: what a query says is said at intervals.

use std::sync::Arc;

use datafusion::common::Result;
use headwater_operators::{Changes, EmitEvery, EmitEverySpec, OperatorSpec};

use super::flow::{Flow, Time, external};
use super::lower::Lower;
use crate::error::{Mistake, SqlError, refused};

impl Lower<'_> {
    /// Keeps the changes of a result until event time comes to a multiple of the interval.
    pub(super) fn emit_every(&mut self, mut flow: Flow, interval: i64) -> Result<Flow> {
        self.check_timed("the interval of EMIT EVERY")?;
        let keys = match &flow.changes {
            Changes::AppendOnly => {
                let message =
                    "EMIT EVERY is for rows that change, and those of this query are only ever added";
                return Err(refused(
                    SqlError::new(Mistake::NotStreaming, message)
                        .hint("leave EMIT EVERY out: each row comes out once, when it is final"),
                ));
            }
            Changes::Updating { key } => key.clone(),
            Changes::Retracting => (0..flow.schema.fields().len()).collect(),
        };
        // The interval is one of the watermark's own.
        flow.time = Time::default();
        let what = EmitEvery {
            input: Arc::clone(&flow.schema),
            changes: flow.changes.clone(),
            keys: keys.clone(),
            interval,
        };
        let operator: Arc<dyn OperatorSpec> = Arc::new(EmitEverySpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let input = self.exchange(flow, keys, operator);
        Ok(Flow::new(vec![input], schema, changes, Time::default()))
    }
}
