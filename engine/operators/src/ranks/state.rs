//! A top-N's state in snapshots.
//!
//! Tables: `watermark`: one row, `$watermark`; `rows`: the input's columns, `$weight` and, where lists are forgotten, `$at`, the watermark
//! behind the step in which the row came. A row is named by its columns: deletes hold them alone.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::operator::TopNOperator;
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::parts::{PART_BYTES, parts};
use crate::windows::{PART_ROWS, check_schema, push_entries, push_watermark, read_watermark};

const TABLE: &str = "rows";

impl TopNOperator {
    fn state_schema(&self) -> SchemaRef {
        let own = |name: &str| Arc::new(Field::new(name, DataType::Int64, false));
        let more = [own("$weight")].into_iter().chain(self.what.ttl.map(|_| own("$at")));
        let fields = self.what.input.fields().iter().cloned().chain(more);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn slots_of(&self, rows: &[u32]) -> Vec<u32> {
        rows.iter().map(|row| self.lists.entry(*row).slot).collect()
    }

    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let (gone, changed) = (self.lists.take_gone(), self.lists.take_dirty());
        if !gone.is_empty() && !full {
            let rows =
                RecordBatch::try_new(Arc::clone(&self.what.input), self.decode(gone.iter().copied())?)?;
            let entries = StateEntries {
                table: TABLE.to_owned(),
                change: StateChange::Delete,
                rows,
                slots: self.slots_of(&gone),
            };
            out.push(entries);
        }
        gone.into_iter().for_each(|row| self.lists.release(row));
        let put: Vec<u32> = if full {
            self.lists.rows().collect()
        } else {
            changed.into_iter().filter(|row| self.lists.entry(*row).weight != 0).collect()
        };
        let bytes = |row: &u32| self.lists.bytes(*row).len();
        let parts = parts(&put, PART_ROWS, PART_BYTES, bytes);
        parts.into_iter().try_for_each(|part| self.write_rows(&put[part], out))
    }

    fn write_rows(&mut self, put: &[u32], out: &mut Snapshot) -> Result<()> {
        let mut columns = self.decode(put.iter().copied())?;
        let weights = put.iter().map(|row| self.lists.entry(*row).weight);
        columns.push(Arc::new(Int64Array::from_iter_values(weights)));
        if self.what.ttl.is_some() {
            let at = put.iter().map(|row| self.lists.entry(*row).at);
            columns.push(Arc::new(Int64Array::from_iter_values(at)));
        }
        push_entries(TABLE, RecordBatch::try_new(self.state_schema(), columns)?, self.slots_of(put), out);
        put.iter().for_each(|row| self.lists.entry_mut(*row).saved = true);
        Ok(())
    }

    pub(super) fn read_state(&mut self, entries: &StateEntries) -> Result<()> {
        if entries.table == "watermark" {
            self.watermark = self.watermark.max(read_watermark(&entries.rows));
            return Ok(());
        }
        if entries.table != TABLE {
            return Err(OperatorError::no_state_table(self.name, &entries.table));
        }
        if entries.change == StateChange::Delete {
            let rows = RecordBatch::try_new(Arc::clone(&self.what.input), entries.rows.columns().to_vec())?;
            return self.remove(&rows);
        }
        check_schema(self.name, &entries.rows, &self.state_schema())?;
        let width = self.what.input.fields().len();
        let rows =
            RecordBatch::try_new(Arc::clone(&self.what.input), entries.rows.columns()[..width].to_vec())?;
        let own = |nth: usize| entries.rows.column(width + nth).as_primitive::<Int64Type>().values();
        self.put(&rows, own(0), self.what.ttl.map(|_| &own(1)[..]))
    }
}
