//! The state of a join with versions in snapshots.
//!
//! Tables: `watermark`: one row, `$watermark`; `left`, the rows that wait, and `right`, the versions: `$slot`, `$sequence`, then the side's
//! columns.

use std::sync::Arc;

use arrow::array::RecordBatch;
use hashbrown::HashMap;

use super::operator::TemporalOperator;
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::held::names;
use crate::windows::{Times, check_schema, key_columns, push_watermark, read_watermark};

const TABLES: [&str; 2] = ["left", "right"];

/// The columns before a side's own.
const OWN: usize = 2;

/// While a snapshot is restored: rows by slot and number of arrival.
pub(super) type Restoring = HashMap<(u32, u64), u32>;

impl TemporalOperator {
    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        for (side, table) in self.sides.iter_mut().zip(TABLES) {
            side.write(table, [], |()| [], full, out)?;
        }
        Ok(())
    }

    pub(super) fn read_state(&mut self, entries: &StateEntries) -> Result<()> {
        if entries.table == "watermark" {
            self.watermark = self.watermark.max(read_watermark(&entries.rows));
            return Ok(());
        }
        let Some(side) = TABLES.iter().position(|table| *table == entries.table) else {
            return Err(OperatorError::no_state_table(self.name, &entries.table));
        };
        if entries.change == StateChange::Put {
            return self.put(side, &entries.rows);
        }
        for name in names(&entries.rows) {
            if let Some(row) = self.restoring.get_or_insert_default()[side].remove(&name) {
                self.sides[side].remove(row);
            }
        }
        Ok(())
    }

    fn put(&mut self, side: usize, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.sides[side].schema(&[]))?;
        let input = if side == 0 { &self.what.left } else { &self.what.right };
        let (schema, columns, time) = (Arc::clone(&input.schema), input.keys.clone(), input.time);
        let batch = RecordBatch::try_new(schema, rows.columns()[OWN..].to_vec())?;
        let keys = self.intern(&key_columns(&batch, &columns), batch.num_rows())?;
        let times = Times::new(batch.column(time), self.name)?;
        let names = names(rows);
        let each = names.iter().enumerate();
        let each = each.map(|(row, (slot, sequence))| (times.values[row], *slot, *sequence, keys[row]));
        let added = self.sides[side].add(batch, each, true);
        for (row, name) in added.into_iter().zip(names) {
            self.arrivals[side].pass(name.0, name.1);
            if let Some(before) = self.restoring.get_or_insert_default()[side].insert(name, row) {
                self.sides[side].remove(before);
            }
        }
        Ok(())
    }

    /// Puts restored rows where they belong, once all are there.
    pub(super) fn finish_restore(&mut self) -> Result<()> {
        let Some(restored) = self.restoring.take() else { return Ok(()) };
        for (side, rows) in restored.into_iter().enumerate() {
            let mut rows: Vec<u32> = rows.into_values().collect();
            rows.sort_unstable_by_key(|row| {
                let row = self.sides[side].row(*row);
                (row.time, row.slot, row.sequence)
            });
            self.take_in(side, &rows)?;
            self.sides[side].forget_changes();
        }
        Ok(())
    }
}
