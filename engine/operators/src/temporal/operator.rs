//! The operator behind [`crate::TemporalJoinSpec`].
//!
//! Left rows wait, by time, for the watermark. Versions are kept by key and time; once the watermark has passed a
//! version, those before it are asked for no more. Joins that look ahead are in `ahead.rs`: there the sides change places.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::ahead::Decided;
use super::spec::TemporalJoin;
use super::state::Restoring;
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::error::Result;
use crate::groups::KeyTable;
use crate::held::{Arrivals, Store};
use crate::line::Line;
use crate::uncomputed::mask_or_null;
use crate::windows::{Sorting, Times, key_columns, refuse_weights, slots};

pub(super) const LEFT: usize = 0;
pub(super) const RIGHT: usize = 1;

/// A row of a side in the order of time: its time and number.
type Timed = (i64, u32);

pub(super) struct TemporalOperator {
    pub(super) name: &'static str,
    pub(super) what: Arc<TemporalJoin>,
    schema: SchemaRef,
    late: [Arc<str>; 2],
    keys: KeyTable,
    /// The keys with a NULL among them, which is equal to nothing.
    nulls: Vec<bool>,
    pub(super) sides: [Store<()>; 2],
    pub(super) arrivals: [Arrivals; 2],
    /// Left rows; looking ahead, right rows.
    pub(super) waiting: Line,
    /// Looking ahead: left rows that meet nothing, as their key has a NULL.
    pub(super) lonely: Line,
    /// By key, in the order of time: versions; looking ahead, left rows.
    pub(super) by_key: Vec<Vec<Timed>>,
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
            nulls: Vec::new(),
            sides: [Store::new(&what.left.schema), Store::new(&what.right.schema)],
            arrivals: Default::default(),
            waiting: Line::new(what.after()),
            lonely: Line::new(what.after()),
            by_key: Vec::new(),
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
        self.by_key.resize_with(self.keys.len(), Vec::new);
        self.nulls.resize(self.keys.len(), false);
        for nulls in columns.iter().filter_map(|column| column.logical_nulls()) {
            for (row, number) in numbers.iter().enumerate() {
                self.nulls[*number as usize] |= nulls.is_null(row);
            }
        }
        Ok(numbers)
    }

    pub(super) fn is_null(&self, key: u32) -> bool {
        self.nulls[key as usize]
    }

    /// Takes rows of the left side that wait, or versions.
    pub(super) fn take_in(&mut self, side: usize, rows: &[u32]) -> Result<()> {
        if self.what.ahead {
            self.take_in_ahead(side, rows);
            return Ok(());
        }
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
        let place = self.by_key[key as usize].partition_point(|(other, _)| *other < time);
        match self.by_key[key as usize].get(place).copied() {
            Some((other, there)) if other == time => {
                let kept = self.greater(there, row)?;
                self.by_key[key as usize][place].1 = kept;
                self.sides[RIGHT].remove(if kept == row { there } else { row });
            }
            _ => {
                self.by_key[key as usize].insert(place, (time, row));
                self.followed.push(time.saturating_add(self.what.after()), key);
            }
        }
        Ok(())
    }

    /// Of two right rows of one key and time, the one that counts.
    pub(super) fn greater(&self, there: u32, row: u32) -> Result<u32> {
        let both = self.ties.convert_columns(&self.sides[RIGHT].columns(&[there, row])?)?;
        Ok(if both.row(1) > both.row(0) { row } else { there })
    }

    /// The version that is valid at a time.
    fn valid_at(&self, key: u32, time: i64) -> Option<u32> {
        let versions = &self.by_key[key as usize];
        let behind =
            versions.partition_point(|(from, _)| if self.what.strict { *from < time } else { *from <= time });
        Some(versions[behind.checked_sub(1)?].1)
    }

    /// The left rows that the watermark has passed, each with its version.
    fn due(&mut self) -> Vec<(u32, Option<u32>)> {
        let passed = self.waiting.passed(self.watermark);
        let version = |(time, row): (i64, u32)| {
            let key = self.sides[LEFT].row(row).key;
            (row, if self.is_null(key) { None } else { self.valid_at(key, time) })
        };
        let mut due: Vec<_> = passed.into_iter().map(version).collect();
        self.sort(&mut due);
        due
    }

    /// Puts left rows in the order of time and key.
    pub(super) fn sort(&self, pairs: &mut [(u32, Option<u32>)]) {
        pairs.sort_by(|a, b| {
            let (x, y) = (self.sides[LEFT].row(a.0), self.sides[LEFT].row(b.0));
            let keys = x.time.cmp(&y.time).then_with(|| self.keys.compare(x.key, y.key));
            // Rows of one key are of one slot.
            keys.then(x.sequence.cmp(&y.sequence))
        });
    }

    fn emit(&self, pairs: &[(u32, Option<u32>)], clock: EventTime, out: &mut Output) -> Result<()> {
        let (due, mut versions): (Vec<u32>, Vec<Option<u32>>) = pairs.iter().copied().unzip();
        let left = self.sides[LEFT].columns(&due)?;
        if let Some(residual) = &self.what.residual {
            let batch = self.pairs(&left, &versions)?;
            let mask = mask_or_null(residual, &batch, self.name)?;
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
            let versions = &mut self.by_key[key as usize];
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
        refuse_weights(&rows, self.name)?;
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
        let Decided { pairs, done } = match self.what.ahead {
            true => self.decide_ahead()?,
            false => Decided { pairs: self.due(), done: Vec::new() },
        };
        if !pairs.is_empty() {
            self.emit(&pairs, clock, out)?;
            pairs.iter().for_each(|(row, _)| self.sides[LEFT].remove(*row));
        }
        done.into_iter().for_each(|row| self.sides[RIGHT].remove(row));
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
        !self.waiting.is_empty() || !self.lonely.is_empty()
    }

    fn state_size(&self) -> StateSize {
        let rows: usize = self.sides.iter().map(Store::len).sum();
        let bytes: usize = self.sides.iter().map(Store::size).sum();
        let by_key = self.by_key.capacity() * size_of::<Vec<Timed>>() + rows * size_of::<Timed>();
        let lines = self.waiting.size() + self.lonely.size();
        let more = self.keys.size() + self.nulls.capacity() + by_key + self.followed.size() + lines;
        StateSize { entries: rows as u64, bytes: (bytes + more) as u64 }
    }
}
