//! The operator behind [`crate::TopNSpec`].
//!
//! When a list is first touched in a step, what can be seen of it is noted; at the end of the step the noted and the new are compared,
//! and only differences are said. Of an input that only ever adds, no more rows are kept than can be seen.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::lists::{Bytes, List, Lists};
use super::spec::TopN;
use crate::api::{Changes, Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::deltas::Deltas;
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::packed::{RowBytes, RowFormat};
use crate::windows::{Times, key_columns, slots};

const VACANT_MIN: usize = 1024;

pub(super) struct TopNOperator {
    pub(super) name: &'static str,
    late: Arc<str>,
    pub(super) what: Arc<TopN>,
    schema: SchemaRef,
    /// A list's number is its partition's.
    partitions: KeyTable,
    pub(super) slots: Vec<u32>,
    pub(super) lists: Lists,
    order: RowConverter,
    /// Touched since the end of the last step.
    touched: Vec<u32>,
    /// What could be seen of the touched lists.
    before: Vec<(u32, i64)>,
    /// Rows that may be on no list any more.
    pub(super) spent: Vec<u32>,
    /// Rows that have come in this step, with their lists, where lists are forgotten.
    pub(super) arrived: Vec<(u32, u32)>,
    deltas: Deltas,
    pub(super) ends: Ends,
    pub(super) watermark: i64,
    vacant_at: usize,
}

impl TopNOperator {
    pub(super) fn try_new(name: &'static str, what: &Arc<TopN>, schema: &SchemaRef) -> Result<Self> {
        let kind = |column: &usize| what.input.field(*column).data_type().clone();
        let order =
            what.order.iter().map(|(column, options)| SortField::new_with_options(kind(column), *options));
        let columns = what.input.fields().iter().map(|field| field.data_type().clone());
        Ok(Self {
            name,
            late: Arc::from(name),
            schema: Arc::clone(schema),
            partitions: KeyTable::new(what.partition.iter().map(kind).collect())?,
            slots: Vec::new(),
            lists: Lists::new(RowFormat::new(columns.collect())?),
            order: RowConverter::new(order.collect())?,
            touched: Vec::new(),
            before: Vec::new(),
            spent: Vec::new(),
            arrived: Vec::new(),
            deltas: Deltas::default(),
            ends: Ends::default(),
            watermark: i64::MIN,
            vacant_at: VACANT_MIN,
            what: Arc::clone(what),
        })
    }

    fn only_adds(&self) -> bool {
        self.what.changes == Changes::AppendOnly
    }

    /// The numbers of the rows' lists. New ones are given their end, if they have one.
    fn intern(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let columns = key_columns(batch, &self.what.partition);
        let mut numbers = Vec::new();
        self.partitions.intern(&columns, batch.num_rows(), &mut numbers)?;
        let known = self.slots.len();
        if self.partitions.len() == known {
            return Ok(numbers);
        }
        let of_rows = slots(&columns, batch.num_rows())?;
        self.slots.resize(self.partitions.len(), u32::MAX);
        self.lists.lists.resize_with(self.partitions.len(), List::default);
        let times = match self.what.closes {
            Some(closing) => Some((closing, Times::new(batch.column(closing.column), self.name)?)),
            None => None,
        };
        for (row, number) in numbers.iter().enumerate() {
            if self.slots[*number as usize] != u32::MAX {
                continue;
            }
            self.slots[*number as usize] = of_rows[row];
            if let Some((closing, times)) = &times {
                self.ends.push(times.get(row).map_or(i64::MIN, |time| closing.end(time)), *number);
            }
        }
        Ok(numbers)
    }

    /// The columns that rows are ordered by, as bytes. Without order all rows are equal in it.
    fn encode_order(&self, batch: &RecordBatch) -> Result<Option<arrow_row::Rows>> {
        let columns: Vec<ArrayRef> =
            self.what.order.iter().map(|(column, _)| Arc::clone(batch.column(*column))).collect();
        if columns.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.order.convert_columns(&columns)?))
    }

    /// The rows that may be seen: not those that lie behind a full list.
    fn candidates(&self, lists: &[u32], order: Option<&arrow_row::Rows>) -> Option<Vec<u32>> {
        let order = order.filter(|_| self.only_adds())?;
        let limit = self.what.limit();
        let may = |row: &u32| {
            let list = &self.lists.lists[lists[*row as usize] as usize];
            match list.rows.last() {
                Some(last) if list.total >= limit => {
                    order.row(*row as usize).data() <= self.lists.order(*last)
                }
                _ => true,
            }
        };
        Some((0..lists.len() as u32).filter(may).collect())
    }

    fn touch(&mut self, list: u32) {
        if self.what.says_at_end() || self.lists.lists[list as usize].before.is_some() {
            return;
        }
        let from = self.before.len() as u32;
        self.lists.seen(list, i64::from(self.what.skip), i64::from(self.what.take), &mut self.before);
        self.lists.lists[list as usize].before = Some((from, self.before.len() as u32));
        self.touched.push(list);
    }

    pub(super) fn take_in(&mut self, batch: &RecordBatch, weights: Option<&[i64]>) -> Result<()> {
        let lists = self.intern(batch)?;
        let order = self.encode_order(batch)?;
        let candidates = self.candidates(&lists, order.as_ref());
        let columns = match &candidates {
            Some(candidates) if candidates.is_empty() => return Ok(()),
            Some(candidates) if candidates.len() < lists.len() => {
                arrow::compute::take_record_batch(batch, &UInt32Array::from(candidates.clone()))?
            }
            _ => batch.clone(),
        };
        let columns = self.encode(&columns)?;
        let rows = candidates.unwrap_or_else(|| (0..lists.len() as u32).collect());
        for (nth, row) in rows.into_iter().enumerate() {
            let row = row as usize;
            let (list, weight) = (lists[row], weights.map_or(1, |weights| weights[row]));
            self.touch(list);
            let order = order.as_ref().map_or(&[][..], |order| order.row(row).data());
            let bytes = Bytes { order, columns: columns.get(nth) };
            let place = self.lists.add(list, self.slots[list as usize], bytes, weight);
            self.lists.touch(place);
            if self.lists.entry(place).weight == 0 {
                self.spent.push(place);
            }
            if self.what.ttl.is_some() && (weight > 0 || self.lists.entry(place).weight < 0) {
                self.arrived.push((list, place));
            }
            if self.only_adds() {
                self.lists.cut(list, self.what.limit(), |row| self.spent.push(row));
            }
        }
        Ok(())
    }

    /// Says how what can be seen of a list differs from what could be seen before the step.
    fn compare(&mut self, list: u32, now: &mut Vec<(u32, i64)>) {
        let Some((from, to)) = self.lists.lists[list as usize].before.take() else { return };
        now.clear();
        self.lists.seen(list, i64::from(self.what.skip), i64::from(self.what.take), now);
        let slot = self.slots[list as usize];
        let before = &self.before[from as usize..to as usize];
        if self.what.numbered {
            self.compare_numbers(slot, from as usize..to as usize, now);
            return;
        }
        let (mut olds, mut news) = (before.iter().peekable(), now.iter().peekable());
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => self.lists.compare_rows(*old, *new),
            };
            let old = if order.is_le() { olds.next() } else { None };
            let new = if order.is_ge() { news.next() } else { None };
            let row = old.or(new).map_or(0, |(row, _)| *row);
            let weight = new.map_or(0, |(_, times)| *times) - old.map_or(0, |(_, times)| *times);
            self.deltas.push([row, 0], slot, weight);
        }
    }

    /// The same by number: the row of each number before and now.
    fn compare_numbers(&mut self, slot: u32, before: std::ops::Range<usize>, now: &[(u32, i64)]) {
        let each = |rows: &[(u32, i64)]| -> Vec<u32> {
            rows.iter().flat_map(|(row, times)| std::iter::repeat_n(*row, *times as usize)).collect()
        };
        let (olds, news) = (each(&self.before[before]), each(now));
        for nth in 0..olds.len().max(news.len()) {
            let (old, new) = (olds.get(nth), news.get(nth));
            if let (Some(old), Some(new)) = (old, new)
                && (old == new || self.lists.bytes(*old) == self.lists.bytes(*new))
            {
                continue;
            }
            let number = self.what.skip + nth as u32 + 1;
            old.into_iter().for_each(|row| self.deltas.push([*row, number], slot, -1));
            new.into_iter().for_each(|row| self.deltas.push([*row, number], slot, 1));
        }
    }

    /// Says the lists that have ended.
    fn close(&mut self) {
        let mut due = self.ends.due(self.watermark);
        due.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| self.partitions.compare(a.1, b.1)));
        let mut seen = Vec::new();
        for (_, list) in due {
            seen.clear();
            self.lists.seen(list, i64::from(self.what.skip), i64::from(self.what.take), &mut seen);
            let slot = self.slots[list as usize];
            let mut number = self.what.skip;
            for (row, times) in &seen {
                for _ in 0..*times {
                    number += 1;
                    self.deltas.push([*row, if self.what.numbered { number } else { 0 }], slot, 1);
                }
            }
            self.spent.extend(self.lists.empty(list));
        }
    }

    /// Lets go of the lists that have ended and have been said before.
    fn forget_ended(&mut self) {
        for (_, list) in self.ends.due(self.watermark) {
            self.spent.extend(self.lists.empty(list));
        }
    }

    fn emit(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        let deltas = self.deltas.take(false);
        if deltas.is_empty() {
            return Ok(());
        }
        let mut columns = self.decode(deltas.iter().map(|delta| delta.rows[0]))?;
        columns.push(Arc::new(UInt64Array::from_iter_values(
            deltas.iter().map(|delta| u64::from(delta.rows[1])),
        )));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let plain = deltas.iter().all(|delta| delta.weight == 1);
        let weights = (!plain).then(|| Int64Array::from_iter_values(deltas.iter().map(|delta| delta.weight)));
        out.slots.extend(deltas.iter().map(|delta| delta.slot));
        out.emit(Rows { batch, weights, clocks: Clocks::Uniform(clock) });
        Ok(())
    }

    /// All columns of some rows as bytes.
    fn encode(&mut self, batch: &RecordBatch) -> Result<RowBytes> {
        self.lists.format.encode(batch.columns(), batch.num_rows())
    }

    /// Rows as columns.
    pub(super) fn decode(&self, rows: impl Iterator<Item = u32>) -> Result<Vec<ArrayRef>> {
        self.lists.format.columns(rows.map(|row| self.lists.columns(row)))
    }

    pub(super) fn sweep(&mut self) {
        for row in std::mem::take(&mut self.spent) {
            self.lists.forget(row);
        }
        self.lists.compact();
        if self.partitions.len() < self.vacant_at {
            return;
        }
        let lives = |list: &u32| !self.lists.lists[*list as usize].rows.is_empty();
        let kept: Vec<u32> = (0..self.partitions.len() as u32).filter(lives).collect();
        self.vacant_at = VACANT_MIN.max(kept.len() * 2);
        if kept.len() * 2 > self.partitions.len() {
            return;
        }
        self.partitions.retain(&kept);
        self.slots = kept.iter().map(|list| self.slots[*list as usize]).collect();
        self.lists.retain(&kept);
        self.ends.renumber(|list| kept.binary_search(&list).ok().map(|place| place as u32));
    }

    /// Takes rows of a snapshot off their lists.
    pub(super) fn remove(&mut self, batch: &RecordBatch) -> Result<()> {
        let lists = self.intern(batch)?;
        let order = self.encode_order(batch)?;
        let columns = self.encode(batch)?;
        for (row, list) in lists.into_iter().enumerate() {
            let order = order.as_ref().map_or(&[][..], |order| order.row(row).data());
            let bytes = Bytes { order, columns: columns.get(row) };
            if let Ok(place) = self.lists.find(list, bytes) {
                let found = self.lists.lists[list as usize].rows.remove(place);
                let entry = self.lists.entry_mut(found);
                let weight = std::mem::take(&mut entry.weight);
                entry.saved = false;
                self.lists.lists[list as usize].total -= weight;
                self.lists.forget(found);
            }
        }
        Ok(())
    }

    /// Puts rows of a snapshot on their lists, with these weights and, where lists are forgotten, times.
    pub(super) fn put(&mut self, batch: &RecordBatch, weights: &[i64], at: Option<&[i64]>) -> Result<()> {
        self.remove(batch)?;
        let lists = self.intern(batch)?;
        let order = self.encode_order(batch)?;
        let columns = self.encode(batch)?;
        for (row, list) in lists.into_iter().enumerate() {
            let order = order.as_ref().map_or(&[][..], |order| order.row(row).data());
            let bytes = Bytes { order, columns: columns.get(row) };
            let place = self.lists.add(list, self.slots[list as usize], bytes, weights[row]);
            self.lists.entry_mut(place).saved = true;
            if let Some(at) = at {
                self.restore_time(list, place, at[row]);
            }
        }
        Ok(())
    }
}

impl Operator for TopNOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let rows = match self.what.closes {
            Some(closing) => closing.in_time(rows, &self.late, out)?,
            None => rows,
        };
        if rows.is_empty() {
            return Ok(());
        }
        let weights = rows.weights.as_ref().map(|weights| &**weights.values());
        if self.only_adds() && weights.is_some_and(|weights| weights.iter().any(|weight| *weight < 0)) {
            let reason = "a row was retracted from an input that only ever adds";
            return Err(OperatorError::unsupported(self.name, reason));
        }
        self.take_in(&rows.batch, weights)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        if self.what.says_at_end() {
            self.close();
        }
        if self.what.ttl.is_some() {
            self.date();
        }
        let mut now = Vec::new();
        for list in std::mem::take(&mut self.touched) {
            self.compare(list, &mut now);
        }
        self.emit(clock, out)?;
        self.before.clear();
        if self.what.ttl.is_some() {
            self.forget_old();
        }
        if self.what.revises {
            self.forget_ended();
        }
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
        self.ends.next()
    }

    fn state_size(&self) -> StateSize {
        let bytes = self.partitions.size() + self.lists.size() + self.ends.size();
        StateSize { entries: self.lists.len() as u64, bytes: bytes as u64 }
    }
}
