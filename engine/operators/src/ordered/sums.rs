//! Windows of so many rows of which only the aggregates are kept.
//!
//! ```text
//!  rows of a partition    1 2 3 4 5 6 7 8 9 ...        windows of 6 rows, after every 4
//!  slices                [1 2][3 4][5 6][7 8][9 ...    of 2, which is how often both go
//!  windows                    [3 ........ 8]
//! ```
//!
//! A row is added to its partition's newest slice and let go of. A window that ends is the sum of its slices; a slice is kept as long as
//! it is part of a window to come. Of windows that follow each other there is one slice for each partition.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::EventTime;

use super::operator::Store;
use super::spec::{OrderedAggregates, OrderedWindows, part_rows};
use crate::aggregates::AggregateSet;
use crate::api::Output;
use crate::error::Result;
use crate::groups::KeyTable;
use crate::windows::{Closed, Layout, MILLISECOND};

/// About how many rows go out at a time.
const BATCH_ROWS: usize = 8192;

/// Some rows of a partition that follow each other.
#[derive(Clone, Copy)]
struct Slice {
    nth: i64,
    /// The time of its first row.
    start: i64,
    group: u32,
}

/// A window that this step has ended.
struct Ended {
    key: u32,
    slot: u32,
    start: i64,
    end: i64,
    number: i64,
    groups: Vec<u32>,
}

/// A row that is put in order.
pub(super) struct Settled {
    pub(super) row: u32,
    pub(super) key: u32,
    pub(super) slot: u32,
    pub(super) time: i64,
    /// Which row of its partition it is, from 1.
    pub(super) count: i64,
}

/// The open slices of all partitions.
pub(super) struct Sums {
    input: SchemaRef,
    layout: Layout,
    size: i64,
    hop: i64,
    /// How many rows a slice has.
    rows: i64,
    /// By partition, in order.
    open: Vec<VecDeque<Slice>>,
    slices: AggregateSet,
    /// Where slices are added up to windows; empty between calls.
    windows: AggregateSet,
    groups: u32,
    free: Vec<u32>,
    settled: Vec<u32>,
    settled_groups: Vec<u32>,
    ended: Vec<Ended>,
    gone: Vec<u32>,
}

impl Sums {
    pub(super) fn try_new(
        name: &'static str,
        what: &OrderedWindows,
        sums: &OrderedAggregates,
        (size, hop): (u32, u32),
        schema: &SchemaRef,
    ) -> Result<Self> {
        let set = || AggregateSet::try_new(name, &sums.calls, &what.input, false);
        Ok(Self {
            input: Arc::clone(&what.input),
            layout: Layout { schema: Arc::clone(schema), columns: sums.output.clone() },
            size: i64::from(size),
            hop: i64::from(hop),
            rows: i64::from(part_rows(size, hop)),
            open: Vec::new(),
            slices: set()?,
            windows: set()?,
            groups: 0,
            free: Vec::new(),
            settled: Vec::new(),
            settled_groups: Vec::new(),
            ended: Vec::new(),
            gone: Vec::new(),
        })
    }

    /// Makes room for all partitions.
    pub(super) fn resize(&mut self, partitions: usize) {
        self.open.resize_with(partitions, VecDeque::new);
    }

    fn new_group(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.groups += 1;
            self.groups - 1
        })
    }

    /// The first row, from 0, of the next window, when there are so many.
    fn next_start(&self, count: i64) -> i64 {
        let least = (count + 1).max(self.size);
        least.saturating_add(self.hop - 1) / self.hop * self.hop - self.size
    }

    /// Adds a row to its partition; `windows` counts those that have ended there.
    pub(super) fn settle(&mut self, row: &Settled, windows: &mut i64) {
        let nth = (row.count - 1) / self.rows;
        let key = row.key as usize;
        let group = match self.open[key].back() {
            Some(slice) if slice.nth == nth => slice.group,
            _ => {
                let group = self.new_group();
                self.open[key].push_back(Slice { nth, start: row.time, group });
                group
            }
        };
        self.settled.push(row.row);
        self.settled_groups.push(group);
        if row.count >= self.size && row.count % self.hop == 0 {
            *windows += 1;
            let first = (row.count - self.size) / self.rows;
            let own: Vec<Slice> = self.open[key].iter().copied().filter(|slice| slice.nth >= first).collect();
            self.ended.push(Ended {
                key: row.key,
                slot: row.slot,
                start: own.first().map_or(row.time, |slice| slice.start),
                end: row.time.saturating_add(MILLISECOND),
                number: *windows,
                groups: own.iter().map(|slice| slice.group).collect(),
            });
        }
        self.let_go(key, row.count);
    }

    /// Lets go of slices that are of no window to come.
    fn let_go(&mut self, key: usize, count: i64) {
        let start = self.next_start(count);
        while let Some(slice) = self.open[key].front()
            && (slice.nth + 1) * self.rows <= start
        {
            self.gone.push(slice.group);
            self.open[key].pop_front();
        }
    }

    /// Aggregates the rows of a step, and gives out the windows that they have ended.
    pub(super) fn emit(
        &mut self,
        store: &Store,
        keys: &KeyTable,
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let (rows, groups) = (std::mem::take(&mut self.settled), std::mem::take(&mut self.settled_groups));
        if rows.is_empty() {
            return Ok(());
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.input), store.columns(&rows)?)?;
        self.slices.resize(self.groups as usize);
        self.slices.update(&batch, &groups, None)?;
        let mut ended = std::mem::take(&mut self.ended);
        ended.sort_by_key(|window| window.slot);
        for ended in ended.chunks(BATCH_ROWS) {
            let mut closed = Closed::default();
            for window in ended {
                closed.push(window.start, window.end, window.key);
                closed.numbers.push(window.number);
                out.slots.push(window.slot);
            }
            let results = self.results(ended)?;
            self.layout.emit(&closed, keys, &results, clock, out)?;
        }
        self.clear_gone();
        Ok(())
    }

    fn results(&mut self, ended: &[Ended]) -> Result<Vec<ArrayRef>> {
        if self.size == self.rows {
            let groups: Vec<u32> = ended.iter().flat_map(|window| window.groups.iter().copied()).collect();
            return self.slices.evaluate(&groups);
        }
        let all: Vec<u32> = (0..ended.len() as u32).collect();
        let parts: Vec<u32> = ended.iter().flat_map(|window| window.groups.iter().copied()).collect();
        let of = (0..).zip(ended).flat_map(|(nth, window)| std::iter::repeat_n(nth, window.groups.len()));
        let of: Vec<u32> = of.collect();
        self.windows.resize(ended.len());
        self.windows.merge(&self.slices.state(&parts)?, &of)?;
        let results = self.windows.finish(&all)?;
        self.windows.clear(&all);
        Ok(results)
    }

    fn clear_gone(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.slices.clear(&gone);
        self.free.extend(gone);
    }

    /// The columns of the table of slices: the keys', `$nth`, `$start`, states.
    pub(super) fn schema(&self, keys: &[Field]) -> Result<SchemaRef> {
        let own = ["$nth", "$start"].map(|name| Field::new(name, DataType::Int64, false));
        let fields = keys.iter().cloned().chain(own).chain(self.slices.state_fields()?);
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// The partitions of the slices of some partitions, and the columns behind the keys.
    pub(super) fn written(&mut self, partitions: &[u32]) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let of = |key: u32| self.open[key as usize].iter().map(move |slice| (key, *slice));
        let slices: Vec<(u32, Slice)> = partitions.iter().copied().flat_map(of).collect();
        let groups: Vec<u32> = slices.iter().map(|(_, slice)| slice.group).collect();
        let numbers = Int64Array::from_iter_values(slices.iter().map(|(_, slice)| slice.nth));
        let starts = Int64Array::from_iter_values(slices.iter().map(|(_, slice)| slice.start));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(starts)];
        columns.extend(self.slices.state(&groups)?);
        Ok((slices.into_iter().map(|(key, _)| key).collect(), columns))
    }

    /// Takes slices back, in the place of what is known of them.
    pub(super) fn put(&mut self, keys: &[u32], columns: &[ArrayRef]) -> Result<()> {
        let [numbers, starts] = [0, 1].map(|nth: usize| columns[nth].as_primitive::<Int64Type>().values());
        let mut groups = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let known = self.open[*key as usize].iter().position(|slice| slice.nth == numbers[row]);
            let group = match known {
                Some(place) => self.open[*key as usize][place].group,
                None => {
                    let group = self.new_group();
                    let slice = Slice { nth: numbers[row], start: starts[row], group };
                    self.open[*key as usize].push_back(slice);
                    group
                }
            };
            groups.push(group);
        }
        self.slices.resize(self.groups as usize);
        self.slices.clear(&groups);
        self.slices.merge(&columns[2..], &groups)
    }

    /// When all is restored: lets go of slices that were so by then.
    pub(super) fn finish_restore(&mut self, counts: impl Iterator<Item = i64>) {
        for (key, count) in counts.enumerate().take(self.open.len()) {
            self.open[key].make_contiguous().sort_unstable_by_key(|slice| slice.nth);
            self.let_go(key, count);
        }
        self.clear_gone();
    }

    /// How many slices there are.
    pub(super) fn len(&self) -> usize {
        self.open.iter().map(VecDeque::len).sum()
    }

    pub(super) fn size(&self) -> usize {
        let open: usize = self.open.iter().map(|slices| slices.capacity() * size_of::<Slice>()).sum();
        self.slices.size() + open + self.open.capacity() * size_of::<VecDeque<Slice>>()
    }
}
