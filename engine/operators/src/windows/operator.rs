//! The operators behind [`super::WindowAggregateSpec`] and [`super::WindowFinalSpec`].
//!
//! Tables of a snapshot, in this order:
//! - `watermark`: one row, `$watermark`. All slices whose last window ends by then are gone.
//! - `clocks` (with a timeline per key): keys, `$clock`. The key's slices whose last window ends by then are gone.
//! - `groups`: keys, `$slice`, `$from`, states.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use headwater_core::EventTime;

use super::aggregate::WindowAggregate;
use super::emit::Layout;
use super::kind::WindowKind;
use super::partial::{key_columns, partial_schema, sort_by_clock, what_slices};
use super::place::{Fate, Placer, Sorting, Times, fate, positive_weights};
use super::slices::{Due, Parts, Slices, runs};
use super::tables::{PART_ROWS, check_schema, push_entries, push_watermark, read_watermark};
use super::timelines::Timelines;
use crate::aggregates::AggregateSet;
use crate::api::{Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::{OperatorError, Result};

/// About how many rows go out at a time.
const BATCH_ROWS: usize = 8192;

/// Windows in one phase.
pub(super) struct WindowOperator {
    name: Arc<str>,
    what: Arc<WindowAggregate>,
    layout: Layout,
    state_schema: SchemaRef,
    slices: Slices,
    /// Where slices are added up to windows; empty between calls.
    windows: AggregateSet,
    timelines: Option<Timelines>,
    watermark: i64,
    ordinals: Vec<u32>,
    keys: Vec<u32>,
    groups: Vec<u32>,
}

impl WindowOperator {
    pub(super) fn try_new(
        name: &'static str,
        what: &Arc<WindowAggregate>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        Ok(Self {
            name: Arc::from(name),
            what: Arc::clone(what),
            layout: Layout { schema: Arc::clone(schema), columns: what.output.clone() },
            state_schema: partial_schema(what)?,
            slices: what_slices(what, name)?,
            windows: AggregateSet::try_new(name, &what.aggregates, &what.input, false)?,
            timelines: what.per_key.clone().map(Timelines::new),
            watermark: EventTime::MIN.0,
            ordinals: Vec::new(),
            keys: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// Rows by the shards' clocks.
    fn add_rows(&mut self, rows: Rows, out: &mut Output) -> Result<()> {
        self.ordinals.clear();
        let rows = sort_by_clock(&self.what, rows, self.watermark, &self.name, out, |place, rows| {
            self.ordinals.extend(std::iter::repeat_n(self.slices.ordinal(place), rows));
        })?;
        let columns = key_columns(&rows.batch, &self.what.keys);
        self.slices.keys.intern(&columns, rows.len(), &mut self.keys)?;
        self.aggregate(&rows)
    }

    /// Rows by their keys' clocks.
    fn add_rows_per_key(&mut self, rows: Rows, out: &mut Output) -> Result<()> {
        let Some(timelines) = &mut self.timelines else { return Ok(()) };
        let ticks = timelines.ticks(&rows.batch, &self.name)?;
        let times = Times::new(rows.batch.column(self.what.time), &self.name)?;
        let columns = key_columns(&rows.batch, &self.what.keys);
        let mut keys = Vec::new();
        self.slices.keys.intern(&columns, rows.len(), &mut keys)?;
        timelines.resize(self.slices.keys.len());
        let mut placer = Placer::new(self.what.kind);
        let mut sorting = Sorting::with_capacity(rows.len());
        self.ordinals.clear();
        self.keys.clear();
        for (row, key) in keys.iter().enumerate() {
            if ticks.passes(row) {
                let clock = timelines.clock(*key).max(rows.clock(row).0).max(self.watermark);
                match times.get(row).map(|time| (time, placer.place(time, clock))) {
                    Some((_, Fate::Counts(place))) => {
                        self.ordinals.push(self.slices.ordinal(place));
                        self.keys.push(*key);
                        sorting.keep(row);
                    }
                    Some((time, Fate::Late)) => sorting.late(row, time, clock),
                    Some((_, Fate::Nowhere)) => {}
                    None => sorting.untimed(row),
                }
            }
            timelines.advance(*key, ticks.candidate(row));
        }
        let rows = sorting.split(rows, &self.name, out)?;
        self.aggregate(&rows)
    }

    /// Adds rows whose ordinals and keys are known.
    fn aggregate(&mut self, rows: &Rows) -> Result<()> {
        let weights = positive_weights(rows, &self.name)?;
        self.slices.touch(&self.ordinals, &self.keys, &mut self.groups);
        self.slices.aggregates.update(&rows.batch, &self.groups, weights)
    }

    fn close(&mut self, watermark: i64, clock: EventTime, out: &mut Output) -> Result<()> {
        let (kind, layout, windows) = (self.what.kind, &self.layout, &mut self.windows);
        self.slices.windows(clock.0, watermark, BATCH_ROWS, |slices, parts| {
            emit(kind, slices, windows, layout, parts, clock, out)
        })?;
        self.slices.expire(watermark);
        self.slices.collect_garbage(|_| false);
        Ok(())
    }

    fn close_per_key(&mut self, watermark: i64, clock: EventTime, out: &mut Output) -> Result<()> {
        let Some(timelines) = &mut self.timelines else { return Ok(()) };
        let keys = timelines.take_due(watermark > clock.0);
        let mut due = Vec::new();
        for key in &keys {
            let until = timelines.clock(*key).max(watermark);
            self.slices.key_windows(*key, timelines.closed(*key).max(clock.0), until, &mut due);
        }
        let order = |due: &Due| (due.end, due.start);
        due.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| self.slices.keys.compare(a.key, b.key)));
        for due in due.chunks(BATCH_ROWS) {
            let mut parts = Parts::default();
            for (row, window) in due.iter().enumerate() {
                parts.closed.push(window.start, window.end, window.key);
                parts.sources.extend(&window.parts);
                parts.targets.resize(parts.sources.len(), row as u32);
            }
            emit(self.what.kind, &mut self.slices, &mut self.windows, &self.layout, &parts, clock, out)?;
        }
        for key in &keys {
            self.slices.expire_key(*key, timelines.clock(*key).max(watermark));
            timelines.set_closed(*key);
        }
        if let Some(kept) = self.slices.collect_garbage(|key| timelines.clock(key) > watermark) {
            timelines.retain(&kept);
        }
        Ok(())
    }

    fn restore_clocks(&mut self, rows: &RecordBatch) -> Result<()> {
        let Some(timelines) = &mut self.timelines else {
            return Err(OperatorError::bad_checkpoint(&self.name, "it has a timeline per key"));
        };
        let (clocks, keys) = rows.columns().split_last().expect("the clock is a column");
        self.slices.keys.intern(keys, rows.num_rows(), &mut self.keys)?;
        timelines.resize(self.slices.keys.len());
        timelines.restore(&self.keys, clocks);
        for key in &self.keys {
            self.slices.expire_key(*key, timelines.clock(*key));
        }
        Ok(())
    }
}

/// Adds up the parts of closed windows, and hands on the results.
fn emit(
    kind: WindowKind,
    slices: &mut Slices,
    windows: &mut AggregateSet,
    layout: &Layout,
    parts: &Parts,
    clock: EventTime,
    out: &mut Output,
) -> Result<()> {
    let results = if let WindowKind::Tumble { .. } = kind {
        // Every window is one slice, and ends with it.
        debug_assert!(parts.targets.iter().copied().eq(0..parts.closed.len() as u32), "a row for each group");
        slices.aggregates.finish(&parts.sources)?
    } else {
        let rows: Vec<u32> = (0..parts.closed.len() as u32).collect();
        windows.resize(rows.len());
        windows.merge(&slices.aggregates.state(&parts.sources)?, &parts.targets)?;
        let results = windows.finish(&rows)?;
        windows.clear(&rows);
        results
    };
    layout.emit(&parts.closed, &slices.keys, &results, clock, out)
}

impl Operator for WindowOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        positive_weights(&rows, &self.name)?;
        if self.timelines.is_some() { self.add_rows_per_key(rows, out) } else { self.add_rows(rows, out) }
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        if self.timelines.is_some() {
            self.close_per_key(self.watermark, clock, out)
        } else if self.watermark > clock.0 {
            self.close(self.watermark, clock, out)
        } else {
            Ok(())
        }
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        if let Some(timelines) = &mut self.timelines {
            timelines.snapshot(full, &self.slices.keys, out)?;
        }
        for groups in self.slices.take_changed(full).chunks(PART_ROWS) {
            let (columns, slots) = self.slices.entries(groups)?;
            push_entries(
                "groups",
                RecordBatch::try_new(Arc::clone(&self.state_schema), columns)?,
                slots,
                out,
            );
        }
        Ok(())
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        match entries.table.as_str() {
            "watermark" => {
                self.watermark = self.watermark.max(read_watermark(&entries.rows));
                if self.timelines.is_none() {
                    self.slices.expire(self.watermark);
                    self.slices.collect_garbage(|_| false);
                } else {
                    let keys = 0..self.slices.keys.len() as u32;
                    keys.for_each(|key| self.slices.expire_key(key, self.watermark));
                }
                Ok(())
            }
            "clocks" => self.restore_clocks(&entries.rows),
            "groups" => {
                check_schema(&self.name, &entries.rows, &self.state_schema)?;
                self.slices.restore(&entries.rows)
            }
            other => Err(OperatorError::no_state_table(&self.name, other)),
        }
    }

    fn due(&self) -> Option<EventTime> {
        match self.timelines {
            Some(_) => Some(EventTime::MIN),
            None => self.slices.next_end(self.watermark).map(EventTime),
        }
    }

    fn state_size(&self) -> StateSize {
        let timelines = self.timelines.as_ref().map_or(0, Timelines::size);
        StateSize { entries: self.slices.len() as u64, bytes: (self.slices.size() + timelines) as u64 }
    }
}

/// Windows in the second of two phases: what comes in are states.
pub(super) struct FinalOperator(pub(super) WindowOperator);

impl Operator for FinalOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let operator = &mut self.0;
        let keys = operator.what.keys.len();
        let mut kept = Sorting::with_capacity(rows.len());
        operator.ordinals.clear();
        for (place, own) in runs(&rows.batch, keys) {
            let clock = operator.watermark.max(place.from.saturating_sub(1));
            match fate(&operator.what.kind, place.slice, clock) {
                Fate::Counts(place) => {
                    let ordinal = operator.slices.ordinal(place);
                    operator.ordinals.extend(std::iter::repeat_n(ordinal, own.len()));
                    kept.keep_all(own);
                }
                Fate::Late => own.for_each(|row| kept.late(row, place.slice, clock)),
                Fate::Nowhere => {}
            }
        }
        let rows = kept.split(rows, &operator.name, out)?;
        operator.slices.keys.intern(&rows.batch.columns()[..keys], rows.len(), &mut operator.keys)?;
        operator.slices.touch(&operator.ordinals, &operator.keys, &mut operator.groups);
        operator.slices.aggregates.merge(&rows.batch.columns()[keys + 2..], &operator.groups)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.0.on_watermark(watermark, out)
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.0.snapshot(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.0.restore(entries)
    }

    fn due(&self) -> Option<EventTime> {
        self.0.due()
    }

    fn state_size(&self) -> StateSize {
        self.0.state_size()
    }
}
