//! Rows that are part of the query: a table with an end beside streams that have none.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_core::EventTime;
use headwater_core::hash::slot_of;
use headwater_core::size::bytes_of_rows;

use crate::api::{Changes, Operator, OperatorSpec, Output, Reach, Rows, Snapshot, StateEntries, StateSize};
use crate::error::Result;
use crate::windows::push_entries;

const TABLE: &str = "said";

/// Says its rows with the job's first step, each once. What comes in is not looked at: it is what the job's steps are told by.
#[derive(Debug)]
pub struct ValuesSpec {
    rows: RecordBatch,
}

impl ValuesSpec {
    /// These rows.
    pub fn new(rows: RecordBatch) -> Self {
        Self { rows }
    }
}

impl OperatorSpec for ValuesSpec {
    fn name(&self) -> &'static str {
        "Values"
    }

    fn describe(&self) -> String {
        let fields = self.rows.schema_ref().fields().iter();
        let names: Vec<_> = fields.map(|field| field.name().as_str()).collect();
        format!("{}, rows={}", names.join(", "), self.rows.num_rows())
    }

    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn reach(&self) -> Reach {
        Reach::History
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Values { rows: self.rows.clone(), said: false, saved: false }))
    }
}

struct Values {
    rows: RecordBatch,
    said: bool,
    /// Whether a snapshot knows that they have been said.
    saved: bool,
}

impl Operator for Values {
    fn on_batch(&mut self, _input: usize, _rows: Rows, _out: &mut Output) -> Result<()> {
        Ok(())
    }

    fn on_watermark(&mut self, _watermark: EventTime, out: &mut Output) -> Result<()> {
        if !std::mem::replace(&mut self.said, true) {
            out.emit(Rows::new(self.rows.clone()));
        }
        Ok(())
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        if self.said && (full || !self.saved) {
            let said: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
            let schema = Schema::new(vec![Field::new("$said", DataType::Boolean, false)]);
            let rows = RecordBatch::try_new(Arc::new(schema), vec![said])?;
            push_entries(TABLE, rows, vec![slot_of(0)], out);
            self.saved = true;
        }
        Ok(())
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        if entries.table == TABLE {
            (self.said, self.saved) = (true, true);
        }
        Ok(())
    }

    fn due(&self) -> Option<EventTime> {
        (!self.said).then_some(EventTime::MIN)
    }

    fn state_size(&self) -> StateSize {
        StateSize { entries: 0, bytes: bytes_of_rows(&self.rows) as u64 }
    }
}
