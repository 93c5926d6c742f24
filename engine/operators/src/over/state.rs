//! An OVER's state in snapshots.
//!
//! Tables: `watermark`: one row, `$watermark`; `rows`: `$slot`, `$sequence`, `$position` (-1 while the row waits
//! for the watermark), `$peers`, `$dense`, then the input's columns; `partitions`: the key columns, `$told`,
//! `$dense`, the start and end of each frame, then the states of the aggregates over each. A row is named by its
//! slot and its number of arrival there.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use hashbrown::HashMap;

use super::operator::OverOperator;
use super::partitions::{Partition, Place, Stretch, WAITING};
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::held::names;
use crate::windows::{Times, check_schema, key_columns, push_entries, push_watermark, read_watermark, slots};

const ROWS: &str = "rows";
const PARTITIONS: &str = "partitions";

/// The columns of rows' places.
const NOTES: [&str; 3] = ["$position", "$peers", "$dense"];

/// The columns before a row's own.
const OWN: usize = 5;

/// While a snapshot is restored: rows by slot and number of arrival.
pub(super) type Restoring = HashMap<(u32, u64), u32>;

impl OverOperator {
    fn partitions_schema(&self) -> Result<SchemaRef> {
        let keys = self.what.partition.iter().map(|key| self.what.input.field(*key).clone());
        let mut fields: Vec<Field> = keys.collect();
        let number = |name: String| Field::new(name, DataType::Int64, false);
        fields.extend(["$told", "$dense"].map(|name| number(name.to_owned())));
        for frame in 0..self.what.frames.len() {
            fields.extend([format!("$start{frame}"), format!("$end{frame}")].map(number));
        }
        for (frame, aggregates) in self.aggregates.iter().enumerate() {
            for field in
                aggregates.iter().map(|one| one.set.state_fields()).collect::<Result<Vec<_>>>()?.concat()
            {
                let name = format!("{}_{frame}", field.name());
                fields.push(field.with_name(name));
            }
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let notes = |place: &Place| [place.position, place.peers_from, place.dense];
        self.store.write(ROWS, NOTES, notes, full, out)?;
        let changed = std::mem::take(&mut self.changed);
        changed.iter().for_each(|number| self.partitions[*number as usize].changed = false);
        let changed = if full { (0..self.partitions.len() as u32).collect() } else { changed };
        let (there, gone): (Vec<u32>, Vec<u32>) =
            changed.into_iter().partition(|number| self.partitions[*number as usize].told > 0);
        let gone: Vec<u32> = gone
            .into_iter()
            .filter(|number| std::mem::take(&mut self.partitions[*number as usize].saved))
            .collect();
        let schema = self.partitions_schema()?;
        if !gone.is_empty() && !full {
            let columns = self.keys.columns(&gone)?;
            let named = Arc::new(Schema::new(schema.fields()[..columns.len()].to_vec()));
            let slots = slots(&columns, gone.len())?;
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(gone.len()));
            let rows = RecordBatch::try_new_with_options(named, columns, &options)?;
            let table = PARTITIONS.to_owned();
            out.push(StateEntries { table, change: StateChange::Delete, rows, slots });
        }
        if there.is_empty() {
            return Ok(());
        }
        let mut columns = self.keys.columns(&there)?;
        let slots = slots(&columns, there.len())?;
        let each = |of: &dyn Fn(&Partition) -> i64| -> ArrayRef {
            let values = there.iter().map(|number| of(&self.partitions[*number as usize]));
            Arc::new(Int64Array::from_iter_values(values))
        };
        columns.push(each(&|partition| partition.told as i64));
        columns.push(each(&|partition| partition.dense));
        for frame in 0..self.what.frames.len() {
            columns.push(each(&|partition| partition.frames[frame].start as i64));
            columns.push(each(&|partition| partition.frames[frame].end as i64));
        }
        for aggregates in self.aggregates.iter_mut().flatten() {
            aggregates.set.resize(self.partitions.len());
            columns.extend(aggregates.set.state(&there)?);
        }
        there.iter().for_each(|number| self.partitions[*number as usize].saved = true);
        push_entries(PARTITIONS, RecordBatch::try_new(schema, columns)?, slots, out);
        Ok(())
    }

    pub(super) fn read_state(&mut self, entries: &StateEntries) -> Result<()> {
        match (entries.table.as_str(), entries.change) {
            ("watermark", _) => self.watermark = self.watermark.max(read_watermark(&entries.rows)),
            (ROWS, StateChange::Put) => return self.put_rows(&entries.rows),
            (ROWS, StateChange::Delete) => {
                let names = names(&entries.rows);
                for name in names {
                    if let Some(row) = self.restoring.get_or_insert_default().remove(&name) {
                        self.store.remove(row);
                    }
                }
            }
            (PARTITIONS, StateChange::Put) => return self.put_partitions(&entries.rows),
            (PARTITIONS, StateChange::Delete) => {
                let numbers = self.intern(entries.rows.columns(), entries.rows.num_rows())?;
                let frames = self.what.frames.len();
                for number in &numbers {
                    let frames = vec![Stretch::default(); frames];
                    self.partitions[*number as usize] = Partition { frames, ..Partition::default() };
                }
                for aggregates in self.aggregates.iter_mut().flatten() {
                    aggregates.set.resize(self.partitions.len());
                    aggregates.set.clear(&numbers);
                }
            }
            (other, _) => return Err(OperatorError::no_state_table(self.name, other)),
        }
        Ok(())
    }

    fn put_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.store.schema(&NOTES))?;
        let batch = RecordBatch::try_new(Arc::clone(&self.what.input), rows.columns()[OWN..].to_vec())?;
        let partitions = self.intern(&key_columns(&batch, &self.what.partition), batch.num_rows())?;
        let times = Times::new(batch.column(self.what.time), self.name)?;
        let names = names(rows);
        let each = names.iter().enumerate();
        let each = each.map(|(row, (slot, sequence))| (times.values[row], *slot, *sequence, partitions[row]));
        let added = self.store.add(batch, each.collect::<Vec<_>>().into_iter(), true);
        let own = [2, 3, 4].map(|column| rows.column(column).as_primitive::<Int64Type>().values());
        for (nth, (row, name)) in added.into_iter().zip(names).enumerate() {
            let [position, peers_from, dense] = [0, 1, 2].map(|column: usize| own[column][nth]);
            self.store.row_mut(row).note = Place { position, peers_from, dense };
            self.arrivals.pass(name.0, name.1);
            if let Some(before) = self.restoring.get_or_insert_default().insert(name, row) {
                self.store.remove(before);
            }
        }
        Ok(())
    }

    fn put_partitions(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.partitions_schema()?)?;
        // Partitions without rows have to be finished, too.
        self.restoring.get_or_insert_default();
        let width = self.what.partition.len();
        let numbers = self.intern(&rows.columns()[..width], rows.num_rows())?;
        let mut columns = rows.columns()[width..].iter();
        let mut next = || columns.next().map(|column| column.as_primitive::<Int64Type>().values().clone());
        let (told, dense) = (next(), next());
        for (row, number) in numbers.iter().enumerate() {
            let partition = &mut self.partitions[*number as usize];
            partition.told = told.as_ref().map_or(0, |told| told[row] as u64);
            partition.dense = dense.as_ref().map_or(0, |dense| dense[row]);
            partition.saved = true;
        }
        for frame in 0..self.what.frames.len() {
            let (starts, ends) = (next(), next());
            for (row, number) in numbers.iter().enumerate() {
                let value = |values: &Option<arrow::buffer::ScalarBuffer<i64>>| {
                    values.as_ref().map_or(0, |values| values[row] as u64)
                };
                let stretch = Stretch { start: value(&starts), end: value(&ends) };
                self.partitions[*number as usize].frames[frame] = stretch;
            }
        }
        let mut from = width + 2 + 2 * self.what.frames.len();
        for aggregates in self.aggregates.iter_mut().flatten() {
            let states = aggregates.set.state_fields()?.len();
            aggregates.set.resize(self.partitions.len());
            aggregates.set.clear(&numbers);
            aggregates.set.merge(&rows.columns()[from..from + states], &numbers)?;
            from += states;
        }
        Ok(())
    }

    /// Puts restored rows where they belong, once all are there.
    pub(super) fn finish_restore(&mut self) -> Result<()> {
        let Some(rows) = self.restoring.take() else { return Ok(()) };
        let mut rows: Vec<u32> = rows.into_values().collect();
        rows.sort_unstable_by_key(|row| {
            let row = self.store.row(*row);
            (row.key, row.note.position, row.time, row.sequence)
        });
        let (waiting, settled): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|row| self.store.row(*row).note.position == WAITING);
        self.wait(waiting.into_iter());
        let keyed: Vec<(u32, u32)> = settled.iter().map(|row| (self.store.row(*row).key, *row)).collect();
        for run in keyed.chunk_by(|a, b| a.0 == b.0) {
            let number = run[0].0;
            let run: Vec<u32> = run.iter().map(|(_, row)| *row).collect();
            let positions: Vec<u64> =
                run.iter().map(|row| self.store.row(*row).note.position as u64).collect();
            let partition = &mut self.partitions[number as usize];
            // The rows that follow each other without a gap up to the last; those before are the head. If not even
            // the last row that has come out is there, all are.
            let gap = match positions.last() {
                Some(last) if last + 1 < partition.told => run.len(),
                _ => (1..run.len()).rev().find(|nth| positions[nth - 1] + 1 != positions[*nth]).unwrap_or(0),
            };
            partition.head = run[..gap].to_vec();
            partition.rows = run[gap..].iter().copied().collect();
            partition.base = positions.get(gap).copied().unwrap_or(partition.told);
            let untold: Vec<i64> = run.iter().map(|row| self.store.row(*row).time).collect();
            untold.into_iter().for_each(|time| self.ripen_later(number, time));
        }
        for number in 0..self.partitions.len() as u32 {
            let partition = &mut self.partitions[number as usize];
            if partition.rows.is_empty() {
                partition.base = partition.told;
            }
            self.schedule(number);
        }
        self.store.forget_changes();
        Ok(())
    }
}
