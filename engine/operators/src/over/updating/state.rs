//! An updating OVER's state in snapshots.
//!
//! Tables: `watermark`: one row, `$watermark`; `rows`: `$slot`, `$sequence`, `$at` (the watermark behind the step in which the row came),
//! `$owed` (1 for a row that was retracted and has still to come), then the input's columns; `told`: `$slot`, `$sequence`, then what the
//! functions gave for that row. A row is named by its slot and its number of arrival there.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use hashbrown::HashMap;

use super::operator::UpdatingOverOperator;
use super::rows::Note;
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::{OperatorError, Result};
use crate::held::names;
use crate::windows::{check_schema, key_columns, push_watermark, read_watermark};

const ROWS: &str = "rows";
const TOLD: &str = "told";

/// The columns of rows' notes.
const NOTES: [&str; 2] = ["$at", "$owed"];

/// While a snapshot is restored: rows, and what was said with them, by slot and number of arrival.
#[derive(Default)]
pub(super) struct Restoring {
    rows: HashMap<(u32, u64), u32>,
    told: HashMap<(u32, u64), u32>,
}

impl UpdatingOverOperator {
    pub(super) fn write_state(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let notes = |note: &Note| [note.at, i64::from(note.owed)];
        self.held.store.write(ROWS, NOTES, notes, full, out)?;
        self.told.write(TOLD, [], |_| [], full, out)
    }

    pub(super) fn read_state(&mut self, entries: &StateEntries) -> Result<()> {
        let rows = &entries.rows;
        match (entries.table.as_str(), entries.change) {
            ("watermark", _) => self.watermark = self.watermark.max(read_watermark(rows)),
            (ROWS, StateChange::Put) => return self.put_rows(rows),
            (TOLD, StateChange::Put) => return self.put_told(rows),
            (ROWS, StateChange::Delete) => {
                let restoring = self.restoring.get_or_insert_default();
                for row in names(rows).iter().filter_map(|name| restoring.rows.remove(name)) {
                    self.held.remove(row);
                }
            }
            (TOLD, StateChange::Delete) => {
                let restoring = self.restoring.get_or_insert_default();
                for told in names(rows).iter().filter_map(|name| restoring.told.remove(name)) {
                    self.told.remove(told);
                }
            }
            (other, _) => return Err(OperatorError::no_state_table(self.name, other)),
        }
        Ok(())
    }

    fn put_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.held.store.schema(&NOTES))?;
        let own = rows.columns()[2 + NOTES.len()..].to_vec();
        let batch = RecordBatch::try_new(Arc::clone(&self.what.input), own)?;
        let partitions = self.intern(&key_columns(&batch, &self.what.partition), batch.num_rows())?;
        let lines = self.encoder.encode(&batch, self.name)?;
        let names = names(rows);
        let each = names.iter().zip(partitions);
        let each = each.map(|((slot, sequence), partition)| (0, *slot, *sequence, partition));
        let added = self.held.store.add(batch, each.collect::<Vec<_>>().into_iter(), true);
        self.held.note_lines(&added, lines.into_iter());
        let notes = [2, 3].map(|column| rows.column(column).as_primitive::<Int64Type>().values());
        let restoring = self.restoring.get_or_insert_default();
        for (nth, (row, name)) in added.into_iter().zip(names).enumerate() {
            self.held.store.row_mut(row).note = Note { at: notes[0][nth], owed: notes[1][nth] != 0 };
            self.names.pass(name.0, name.1);
            if let Some(before) = restoring.rows.insert(name, row) {
                self.held.remove(before);
            }
        }
        Ok(())
    }

    fn put_told(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(self.name, rows, &self.told.schema(&[]))?;
        let batch = RecordBatch::try_new(self.what.results(), rows.columns()[2..].to_vec())?;
        let names = names(rows);
        let each: Vec<_> = names.iter().map(|(slot, sequence)| (0, *slot, *sequence, 0)).collect();
        let added = self.told.add(batch, each.into_iter(), true);
        let restoring = self.restoring.get_or_insert_default();
        for (told, name) in added.into_iter().zip(names) {
            if let Some(before) = restoring.told.insert(name, told) {
                self.told.remove(before);
            }
        }
        Ok(())
    }

    /// Puts restored rows in order, once all are there.
    pub(super) fn finish_restore(&mut self) {
        let Some(Restoring { rows, told }) = self.restoring.take() else { return };
        let mut order: Vec<u32> = rows.values().copied().collect();
        order.sort_unstable_by(|a, b| {
            let (one, other) = (self.held.store.row(*a), self.held.store.row(*b));
            let lines = || self.held.line(*a).bytes.cmp(&self.held.line(*b).bytes);
            one.key.cmp(&other.key).then_with(lines).then(one.sequence.cmp(&other.sequence))
        });
        for (name, told) in told {
            if let Some(row) = rows.get(&name) {
                self.held.entry_mut(*row).told = told;
            }
        }
        let mut last: Option<u32> = None;
        for row in order {
            let (partition, note) = (self.held.partition(row), self.held.store.row(row).note);
            let entry = &mut self.partitions[partition as usize];
            if note.owed {
                entry.debts.push(row);
                continue;
            }
            entry.at = entry.at.max(note.at);
            let dense = match last.filter(|last| self.held.partition(*last) == partition) {
                None => 1,
                Some(last) => {
                    let last = self.held.entry(last);
                    last.dense + i64::from(last.line.head() != self.held.line(row).head())
                }
            };
            self.held.entry_mut(row).dense = dense;
            entry.rows.insert(entry.rows.len(), row);
            last = Some(row);
        }
        for partition in 0..self.partitions.len() as u32 {
            if !self.partitions[partition as usize].rows.is_empty() {
                self.schedule(partition);
            }
        }
        self.held.store.forget_changes();
        self.told.forget_changes();
    }
}
