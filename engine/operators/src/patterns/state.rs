//! A pattern match's state in snapshots.
//!
//! Tables, in this order:
//! - `watermark`: one row, `$watermark`.
//! - `rows`: the input's columns and `$sequence`, which with the keys names a row: deletes hold keys and `$sequence` alone.
//! - `partitions`: keys, `$start` (the sequence of the row that the attempt starts with, -1 if it is still to come), `$arrived`,
//!   `$matches`. Deletes hold the keys alone.
//!
//! What an attempt has found so far is not written: it runs again from its start, over the same rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use hashbrown::HashMap;

use super::buffer::Place;
use super::operator::MatchOperator;
use super::partition::Row;
use super::spec::NAME;
use super::waiting::Waiting;
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::windows::{Times, check_schema, key_columns, push_entries, push_watermark, read_watermark};

/// No row has come that the attempt could start with.
const NO_ROW: i64 = -1;

/// What has been read of a snapshot and not been put together.
#[derive(Default)]
pub(super) struct Restored {
    batches: Vec<RecordBatch>,
    /// By partition and sequence: the batch and the row.
    rows: HashMap<(u32, i64), (u32, u32)>,
    /// By partition: the sequence of the start.
    starts: HashMap<u32, i64>,
    touched: bool,
}

impl Restored {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

impl MatchOperator {
    fn key_fields(&self) -> Vec<Field> {
        self.what.keys.iter().map(|key| self.what.input.field(*key).clone().with_nullable(true)).collect()
    }

    fn with_numbers(fields: Vec<Field>, numbers: &[&str]) -> SchemaRef {
        let numbers = numbers.iter().map(|name| Field::new(*name, DataType::Int64, false));
        Arc::new(Schema::new(fields.into_iter().chain(numbers).collect::<Vec<_>>()))
    }

    fn rows_schema(&self) -> SchemaRef {
        let own = self.what.input.fields().iter().map(|field| field.as_ref().clone());
        Self::with_numbers(own.collect(), &["$sequence"])
    }

    fn partitions_schema(&self) -> SchemaRef {
        Self::with_numbers(self.key_fields(), &["$start", "$arrived", "$matches"])
    }

    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let mut changed = std::mem::take(&mut self.dirty);
        changed.iter().for_each(|number| self.partitions[*number as usize].dirty = false);
        if full {
            changed = (0..self.partitions.len() as u32).collect();
        }
        self.write_gone(full, out)?;
        self.write_rows(full, &changed, out)?;
        self.write_partitions(full, &changed, out)
    }

    fn write_gone(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        let gone = std::mem::take(&mut self.gone);
        for (number, _) in &gone {
            self.partitions[*number as usize].leaving = 0;
        }
        if gone.is_empty() || full {
            return Ok(());
        }
        let numbers: Vec<u32> = gone.iter().map(|(number, _)| *number).collect();
        let mut columns = self.keys.columns(&numbers)?;
        columns.push(Arc::new(Int64Array::from_iter_values(gone.iter().map(|(_, sequence)| *sequence))));
        let schema = Self::with_numbers(self.key_fields(), &["$sequence"]);
        out.push(StateEntries {
            table: "rows".to_owned(),
            change: StateChange::Delete,
            rows: RecordBatch::try_new(schema, columns)?,
            slots: self.slots_of(&numbers),
        });
        Ok(())
    }

    fn slots_of(&self, numbers: &[u32]) -> Vec<u32> {
        numbers.iter().map(|number| self.partitions[*number as usize].slot).collect()
    }

    fn write_rows(&mut self, full: bool, changed: &[u32], out: &mut Snapshot) -> Result<()> {
        let (mut numbers, mut places, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        let mut put = |number: u32, place: Place, sequence: i64| {
            numbers.push(number);
            places.push(Some(place));
            sequences.push(sequence);
        };
        for number in changed {
            for row in &mut self.partitions[*number as usize].rows {
                if !std::mem::replace(&mut row.saved, true) || full {
                    put(*number, row.place, row.sequence);
                }
            }
        }
        for row in self.waiting.iter_mut() {
            if !std::mem::replace(&mut row.saved, true) || full {
                put(row.partition, row.place, row.sequence);
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let own =
            (0..self.what.input.fields().len()).map(|column| self.buffer.gather_column(column, &places));
        let mut columns = own.collect::<Result<Vec<ArrayRef>>>()?;
        columns.push(Arc::new(Int64Array::from(sequences)));
        let slots = self.slots_of(&numbers);
        push_entries("rows", RecordBatch::try_new(self.rows_schema(), columns)?, slots, out);
        Ok(())
    }

    fn write_partitions(&mut self, full: bool, changed: &[u32], out: &mut Snapshot) -> Result<()> {
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for number in changed {
            let partition = &mut self.partitions[*number as usize];
            let counts = self.counts && partition.matches > 0;
            if !partition.rows.is_empty() || partition.waiting > 0 || counts {
                partition.saved = true;
                kept.push(*number);
            } else if std::mem::take(&mut partition.saved) {
                gone.push(*number);
            }
        }
        if !gone.is_empty() && !full {
            let schema = Arc::new(Schema::new(self.key_fields()));
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(gone.len()));
            out.push(StateEntries {
                table: "partitions".to_owned(),
                change: StateChange::Delete,
                rows: RecordBatch::try_new_with_options(schema, self.keys.columns(&gone)?, &options)?,
                slots: self.slots_of(&gone),
            });
        }
        let each = || kept.iter().map(|number| &self.partitions[*number as usize]);
        let starts = each().map(|partition| {
            if partition.start < partition.end() { partition.row(partition.start).sequence } else { NO_ROW }
        });
        let mut columns = self.keys.columns(&kept)?;
        columns.push(Arc::new(Int64Array::from_iter_values(starts)));
        columns.push(Arc::new(Int64Array::from_iter_values(each().map(|partition| partition.arrived))));
        columns.push(Arc::new(Int64Array::from_iter_values(each().map(|partition| partition.matches))));
        let rows = RecordBatch::try_new(self.partitions_schema(), columns)?;
        let slots = self.slots_of(&kept);
        push_entries("partitions", rows, slots, out);
        Ok(())
    }

    pub(super) fn read_state(&mut self, entries: &StateEntries) -> Result<()> {
        self.restored.touched = true;
        match (entries.table.as_str(), entries.change) {
            ("watermark", _) => {
                self.watermark = self.watermark.max(read_watermark(&entries.rows));
                Ok(())
            }
            ("rows", change) => self.read_rows(&entries.rows, change),
            ("partitions", change) => self.read_partitions(&entries.rows, change),
            (other, _) => Err(OperatorError::no_state_table(NAME, other)),
        }
    }

    fn read_rows(&mut self, rows: &RecordBatch, change: StateChange) -> Result<()> {
        let last = rows.num_columns().saturating_sub(1);
        if change == StateChange::Delete {
            check_schema(NAME, rows, &Self::with_numbers(self.key_fields(), &["$sequence"]))?;
            let numbers = self.intern(&rows.columns()[..last], rows.num_rows())?;
            let sequences = rows.column(last).as_primitive::<Int64Type>().values();
            for key in numbers.into_iter().zip(sequences.iter().copied()) {
                self.restored.rows.remove(&key);
            }
            return Ok(());
        }
        check_schema(NAME, rows, &self.rows_schema())?;
        let own = RecordBatch::try_new(Arc::clone(&self.what.input), rows.columns()[..last].to_vec())?;
        let numbers = self.intern(&key_columns(&own, &self.what.keys), own.num_rows())?;
        let sequences = rows.column(last).as_primitive::<Int64Type>().values();
        let batch = self.restored.batches.len() as u32;
        self.restored.batches.push(own);
        for (row, key) in (0..).zip(numbers.into_iter().zip(sequences.iter().copied())) {
            self.restored.rows.insert(key, (batch, row));
        }
        Ok(())
    }

    fn read_partitions(&mut self, rows: &RecordBatch, change: StateChange) -> Result<()> {
        let width = self.what.keys.len();
        if change == StateChange::Delete {
            check_schema(NAME, rows, &Arc::new(Schema::new(self.key_fields())))?;
            for number in self.intern(rows.columns(), rows.num_rows())? {
                let partition = &mut self.partitions[number as usize];
                (partition.arrived, partition.matches, partition.saved) = (0, 0, false);
                self.restored.starts.remove(&number);
            }
            return Ok(());
        }
        check_schema(NAME, rows, &self.partitions_schema())?;
        let numbers = self.intern(&rows.columns()[..width], rows.num_rows())?;
        let column = |nth: usize| rows.column(width + nth).as_primitive::<Int64Type>().values();
        for (row, number) in numbers.into_iter().enumerate() {
            let partition = &mut self.partitions[number as usize];
            (partition.arrived, partition.matches) = (column(1)[row], column(2)[row]);
            partition.saved = true;
            self.restored.starts.insert(number, column(0)[row]);
        }
        Ok(())
    }

    /// Puts together what has been read: rows in order, attempts where they were.
    pub(super) fn finish_restoring(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.restored.touched) {
            return Ok(());
        }
        let restored = std::mem::take(&mut self.restored);
        let mut rows: Vec<(u32, i64, u32, u32)> = restored
            .rows
            .into_iter()
            .map(|((number, sequence), (batch, row))| (number, sequence, batch, row))
            .collect();
        // A partition's rows in the order in which they came.
        rows.sort_unstable();
        let mut found: Vec<Waiting> = Vec::with_capacity(rows.len());
        for (batch, all) in (0..).zip(&restored.batches) {
            let own: Vec<_> = rows.iter().filter(|(.., of, _)| *of == batch).collect();
            if own.is_empty() {
                continue;
            }
            let indices: UInt32Array = own.iter().map(|(.., row)| *row).collect::<Vec<_>>().into();
            let all = take_record_batch(all, &indices)?;
            let times = Times::new(all.column(self.what.time), NAME)?;
            let order = self.encode_order(&all)?;
            let batch = self.buffer.add(all)?;
            let may_be = self.matcher.conditions.of_rows(self.buffer.operands(batch), own.len())?;
            for (row, (partition, sequence, ..)) in own.into_iter().enumerate() {
                found.push(Waiting {
                    time: times.get(row).unwrap_or(i64::MIN),
                    order: order.as_ref().map_or_else(Box::default, |order| order.row(row).data().into()),
                    arrival: 0,
                    partition: *partition,
                    sequence: *sequence,
                    place: Place { batch, row: row as u32 },
                    may_be: may_be[row],
                    saved: true,
                });
            }
        }
        found.sort_by_key(|row| (row.partition, row.sequence));
        for row in &mut found {
            row.arrival = self.next_arrival();
        }
        found.sort_unstable();
        self.place_restored(found, &restored.starts)
    }

    fn place_restored(&mut self, found: Vec<Waiting>, starts: &HashMap<u32, i64>) -> Result<()> {
        let ended = self.watermark == i64::MAX;
        for row in found {
            let partition = &mut self.partitions[row.partition as usize];
            if row.time >= self.watermark && !ended {
                partition.waiting += 1;
                self.waiting.push(row);
                continue;
            }
            partition.rows.push_back(Row {
                time: row.time,
                sequence: row.sequence,
                place: row.place,
                may_be: row.may_be,
                saved: true,
            });
        }
        let mut numbers = Vec::new();
        for (number, partition) in (0..).zip(&mut self.partitions) {
            let start = starts.get(&number).copied().unwrap_or(NO_ROW);
            let place = partition.rows.iter().position(|row| row.sequence == start);
            partition.start = place.map_or(partition.end(), |place| place as u64);
            if !partition.rows.is_empty() {
                numbers.push(number);
            }
        }
        self.judge(&numbers)?;
        // What had been found was said before the snapshot; nothing new can be.
        self.advance(&numbers)?;
        debug_assert!(self.matcher.emitted.is_empty(), "a restored attempt says nothing");
        Ok(())
    }
}
