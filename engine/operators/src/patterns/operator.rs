//! The operator behind [`super::MatchRecognizeSpec`].
//!
//! Rows wait until the watermark has passed them, and are then put behind their partition's others, in order. At the
//! end of a step the partitions that have new rows, or whose attempt's time is over, are gone on with, wave by wave:
//! in each wave every partition goes on until it has to ask about its next row, and all questions are answered
//! together.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::buffer::{Buffer, Place};
use super::partition::{Partition, Row};
use super::program::Program;
use super::run::{Matcher, Progress};
use super::spec::{MatchRecognize, NAME};
use super::state::Restored;
use super::waiting::{Queue, Waiting};
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::windows::{Sorting, Times, key_columns, slots};

const VACANT_MIN: usize = 1024;

pub(super) struct MatchOperator {
    pub(super) what: Arc<MatchRecognize>,
    name: Arc<str>,
    schema: SchemaRef,
    pub(super) keys: KeyTable,
    pub(super) partitions: Vec<Partition>,
    pub(super) buffer: Buffer,
    pub(super) matcher: Matcher,
    /// Rows before a match, and after a row, that are looked at.
    before: u64,
    after: u64,
    pub(super) counts: bool,
    order: Option<RowConverter>,
    pub(super) waiting: Queue,
    arrivals: u64,
    ends: Ends,
    /// Partitions to be looked at.
    touched: Vec<u32>,
    pub(super) dirty: Vec<u32>,
    /// Rows of the last snapshot that have gone since: partition and sequence.
    pub(super) gone: Vec<(u32, i64)>,
    pub(super) restored: Restored,
    pub(super) watermark: i64,
    vacant_at: usize,
    /// The memory of all partitions' rows and attempts.
    bytes: usize,
}

impl MatchOperator {
    pub(super) fn try_new(
        what: &Arc<MatchRecognize>,
        program: &Arc<Program>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let kind = |column: &usize| what.input.field(*column).data_type().clone();
        let order = what
            .order
            .iter()
            .map(|(column, options)| SortField::new_with_options(kind(column), *options))
            .collect::<Vec<_>>();
        Ok(Self {
            name: Arc::from(NAME),
            schema: Arc::clone(schema),
            keys: KeyTable::new(what.keys.iter().map(kind).collect())?,
            partitions: Vec::new(),
            buffer: Buffer::new(Arc::clone(&what.input), what.operands.clone())?,
            matcher: Matcher::new(what, program)?,
            before: what.rows_before(program),
            after: what.rows_after(),
            counts: what.counts_matches(),
            order: if order.is_empty() { None } else { Some(RowConverter::new(order)?) },
            waiting: Queue::default(),
            arrivals: 0,
            ends: Ends::default(),
            touched: Vec::new(),
            dirty: Vec::new(),
            gone: Vec::new(),
            restored: Restored::default(),
            watermark: i64::MIN,
            vacant_at: VACANT_MIN,
            bytes: 0,
            what: Arc::clone(what),
        })
    }

    /// The rows that are in time, each as often as its weight says.
    fn in_time(&self, rows: Rows, out: &mut Output) -> Result<Rows> {
        let times = Times::new(rows.batch.column(self.what.time), NAME)?;
        let mut sorting = Sorting::with_capacity(rows.len());
        for row in 0..rows.len() {
            match times.get(row) {
                None => sorting.untimed(row),
                Some(time) if rows.clock(row).0 > time => sorting.late(row, time, rows.clock(row).0),
                Some(_) => sorting.keep(row),
            }
        }
        let rows = sorting.split(rows, &self.name, out)?;
        let Some(weights) = &rows.weights else { return Ok(rows) };
        if weights.values().iter().all(|weight| *weight == 1) {
            return Ok(rows);
        }
        let mut repeated = Vec::with_capacity(rows.len());
        for (row, weight) in (0..).zip(weights.values()) {
            let times = usize::try_from(*weight).map_err(|_| {
                OperatorError::unsupported(NAME, "a row was retracted from an input that only ever adds")
            })?;
            repeated.extend(std::iter::repeat_n(row, times));
        }
        rows.take(&UInt32Array::from(repeated))
    }

    /// The partitions of rows with these key columns.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.keys.intern(columns, rows, &mut numbers)?;
        if self.keys.len() > self.partitions.len() {
            let of_rows = slots(columns, rows)?;
            for (row, number) in numbers.iter().enumerate() {
                // New ones are numbered in the order in which they come.
                if *number as usize == self.partitions.len() {
                    self.partitions.push(Partition::new(of_rows[row]));
                }
            }
        }
        Ok(numbers)
    }

    /// What rows of a batch are ordered by besides time, for those that need it.
    pub(super) fn encode_order(&self, batch: &arrow::array::RecordBatch) -> Result<Option<arrow_row::Rows>> {
        let Some(order) = &self.order else { return Ok(None) };
        let columns: Vec<ArrayRef> =
            self.what.order.iter().map(|(column, _)| Arc::clone(batch.column(*column))).collect();
        Ok(Some(order.convert_columns(&columns)?))
    }

    pub(super) fn touch(&mut self, number: u32) {
        let partition = &mut self.partitions[number as usize];
        if !std::mem::replace(&mut partition.touched, true) {
            self.touched.push(number);
        }
    }

    pub(super) fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    fn mark_dirty(&mut self, number: u32) {
        let partition = &mut self.partitions[number as usize];
        if !std::mem::replace(&mut partition.dirty, true) {
            self.dirty.push(number);
        }
    }

    /// Puts the rows that the watermark has passed behind their partitions' others.
    fn pass(&mut self) {
        let before = (self.watermark != i64::MAX).then_some(self.watermark);
        self.waiting.sort();
        while let Some(next) = self.waiting.pop_before(before) {
            let Waiting { time, sequence, place, may_be, saved, .. } = next;
            let partition = &mut self.partitions[next.partition as usize];
            partition.rows.push_back(Row { time, sequence, place, may_be, saved });
            partition.waiting -= 1;
            self.touch(next.partition);
        }
    }

    /// Judges the rows whose neighbours are known.
    pub(super) fn judge(&mut self, numbers: &[u32]) -> Result<()> {
        let after = if self.watermark == i64::MAX { 0 } else { self.after };
        let mut rows: Vec<(u32, u64)> = Vec::new();
        for number in numbers {
            let partition = &mut self.partitions[*number as usize];
            let known = partition.end().saturating_sub(after).max(partition.judged);
            if self.matcher.conditions.look_at_neighbours() {
                rows.extend((partition.judged..known).map(|row| (*number, row)));
            }
            partition.judged = known;
        }
        if rows.is_empty() {
            return Ok(());
        }
        let neighbour = |nth: usize, step: i32| {
            let (number, row) = rows[nth];
            self.partitions[number as usize].neighbour(row, step)
        };
        let out = self.matcher.conditions.ruled_out(rows.len(), neighbour, &self.buffer)?;
        for ((number, row), out) in rows.into_iter().zip(out) {
            self.partitions[number as usize].row_mut(row).may_be &= !out;
        }
        Ok(())
    }

    /// Goes on with partitions as far as that can be.
    pub(super) fn advance(&mut self, numbers: &[u32]) -> Result<()> {
        let mut active = numbers.to_vec();
        while !active.is_empty() {
            let mut asking = Vec::new();
            for number in active {
                let partition = &mut self.partitions[number as usize];
                if self.matcher.advance(number, partition, &self.buffer, self.watermark)? == Progress::Asks {
                    asking.push(number);
                }
            }
            if !self.matcher.questions.is_empty() {
                self.matcher.conditions.answer(&mut self.matcher.questions, &self.buffer)?;
            }
            active = asking;
        }
        for number in numbers {
            let partition = &mut self.partitions[*number as usize];
            if partition.start < partition.judged && self.what.within.is_some() && !partition.scheduled {
                partition.scheduled = true;
                self.ends.push(self.matcher.deadline(partition, partition.start), *number);
            }
        }
        Ok(())
    }

    /// Says the matches of the step, by slot, and within a slot by key.
    fn emit(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        if self.matcher.emitted.is_empty() {
            return Ok(());
        }
        let (batch, partitions) = self.matcher.emitted.finish(&self.schema, &self.buffer)?;
        let mut order: Vec<u32> = (0..partitions.len() as u32).collect();
        order.sort_by(|a, b| {
            let (a, b) = (partitions[*a as usize], partitions[*b as usize]);
            let slot = |number: u32| self.partitions[number as usize].slot;
            slot(a)
                .cmp(&slot(b))
                .then_with(|| if a == b { std::cmp::Ordering::Equal } else { self.keys.compare(a, b) })
        });
        let slot = |nth: &u32| self.partitions[partitions[*nth as usize] as usize].slot;
        out.slots.extend(order.iter().map(slot));
        let rows = Rows { batch, weights: None, clocks: Clocks::Uniform(clock) };
        out.emit(rows.take(&UInt32Array::from(order))?);
        Ok(())
    }

    /// Lets go of the rows that these partitions do not need any more.
    fn release(&mut self, numbers: &[u32]) {
        for number in numbers {
            let partition = &mut self.partitions[*number as usize];
            partition.touched = false;
            let mut leaving = 0;
            partition.release(self.before, |row| {
                self.buffer.release(row.place);
                if row.saved {
                    self.gone.push((*number, row.sequence));
                    leaving += 1;
                }
            });
            partition.leaving += leaving;
            let bytes = partition.size();
            self.bytes = self.bytes + bytes - std::mem::replace(&mut partition.bytes, bytes);
        }
    }

    /// Gives back memory: batches of which little is wanted, and partitions without rows.
    fn sweep(&mut self) -> Result<()> {
        if self.buffer.wants_packing() {
            let rows = self.partitions.iter_mut().flat_map(|partition| &mut partition.rows);
            let mut places: Vec<&mut Place> = rows.map(|row| &mut row.place).collect();
            places.extend(self.waiting.iter_mut().map(|row| &mut row.place));
            self.buffer.pack(&mut places)?;
        }
        if self.partitions.len() >= self.vacant_at {
            self.vacate();
        }
        Ok(())
    }

    fn vacate(&mut self) {
        let lives = |number: &u32| {
            let partition = &self.partitions[*number as usize];
            !partition.is_vacant() || self.counts && partition.matches > 0
        };
        let kept: Vec<u32> = (0..self.partitions.len() as u32).filter(lives).collect();
        self.vacant_at = VACANT_MIN.max(kept.len() * 2);
        if kept.len() * 2 > self.partitions.len() {
            return;
        }
        let of = |number: u32| kept.binary_search(&number).ok().map(|place| place as u32);
        self.keys.retain(&kept);
        let mut numbers = 0..;
        self.partitions.retain(|_| numbers.next().is_some_and(|number| of(number).is_some()));
        self.bytes = self.partitions.iter().map(|partition| partition.bytes).sum();
        self.ends.renumber(of);
        self.dirty.retain_mut(|number| {
            of(*number).is_some_and(|new| {
                *number = new;
                true
            })
        });
        for row in self.waiting.iter_mut() {
            row.partition = of(row.partition).unwrap_or(row.partition);
        }
        for (number, _) in &mut self.gone {
            *number = of(*number).unwrap_or(*number);
        }
    }
}

impl Operator for MatchOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        self.finish_restoring()?;
        let rows = self.in_time(rows, out)?;
        if rows.is_empty() {
            return Ok(());
        }
        let times = Times::new(rows.batch.column(self.what.time), NAME)?;
        let numbers = self.intern(&key_columns(&rows.batch, &self.what.keys), rows.len())?;
        let order = self.encode_order(&rows.batch)?;
        let count = rows.len();
        let batch = self.buffer.add(rows.batch)?;
        let may_be = self.matcher.conditions.of_rows(self.buffer.operands(batch), count)?;
        for (row, partition) in numbers.into_iter().enumerate() {
            let of = &mut self.partitions[partition as usize];
            let sequence = of.arrived;
            of.arrived += 1;
            of.waiting += 1;
            self.mark_dirty(partition);
            let waiting = Waiting {
                time: times.get(row).unwrap_or(i64::MIN),
                order: order.as_ref().map_or_else(Box::default, |order| order.row(row).data().into()),
                arrival: self.next_arrival(),
                partition,
                sequence,
                place: Place { batch, row: row as u32 },
                may_be: may_be[row],
                saved: false,
            };
            self.waiting.push(waiting);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restoring()?;
        let clock = EventTime(self.watermark);
        if watermark.0 > self.watermark {
            self.watermark = watermark.0;
            self.pass();
        }
        for (_, number) in self.ends.due(self.watermark) {
            self.partitions[number as usize].scheduled = false;
            self.touch(number);
        }
        if self.watermark == i64::MAX {
            (0..self.partitions.len() as u32).for_each(|number| self.touch(number));
        }
        let touched = std::mem::take(&mut self.touched);
        self.judge(&touched)?;
        self.advance(&touched)?;
        touched.iter().for_each(|number| self.mark_dirty(*number));
        self.emit(clock, out)?;
        self.release(&touched);
        self.sweep()
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restoring()?;
        self.write_state(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.read_state(entries)
    }

    fn waits_for_time(&self) -> bool {
        !self.waiting.is_empty() || !self.restored.is_empty() || self.ends.is_pending()
    }

    fn due(&self) -> Option<EventTime> {
        if !self.restored.is_empty() {
            return Some(EventTime::MIN);
        }
        let row = self.waiting.first_time().map(|time| EventTime(time.saturating_add(1)));
        // Of what has begun and has no end, the end of time decides.
        let last = (self.buffer.len() > 0).then_some(EventTime::MAX);
        row.into_iter().chain(self.ends.next()).chain(last).min()
    }

    fn state_size(&self) -> StateSize {
        let bytes = self.buffer.size()
            + self.keys.size()
            + self.matcher.size()
            + self.ends.size()
            + self.partitions.capacity() * size_of::<Partition>()
            + self.waiting.size()
            + self.bytes;
        let entries = self.buffer.len() + self.restored.len();
        StateSize { entries: entries as u64, bytes: bytes as u64 }
    }
}
