//! The operator behind [`crate::TemporalJoinSpec`].
//!
//! Left rows wait, by time, for the watermark. Versions are kept by key and time; once the watermark has passed a
//! version, those before it are asked for no more.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::spec::TemporalJoin;
use super::state::Restoring;
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::held::{Arrivals, Store};
use crate::line::Line;
use crate::stateless::evaluate_mask;
use crate::windows::{Sorting, Times, key_columns, slots};

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// A row of a side in the order of time: its time and number.
type Timed = (i64, u32);

pub(super) struct TemporalOperator {
    pub(super) name: &'static str,
    pub(super) what: Arc<TemporalJoin>,
    schema: SchemaRef,
    late: [Arc<str>; 2],
    keys: KeyTable,
    pub(super) sides: [Store<()>; 2],
    pub(super) arrivals: [Arrivals; 2],
    /// Left rows.
    waiting: Line,
    /// By key, in the order of time.
    versions: Vec<Vec<Timed>>,
    /// When a version has followed upon another for good.
    followed: Ends,
    /// What versions of one key and time are ordered by.
    ties: RowConverter,
    pub(super) watermark: i64,
    pub(super) restoring: Option<[Restoring; 2]>,
}

impl TemporalOperator {
    pub(super) fn try_new(name: &'static str, what: &Arc<TemporalJoin>, schema: &SchemaRef) -> Result<Self> {
        let kinds = what.left.keys.iter().map(|key| what.left.schema.field(*key).data_type().clone());
        let ties = what.right.schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            name,
            schema: Arc::clone(schema),
            late: ["left", "right"].map(|side| Arc::from(format!("{name} ({side})"))),
            keys: KeyTable::new(kinds.collect())?,
            sides: [Store::new(&what.left.schema), Store::new(&what.right.schema)],
            arrivals: Default::default(),
            waiting: Line::new(what.after()),
            versions: Vec::new(),
            followed: Ends::default(),
            ties: RowConverter::new(ties.collect())?,
            watermark: i64::MIN,
            restoring: None,
            what: Arc::clone(what),
        })
    }

    fn in_time(&self, side: usize, rows: Rows, out: &mut Output) -> Result<Rows> {
        let input = if side == LEFT { &self.what.left } else { &self.what.right };
        // What lies behind the watermark has been said without it.
        Sorting::in_time(rows, input.time, input.after, self.watermark, &self.late[side], out)
    }

    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.keys.intern(columns, rows, &mut numbers)?;
        self.versions.resize_with(self.keys.len(), Vec::new);
        Ok(numbers)
    }

    /// Takes rows of the left side that wait, or versions.
    pub(super) fn take_in(&mut self, side: usize, rows: &[u32]) -> Result<()> {
        for row in rows {
            let time = self.sides[side].row(*row).time;
            if side == LEFT {
                self.waiting.push(time, *row);
            } else {
                self.add_version(time, *row)?;
            }
        }
        Ok(())
    }

    fn add_version(&mut self, time: i64, row: u32) -> Result<()> {
        let key = self.sides[RIGHT].row(row).key;
        let place = self.versions[key as usize].partition_point(|(other, _)| *other < time);
        match self.versions[key as usize].get(place).copied() {
            Some((other, there)) if other == time => {
                let columns = self.sides[RIGHT].columns(&[there, row])?;
                let both = self.ties.convert_columns(&columns)?;
                let (kept, gone) = if both.row(1) > both.row(0) { (row, there) } else { (there, row) };
                self.versions[key as usize][place].1 = kept;
                self.sides[RIGHT].remove(gone);
            }
            _ => {
                self.versions[key as usize].insert(place, (time, row));
                self.followed.push(time.saturating_add(self.what.after()), key);
            }
        }
        Ok(())
    }

    /// The version that is valid at a time.
    fn valid_at(&self, key: u32, time: i64) -> Option<u32> {
        let versions = &self.versions[key as usize];
        let behind =
            versions.partition_point(|(from, _)| if self.what.strict { *from < time } else { *from <= time });
        Some(versions[behind.checked_sub(1)?].1)
    }

    /// The left rows that the watermark has passed, in the order of time and key.
    fn due(&mut self) -> Vec<u32> {
        let mut due = self.waiting.passed(self.watermark);
        let entry = |row: u32| self.sides[LEFT].row(row);
        due.sort_by(|a, b| {
            let (x, y) = (entry(a.1), entry(b.1));
            let keys = a.0.cmp(&b.0).then_with(|| self.keys.compare(x.key, y.key));
            // Rows of one key are of one slot.
            keys.then(x.sequence.cmp(&y.sequence))
        });
        due.into_iter().map(|(_, row)| row).collect()
    }

    fn emit(&mut self, due: &[u32], clock: EventTime, out: &mut Output) -> Result<()> {
        let left = self.sides[LEFT].columns(due)?;
        let keys = key_columns(
            &RecordBatch::try_new(Arc::clone(&self.what.left.schema), left.clone())?,
            &self.what.left.keys,
        );
        let nulls = keys.iter().map(|column| column.logical_nulls());
        let nulls =
            nulls.fold(None, |all: Option<NullBuffer>, one| NullBuffer::union(all.as_ref(), one.as_ref()));
        let mut versions: Vec<Option<u32>> = due
            .iter()
            .enumerate()
            .map(|(nth, row)| {
                // NULL is equal to nothing.
                let known = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(nth));
                let entry = self.sides[LEFT].row(*row);
                if known { self.valid_at(entry.key, entry.time) } else { None }
            })
            .collect();
        if let Some(residual) = &self.what.residual {
            let batch = self.pairs(&left, &versions)?;
            let mask = evaluate_mask(residual, &batch, self.name)?;
            for (version, pass) in versions.iter_mut().zip(&mask) {
                *version = version.filter(|_| pass == Some(true));
            }
        }
        let batch = self.pairs(&left, &versions)?;
        let rows = Rows { clocks: Clocks::Uniform(clock), ..Rows::new(batch) };
        if self.what.outer {
            out.emit(rows);
        } else {
            let found: Vec<bool> = versions.iter().map(Option::is_some).collect();
            out.emit(rows.filter(&BooleanArray::from(found))?);
        }
        Ok(())
    }

    /// Left rows beside their versions.
    fn pairs(&self, left: &[ArrayRef], versions: &[Option<u32>]) -> Result<RecordBatch> {
        let mut columns = left.to_vec();
        for (nth, field) in self.what.right.schema.fields().iter().enumerate() {
            let none = new_null_array(field.data_type(), 1);
            columns.push(self.sides[RIGHT].column(nth, versions.iter().copied(), &none)?);
        }
        // Before rows without a version are left out, columns that are never NULL may be.
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let loose = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let schema = if versions.iter().all(Option::is_some) { Arc::clone(&self.schema) } else { loose };
        let options = RecordBatchOptions::new().with_row_count(Some(versions.len()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    /// Lets go of versions that others have followed for good: no row to come lies before the watermark.
    fn trim(&mut self) {
        let horizon = self.watermark.saturating_sub(self.what.after());
        for (_, key) in self.followed.due(self.watermark) {
            let versions = &mut self.versions[key as usize];
            let followed = versions.partition_point(|(from, _)| *from < horizon).saturating_sub(1);
            for (_, row) in versions.drain(..followed) {
                self.sides[RIGHT].remove(row);
            }
        }
    }
}

impl Operator for TemporalOperator {
    fn on_batch(&mut self, input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        self.finish_restore()?;
        let rows = self.in_time(input, rows, out)?;
        if rows.is_empty() {
            return Ok(());
        }
        if rows.weights.is_some() {
            let reason = "rows came with weights, from an input that only ever adds each once";
            return Err(OperatorError::unsupported(self.name, reason));
        }
        let side = if input == LEFT { &self.what.left } else { &self.what.right };
        let (columns, time) = (key_columns(&rows.batch, &side.keys), side.time);
        let keys = self.intern(&columns, rows.len())?;
        let times = Times::new(rows.batch.column(time), self.name)?;
        let of_rows = slots(&columns, rows.len())?;
        let mut each = Vec::with_capacity(rows.len());
        for (row, key) in keys.iter().enumerate() {
            let slot = of_rows[row];
            each.push((times.values[row], slot, self.arrivals[input].next(slot), *key));
        }
        let added = self.sides[input].add(rows.batch, each.into_iter(), false);
        self.take_in(input, &added)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore()?;
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        let due = self.due();
        if !due.is_empty() {
            self.emit(&due, clock, out)?;
            due.iter().for_each(|row| self.sides[LEFT].remove(*row));
        }
        self.trim();
        self.sides.iter_mut().try_for_each(Store::compact)
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restore()?;
        self.write_state(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.read_state(entries)
    }

    fn waits_for_time(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn state_size(&self) -> StateSize {
        let rows: usize = self.sides.iter().map(Store::len).sum();
        let bytes: usize = self.sides.iter().map(Store::size).sum();
        let versions =
            self.versions.capacity() * size_of::<Vec<Timed>>() + self.sides[RIGHT].len() * size_of::<Timed>();
        let more = self.keys.size() + versions + self.followed.size() + self.waiting.size();
        StateSize { entries: rows as u64, bytes: (bytes + more) as u64 }
    }
}
