//! The operator behind [`super::SessionAggregateSpec`].
//!
//! Tables of a snapshot, in this order:
//! - `watermark`: one row, `$watermark`. All sessions that end by then are gone.
//! - `clocks` (with a timeline per key): keys, `$clock`. The key's sessions that end by then are gone.
//! - `sessions`: keys, `$start`, `$end`, states. These are all the sessions that their keys have.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::EventTime;

use super::emit::{Closed, Layout};
use super::partial::key_columns;
use super::place::{Sorting, Times, positive_weights};
use super::said::Said;
use super::session::SessionAggregate;
use super::sessions::{Joined, Session, Sessions};
use super::tables::{check_schema, push_entries, push_watermark, read_watermark, slots};
use super::timelines::Timelines;
use crate::aggregates::AggregateSet;
use crate::api::{Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;

const NAME: &str = "SessionAggregate";

/// About how many rows go out at a time.
const BATCH_ROWS: usize = 8192;

pub(super) struct SessionOperator {
    name: Arc<str>,
    what: Arc<SessionAggregate>,
    layout: Layout,
    state_schema: SchemaRef,
    sessions: Sessions,
    /// What was said before this step, if sessions come out early.
    said: Option<Said>,
    timelines: Option<Timelines>,
    watermark: i64,
}

impl SessionOperator {
    pub(super) fn try_new(what: &Arc<SessionAggregate>, schema: &SchemaRef) -> Result<Self> {
        let keys: Vec<_> = what.keys.iter().map(|key| what.input.field(*key).clone()).collect();
        let types = keys.iter().map(|key| key.data_type().clone()).collect();
        let aggregates = AggregateSet::try_new(NAME, &what.aggregates, &what.input, false)?;
        let mut fields = keys;
        fields.push(Field::new("$start", DataType::Int64, false));
        fields.push(Field::new("$end", DataType::Int64, false));
        fields.extend(aggregates.state_fields()?);
        Ok(Self {
            name: Arc::from(NAME),
            what: Arc::clone(what),
            layout: Layout { schema: Arc::clone(schema), columns: what.output.clone() },
            state_schema: Arc::new(Schema::new(fields)),
            sessions: Sessions::new(what.gap, KeyTable::new(types)?, aggregates),
            said: what.early.then(Said::default),
            timelines: what.per_key.clone().map(Timelines::new),
            watermark: EventTime::MIN.0,
        })
    }

    /// The time up to which sessions are closed, when time has come to this.
    fn closing(&self, time: i64) -> i64 {
        time.saturating_sub(self.what.lateness)
    }

    fn close(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        let mut closed = Vec::new();
        let lateness = self.what.lateness;
        match &mut self.timelines {
            None => {
                let until = self.watermark.saturating_sub(lateness);
                for key in self.sessions.take_due(until) {
                    self.sessions.close(key, until, &mut closed);
                }
            }
            Some(timelines) => {
                for key in timelines.take_due(self.watermark > clock.0) {
                    let until = timelines.clock(key).max(self.watermark);
                    self.sessions.close(key, until.saturating_sub(lateness), &mut closed);
                    timelines.set_closed(key);
                }
            }
        }
        // What comes out early has been said by now.
        if self.said.is_none() {
            self.emit(&mut closed, clock, out)?;
        }
        self.sessions.clear(&closed);
        let (timelines, watermark) = (&self.timelines, self.watermark);
        let pinned = |key| timelines.as_ref().is_some_and(|timelines| timelines.clock(key) > watermark);
        let kept = self.sessions.collect_garbage(pinned);
        if let (Some(kept), Some(timelines)) = (kept, &mut self.timelines) {
            timelines.retain(&kept);
        }
        Ok(())
    }

    fn emit(&mut self, closed: &mut [(u32, Session)], clock: EventTime, out: &mut Output) -> Result<()> {
        let keys = &self.sessions.keys;
        let order = |session: &Session| (session.end, session.start);
        closed.sort_by(|(a_key, a), (b_key, b)| {
            order(a).cmp(&order(b)).then_with(|| keys.compare(*a_key, *b_key))
        });
        for closed in closed.chunks(BATCH_ROWS) {
            let mut windows = Closed::default();
            for (key, session) in closed {
                windows.push(session.start, session.end, *key);
            }
            let groups: Vec<u32> = closed.iter().map(|(_, session)| session.group).collect();
            let results = self.sessions.aggregates.finish(&groups)?;
            self.layout.emit(&windows, &self.sessions.keys, &results, clock, out)?;
        }
        Ok(())
    }

    fn restore_sessions(&mut self, rows: &RecordBatch) -> Result<()> {
        let width = self.what.keys.len();
        let keys = self.intern(&rows.columns()[..width], rows.num_rows())?;
        self.sessions.remove(&keys);
        let starts = rows.column(width).as_primitive::<Int64Type>().values();
        let ends = rows.column(width + 1).as_primitive::<Int64Type>().values();
        let times = starts.iter().zip(ends);
        let groups: Vec<u32> =
            keys.iter().zip(times).map(|(key, (start, end))| self.sessions.put(*key, *start, *end)).collect();
        self.sessions.aggregates.merge(&rows.columns()[width + 2..], &groups)?;
        // The watermark may be that of a later snapshot, in which nothing was to be said of these keys.
        self.forget_closed(keys.into_iter());
        Ok(())
    }

    /// Forgets what had been closed when the snapshot was taken.
    fn forget_closed(&mut self, keys: impl Iterator<Item = u32>) {
        let mut closed = Vec::new();
        for key in keys {
            let clock = self.timelines.as_ref().map_or(self.watermark, |timelines| timelines.clock(key));
            self.sessions.close(key, self.closing(clock.max(self.watermark)), &mut closed);
        }
        self.sessions.clear(&closed);
    }

    fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut keys = Vec::new();
        self.sessions.keys.intern(columns, rows, &mut keys)?;
        self.sessions.resize();
        if let Some(timelines) = &mut self.timelines {
            timelines.resize(self.sessions.keys.len());
        }
        Ok(keys)
    }
}

/// Rows whose sessions are known and that are not aggregated yet.
struct Pending<'a> {
    rows: &'a Rows,
    indices: Vec<u32>,
    groups: Vec<u32>,
}

impl Pending<'_> {
    fn push(&mut self, row: usize, group: u32) {
        self.indices.push(row as u32);
        self.groups.push(group);
    }

    fn flush(&mut self, aggregates: &mut AggregateSet) -> Result<()> {
        if self.groups.is_empty() {
            return Ok(());
        }
        let groups = std::mem::take(&mut self.groups);
        let indices = UInt32Array::from(std::mem::take(&mut self.indices));
        let rows =
            if indices.len() == self.rows.len() { self.rows.clone() } else { self.rows.take(&indices)? };
        aggregates.update(&rows.batch, &groups, positive_weights(&rows, NAME)?)
    }
}

impl Operator for SessionOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        positive_weights(&rows, NAME)?;
        let times = Times::new(rows.batch.column(self.what.time), NAME)?;
        let keys = self.intern(&key_columns(&rows.batch, &self.what.keys), rows.len())?;
        if let Some(said) = &mut self.said {
            said.note(&keys, &mut self.sessions)?;
        }
        let ticks =
            self.timelines.as_ref().map(|timelines| timelines.ticks(&rows.batch, NAME)).transpose()?;
        let mut sorting = Sorting::with_capacity(rows.len());
        let mut pending = Pending { rows: &rows, indices: Vec::new(), groups: Vec::new() };
        for (row, key) in keys.iter().enumerate() {
            let mut clock = rows.clock(row).0.max(self.watermark);
            if let Some(timelines) = &self.timelines {
                clock = clock.max(timelines.clock(*key));
            }
            if ticks.as_ref().is_none_or(|ticks| ticks.passes(row)) {
                let closing = clock.saturating_sub(self.what.lateness);
                match times.get(row).map(|time| (time, self.sessions.join(*key, time, closing))) {
                    None => sorting.untimed(row),
                    Some((time, Joined::Late)) => sorting.late(row, time, clock),
                    Some((_, Joined::One(group))) => pending.push(row, group),
                    Some((_, Joined::Many(group, others))) => {
                        // The others' rows must be in their aggregates before these move.
                        pending.flush(&mut self.sessions.aggregates)?;
                        self.sessions.absorb(group, &others)?;
                        pending.push(row, group);
                    }
                }
            }
            if let (Some(timelines), Some(ticks)) = (&mut self.timelines, &ticks) {
                timelines.advance(*key, ticks.candidate(row));
            }
        }
        pending.flush(&mut self.sessions.aggregates)?;
        sorting.emit_late(&rows.batch, &self.name, out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        if let Some(said) = &mut self.said {
            said.emit(&mut self.sessions, &self.layout, BATCH_ROWS, clock, out)?;
        }
        self.close(clock, out)
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        if let Some(timelines) = &mut self.timelines {
            timelines.snapshot(full, &self.sessions.keys, out)?;
        }
        let changed = self.sessions.changed(full);
        let keys: Vec<u32> = changed.iter().map(|(key, _)| *key).collect();
        let groups: Vec<u32> = changed.iter().map(|(_, session)| session.group).collect();
        let mut columns = self.sessions.keys.columns(&keys)?;
        let slots = slots(&columns, keys.len())?;
        let starts = changed.iter().map(|(_, session)| session.start);
        columns.push(Arc::new(Int64Array::from_iter_values(starts)));
        columns.push(Arc::new(Int64Array::from_iter_values(changed.iter().map(|(_, session)| session.end))));
        columns.extend(self.sessions.aggregates.state(&groups)?);
        push_entries("sessions", RecordBatch::try_new(Arc::clone(&self.state_schema), columns)?, slots, out);
        Ok(())
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        match (entries.table.as_str(), &mut self.timelines) {
            ("watermark", _) => {
                self.watermark = self.watermark.max(read_watermark(&entries.rows));
                self.forget_closed(0..self.sessions.keys.len() as u32);
                Ok(())
            }
            ("clocks", Some(_)) => {
                let (clocks, keys) = entries.rows.columns().split_last().expect("the clock is a column");
                let keys = self.intern(keys, entries.rows.num_rows())?;
                if let Some(timelines) = &mut self.timelines {
                    timelines.restore(&keys, clocks);
                }
                self.forget_closed(0..self.sessions.keys.len() as u32);
                Ok(())
            }
            ("sessions", _) => {
                check_schema(NAME, &entries.rows, &self.state_schema)?;
                self.restore_sessions(&entries.rows)
            }
            (other, _) => Err(OperatorError::no_state_table(NAME, other)),
        }
    }

    fn due(&self) -> Option<EventTime> {
        match self.timelines {
            Some(_) => Some(EventTime::MIN),
            None => self.sessions.next_end().map(|end| EventTime(end.saturating_add(self.what.lateness))),
        }
    }

    fn state_size(&self) -> StateSize {
        let timelines = self.timelines.as_ref().map_or(0, Timelines::size);
        StateSize { entries: self.sessions.len() as u64, bytes: (self.sessions.size() + timelines) as u64 }
    }
}
