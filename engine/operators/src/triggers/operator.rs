//! The operator behind [`super::TriggerSpec`]. What it keeps goes to a checkpoint by [`super::tables`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{is_not_null, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use headwater_core::EventTime;

use super::firings::{Fired, Shown, in_order};
use super::machine::{Cause, Fires, Phase, State};
use super::memory::Locals;
use super::roster::TriggerRoster;
use super::spec::NAME;
use super::states::{Latest, States};
use super::store::RowStore;
use super::team::{Kind, Remembered, Team, Uncomputed, Which, note};
use super::wheel::Wheel;
use crate::api::{Clocks, Failed, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::Result;
use crate::groups::KeyTable;
use crate::windows::{Sorting, Times, key_columns};

pub(super) struct TriggerOperator {
    pub(super) roster: Arc<TriggerRoster>,
    is_set: bool,
    name: Arc<str>,
    schema: SchemaRef,
    order: Vec<usize>,
    pub(super) keys: KeyTable,
    pub(super) team: Team,
    pub(super) states: States,
    pub(super) latest: Latest,
    /// The newest row of each key, if time can make some trigger fire.
    pub(super) newest: Option<RowStore>,
    wheel: Wheel,
    /// Triggers that wait for time at a key.
    holding: usize,
    dirty: Vec<bool>,
    dirty_keys: Vec<u32>,
    locals: Locals,
    fired: Vec<RecordBatch>,
    pub(super) watermark: i64,
}

/// A batch whose rows are judged.
struct Judged<'a> {
    rows: &'a Rows,
    times: &'a Times,
    keys: &'a [u32],
    /// For each row the key's row before it in the batch.
    before: Vec<Option<u32>>,
    /// For each row the greatest time of the key's rows in the batch, up to it.
    latest: Vec<i64>,
}

impl<'a> Judged<'a> {
    fn new(rows: &'a Rows, times: &'a Times, keys: &'a [u32], locals: &Locals) -> Self {
        let mut newest: Vec<Option<u32>> = vec![None; locals.keys.len()];
        let (mut before, mut latest) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
        for (row, local) in locals.of_row.iter().enumerate() {
            let last = newest[*local as usize].replace(row as u32);
            let time = times.get(row).unwrap_or(i64::MIN);
            latest.push(last.map_or(time, |last: u32| time.max(latest[last as usize])));
            before.push(last);
        }
        Self { rows, times, keys, before, latest }
    }

    fn time(&self, row: usize) -> i64 {
        self.times.get(row).unwrap_or(i64::MIN)
    }

    /// Time has come so far when the row is judged.
    fn now(&self, row: usize) -> i64 {
        self.time(row).max(self.rows.clock(row).0)
    }

    /// What is shown by a firing between the key's row before and this one.
    fn shown_before(&self, row: usize) -> Shown {
        self.before[row].map_or(Shown::Kept, Shown::Row)
    }

    fn latest_before(&self, row: usize) -> i64 {
        self.before[row].map_or(i64::MIN, |before| self.latest[before as usize])
    }
}

impl TriggerOperator {
    pub(super) fn try_new(
        roster: &Arc<TriggerRoster>,
        schema: &SchemaRef,
        order: &[usize],
        is_set: bool,
    ) -> Result<Self> {
        let shared = roster.shared();
        let types = shared.keys.iter().map(|key| shared.input.field(*key).data_type().clone()).collect();
        let mut operator = Self {
            roster: Arc::clone(roster),
            is_set,
            name: Arc::from(if is_set { super::spec::SET } else { NAME }),
            schema: Arc::clone(schema),
            order: order.to_vec(),
            keys: KeyTable::new(types)?,
            team: Team::default(),
            states: States::default(),
            latest: Latest::default(),
            newest: None,
            wheel: Wheel::new(),
            holding: 0,
            dirty: Vec::new(),
            dirty_keys: Vec::new(),
            locals: Locals::default(),
            fired: Vec::new(),
            watermark: i64::MIN,
        };
        operator.follow_roster()?;
        Ok(operator)
    }

    fn follow_roster(&mut self) -> Result<()> {
        if !self.team.follow(&self.roster, self.keys.len())? {
            return Ok(());
        }
        let team = &self.team;
        self.states.retain(|number| team.get(number).is_some());
        let silent = team.live().flat_map(|(_, live)| &live.silent);
        self.holding = self.states.holding() + silent.filter(|state| state.phase == Phase::Holding).count();
        if team.timed && self.newest.is_none() {
            let types = self.roster.shared().input.fields().iter().map(|field| field.data_type().clone());
            let mut newest = RowStore::new(types.collect())?;
            newest.resize(self.keys.len());
            self.newest = Some(newest);
        }
        Ok(())
    }

    pub(super) fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut keys = Vec::new();
        self.keys.intern(columns, rows, &mut keys)?;
        let known = self.keys.len();
        if known > self.dirty.len() {
            self.dirty.resize(known, false);
            self.team.resize(known);
            if let Some(newest) = &mut self.newest {
                newest.resize(known);
            }
        }
        Ok(keys)
    }

    /// The rows that have an event time; the others go where late rows go.
    fn with_time(&self, rows: Rows, out: &mut Output) -> Result<Rows> {
        let time = rows.batch.column(self.roster.shared().time);
        if time.null_count() == 0 {
            return Ok(rows);
        }
        let has_time = is_not_null(time)?;
        let mut sorting = Sorting::with_capacity(rows.len());
        (0..rows.len()).filter(|row| time.is_null(*row)).for_each(|row| sorting.untimed(row));
        sorting.emit_late(&rows.batch, &self.name, out)?;
        rows.filter(&has_time)
    }

    /// Lets one trigger judge the rows that concern it.
    fn judge(
        &mut self,
        number: u32,
        which: &Which,
        judged: &Judged<'_>,
        remembered: &mut Remembered,
        fired: &mut Fired,
    ) -> Result<()> {
        let Some(live) = self.team.get(number) else { return Ok(()) };
        let (id, kind) = (live.member.id, live.kind);
        let at_once = |row: usize, fired: &mut Fired| {
            let at = judged.time(row);
            fired.push(
                id,
                Fires { at, cause: Cause::Row, since: at },
                judged.keys[row],
                Shown::Row(row as u32),
            );
        };
        if kind == (Kind::Momentary { exact: true }) {
            (0..which.len()).for_each(|nth| at_once(which.row(nth), fired));
            return Ok(());
        }
        let batch = &judged.rows.batch;
        let (when, unfit) = self.team.when(number, live, which, batch, remembered)?;
        note(&mut remembered.uncomputed, id, &unfit, |nth| which.row(nth));
        let is = |nth: usize| when.is_valid(nth).then(|| when.value(nth));
        match kind {
            Kind::Momentary { .. } => {
                let fires = (0..which.len()).filter(|nth| is(*nth) == Some(true));
                fires.for_each(|nth| at_once(which.row(nth), fired));
            }
            Kind::Silent => {
                (0..which.len()).for_each(|nth| self.hear(number, which.row(nth), is(nth), judged, fired))
            }
            Kind::Stateful => {
                let until = live.member.until.as_ref();
                let until = until.map(|until| live.evaluate(number, until, which, batch, remembered));
                let (until, unfit) = until.transpose()?.unzip();
                let mut unfit = unfit.into_iter().flatten().peekable();
                for nth in 0..which.len() {
                    // Of one that has not fired nobody asks whether it ends.
                    if let Some(unfit) = unfit.next_if(|(place, _)| *place == nth)
                        && self.has_fired(number, judged.keys[which.row(nth)])
                    {
                        note(&mut remembered.uncomputed, id, &[unfit], |nth| which.row(nth));
                    }
                    let ends = until.as_ref().is_some_and(|until| until.is_valid(nth) && until.value(nth));
                    self.step(number, which.row(nth), is(nth), ends, judged, fired);
                }
            }
        }
        Ok(())
    }

    fn has_fired(&self, number: u32, key: u32) -> bool {
        self.states.get(key, number).is_some_and(|state| state.phase == Phase::Fired)
    }

    /// A row for a trigger that waits for silence.
    fn hear(
        &mut self,
        number: u32,
        row: usize,
        counts: Option<bool>,
        judged: &Judged<'_>,
        fired: &mut Fired,
    ) {
        let key = judged.keys[row];
        let Some(live) = self.team.get_mut(number) else { return };
        let (id, rules) = (live.member.id, live.rules);
        let state = &mut live.silent[key as usize];
        let before = state.phase;
        if let Some(fires) = rules.pass(state, judged.now(row)) {
            fired.push(id, fires, key, judged.shown_before(row));
        }
        rules.row(state, judged.time(row), counts, false);
        self.holding += usize::from(state.phase == Phase::Holding);
        self.holding -= usize::from(before == Phase::Holding);
        if let Some(deadline) = rules.deadline(state)
            && !std::mem::replace(&mut state.timed, true)
        {
            self.wheel.push(deadline, key, number);
        }
    }

    /// A row for a trigger that has states.
    fn step(
        &mut self,
        number: u32,
        row: usize,
        is: Option<bool>,
        ends: bool,
        judged: &Judged<'_>,
        fired: &mut Fired,
    ) {
        let key = judged.keys[row];
        let known = self.states.get(key, number);
        if known.is_none() && is != Some(true) {
            return;
        }
        let Some(live) = self.team.get(number) else { return };
        let (id, rank, rules) = (live.member.id, live.member.rank, live.rules);
        let mut state = known.unwrap_or_else(|| {
            let last = self.latest.since(key, rank).max(judged.latest_before(row));
            State { last, ..State::NEW }
        });
        let before = state.phase;
        if let Some(fires) = rules.pass(&mut state, judged.now(row)) {
            fired.push(id, fires, key, judged.shown_before(row));
        }
        if let Some(fires) = rules.row(&mut state, judged.time(row), is, ends) {
            fired.push(id, fires, key, Shown::Row(row as u32));
        }
        self.holding += usize::from(state.phase == Phase::Holding);
        self.holding -= usize::from(before == Phase::Holding);
        if let Some(deadline) = rules.deadline(&state)
            && !std::mem::replace(&mut state.timed, true)
        {
            self.wheel.push(deadline, key, number);
        }
        self.states.put(key, number, state);
    }

    /// Lets time fire what is due.
    fn pass(&mut self, watermark: i64) -> Result<()> {
        let mut due = Vec::new();
        self.wheel.advance(watermark, &mut due);
        let mut fired = Fired::default();
        for (key, number) in due {
            let Some(live) = self.team.get(number) else { continue };
            let (id, rules, is_silent) = (live.member.id, live.rules, live.kind == Kind::Silent);
            let state =
                if is_silent { Some(live.silent[key as usize]) } else { self.states.get(key, number) };
            let Some(mut state) = state else { continue };
            state.timed = false;
            if let Some(fires) = rules.pass(&mut state, watermark) {
                fired.push(id, fires, key, Shown::Kept);
                self.holding -= 1;
                self.touch(key);
            } else if let Some(deadline) = rules.deadline(&state) {
                state.timed = true;
                self.wheel.push(deadline, key, number);
            }
            self.put_state(key, number, state);
        }
        let none = RecordBatch::new_empty(Arc::clone(&self.roster.shared().input));
        self.fired.extend(fired.batch(self.roster.shared(), &self.schema, &none, self.newest.as_ref())?);
        Ok(())
    }

    fn put_state(&mut self, key: u32, number: u32, state: State) {
        match self.team.get_mut(number) {
            Some(live) if live.kind == Kind::Silent => live.silent[key as usize] = state,
            Some(_) => self.states.put(key, number, state),
            None => {}
        }
    }

    /// Puts a state of a checkpoint in its place, and its timer.
    pub(super) fn restore_state(&mut self, key: u32, number: u32, mut state: State) {
        let Some(live) = self.team.get(number) else { return };
        self.holding += usize::from(state.phase == Phase::Holding);
        if let Some(deadline) = live.rules.deadline(&state) {
            state.timed = true;
            self.wheel.push(deadline, key, number);
        }
        self.put_state(key, number, state);
    }

    /// Forgets what triggers were doing at some keys, before a newer checkpoint of them is restored.
    pub(super) fn clear(&mut self, keys: &[u32]) {
        for key in keys {
            let states = self.states.at(*key).iter().filter(|(_, state)| state.phase == Phase::Holding);
            self.holding -= states.count();
            self.states.clear(*key);
            self.latest.clear(*key);
        }
        for live in self.team.live_mut() {
            for key in keys.iter().filter(|_| live.kind == Kind::Silent) {
                let before = std::mem::replace(&mut live.silent[*key as usize], State::NEW);
                self.holding -= usize::from(before.phase == Phase::Holding);
            }
            live.agos.iter_mut().for_each(|ago| ago.clear(keys));
        }
    }

    /// The keys that have changed since this was last called, or all.
    pub(super) fn take_changed(&mut self, full: bool) -> Vec<u32> {
        let dirty = std::mem::take(&mut self.dirty_keys);
        dirty.iter().for_each(|key| self.dirty[*key as usize] = false);
        if full { (0..self.dirty.len() as u32).collect() } else { dirty }
    }

    fn touch(&mut self, key: u32) {
        if !std::mem::replace(&mut self.dirty[key as usize], true) {
            self.dirty_keys.push(key);
        }
    }

    /// Hands on rows for which something of a trigger could not be computed. The others judge them as ever.
    fn tell(&self, uncomputed: &Uncomputed, batch: &RecordBatch, out: &mut Output) -> Result<()> {
        let all: Vec<_> = uncomputed.iter().collect();
        for own in all.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let rows = UInt32Array::from_iter_values(own.iter().map(|((_, row), _)| *row as u32));
            out.failed.push(Failed {
                batch: take_record_batch(batch, &rows)?,
                reasons: own.iter().map(|(_, reason)| (*reason).clone()).collect(),
                operator: NAME,
                table: None,
                member: self.is_set.then_some(own[0].0.0),
            });
        }
        Ok(())
    }

    /// Keeps what later rows and time ask of these.
    fn keep(&mut self, judged: &Judged<'_>, epoch: u32) -> Result<()> {
        let last = self.locals.last_rows();
        if self.team.keyed {
            self.latest.resize(self.keys.len());
            for (key, row) in self.locals.keys.iter().zip(last.values()) {
                self.latest.push(*key, epoch, judged.latest[*row as usize]);
            }
        }
        if let Some(newest) = &mut self.newest {
            let columns = judged.rows.batch.columns().iter().map(|column| Ok(take(column, &last, None)?));
            newest.put(&self.locals.keys, &columns.collect::<Result<Vec<_>>>()?)?;
        }
        for local in 0..self.locals.keys.len() {
            self.touch(self.locals.keys[local]);
        }
        Ok(())
    }
}

impl Operator for TriggerOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let rows = self.with_time(rows, out)?;
        if rows.is_empty() {
            return Ok(());
        }
        self.follow_roster()?;
        let batch = &rows.batch;
        let shared = self.roster.shared();
        let times = Times::new(batch.column(shared.time), NAME)?;
        let keys = key_columns(batch, &shared.keys);
        let keys = self.intern(&keys, rows.len())?;
        self.locals.find(&keys, self.keys.len());
        let epoch = self.team.epoch(&self.roster, batch);
        let mut remembered = self.team.look_back(&self.roster, batch, &times, &keys, &self.locals, epoch)?;
        let concerned = self.team.concerned(batch, &remembered, &self.locals, &self.states)?;
        let judged = Judged::new(&rows, &times, &keys, &self.locals);
        let mut fired = Fired::default();
        for (number, which) in &concerned {
            let judgement = self.judge(*number, which, &judged, &mut remembered, &mut fired);
            judgement.inspect_err(|error| {
                let id = self.team.get(*number).map(|live| live.member.id);
                id.into_iter().for_each(|id| self.roster.blame(id, &error.to_string()));
            })?;
        }
        self.fired.extend(fired.batch(self.roster.shared(), &self.schema, batch, self.newest.as_ref())?);
        self.tell(&remembered.uncomputed, batch, out)?;
        self.keep(&judged, epoch)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = self.watermark;
        self.watermark = self.watermark.max(watermark.0);
        self.follow_roster()?;
        if self.team.timed && watermark != EventTime::MAX {
            self.pass(self.watermark)?;
        }
        let fired = std::mem::take(&mut self.fired);
        if let Some(batch) = in_order(&self.schema, &fired, &self.order)? {
            out.emit(Rows { batch, weights: None, clocks: Clocks::Uniform(EventTime(clock)) });
        }
        Ok(())
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.write_tables(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        self.follow_roster()?;
        self.read_table(entries)
    }

    fn waits_for_time(&self) -> bool {
        self.holding > 0
    }

    fn state_size(&self) -> StateSize {
        let newest = self.newest.as_ref().map_or(0, RowStore::size);
        let own = self.states.size() + self.latest.size() + self.dirty.capacity();
        let bytes = self.keys.size() + own + self.team.size() + newest + self.wheel.size();
        StateSize { entries: self.dirty.len() as u64, bytes: bytes as u64 }
    }
}
