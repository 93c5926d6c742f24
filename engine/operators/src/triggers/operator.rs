//! The operator behind [`super::TriggerSpec`].
//!
//! Tables of a snapshot, in this order:
//! - `watermark`: one row, `$watermark`.
//! - `keys`: keys, `$phase`, `$since`, `$last`, the earlier values that conditions look at, the newest row if time can fire.
//! - `ago0`, `ago1`, ..: keys, `$time`, `$value`: all that is kept of the value some time ago.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{is_not_null, take};
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use headwater_core::EventTime;

use super::ago::Ago;
use super::firings::{Fired, Shown, in_order};
use super::history::{History, Kept, Locals};
use super::machine::{Phase, Rules, State};
use super::spec::{Memory, NAME, Trigger, When};
use super::store::RowStore;
use super::wheel::Wheel;
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::stateless::evaluate_mask;
use crate::windows::{
    Sorting, Times, check_schema, key_columns, push_entries, push_watermark, read_watermark, slots,
};

pub(super) struct TriggerOperator {
    what: Arc<Trigger>,
    name: Arc<str>,
    rules: Rules,
    schema: SchemaRef,
    order: Vec<usize>,
    /// The input's columns and those of memory.
    wide: SchemaRef,
    keys: KeyTable,
    states: Vec<State>,
    history: History,
    ago: Vec<Ago>,
    /// The newest row of each key, if time can make it fire.
    newest: Option<RowStore>,
    wheel: Wheel,
    /// By key: whether the wheel has a timer for it.
    scheduled: Vec<bool>,
    /// Keys that wait for time.
    holding: usize,
    dirty: Vec<bool>,
    dirty_keys: Vec<u32>,
    locals: Locals,
    fired: Vec<RecordBatch>,
    watermark: i64,
}

impl TriggerOperator {
    pub(super) fn try_new(what: &Arc<Trigger>, schema: &SchemaRef, order: &[usize]) -> Result<Self> {
        let types = what.keys.iter().map(|key| what.input.field(*key).data_type().clone()).collect();
        let wide = Arc::new(what.columns_of_conditions()?);
        let own = what.input.fields().len();
        let (mut kept, mut kinds, mut ago) = (Vec::new(), Vec::new(), Vec::new());
        for (remembered, field) in what.remembered.iter().zip(&wide.fields()[own..]) {
            let (expr, kind) = (Arc::clone(&remembered.expr), field.data_type().clone());
            match remembered.memory {
                Memory::Ago(back) => ago.push(Ago::new(expr, back, kind)?),
                memory => {
                    kept.push(Kept { expr, values_only: memory == Memory::Value });
                    kinds.push(kind);
                }
            }
        }
        let columns = || what.input.fields().iter().map(|field| field.data_type().clone()).collect();
        let newest = what.hold.map(|_| RowStore::new(columns())).transpose()?;
        Ok(Self {
            name: Arc::from(NAME),
            rules: what.rules(),
            schema: Arc::clone(schema),
            order: order.to_vec(),
            wide,
            keys: KeyTable::new(types)?,
            states: Vec::new(),
            history: History::new(kept, kinds)?,
            ago,
            newest,
            wheel: Wheel::new(),
            scheduled: Vec::new(),
            holding: 0,
            dirty: Vec::new(),
            dirty_keys: Vec::new(),
            locals: Locals::default(),
            fired: Vec::new(),
            watermark: i64::MIN,
            what: Arc::clone(what),
        })
    }

    fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut keys = Vec::new();
        self.keys.intern(columns, rows, &mut keys)?;
        let known = self.keys.len();
        self.states.resize(known, State::NEW);
        self.scheduled.resize(known, false);
        self.dirty.resize(known, false);
        self.history.store.resize(known);
        self.ago.iter_mut().for_each(|ago| ago.resize(known));
        if let Some(newest) = &mut self.newest {
            newest.resize(known);
        }
        Ok(keys)
    }

    /// The rows that have an event time; the others go where late rows go.
    fn with_time(&self, rows: Rows, out: &mut Output) -> Result<Rows> {
        let time = rows.batch.column(self.what.time);
        if time.null_count() == 0 {
            return Ok(rows);
        }
        let has_time = is_not_null(time)?;
        let mut sorting = Sorting::with_capacity(rows.len());
        (0..rows.len()).filter(|row| time.is_null(*row)).for_each(|row| sorting.untimed(row));
        sorting.emit_late(&rows.batch, &self.name, out)?;
        rows.filter(&has_time)
    }

    /// The batch with the columns of memory behind its own.
    fn widen(&mut self, batch: &RecordBatch, keys: &[u32], times: &Times) -> Result<RecordBatch> {
        let mut of_rows = self.history.look_back(batch, &self.locals, NAME)?.into_iter();
        let mut columns = batch.columns().to_vec();
        let mut ago = self.ago.iter_mut();
        for remembered in &self.what.remembered {
            columns.extend(match remembered.memory {
                Memory::Ago(_) => match ago.next() {
                    Some(ago) => Some(ago.look_back(batch, times, keys, NAME)?),
                    None => None,
                },
                _ => of_rows.next(),
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.wide), columns)?)
    }

    /// Passes the rows to their keys' machines, in order.
    fn judge(
        &mut self,
        rows: &Rows,
        keys: &[u32],
        times: &Times,
        when: &BooleanArray,
        until: Option<&BooleanArray>,
    ) -> Fired {
        let mut fired = Fired::default();
        // By local key: its newest row in this batch.
        let mut newest: Vec<Shown> = vec![Shown::Kept; self.locals.keys.len()];
        for (row, key) in keys.iter().enumerate() {
            let Some(time) = times.get(row) else { continue };
            let state = &mut self.states[*key as usize];
            let before = state.phase;
            let local = self.locals.of_row[row] as usize;
            if let Some(fires) = self.rules.pass(state, time.max(rows.clock(row).0)) {
                fired.push(fires, *key, newest[local]);
            }
            newest[local] = Shown::Row(row as u32);
            let is = when.is_valid(row).then(|| when.value(row));
            let ends = until.is_some_and(|until| until.is_valid(row) && until.value(row));
            if let Some(fires) = self.rules.row(state, time, is, ends) {
                fired.push(fires, *key, Shown::Row(row as u32));
            }
            self.holding += usize::from(state.phase == Phase::Holding);
            self.holding -= usize::from(before == Phase::Holding);
            if let Some(deadline) = self.rules.deadline(state)
                && !std::mem::replace(&mut self.scheduled[*key as usize], true)
            {
                self.wheel.push(deadline, *key);
            }
        }
        fired
    }

    /// Lets time fire what is due.
    fn pass(&mut self, watermark: i64) -> Result<()> {
        let mut due = Vec::new();
        self.wheel.advance(watermark, &mut due);
        let mut fired = Fired::default();
        for key in due {
            self.scheduled[key as usize] = false;
            let state = &mut self.states[key as usize];
            if let Some(fires) = self.rules.pass(state, watermark) {
                fired.push(fires, key, Shown::Kept);
                self.holding -= 1;
                self.touch(key);
            } else if let Some(deadline) = self.rules.deadline(state) {
                self.scheduled[key as usize] = true;
                self.wheel.push(deadline, key);
            }
        }
        let none = RecordBatch::new_empty(Arc::clone(&self.what.input));
        self.fired.extend(fired.batch(&self.what, &self.schema, &none, self.newest.as_ref())?);
        Ok(())
    }

    fn touch(&mut self, key: u32) {
        if !std::mem::replace(&mut self.dirty[key as usize], true) {
            self.dirty_keys.push(key);
        }
    }

    /// The columns of the table `keys`.
    fn state_schema(&self) -> SchemaRef {
        let mut fields: Vec<_> = self
            .what
            .keys
            .iter()
            .map(|key| self.what.input.field(*key).clone().with_nullable(true))
            .collect();
        fields.push(Field::new("$phase", DataType::Int8, false));
        fields.push(Field::new("$since", DataType::Int64, false));
        fields.push(Field::new("$last", DataType::Int64, false));
        let own = self.what.input.fields().len();
        let remembered = self.what.remembered.iter().zip(&self.wide.fields()[own..]);
        let remembered = remembered.filter(|(remembered, _)| !matches!(remembered.memory, Memory::Ago(_)));
        fields.extend(remembered.map(|(_, field)| field.as_ref().clone()));
        if self.newest.is_some() {
            let row = self.what.input.fields().iter();
            fields.extend(row.map(|field| field.as_ref().clone().with_nullable(true)));
        }
        Arc::new(Schema::new(fields))
    }

    fn ago_schema(&self, ago: &Ago) -> SchemaRef {
        let mut fields: Vec<_> = self
            .what
            .keys
            .iter()
            .map(|key| self.what.input.field(*key).clone().with_nullable(true))
            .collect();
        fields.push(Field::new("$time", DataType::Int64, false));
        fields.push(Field::new("$value", ago.kind().clone(), true));
        Arc::new(Schema::new(fields))
    }

    fn restore_keys(&mut self, rows: &RecordBatch) -> Result<()> {
        check_schema(NAME, rows, &self.state_schema())?;
        let width = self.what.keys.len();
        let keys = self.intern(&rows.columns()[..width], rows.num_rows())?;
        let phases = rows.column(width).as_primitive::<Int8Type>();
        let since = rows.column(width + 1).as_primitive::<Int64Type>();
        let last = rows.column(width + 2).as_primitive::<Int64Type>();
        for (row, key) in keys.iter().enumerate() {
            let phase = match phases.value(row) {
                0 => Phase::Armed,
                1 => Phase::Holding,
                2 => Phase::Fired,
                other => {
                    return Err(OperatorError::bad_checkpoint(NAME, format!("there is no phase {other}")));
                }
            };
            let state = State { phase, since: since.value(row), last: last.value(row) };
            let before = std::mem::replace(&mut self.states[*key as usize], state);
            self.holding += usize::from(phase == Phase::Holding);
            self.holding -= usize::from(before.phase == Phase::Holding);
            if let Some(deadline) = self.rules.deadline(&state)
                && !std::mem::replace(&mut self.scheduled[*key as usize], true)
            {
                self.wheel.push(deadline, *key);
            }
        }
        let mut columns = rows.columns()[width + 3..].to_vec();
        let row = columns
            .split_off(columns.len() - self.newest.as_ref().map_or(0, |_| self.what.input.fields().len()));
        self.history.store.put(&keys, &columns)?;
        match &mut self.newest {
            Some(newest) => newest.put(&keys, &row),
            None => Ok(()),
        }
    }

    /// The entries of a key are all that it has.
    fn restore_ago(&mut self, nth: usize, entries: &StateEntries) -> Result<()> {
        check_schema(NAME, &entries.rows, &self.ago_schema(&self.ago[nth]))?;
        let width = self.what.keys.len();
        let keys = self.intern(&entries.rows.columns()[..width], entries.rows.num_rows())?;
        self.ago[nth].clear(&keys);
        let times = entries.rows.column(width).as_primitive::<Int64Type>().values().clone();
        self.ago[nth].put(&keys, &times, entries.rows.column(width + 1))
    }
}

impl Operator for TriggerOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let rows = self.with_time(rows, out)?;
        let batch = &rows.batch;
        let times = Times::new(batch.column(self.what.time), NAME)?;
        let keys = self.intern(&key_columns(batch, &self.what.keys), rows.len())?;
        self.locals.find(&keys, self.keys.len());
        let wide = self.widen(batch, &keys, &times)?;
        let when: &Arc<dyn PhysicalExpr> = match &self.what.when {
            When::True(condition) | When::Silent(condition) => condition,
        };
        let when = evaluate_mask(when, &wide, NAME)?;
        let until = self.what.until.as_ref().map(|until| evaluate_mask(until, &wide, NAME)).transpose()?;
        let fired = self.judge(&rows, &keys, &times, &when, until.as_ref());
        self.fired.extend(fired.batch(&self.what, &self.schema, batch, self.newest.as_ref())?);
        if let Some(newest) = &mut self.newest {
            let mut last: Vec<u32> = vec![0; self.locals.keys.len()];
            for (row, local) in self.locals.of_row.iter().enumerate() {
                last[*local as usize] = row as u32;
            }
            let last = UInt32Array::from(last);
            let columns = batch.columns().iter().map(|column| Ok(take(column, &last, None)?));
            newest.put(&self.locals.keys, &columns.collect::<Result<Vec<_>>>()?)?;
        }
        for local in 0..self.locals.keys.len() {
            self.touch(self.locals.keys[local]);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = self.watermark;
        self.watermark = self.watermark.max(watermark.0);
        if self.newest.is_some() && watermark != EventTime::MAX {
            self.pass(self.watermark)?;
        }
        let fired = std::mem::take(&mut self.fired);
        if let Some(batch) = in_order(&self.schema, &fired, &self.order)? {
            out.emit(Rows { batch, weights: None, clocks: Clocks::Uniform(EventTime(clock)) });
        }
        Ok(())
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let dirty = std::mem::take(&mut self.dirty_keys);
        dirty.iter().for_each(|key| self.dirty[*key as usize] = false);
        let changed: Vec<u32> = if full { (0..self.states.len() as u32).collect() } else { dirty };
        let mut columns = self.keys.columns(&changed)?;
        let of_keys = slots(&columns, changed.len())?;
        let states = || changed.iter().map(|key| self.states[*key as usize]);
        columns.push(Arc::new(Int8Array::from_iter_values(states().map(|state| state.phase as i8))));
        columns.push(Arc::new(Int64Array::from_iter_values(states().map(|state| state.since))));
        columns.push(Arc::new(Int64Array::from_iter_values(states().map(|state| state.last))));
        columns.extend(self.history.store.columns(&changed)?);
        if let Some(newest) = &self.newest {
            columns.extend(newest.columns(&changed)?);
        }
        let rows = RecordBatch::try_new(self.state_schema(), columns)?;
        push_entries("keys", rows, of_keys, out);
        for (nth, ago) in self.ago.iter().enumerate() {
            let (of, times, values) = ago.state(&changed)?;
            let mut columns = self.keys.columns(&of)?;
            let slots = slots(&columns, of.len())?;
            columns.extend([Arc::new(Int64Array::from(times)) as ArrayRef, values]);
            push_entries(
                &format!("ago{nth}"),
                RecordBatch::try_new(self.ago_schema(ago), columns)?,
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
                Ok(())
            }
            "keys" => self.restore_keys(&entries.rows),
            other => match other.strip_prefix("ago").and_then(|nth| nth.parse::<usize>().ok()) {
                Some(nth) if nth < self.ago.len() => self.restore_ago(nth, entries),
                _ => Err(OperatorError::bad_checkpoint(NAME, format!("there is no table {other:?}"))),
            },
        }
    }

    fn waits_for_time(&self) -> bool {
        self.holding > 0
    }

    fn state_size(&self) -> StateSize {
        let ago: usize = self.ago.iter().map(Ago::size).sum();
        let newest = self.newest.as_ref().map_or(0, RowStore::size);
        let states = self.states.capacity() * (size_of::<State>() + 2);
        let bytes = self.keys.size() + states + self.history.store.size() + ago + newest + self.wheel.size();
        StateSize { entries: self.states.len() as u64, bytes: bytes as u64 }
    }
}
