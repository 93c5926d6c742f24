//! The state of windows of ordered rows in snapshots.
//!
//! Tables: `watermark`: one row, `$watermark`; `rows`: `$slot`, `$sequence`, `$position` (-1 while the row waits for the watermark),
//! `$begins`, `$emits`, then the input's columns; `partitions`: the key columns, `$count`, `$windows`; where the rows of windows are not
//! kept
//! `slices`: the key columns, `$nth`, `$start`, states. A row is named by its slot and its number of arrival there; which slices there are
//! follows from the count.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use hashbrown::HashMap;

use super::operator::{OrderedOperator, Partition, Place, WAITING};
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::held::names;
use crate::windows::{
    PART_ROWS, Times, check_schema, key_columns, push_entries, push_watermark, read_watermark, slots,
};

const ROWS: &str = "rows";
const PARTITIONS: &str = "partitions";
const SLICES: &str = "slices";

const NOTES: [&str; 3] = ["$position", "$begins", "$emits"];

/// The columns before a row's own.
const OWN: usize = 5;

/// While a snapshot is restored: rows by slot and number of arrival.
pub(super) type Restoring = HashMap<(u32, u64), u32>;

impl OrderedOperator {
    fn partitions_schema(&self) -> SchemaRef {
        let keys = self.what.partition.iter().map(|key| self.what.input.field(*key).clone());
        let numbers = ["$count", "$windows"].map(|name| Field::new(name, DataType::Int64, false));
        Arc::new(Schema::new(keys.chain(numbers).collect::<Vec<_>>()))
    }

    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let notes = |place: &Place| [place.position, i64::from(place.begins), i64::from(place.emits)];
        self.store.write(ROWS, NOTES, notes, full, out)?;
        let changed = std::mem::take(&mut self.changed);
        changed.iter().for_each(|number| self.partitions[*number as usize].changed = false);
        let changed: Vec<u32> = if full { (0..self.partitions.len() as u32).collect() } else { changed };
        let mut columns = self.keys.columns(&changed)?;
        let slots = slots(&columns, changed.len())?;
        let each = |of: fn(&Partition) -> i64| -> ArrayRef {
            let values = changed.iter().map(|number| of(&self.partitions[*number as usize]));
            Arc::new(Int64Array::from_iter_values(values))
        };
        columns.push(each(|partition| partition.count));
        columns.push(each(|partition| partition.windows));
        push_entries(PARTITIONS, RecordBatch::try_new(self.partitions_schema(), columns)?, slots, out);
        self.write_slices(&changed, out)
    }

    fn key_fields(&self) -> Vec<Field> {
        self.what.partition.iter().map(|key| self.what.input.field(*key).clone()).collect()
    }

    fn write_slices(&mut self, changed: &[u32], out: &mut Snapshot) -> Result<()> {
        let fields = self.key_fields();
        let Some(sums) = &mut self.sums else { return Ok(()) };
        for part in changed.chunks(PART_ROWS) {
            let (keys, own) = sums.written(part)?;
            let mut columns = self.keys.columns(&keys)?;
            let slots = slots(&columns, keys.len())?;
            columns.extend(own);
            push_entries(SLICES, RecordBatch::try_new(sums.schema(&fields)?, columns)?, slots, out);
        }
        Ok(())
    }

    fn put_slices(&mut self, rows: &RecordBatch) -> Result<()> {
        let (fields, width) = (self.key_fields(), self.what.partition.len());
        let keys = self.intern(&rows.columns()[..width], rows.num_rows())?;
        let Some(sums) = &mut self.sums else {
            return Err(OperatorError::bad_checkpoint(self.name, "the rows of its windows are kept"));
        };
        check_schema(self.name, rows, &sums.schema(&fields)?)?;
        sums.put(&keys, &rows.columns()[width..])?;
        self.restoring.get_or_insert_default();
        Ok(())
    }

    pub(super) fn read_state(&mut self, entries: &StateEntries) -> Result<()> {
        match (entries.table.as_str(), entries.change) {
            ("watermark", _) => self.watermark = self.watermark.max(read_watermark(&entries.rows)),
            (ROWS, StateChange::Put) => return self.put_rows(&entries.rows),
            (ROWS, StateChange::Delete) => {
                for name in names(&entries.rows) {
                    if let Some(row) = self.restoring.get_or_insert_default().remove(&name) {
                        self.store.remove(row);
                    }
                }
            }
            (PARTITIONS, StateChange::Put) => return self.put_partitions(&entries.rows),
            (SLICES, StateChange::Put) => return self.put_slices(&entries.rows),
            (other, _) => return Err(OperatorError::no_state_table(self.name, other)),
        }
        Ok(())
    }

    fn put_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.store.schema(&NOTES))?;
        let batch = RecordBatch::try_new(Arc::clone(&self.what.input), rows.columns()[OWN..].to_vec())?;
        let keys = self.intern(&key_columns(&batch, &self.what.partition), batch.num_rows())?;
        let times = Times::new(batch.column(self.what.time), self.name)?;
        let names = names(rows);
        let each = names.iter().enumerate();
        let each = each.map(|(row, (slot, sequence))| (times.values[row], *slot, *sequence, keys[row]));
        let added = self.store.add(batch, each, true);
        let notes = [2, 3, 4].map(|column| rows.column(column).as_primitive::<Int64Type>().values());
        for (nth, (row, name)) in added.into_iter().zip(names).enumerate() {
            let [position, begins, emits] = [0, 1, 2].map(|column: usize| notes[column][nth]);
            self.store.row_mut(row).note = Place { position, begins: begins != 0, emits: emits != 0 };
            self.arrivals.pass(name.0, name.1);
            if let Some(before) = self.restoring.get_or_insert_default().insert(name, row) {
                self.store.remove(before);
            }
        }
        Ok(())
    }

    fn put_partitions(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.partitions_schema())?;
        let width = self.what.partition.len();
        let numbers = self.intern(&rows.columns()[..width], rows.num_rows())?;
        let [counts, windows] =
            [width, width + 1].map(|column| rows.column(column).as_primitive::<Int64Type>().values());
        for (row, number) in numbers.iter().enumerate() {
            let partition = &mut self.partitions[*number as usize];
            (partition.count, partition.windows) = (counts[row], windows[row]);
        }
        Ok(())
    }

    /// Puts restored rows where they belong, once all are there.
    pub(super) fn finish_restore(&mut self) {
        let Some(rows) = self.restoring.take() else { return };
        let mut rows: Vec<u32> = rows.into_values().collect();
        rows.sort_unstable_by_key(|row| (self.store.row(*row).key, self.store.row(*row).note.position));
        let (waiting, settled): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|row| self.store.row(*row).note.position == WAITING);
        self.wait(waiting.into_iter());
        for row in settled {
            self.partitions[self.store.row(row).key as usize].rows.push_back(row);
        }
        if let Some(sums) = &mut self.sums {
            sums.finish_restore(self.partitions.iter().map(|partition| partition.count));
        }
        self.store.forget_changes();
    }
}
