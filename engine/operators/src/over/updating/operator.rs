//! The operator behind [`crate::UpdatingOverSpec`].
//!
//! Of each partition all rows are kept, in order, and with each row what was said with it. A step's changes are added up and put in
//! force; then only rows whose frame they lie in, or whose number they move, are evaluated, and of these only those are said again for
//! which the functions give something else.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::apply::Arrival;
use super::lasting::UNDATED;
use super::marks::Marks;
use super::rows::{Encoder, Held};
use super::sorted::Sorted;
use super::spec::UpdatingOver;
use super::state::Restoring;
use crate::api::{Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::error::Result;
use crate::groups::KeyTable;
use crate::held::{Arrivals, Store};
use crate::over::aggregates::FrameAggregates;
use crate::windows::slots;

const VACANT_MIN: usize = 1024;

/// A partition.
pub(super) struct Partition {
    pub(super) slot: u32,
    pub(super) rows: Sorted,
    /// Rows that were retracted and have still to come.
    pub(super) debts: Vec<u32>,
    /// For each frame; empty as long as there is none.
    pub(super) marks: Vec<Marks>,
    /// When its newest row came.
    pub(super) at: i64,
    /// Whether it is noted when it may be forgotten.
    pub(super) scheduled: bool,
    /// Its place among the partitions that the step has touched, if it has.
    pub(super) touch: Option<u32>,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            slot: u32::MAX,
            rows: Sorted::default(),
            debts: Vec::new(),
            marks: Vec::new(),
            at: UNDATED,
            scheduled: false,
            touch: None,
        }
    }
}

pub(super) struct UpdatingOverOperator {
    pub(super) name: &'static str,
    pub(super) what: Arc<UpdatingOver>,
    pub(super) schema: SchemaRef,
    keys: KeyTable,
    /// By the number of its key.
    pub(super) partitions: Vec<Partition>,
    pub(super) held: Held,
    /// What was said with rows, by the rows' names.
    pub(super) told: Store<()>,
    pub(super) encoder: Encoder,
    pub(super) results: RowConverter,
    /// For each frame, if an aggregate is over it.
    pub(super) aggregates: Vec<Option<FrameAggregates>>,
    /// What has come in this step.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) batches: Vec<RecordBatch>,
    /// Partitions in the order in which the step has touched them first.
    pub(super) touched: Vec<u32>,
    /// What rows are called in snapshots.
    pub(super) names: Arrivals,
    pub(super) ends: Ends,
    pub(super) watermark: i64,
    pub(super) restoring: Option<Restoring>,
    vacant_at: usize,
    /// How many rows have been evaluated.
    #[cfg(test)]
    pub(super) evaluated: u64,
}

impl UpdatingOverOperator {
    pub(super) fn try_new(name: &'static str, what: &Arc<UpdatingOver>, schema: &SchemaRef) -> Result<Self> {
        let kind = |column: &usize| what.input.field(*column).data_type().clone();
        let results = what.calls.iter().map(|call| SortField::new(call.field.data_type().clone()));
        let aggregates = (0..what.frames.len())
            .map(|frame| FrameAggregates::over(name, &what.calls, &what.input, &what.frames, frame));
        Ok(Self {
            name,
            schema: Arc::clone(schema),
            keys: KeyTable::new(what.partition.iter().map(kind).collect())?,
            partitions: Vec::new(),
            held: Held::new(&what.input),
            told: Store::new(&what.results()),
            encoder: Encoder::try_new(&what.input, &what.order, what.is_measured())?,
            results: RowConverter::new(results.collect())?,
            aggregates: aggregates.collect::<Result<_>>()?,
            arrivals: Vec::new(),
            batches: Vec::new(),
            touched: Vec::new(),
            names: Arrivals::default(),
            ends: Ends::default(),
            watermark: i64::MIN,
            restoring: None,
            vacant_at: VACANT_MIN,
            #[cfg(test)]
            evaluated: 0,
            what: Arc::clone(what),
        })
    }

    /// The numbers of the rows' partitions.
    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut numbers = Vec::new();
        self.keys.intern(columns, rows, &mut numbers)?;
        if self.keys.len() > self.partitions.len() {
            self.partitions.resize_with(self.keys.len(), Partition::default);
            let slots = slots(columns, rows)?;
            for (number, slot) in numbers.iter().zip(slots) {
                self.partitions[*number as usize].slot = slot;
            }
        }
        Ok(numbers)
    }

    /// Forgets partitions that have no rows, once they are most.
    fn forget_vacant(&mut self) {
        if self.partitions.len() < self.vacant_at {
            return;
        }
        let lives = |number: &u32| {
            let partition = &self.partitions[*number as usize];
            !partition.rows.is_empty() || !partition.debts.is_empty()
        };
        let kept: Vec<u32> = (0..self.partitions.len() as u32).filter(lives).collect();
        self.vacant_at = VACANT_MIN.max(kept.len() * 2);
        if kept.len() * 2 > self.partitions.len() {
            return;
        }
        self.keys.retain(&kept);
        let mut all = std::mem::take(&mut self.partitions);
        self.partitions = kept.iter().map(|number| std::mem::take(&mut all[*number as usize])).collect();
        let renumber = |number: u32| kept.binary_search(&number).ok().map(|place| place as u32);
        self.ends.renumber(renumber);
        self.held.store.renumber(renumber);
    }
}

impl Operator for UpdatingOverOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, _out: &mut Output) -> Result<()> {
        self.finish_restore();
        if rows.is_empty() {
            return Ok(());
        }
        let weights = rows.weights.as_ref().map(|weights| &**weights.values());
        self.check_weights(weights)?;
        self.take_in(rows.batch, weights)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore();
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        if !self.touched.is_empty() {
            let (moved, gone) = self.apply()?;
            self.say(&moved, &gone, clock, out)?;
            self.date(&moved);
            for partition in std::mem::take(&mut self.touched) {
                self.partitions[partition as usize].touch = None;
            }
        }
        self.forget_old();
        self.held.store.compact()?;
        self.told.compact()?;
        self.forget_vacant();
        Ok(())
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restore();
        self.write_state(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.read_state(entries)
    }

    fn due(&self) -> Option<EventTime> {
        match &self.restoring {
            Some(_) if self.what.ttl.is_some() => Some(EventTime::MIN),
            _ => self.ends.next(),
        }
    }

    fn state_size(&self) -> StateSize {
        let rows = self.held.store.len();
        let aggregates = self.aggregates.iter().flatten().map(|aggregates| aggregates.set.size());
        let bytes = self.held.size()
            + self.told.size()
            + self.keys.size()
            + self.partitions.capacity() * size_of::<Partition>()
            + rows * size_of::<u32>() * 2
            + self.ends.size()
            + aggregates.sum::<usize>();
        StateSize { entries: rows as u64, bytes: bytes as u64 }
    }
}
