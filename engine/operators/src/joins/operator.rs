//! The operator behind [`crate::JoinSpec`].
//!
//! A change of one side meets the rows of the other as they are then: what is emitted is the difference that it makes, so that the
//! differences add up to the join of both sides whatever order they come in. That also holds while a row's weight is below zero,
//! because its retraction came by a shorter way than its addition.
//!
//! Whether a row has a match is the sign of the sum of the weights that match it. Without a residual that is the same for all rows
//! of a key, and is counted by key; with one it is counted by row.

mod matching;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use headwater_core::EventTime;

use super::expiry::Expiry;
use super::lasting::Lasting;
use super::residual::Residual;
use super::rows::{Asks, RowStore};
use super::spec::{Join, JoinKind};
use crate::api::{Changes, Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::deltas::Deltas;
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::windows::{Sorting, Times, key_columns, slots};

const VACANT_MIN: usize = 1024;

/// Stands in a change for the right side's row, where it matters only that there is one.
const FOUND: u32 = 0;

pub(super) struct JoinOperator {
    pub(super) name: &'static str,
    pub(super) what: Arc<Join>,
    schema: SchemaRef,
    residual: Option<Residual>,
    late: [Arc<str>; 2],
    pub(super) keys: KeyTable,
    /// The slot of each key.
    pub(super) slots: Vec<u32>,
    pub(super) sides: [RowStore; 2],
    expiry: [Expiry; 2],
    /// When keys end, if they do.
    ends: Ends,
    /// When rows without an end are forgotten, if they are.
    pub(super) lasting: Option<Lasting>,
    deltas: Deltas,
    /// Whether the same pair may be in a step's changes more than once.
    add_up: bool,
    /// Rows that may have come to weight 0.
    spent: [Vec<u32>; 2],
    /// Rows that stay until the end of the step only.
    passing: [Vec<u32>; 2],
    /// The same, and they are counted among the rows of their key until then.
    done: [Vec<u32>; 2],
    pub(super) watermark: i64,
    /// The number of keys at which it is worth looking for those without rows.
    vacant_at: usize,
    /// While a snapshot is restored: rows by slot and sequence number.
    pub(super) restoring: Option<[hashbrown::HashMap<(u32, u64), u32>; 2]>,
}

/// A change that has come in.
#[derive(Clone, Copy)]
struct Arrival {
    row: u32,
    weight: i64,
    fresh: bool,
    matches: i64,
}

impl JoinOperator {
    pub(super) fn try_new(name: &'static str, what: &Arc<Join>, schema: &SchemaRef) -> Result<Self> {
        let types = what.left.keys.iter().map(|key| what.left.schema.field(*key).data_type().clone());
        let residual = Residual::of(what)?;
        let side = |side: usize| {
            let input = what.input(side);
            let asks = Asks {
                retractions: input.changes != Changes::AppendOnly,
                matches: what.counts_by_row() && what.kind.tracks(side),
                dates: what.forgets(),
            };
            RowStore::new(&input.schema, &asks)
        };
        let says_once = what.is_bounded()
            || ((0..2).all(|side| what.input(side).changes == Changes::AppendOnly)
                && matches!(what.kind, JoinKind::Inner | JoinKind::Semi));
        Ok(Self {
            name,
            schema: Arc::clone(schema),
            late: ["left", "right"].map(|side| Arc::from(format!("{name} ({side})"))),
            keys: KeyTable::new(types.collect())?,
            slots: Vec::new(),
            sides: [side(0)?, side(1)?],
            residual,
            expiry: Default::default(),
            ends: Ends::default(),
            lasting: what.forgets().then(|| Lasting::new(what.ttl)),
            deltas: Deltas::default(),
            add_up: !says_once,
            spent: Default::default(),
            passing: Default::default(),
            done: Default::default(),
            watermark: i64::MIN,
            vacant_at: VACANT_MIN,
            restoring: None,
            what: Arc::clone(what),
        })
    }

    /// The rows of a side that are in time.
    fn in_time(&self, side: usize, rows: Rows, out: &mut Output) -> Result<Rows> {
        let input = self.what.input(side);
        let (column, after) = match (input.time, self.what.closes) {
            (Some(time), _) => (time.column, time.late_after),
            (None, Some(closing)) => (input.keys[closing.key], closing.after),
            (None, None) => return Ok(rows),
        };
        Sorting::in_time(rows, column, after, i64::MIN, &self.late[side], out)
    }

    /// The numbers of the rows' keys. New ones are given their end, if they have one.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.keys.intern(columns, rows, &mut numbers)?;
        if self.keys.len() > self.slots.len() {
            if let Some(closing) = self.what.closes {
                let times = Times::new(&columns[closing.key], self.name)?;
                let mut fresh = self.slots.len() as u32;
                for (row, number) in numbers.iter().enumerate() {
                    // New keys are numbered in the order in which they come.
                    if *number == fresh {
                        let end = times.get(row).map_or(i64::MIN, |time| time.saturating_add(closing.after));
                        self.ends.push(end, fresh);
                        fresh += 1;
                    }
                }
            }
            let of_rows = slots(columns, rows)?;
            self.slots.resize(self.keys.len(), 0);
            for (number, slot) in numbers.iter().zip(of_rows) {
                self.slots[*number as usize] = slot;
            }
            self.sides.iter_mut().for_each(|side| side.resize(self.keys.len()));
        }
        Ok(numbers)
    }

    /// Which rows cannot match because a key is NULL.
    fn unmatchable(&self, columns: &[ArrayRef]) -> Option<NullBuffer> {
        if self.what.null_equals_null {
            return None;
        }
        let nulls = columns.iter().map(|column| column.logical_nulls());
        nulls.fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()))
    }

    /// Takes in a side's changes; those whose key is NULL are done with at once.
    fn arrive(&mut self, side: usize, rows: &Rows) -> Result<Vec<Arrival>> {
        let columns = key_columns(&rows.batch, &self.what.input(side).keys);
        let keys = self.intern(&columns, rows.len())?;
        let unmatchable = self.unmatchable(&columns);
        let encoded = self.sides[side].encode(&rows.batch)?;
        let weights = rows.weights.as_ref().map(|weights| weights.values());
        let mut arrivals = Vec::with_capacity(rows.len());
        for (row, key) in keys.into_iter().enumerate() {
            let weight = weights.map_or(1, |weights| weights[row]);
            let slot = self.slots[key as usize];
            let lonely = unmatchable.as_ref().is_some_and(|nulls| nulls.is_null(row));
            if lonely && !self.says_unmatched(side) {
                continue;
            }
            let bytes = encoded.get(row);
            let weight = match &mut self.lasting {
                Some(lasting) if !lonely && !self.what.passes(side) => {
                    lasting.settle(side, bytes, weight, self.sides[side].weight_of(bytes))
                }
                _ => weight,
            };
            if weight == 0 {
                continue;
            }
            let (row, fresh) = self.sides[side].add(key, slot, bytes, weight);
            if lonely {
                self.deltas.push_alone(side, row, slot, weight);
                self.passing[side].push(row);
                continue;
            }
            if self.sides[side].entry(row).weight == 0 {
                self.spent[side].push(row);
            }
            if self.what.passes(side) {
                self.done[side].push(row);
            } else if let Some(lasting) = &mut self.lasting {
                lasting.change(side, row, fresh);
            }
            arrivals.push(Arrival { row, weight, fresh, matches: 0 });
        }
        Ok(arrivals)
    }

    /// Notes when the rows that have arrived end.
    fn schedule(&mut self, side: usize, rows: &Rows, arrivals: &[Arrival]) -> Result<()> {
        let Some(time) = self.what.input(side).time else { return Ok(()) };
        if arrivals.is_empty() {
            return Ok(());
        }
        let all = rows.len() == arrivals.len();
        let column = if all {
            Arc::clone(rows.batch.column(time.column))
        } else {
            self.sides[side]
                .some_columns(&[time.column], arrivals.iter().map(|arrival| arrival.row))?
                .swap_remove(0)
        };
        self.schedule_rows(side, &column, arrivals.iter().map(|arrival| arrival.row))
    }

    /// Notes when rows with these times end.
    pub(super) fn schedule_rows(
        &mut self,
        side: usize,
        times: &ArrayRef,
        rows: impl Iterator<Item = u32>,
    ) -> Result<()> {
        let Some(time) = self.what.input(side).time else { return Ok(()) };
        let times = Times::new(times, self.name)?;
        for (nth, row) in rows.enumerate() {
            let end = times.get(nth).map_or(i64::MIN, |at| at.saturating_add(time.keep));
            let sequence = self.sides[side].entry(row).sequence;
            self.expiry[side].push(end, sequence, row);
        }
        Ok(())
    }

    /// Lets go of the rows that no match can come for any more, and says which of them had none.
    fn expire(&mut self) {
        for side in 0..2 {
            while let Some(row) = self.expiry[side].pop(self.watermark) {
                let entry = self.sides[side].entry(row);
                let (key, slot, weight) = (entry.key, entry.slot, entry.weight);
                let matches = match self.what.residual {
                    None => self.sides[1 - side].totals[key as usize],
                    Some(_) => self.sides[side].matches(row),
                };
                if matches <= 0 && self.says_unmatched(side) {
                    self.deltas.push_alone(side, row, slot, weight);
                }
                self.passing[side].push(row);
            }
        }
        // Only now, so that two rows that end together still know of each other.
        for side in 0..2 {
            for row in &self.passing[side] {
                let entry = self.sides[side].entry(*row);
                let (key, weight) = (entry.key, entry.weight);
                if self.expires(side) {
                    self.sides[side].totals[key as usize] -= weight;
                }
            }
        }
    }

    /// Lets go of the rows of keys that have ended. What was said of them stays said.
    fn forget_ended(&mut self) {
        for (_, key) in self.ends.due(self.watermark) {
            for (side, passing) in self.sides.iter_mut().zip(&mut self.passing) {
                passing.extend(side.rows_of(key));
                side.totals[key as usize] = 0;
            }
        }
    }

    fn expires(&self, side: usize) -> bool {
        self.what.input(side).time.is_some()
    }

    fn emit(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        let deltas = self.deltas.take(self.add_up);
        if deltas.is_empty() {
            return Ok(());
        }
        let mut columns = self.sides[0].columns(deltas.iter().map(|delta| delta.rows[0]))?;
        if self.what.kind.gives_pairs() {
            columns.extend(self.sides[1].columns(deltas.iter().map(|delta| delta.rows[1]))?);
        }
        if self.what.kind == JoinKind::Mark {
            let marks = deltas.iter().map(|delta| Some(delta.rows[1] == FOUND));
            columns.push(Arc::new(marks.collect::<BooleanArray>()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(deltas.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let plain = deltas.iter().all(|delta| delta.weight == 1);
        let weights = (!plain).then(|| Int64Array::from_iter_values(deltas.iter().map(|delta| delta.weight)));
        out.slots.extend(deltas.iter().map(|delta| delta.slot));
        out.emit(Rows { batch, weights, clocks: Clocks::Uniform(clock) });
        Ok(())
    }

    /// Removes rows that are not there any more, and gives back memory now and then.
    fn sweep(&mut self) {
        for side in 0..2 {
            for row in std::mem::take(&mut self.passing[side]) {
                if !self.sides[side].is_gone(row) {
                    self.sides[side].remove(row);
                }
            }
            for row in std::mem::take(&mut self.done[side]) {
                let store = &mut self.sides[side];
                if !store.is_gone(row) {
                    let (key, weight) = (store.entry(row).key, store.entry(row).weight);
                    store.totals[key as usize] -= weight;
                    store.remove(row);
                }
            }
            for row in std::mem::take(&mut self.spent[side]) {
                if !self.sides[side].is_gone(row) && self.sides[side].entry(row).weight == 0 {
                    self.sides[side].remove(row);
                }
            }
            self.sides[side].compact();
        }
        if self.keys.len() < self.vacant_at {
            return;
        }
        let lives = |key: &u32| self.sides.iter().any(|side| side.has_rows(*key));
        let kept: Vec<u32> = (0..self.keys.len() as u32).filter(lives).collect();
        self.vacant_at = VACANT_MIN.max(kept.len() * 2);
        if kept.len() * 2 > self.keys.len() {
            return;
        }
        self.keys.retain(&kept);
        self.slots = kept.iter().map(|key| self.slots[*key as usize]).collect();
        self.sides.iter_mut().for_each(|side| side.retain_keys(&kept));
        self.ends.renumber(|key| kept.binary_search(&key).ok().map(|place| place as u32));
    }

    fn check_weights(&self, side: usize, rows: &Rows) -> Result<()> {
        let retracts =
            rows.weights.as_ref().is_some_and(|weights| weights.values().iter().any(|weight| *weight < 0));
        if retracts && self.what.input(side).changes == Changes::AppendOnly {
            let reason = "a row was retracted from an input that only ever adds";
            return Err(OperatorError::unsupported(self.name, reason));
        }
        Ok(())
    }
}

impl Operator for JoinOperator {
    fn on_batch(&mut self, input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        self.finish_restore();
        self.check_weights(input, &rows)?;
        let rows = self.in_time(input, rows, out)?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut arrivals = self.arrive(input, &rows)?;
        match self.what.counts_by_row() {
            false => self.meet_all(input, &arrivals),
            true => self.meet_some(input, &mut arrivals)?,
        }
        self.schedule(input, &rows, &arrivals)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore();
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        if self.what.is_bounded() {
            self.expire();
        }
        self.emit(clock, out)?;
        if let Some(lasting) = &mut self.lasting {
            lasting.pass(self.watermark, &mut self.sides);
        }
        self.forget_ended();
        self.sweep();
        Ok(())
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.write_state(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.read_state(entries)
    }

    fn due(&self) -> Option<EventTime> {
        // When restored rows end is found out with the next step.
        if self.restoring.is_some() {
            return Some(EventTime::MIN);
        }
        let lasting = self.lasting.as_ref().and_then(Lasting::next);
        self.expiry.iter().filter_map(Expiry::next).chain(lasting).chain(self.ends.next()).min()
    }

    fn state_size(&self) -> StateSize {
        let bytes = self.keys.size()
            + self.sides.iter().map(RowStore::size).sum::<usize>()
            + self.expiry.iter().map(Expiry::size).sum::<usize>()
            + self.ends.size()
            + self.lasting.as_ref().map_or(0, Lasting::size);
        let entries = self.sides.iter().map(RowStore::len).sum::<usize>();
        StateSize { entries: entries as u64, bytes: bytes as u64 }
    }
}
