//! The operator behind [`crate::OrderedWindowsSpec`].
//!
//! Rows wait until the watermark has passed them; then their order is final, and they are put at the end of their partition. A partition
//! keeps the rows that may still be of a window to come.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::spec::{OrderedKind, OrderedWindows};
use super::state::Restoring;
use super::sums::{Settled, Sums};
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::Result;
use crate::groups::KeyTable;
use crate::held::{self, Arrivals};
use crate::line::Line;
use crate::uncomputed::mask_or_null;
use crate::windows::{MILLISECOND, Sorting, Times, key_columns, refuse_weights, slots, window_column};

/// A row that waits for the watermark has no position yet.
pub(super) const WAITING: i64 = -1;

/// What is noted with a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its position in its partition, or [`WAITING`].
    pub(super) position: i64,
    pub(super) begins: bool,
    pub(super) emits: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { position: WAITING, begins: false, emits: false }
    }
}

pub(super) type Store = held::Store<Place>;

/// A partition.
#[derive(Clone, Default)]
pub(super) struct Partition {
    /// The last rows, as far as they may be of a window to come.
    pub(super) rows: VecDeque<u32>,
    /// How many rows have been put in order.
    pub(super) count: i64,
    /// How many windows have ended.
    pub(super) windows: i64,
    pub(super) changed: bool,
}

pub(super) struct OrderedOperator {
    pub(super) name: &'static str,
    late: Arc<str>,
    pub(super) what: Arc<OrderedWindows>,
    schema: SchemaRef,
    pub(super) keys: KeyTable,
    /// By the number of its key.
    pub(super) partitions: Vec<Partition>,
    pub(super) store: Store,
    waiting: Line,
    pub(super) arrivals: Arrivals,
    /// What rows of one time are ordered by.
    ties: RowConverter,
    pub(super) changed: Vec<u32>,
    pub(super) watermark: i64,
    pub(super) restoring: Option<Restoring>,
    /// Of windows whose rows are not kept.
    pub(super) sums: Option<Sums>,
}

/// Windows that have ended, row by row.
#[derive(Default)]
struct Told {
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    numbers: Vec<i64>,
    /// Rows that are of no window to come.
    gone: Vec<u32>,
}

impl OrderedOperator {
    pub(super) fn try_new(
        name: &'static str,
        what: &Arc<OrderedWindows>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let kinds = what.partition.iter().map(|key| what.input.field(*key).data_type().clone());
        let ties = what.input.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let sums = match (&what.aggregates, &what.kind) {
            (Some(sums), OrderedKind::Count { size, hop }) => {
                Some(Sums::try_new(name, what, sums, (*size, *hop), schema)?)
            }
            _ => None,
        };
        Ok(Self {
            name,
            late: Arc::from(name),
            schema: Arc::clone(schema),
            keys: KeyTable::new(kinds.collect())?,
            partitions: Vec::new(),
            store: Store::new(&what.input),
            waiting: Line::new(what.after),
            arrivals: Arrivals::default(),
            ties: RowConverter::new(ties.collect())?,
            changed: Vec::new(),
            watermark: i64::MIN,
            restoring: None,
            sums,
            what: Arc::clone(what),
        })
    }

    /// The numbers of partitions of these keys.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.keys.intern(columns, rows, &mut numbers)?;
        self.partitions.resize_with(self.keys.len(), Partition::default);
        if let Some(sums) = &mut self.sums {
            sums.resize(self.keys.len());
        }
        Ok(numbers)
    }

    /// Puts rows in line.
    pub(super) fn wait(&mut self, rows: impl Iterator<Item = u32>) {
        for row in rows {
            self.waiting.push(self.store.row(row).time, row);
        }
    }

    /// For each row whether it begins a window and whether it ends one.
    fn marks(&self, batch: &RecordBatch) -> Result<Vec<(bool, bool)>> {
        let OrderedKind::State { begin, emit } = &self.what.kind else {
            return Ok(vec![(false, false); batch.num_rows()]);
        };
        let begins = mask_or_null(begin, batch, self.name)?;
        let emits = emit.as_ref().map(|emit| mask_or_null(emit, batch, self.name)).transpose()?;
        let holds = |mask: &BooleanArray, row: usize| mask.is_valid(row) && mask.value(row);
        let each = (0..batch.num_rows())
            .map(|row| (holds(&begins, row), emits.as_ref().is_some_and(|emits| holds(emits, row))));
        Ok(each.collect())
    }

    /// The rows that the watermark has passed, in the order of time, key and columns.
    fn passed(&mut self) -> Result<Vec<u32>> {
        let due = self.waiting.passed(self.watermark).into_iter();
        let mut due: Vec<(i64, u32, u32)> =
            due.map(|(time, row)| (time, self.store.row(row).key, row)).collect();
        let order = |a: &(i64, u32, u32), b: &(i64, u32, u32)| {
            a.0.cmp(&b.0).then_with(|| self.keys.compare(a.1, b.1))
        };
        due.sort_by(order);
        for ties in due.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1)).filter(|ties| ties.len() > 1) {
            let rows: Vec<u32> = ties.iter().map(|(.., row)| *row).collect();
            let converted = self.ties.convert_columns(&self.store.columns(&rows)?)?;
            let mut places: Vec<usize> = (0..rows.len()).collect();
            places.sort_by(|a, b| converted.row(*a).cmp(&converted.row(*b)));
            ties.iter_mut().zip(places).for_each(|(tie, place)| tie.2 = rows[place]);
        }
        Ok(due.into_iter().map(|(.., row)| row).collect())
    }

    /// Puts a row at the end of its partition.
    fn settle(&mut self, row: u32, told: &mut Told) {
        let (number, time) = (self.store.row(row).key, self.store.row(row).time);
        let partition = &mut self.partitions[number as usize];
        let note = &mut self.store.row_mut(row).note;
        note.position = partition.count;
        let (begins, emits) = (note.begins, note.emits);
        partition.count += 1;
        if let Some(sums) = &mut self.sums {
            let slot = self.store.row(row).slot;
            let settled = Settled { row, key: number, slot, time, count: partition.count };
            sums.settle(&settled, &mut partition.windows);
            told.gone.push(row);
            return self.change(number);
        }
        match &self.what.kind {
            OrderedKind::Count { size, hop } => {
                let (size, hop) = (i64::from(*size), i64::from(*hop));
                partition.rows.push_back(row);
                if partition.count >= size && partition.count % hop == 0 {
                    told.window(partition, &self.store, time.saturating_add(MILLISECOND));
                }
                // The next window ends with a multiple of the hop.
                let next = (partition.count + 1).max(size).saturating_add(hop - 1) / hop * hop;
                while partition.rows.len() as i64 > (partition.count - (next - size)).max(0) {
                    told.gone.extend(partition.rows.pop_front());
                }
            }
            OrderedKind::State { emit: Some(_), .. } => match (partition.rows.is_empty(), begins) {
                (true, false) => told.gone.push(row),
                (true, true) => partition.rows.push_back(row),
                (false, _) => {
                    partition.rows.push_back(row);
                    if emits {
                        told.window(partition, &self.store, time.saturating_add(MILLISECOND));
                        told.gone.extend(partition.rows.drain(..));
                    }
                }
            },
            OrderedKind::State { emit: None, .. } => {
                if begins && !partition.rows.is_empty() {
                    told.window(partition, &self.store, time);
                    told.gone.extend(partition.rows.drain(..));
                }
                if begins || !partition.rows.is_empty() {
                    partition.rows.push_back(row);
                } else {
                    told.gone.push(row);
                }
            }
        }
        self.change(number);
    }

    fn change(&mut self, number: u32) {
        let partition = &mut self.partitions[number as usize];
        if !std::mem::replace(&mut partition.changed, true) {
            self.changed.push(number);
        }
    }

    /// Gives out the rows of windows by slot, each slot's in the order in which its windows ended.
    fn emit(&self, told: &Told, clock: EventTime, out: &mut Output) -> Result<()> {
        let mut order: Vec<usize> = (0..told.rows.len()).collect();
        let slot = |place: &usize| self.store.row(told.rows[*place]).slot;
        order.sort_by_key(slot);
        let rows: Vec<u32> = order.iter().map(|place| told.rows[*place]).collect();
        let mut columns = self.store.columns(&rows)?;
        let kind = self.schema.field(columns.len()).data_type();
        let ends = || order.iter().map(|place| told.ends[*place]);
        columns.push(window_column(order.iter().map(|place| told.starts[*place]), kind)?);
        columns.push(window_column(ends(), kind)?);
        columns.push(window_column(ends().map(|end| end.saturating_sub(MILLISECOND)), kind)?);
        let numbers = order.iter().map(|place| told.numbers[*place]);
        columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
        out.slots = order.iter().map(slot).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        out.emit(Rows { clocks: Clocks::Uniform(clock), ..Rows::new(batch) });
        Ok(())
    }
}

impl Told {
    /// The rows of a partition as a window that ends now.
    fn window(&mut self, partition: &mut Partition, store: &Store, end: i64) {
        let start = partition.rows.front().map_or(end, |row| store.row(*row).time);
        partition.windows += 1;
        for row in &partition.rows {
            self.rows.push(*row);
            self.starts.push(start);
            self.ends.push(end);
            self.numbers.push(partition.windows);
        }
    }
}

impl Operator for OrderedOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        self.finish_restore();
        // What lies behind the watermark has been put in order without it.
        let (column, after) = (self.what.time, self.what.after);
        let rows = Sorting::in_time(rows, column, after, self.watermark, &self.late, out)?;
        if rows.is_empty() {
            return Ok(());
        }
        refuse_weights(&rows, self.name)?;
        let columns = key_columns(&rows.batch, &self.what.partition);
        let keys = self.intern(&columns, rows.len())?;
        let times = Times::new(rows.batch.column(self.what.time), self.name)?;
        let marks = self.marks(&rows.batch)?;
        let of_rows = slots(&columns, rows.len())?;
        let each = keys.iter().enumerate().map(|(row, key)| {
            let slot = of_rows[row];
            (times.values[row], slot, self.arrivals.next(slot), *key)
        });
        let each: Vec<_> = each.collect();
        let added = self.store.add(rows.batch, each.into_iter(), false);
        for (row, (begins, emits)) in added.iter().zip(marks) {
            self.store.row_mut(*row).note = Place { position: WAITING, begins, emits };
        }
        self.wait(added.into_iter());
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore();
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        let mut told = Told::default();
        for row in self.passed()? {
            self.settle(row, &mut told);
        }
        if !told.rows.is_empty() {
            self.emit(&told, clock, out)?;
        }
        if let Some(sums) = &mut self.sums {
            sums.emit(&self.store, &self.keys, clock, out)?;
        }
        told.gone.into_iter().for_each(|row| self.store.remove(row));
        self.store.compact()
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restore();
        self.write_state(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.read_state(entries)
    }

    fn waits_for_time(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn due(&self) -> Option<EventTime> {
        match &self.restoring {
            Some(_) => Some(EventTime::MIN),
            None => self.waiting.holds_until().map(|time| EventTime(time.saturating_add(1))),
        }
    }

    fn state_size(&self) -> StateSize {
        let rows: usize = self.partitions.iter().map(|partition| partition.rows.len()).sum();
        let kept = rows + self.sums.as_ref().map_or(0, Sums::len);
        let bytes = self.store.size()
            + self.keys.size()
            + self.waiting.size()
            + self.partitions.capacity() * size_of::<Partition>()
            + rows * size_of::<u32>()
            + self.sums.as_ref().map_or(0, Sums::size);
        StateSize { entries: (kept + self.waiting.len()) as u64, bytes: bytes as u64 }
    }
}
