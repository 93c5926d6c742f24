//! A join's state in snapshots.
//!
//! Tables: `watermark`: one row, `$watermark`; `left` and `right`: `$slot`, `$sequence`, `$weight`, `$matches`, where rows are forgotten
//! `$at`, the watermark behind the step that last changed the row, then the side's columns.
//! An entry is named by slot and sequence number: a slot belongs to one instance at a time, and each instance goes on behind the
//! greatest number that it was given.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type, UInt64Type};

use super::operator::JoinOperator;
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::parts::{PART_BYTES, parts};
use crate::windows::{PART_ROWS, check_schema, key_columns, push_entries, push_watermark, read_watermark};

const TABLES: [&str; 2] = ["left", "right"];

impl JoinOperator {
    /// How many columns there are before a side's own.
    fn own(&self) -> usize {
        4 + usize::from(self.what.forgets())
    }

    fn state_schema(&self, side: usize) -> SchemaRef {
        let own = [("$slot", DataType::UInt32), ("$sequence", DataType::UInt64)]
            .into_iter()
            .chain([("$weight", DataType::Int64), ("$matches", DataType::Int64)])
            .chain(self.what.forgets().then_some(("$at", DataType::Int64)))
            .map(|(name, kind)| Arc::new(Field::new(name, kind, false)));
        let fields = self.what.input(side).schema.fields().iter().cloned();
        Arc::new(Schema::new(own.chain(fields).collect::<Vec<_>>()))
    }

    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restore();
        push_watermark(self.watermark, out)?;
        for (side, table) in TABLES.into_iter().enumerate() {
            let schema = self.state_schema(side);
            let store = &mut self.sides[side];
            let (changed, gone) = store.take_changes();
            if !gone.is_empty() && !full {
                let (slots, sequences): (Vec<u32>, Vec<u64>) = gone.into_iter().unzip();
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(UInt32Array::from(slots.clone())), Arc::new(UInt64Array::from(sequences))];
                let named = Arc::new(Schema::new(schema.fields()[..2].to_vec()));
                out.push(StateEntries {
                    table: table.to_owned(),
                    change: StateChange::Delete,
                    rows: RecordBatch::try_new(named, columns)?,
                    slots,
                });
            }
            let put: Vec<u32> = if full { store.rows().collect() } else { changed };
            let bytes = |row: &u32| self.sides[side].bytes(*row).len();
            for part in parts(&put, PART_ROWS, PART_BYTES, bytes) {
                self.write_rows(side, &put[part], &schema, out)?;
            }
        }
        Ok(())
    }

    fn write_rows(&mut self, side: usize, put: &[u32], schema: &SchemaRef, out: &mut Snapshot) -> Result<()> {
        let store = &mut self.sides[side];
        let slots: Vec<u32> = put.iter().map(|row| store.entry(*row).slot).collect();
        let each = |of: &dyn Fn(u32) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(put.iter().map(|row| of(*row))))
        };
        let sequences = put.iter().map(|row| store.entry(*row).sequence);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(slots.clone())),
            Arc::new(UInt64Array::from_iter_values(sequences)),
            each(&|row| store.entry(row).weight),
            each(&|row| store.matches(row)),
        ];
        if self.what.forgets() {
            columns.push(each(&|row| store.date(row)));
        }
        columns.extend(store.columns(put.iter().copied())?);
        push_entries(TABLES[side], RecordBatch::try_new(Arc::clone(schema), columns)?, slots, out);
        put.iter().for_each(|row| store.entry_mut(*row).saved = true);
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
        let mut known = self.restoring.take().unwrap_or_default();
        let named = |column: usize| entries.rows.column(column);
        let slots = named(0).as_primitive::<UInt32Type>().values();
        let sequences = named(1).as_primitive::<UInt64Type>().values();
        if entries.change == StateChange::Delete {
            for name in slots.iter().copied().zip(sequences.iter().copied()) {
                if let Some(row) = known[side].remove(&name) {
                    self.forget(side, row);
                }
            }
            self.restoring = Some(known);
            return Ok(());
        }
        check_schema(self.name, &entries.rows, &self.state_schema(side))?;
        let weights = named(2).as_primitive::<Int64Type>().values();
        let matches = named(3).as_primitive::<Int64Type>().values();
        let at = self.what.forgets().then(|| named(4).as_primitive::<Int64Type>().values());
        let columns = self.sides[side].batch_columns(&entries.rows, self.own()).to_vec();
        let rows = Arc::clone(&self.what.input(side).schema);
        // A side that only says how many rows there are has no columns.
        let options = RecordBatchOptions::new().with_row_count(Some(entries.rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(rows, columns, &options)?;
        let keys = self.intern(&key_columns(&rows, &self.what.input(side).keys), rows.num_rows())?;
        let encoded = self.sides[side].encode(&rows)?;
        for (nth, key) in keys.into_iter().enumerate() {
            let name = (slots[nth], sequences[nth]);
            let store = &mut self.sides[side];
            let row = *known[side].entry(name).or_insert_with(|| {
                let bytes = encoded.get(nth);
                let hash = store.hash(bytes);
                store.push(key, name.0, bytes, hash, name.1)
            });
            store.next_sequence = store.next_sequence.max(name.1 + 1);
            store.totals[key as usize] += weights[nth] - store.entry(row).weight;
            let entry = store.entry_mut(row);
            (entry.weight, entry.saved) = (weights[nth], true);
            store.set_matches(row, matches[nth]);
            if let Some(at) = at {
                store.set_date(row, at[nth]);
            }
        }
        self.restoring = Some(known);
        Ok(())
    }

    fn forget(&mut self, side: usize, row: u32) {
        let store = &mut self.sides[side];
        let entry = store.entry_mut(row);
        entry.saved = false;
        let (key, weight) = (entry.key, entry.weight);
        store.totals[key as usize] -= weight;
        store.remove(row);
    }

    /// After the last part of a snapshot: puts the rows in order, and notes when they end.
    pub(super) fn finish_restore(&mut self) {
        let Some(known) = self.restoring.take() else { return };
        for (side, known) in known.into_iter().enumerate() {
            self.sides[side].sort_lists();
            if let Some(lasting) = &mut self.lasting {
                known.values().for_each(|row| lasting.restore(side, *row, &self.sides[side]));
            }
            let Some(time) = self.what.input(side).time else { continue };
            let mut rows: Vec<u32> = known.into_values().collect();
            rows.sort_unstable();
            let times = self.sides[side].some_columns(&[time.column], rows.iter().copied());
            let scheduled =
                times.and_then(|columns| self.schedule_rows(side, &columns[0], rows.iter().copied()));
            scheduled.expect("rows that could be restored have times");
        }
    }
}
