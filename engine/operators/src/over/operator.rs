//! The operator behind [`crate::OverSpec`].
//!
//! Rows wait until the watermark has passed them; then their order is final, and they get their positions in their
//! partitions. A row comes out once the ends of all its frames are known, which for most is at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::aggregates::{Ask, FrameAggregates};
use super::partitions::{Partition, Place, Store, Stretch};
use super::spec::{Over, OverFunction};
use super::state::Restoring;
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::held::Arrivals;
use crate::line::Line;
use crate::windows::{Sorting, Times, key_columns, refuse_weights, slots};

const VACANT_MIN: usize = 1024;

pub(super) struct OverOperator {
    pub(super) name: &'static str,
    late: Arc<str>,
    pub(super) what: Arc<Over>,
    schema: SchemaRef,
    pub(super) keys: KeyTable,
    /// By the number of its key.
    pub(super) partitions: Vec<Partition>,
    pub(super) store: Store,
    waiting: Line,
    pub(super) arrivals: Arrivals,
    /// What rows of one time are ordered by, and then all their columns.
    order: Option<RowConverter>,
    columns: RowConverter,
    /// For each frame, if an aggregate is over it.
    pub(super) aggregates: Vec<Option<FrameAggregates>>,
    /// Partitions in which something may come out.
    touched: Vec<u32>,
    pub(super) changed: Vec<u32>,
    /// When nothing of a partition is of use any more.
    ends: Ends,
    /// When rows come out that wait for time behind them.
    ripe: Ends,
    pub(super) watermark: i64,
    pub(super) restoring: Option<Restoring>,
    vacant_at: usize,
}

/// A row that comes out: its time, partition and position.
type Told = (i64, u32, u64);

impl OverOperator {
    pub(super) fn try_new(name: &'static str, what: &Arc<Over>, schema: &SchemaRef) -> Result<Self> {
        let kind = |column: &usize| what.input.field(*column).data_type().clone();
        let order =
            what.order.iter().map(|(column, options)| SortField::new_with_options(kind(column), *options));
        let order: Vec<_> = order.collect();
        let columns = what.input.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let aggregates = (0..what.frames.len())
            .map(|frame| FrameAggregates::over(name, &what.calls, &what.input, &what.frames, frame));
        Ok(Self {
            name,
            late: Arc::from(name),
            schema: Arc::clone(schema),
            keys: KeyTable::new(what.partition.iter().map(kind).collect())?,
            partitions: Vec::new(),
            store: Store::new(&what.input),
            waiting: Line::new(what.after),
            arrivals: Arrivals::default(),
            order: if order.is_empty() { None } else { Some(RowConverter::new(order)?) },
            columns: RowConverter::new(columns.collect())?,
            aggregates: aggregates.collect::<Result<_>>()?,
            touched: Vec::new(),
            changed: Vec::new(),
            ends: Ends::default(),
            ripe: Ends::default(),
            watermark: i64::MIN,
            restoring: None,
            vacant_at: VACANT_MIN,
            what: Arc::clone(what),
        })
    }

    /// The numbers of partitions of these keys.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.keys.intern(columns, rows, &mut numbers)?;
        let frames = self.what.frames.len();
        self.partitions.resize_with(self.keys.len(), || Partition {
            frames: vec![Stretch::default(); frames],
            ..Partition::default()
        });
        Ok(numbers)
    }

    /// Puts rows of these times in line.
    pub(super) fn wait(&mut self, rows: impl Iterator<Item = u32>) {
        for row in rows {
            let entry = self.store.row(row);
            self.partitions[entry.key as usize].waiting += 1;
            self.waiting.push(entry.time, row);
        }
    }

    pub(super) fn change(&mut self, partition: u32) {
        let entry = &mut self.partitions[partition as usize];
        if !entry.changed {
            entry.changed = true;
            self.changed.push(partition);
        }
    }

    /// The rows that the watermark has passed get their positions.
    fn settle(&mut self) -> Result<()> {
        let due = self.waiting.passed(self.watermark).into_iter();
        let mut due: Vec<(i64, u32, u32)> =
            due.map(|(time, row)| (time, self.store.row(row).key, row)).collect();
        due.sort_unstable_by_key(|(time, partition, row)| (*partition, *time, *row));
        let equal = |a: &(i64, u32, u32), b: &(i64, u32, u32)| (a.0, a.1) == (b.0, b.1);
        let mut ties: Vec<u32> = Vec::new();
        for run in due.chunk_by(equal).filter(|run| run.len() > 1) {
            ties.extend(run.iter().map(|(_, _, row)| *row));
        }
        let keys = self.tie_keys(&ties)?;
        let mut at = 0;
        for run in due.chunk_by(equal) {
            let (time, partition, row) = run[0];
            if run.len() == 1 {
                self.place(partition, &[row]);
                continue;
            }
            let mut order: Vec<usize> = (at..at + run.len()).collect();
            at += run.len();
            order.sort_by(|a, b| keys.order(*a).cmp(keys.order(*b)).then(keys.all(*a).cmp(keys.all(*b))));
            for peers in order.chunk_by(|a, b| keys.order(*a) == keys.order(*b)) {
                let peers: Vec<u32> = peers.iter().map(|tie| ties[*tie]).collect();
                self.place(partition, &peers);
            }
            debug_assert!(run.iter().all(|one| one.0 == time));
        }
        Ok(())
    }

    fn tie_keys(&self, ties: &[u32]) -> Result<TieKeys> {
        if ties.is_empty() {
            return Ok(TieKeys { order: None, all: None });
        }
        let columns = self.store.columns(ties)?;
        let order: Vec<ArrayRef> =
            self.what.order.iter().map(|(column, _)| Arc::clone(&columns[*column])).collect();
        let order = self.order.as_ref().map(|converter| converter.convert_columns(&order)).transpose()?;
        Ok(TieKeys { order, all: Some(self.columns.convert_columns(&columns)?) })
    }

    /// Puts rows that are equal in order at the end of their partition.
    fn place(&mut self, number: u32, peers: &[u32]) {
        let partition = &mut self.partitions[number as usize];
        let from = partition.end();
        partition.dense += 1;
        for (nth, row) in peers.iter().enumerate() {
            let position = (from + nth as u64) as i64;
            self.store.row_mut(*row).note =
                Place { position, peers_from: from as i64, dense: partition.dense };
            partition.rows.push_back(*row);
        }
        partition.waiting -= peers.len() as u32;
        if self.touched.last() != Some(&number) {
            self.touched.push(number);
        }
        self.change(number);
        if let Some(row) = peers.first() {
            self.ripen_later(number, self.store.row(*row).time);
        }
    }

    /// Rows that were in order already may come out because of time, or because nothing follows any more.
    fn ripen(&mut self) {
        if self.what.time_behind() > 0 {
            let due = self.ripe.due(self.watermark);
            self.touched.extend(due.into_iter().map(|(_, number)| number));
        }
        if self.watermark == i64::MAX {
            let untold = |number: &u32| {
                let partition = &self.partitions[*number as usize];
                partition.told < partition.end()
            };
            self.touched.extend((0..self.partitions.len() as u32).filter(untold));
        }
        self.touched.sort_unstable();
        self.touched.dedup();
    }

    /// Notes when the last rows of a partition come out, if they wait for time.
    pub(super) fn ripen_later(&mut self, number: u32, time: i64) {
        if self.what.time_behind() > 0 {
            let end = time.saturating_add(self.what.after).saturating_add(self.what.time_behind());
            self.ripe.push(end, number);
        }
    }

    /// The rows that come out now, partition by partition, and for each frame what it holds for each of them.
    fn ready(&mut self) -> (Vec<Told>, Vec<Vec<Ask>>) {
        let mut told: Vec<Told> = Vec::new();
        let mut asks: Vec<Vec<Ask>> = vec![Vec::new(); self.what.frames.len()];
        let touched = std::mem::take(&mut self.touched);
        for number in &touched {
            loop {
                let partition = &self.partitions[*number as usize];
                if !partition.is_ready(&self.what, &self.store, self.watermark) {
                    break;
                }
                let position = partition.told;
                let time = partition.at(position as i64).map_or(0, |row| self.store.row(row).time);
                told.push((time, *number, position));
                for (nth, frame) in self.what.frames.iter().enumerate() {
                    let before = partition.frames[nth];
                    let stretch = partition.stretch(*frame, position, before, &self.store);
                    asks[nth].push(Ask { run: *number, before, stretch });
                }
                let partition = &mut self.partitions[*number as usize];
                for (stretch, asks) in partition.frames.iter_mut().zip(&asks) {
                    *stretch = asks.last().map_or(*stretch, |ask| ask.stretch);
                }
                partition.told += 1;
                self.change(*number);
            }
        }
        self.touched = touched;
        (told, asks)
    }

    fn emit(&mut self, told: &[Told], asks: &[Vec<Ask>], clock: EventTime, out: &mut Output) -> Result<()> {
        let mut results: Vec<std::vec::IntoIter<ArrayRef>> = Vec::new();
        for (aggregates, asks) in self.aggregates.iter_mut().zip(asks) {
            let columns = match aggregates {
                Some(aggregates) => {
                    let partitions = &self.partitions;
                    let row = |number: u32, position: u64| partitions[number as usize].at(position as i64);
                    aggregates.answer(asks, partitions.len(), &row, &self.store, &|_| false)?.columns
                }
                None => Vec::new(),
            };
            results.push(columns.into_iter());
        }
        let rows: Vec<u32> = told
            .iter()
            .filter_map(|(_, number, position)| self.partitions[*number as usize].at(*position as i64))
            .collect();
        let mut columns = self.store.columns(&rows)?;
        for call in &self.what.calls {
            let column = match &call.function {
                OverFunction::Aggregate { frame, .. } => results[*frame].next().ok_or_else(|| {
                    OperatorError::unsupported(self.name, "an aggregate has given no column")
                })?,
                other => self.look_up(other, told, asks, &rows)?,
            };
            // Numbers come as they are wanted.
            columns.push(cast(&column, call.field.data_type())?);
        }
        let mut order: Vec<u64> = (0..told.len() as u64).collect();
        order.sort_by(|a, b| {
            let (a, b) = (told[*a as usize], told[*b as usize]);
            a.0.cmp(&b.0).then_with(|| self.keys.compare(a.1, b.1)).then(a.2.cmp(&b.2))
        });
        let options = RecordBatchOptions::new().with_row_count(Some(told.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let batch = arrow::compute::take_record_batch(&batch, &UInt64Array::from(order))?;
        out.emit(Rows { clocks: Clocks::Uniform(clock), ..Rows::new(batch) });
        Ok(())
    }

    /// What a function gives that is no aggregate.
    fn look_up(
        &self,
        function: &OverFunction,
        told: &[Told],
        asks: &[Vec<Ask>],
        rows: &[u32],
    ) -> Result<ArrayRef> {
        let numbers = |of: &dyn Fn(&Place) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| of(&self.store.row(*row).note))))
        };
        let at = |number: u32, position: i64| self.partitions[number as usize].at(position);
        match function {
            OverFunction::RowNumber => Ok(numbers(&|place| place.position + 1)),
            OverFunction::Rank => Ok(numbers(&|place| place.peers_from + 1)),
            OverFunction::DenseRank => Ok(numbers(&|place| place.dense)),
            OverFunction::Shift { column, by, default } => {
                let shifted = told.iter().map(|(_, number, position)| at(*number, *position as i64 + by));
                self.store.column(*column, shifted, &default.to_array()?)
            }
            OverFunction::Value { column, row, frame } => {
                let of = |ask: &Ask| row.of(ask.stretch).and_then(|place| at(ask.run, place as i64));
                let none = new_null_array(self.what.input.field(*column).data_type(), 1);
                self.store.column(*column, asks[*frame].iter().map(of), &none)
            }
            OverFunction::Aggregate { .. } => {
                Err(OperatorError::unsupported(self.name, "an aggregate is no single row's value"))
            }
        }
    }

    /// Lets go of rows that nothing looks at any more, and of partitions that have none.
    fn sweep(&mut self) -> Result<()> {
        let head = self.what.head();
        for number in std::mem::take(&mut self.touched) {
            let partition = &self.partitions[number as usize];
            let used_from = partition.used_from(&self.what, &self.store);
            let partition = &mut self.partitions[number as usize];
            while partition.base < used_from {
                let Some(row) = partition.rows.pop_front() else { break };
                if partition.base < head {
                    partition.head.push(row)
                } else {
                    self.store.remove(row)
                }
                partition.base += 1;
            }
            self.schedule(number);
        }
        let ended = self.ends.due(self.watermark);
        for (_, number) in ended {
            if self.partitions[number as usize].told > 0 && self.has_ended(number) {
                self.end(number);
            }
        }
        self.store.compact()?;
        self.forget_vacant();
        Ok(())
    }

    /// Notes when a partition ends, if it does.
    pub(super) fn schedule(&mut self, number: u32) {
        let last = self.partitions[number as usize].rows.back();
        if let (Some(lasts), Some(row)) = (self.what.lasts(), last) {
            let end = self.store.row(*row).time.saturating_add(lasts).saturating_add(self.what.after);
            self.ends.push(end, number);
        }
    }

    fn has_ended(&self, number: u32) -> bool {
        let partition = &self.partitions[number as usize];
        let Some(lasts) = self.what.lasts() else { return false };
        let last = partition.rows.back().map(|row| self.store.row(*row).time);
        let end = last.map(|last| last.saturating_add(lasts).saturating_add(self.what.after));
        partition.told == partition.end() && end.is_none_or(|end| end < self.watermark)
    }

    /// Empties a partition; rows of it that wait find it as if it were new.
    fn end(&mut self, number: u32) {
        let partition = &mut self.partitions[number as usize];
        let rows: Vec<u32> = partition.rows.drain(..).chain(partition.head.drain(..)).collect();
        let (waiting, changed, saved) = (partition.waiting, partition.changed, partition.saved);
        let frames = vec![Stretch::default(); self.what.frames.len()];
        *partition = Partition { frames, waiting, changed, saved, ..Partition::default() };
        rows.into_iter().for_each(|row| self.store.remove(row));
        self.aggregates.iter_mut().flatten().for_each(|aggregates| aggregates.set.clear(&[number]));
        self.change(number);
    }

    fn forget_vacant(&mut self) {
        if self.partitions.len() < self.vacant_at || self.what.lasts().is_none() {
            return;
        }
        // The next snapshot still has to say that a partition is gone.
        let is_used = |number: &u32| {
            let partition = &self.partitions[*number as usize];
            !partition.is_vacant() || partition.changed || partition.told > 0
        };
        let kept: Vec<u32> = (0..self.partitions.len() as u32).filter(is_used).collect();
        self.vacant_at = VACANT_MIN.max(kept.len() * 2);
        if kept.len() * 2 > self.partitions.len() {
            return;
        }
        self.keys.retain(&kept);
        self.aggregates.iter_mut().flatten().for_each(|aggregates| aggregates.set.retain(&kept));
        let renumber = |number: u32| kept.binary_search(&number).ok().map(|place| place as u32);
        self.ends.renumber(renumber);
        self.ripe.renumber(renumber);
        self.changed = self.changed.iter().filter_map(|number| renumber(*number)).collect();
        let mut all = std::mem::take(&mut self.partitions);
        self.partitions = kept.iter().map(|number| std::mem::take(&mut all[*number as usize])).collect();
        self.store.renumber(renumber);
    }
}

/// What ties are broken by.
struct TieKeys {
    order: Option<arrow_row::Rows>,
    all: Option<arrow_row::Rows>,
}

impl TieKeys {
    fn order(&self, tie: usize) -> &[u8] {
        self.order.as_ref().map_or(&[], |order| order.row(tie).data())
    }

    fn all(&self, tie: usize) -> &[u8] {
        self.all.as_ref().map_or(&[], |all| all.row(tie).data())
    }
}

impl Operator for OverOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        self.finish_restore()?;
        // What lies behind the watermark has been told without it.
        let (column, after) = (self.what.time, self.what.after);
        let rows = Sorting::in_time(rows, column, after, self.watermark, &self.late, out)?;
        if rows.is_empty() {
            return Ok(());
        }
        refuse_weights(&rows, self.name)?;
        let columns = key_columns(&rows.batch, &self.what.partition);
        let partitions = self.intern(&columns, rows.len())?;
        let times = Times::new(rows.batch.column(self.what.time), self.name)?;
        let of_rows = slots(&columns, rows.len())?;
        let mut each = Vec::with_capacity(rows.len());
        for (row, partition) in partitions.iter().enumerate() {
            let slot = of_rows[row];
            each.push((times.values[row], slot, self.arrivals.next(slot), *partition));
        }
        let added = self.store.add(rows.batch, each.into_iter(), false);
        self.wait(added.into_iter());
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore()?;
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        self.settle()?;
        self.ripen();
        let (told, asks) = self.ready();
        if !told.is_empty() {
            self.emit(&told, &asks, clock, out)?;
        }
        self.sweep()
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
        let aggregates = self.aggregates.iter().flatten().map(|aggregates| aggregates.set.size());
        let bytes = self.store.size()
            + self.keys.size()
            + self.waiting.size()
            + self.partitions.capacity() * size_of::<Partition>()
            + self.ends.size()
            + self.ripe.size()
            + aggregates.sum::<usize>();
        StateSize { entries: self.store.len() as u64, bytes: bytes as u64 }
    }
}
