//! The operator behind [`super::AlarmSpec`].
//!
//! Points are noted as they come, and evaluated when the watermark has come to their evaluation. When the input ends, each metric is
//! evaluated up to its last point: behind it there is no more time.
//!
//! Tables of a snapshot: `watermark`; `alarms`: dimensions and state, where deletes name those that are forgotten.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampNanosecondType};
use headwater_core::EventTime;
use headwater_decide::alarm::{AlarmFold, Evaluation, Point, Saved};

use super::alarm::{AlarmSpec, Report};
use super::former::{Former, FormerAlarm};
use super::history::{History, Line};
use super::orders::{Order, Told};
use super::points::{AT, DIMENSIONS, SAMPLES, VALUE, alarm_points_schema};
use super::saved;
use crate::api::{Operator, Output, Rows, Snapshot, StateChange, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::groups::KeyTable;
use crate::windows::{Sorting, check_schema, push_watermark, read_watermark};

const NAME: &str = "Alarm";
const GARBAGE_MIN: usize = 1_024;

/// What the states in a part of an alarm's checkpoint say to another definition, by dimensions. A metric that is forgotten is as new.
pub(super) fn hand_over(entries: &StateEntries) -> Result<Vec<(String, Order)>> {
    if entries.table != "alarms" {
        return Ok(Vec::new());
    }
    let order = |(dimensions, saved): (String, Option<Saved>)| {
        let state = saved.map(|saved| saved.state()).unwrap_or_default();
        let former = FormerAlarm { dimensions: dimensions.clone(), state, alarms: BTreeMap::new() };
        (dimensions, Order::GoOn(Former::Alarm(former)))
    };
    Ok(saved::read::<Saved>(NAME, entries)?.into_iter().map(order).collect())
}

pub(super) struct AlarmOperator {
    spec: Arc<AlarmSpec>,
    keys: KeyTable,
    /// By the numbers of the keys; `None`: as new, so forgotten.
    alarms: Vec<Option<AlarmFold>>,
    /// The dimensions as text.
    names: Vec<Box<str>>,
    /// The numbers of the keys in the order of their names.
    order: Vec<u32>,
    /// Whether a key's state has changed since the last snapshot.
    dirty: Vec<bool>,
    ids: Vec<u32>,
    history: History,
    scratch: Scratch,
    watermark: i64,
}

/// What is used again for each evaluation.
#[derive(Default)]
struct Scratch {
    points: Vec<Option<Point>>,
    text: String,
    reason: String,
}

impl AlarmOperator {
    pub(super) fn new(spec: Arc<AlarmSpec>) -> Result<Self> {
        Ok(Self {
            history: History::new(&spec.name, &spec.text()),
            spec,
            keys: KeyTable::new(vec![DataType::Utf8])?,
            alarms: Vec::new(),
            names: Vec::new(),
            order: Vec::new(),
            dirty: Vec::new(),
            ids: Vec::new(),
            scratch: Scratch::default(),
            watermark: EventTime::MIN.0,
        })
    }

    /// Makes room for keys that have just got their numbers.
    fn grow(&mut self) -> Result<()> {
        let new: Vec<u32> = (self.alarms.len() as u32..self.keys.len() as u32).collect();
        if new.is_empty() {
            return Ok(());
        }
        let column = self.keys.columns(&new)?.remove(0);
        let column = column.as_string::<i32>();
        self.names.extend(
            (0..new.len()).map(|row| if column.is_valid(row) { column.value(row).into() } else { "".into() }),
        );
        self.alarms.resize_with(self.keys.len(), || None);
        self.dirty.resize(self.keys.len(), false);
        self.order.extend(&new);
        self.order.sort_by(|a, b| self.keys.compare(*a, *b));
        Ok(())
    }

    fn note(&mut self, id: u32, tick: i64, point: Point) {
        let AlarmSpec { rule, timing, .. } = &*self.spec;
        let alarm = self.alarms[id as usize].get_or_insert_with(|| AlarmFold::new(rule, *timing));
        alarm.add(tick, point);
        self.dirty[id as usize] = true;
    }

    /// Evaluates everything up to a time, evaluation by evaluation, in the order of the names.
    fn evaluate(&mut self, until: i64, clock: EventTime, out: &mut Output) -> Result<()> {
        let timing = self.spec.timing;
        let ended = until == EventTime::MAX.0;
        let bound =
            |alarm: &AlarmFold| if ended { alarm.newest_pending().unwrap_or(i64::MIN) } else { until };
        let bounds: Vec<i64> =
            self.alarms.iter().map(|alarm| alarm.as_ref().map_or(i64::MIN, bound)).collect();
        let next = |alarm: &Option<AlarmFold>, bound: i64| alarm.as_ref()?.next(timing, bound);
        let mut tick = self.alarms.iter().zip(&bounds).filter_map(|(alarm, bound)| next(alarm, *bound)).min();
        while let Some(now) = tick {
            tick = None;
            for nth in 0..self.order.len() {
                let id = self.order[nth] as usize;
                let Some(due) = next(&self.alarms[id], bounds[id]) else { continue };
                if due == now {
                    self.evaluate_one(id, now, clock, out)?;
                }
                let later = if due == now { next(&self.alarms[id], bounds[id]) } else { Some(due) };
                tick = [tick, later].into_iter().flatten().min();
            }
        }
        self.history.flush(clock, out)?;
        self.collect_garbage();
        Ok(())
    }

    fn evaluate_one(&mut self, id: usize, tick: i64, clock: EventTime, out: &mut Output) -> Result<()> {
        let spec = Arc::clone(&self.spec);
        let Some(alarm) = &mut self.alarms[id] else { return Ok(()) };
        let evaluation = alarm.evaluate(&spec.rule, spec.timing, tick, &mut self.scratch.points);
        if spec.insists {
            alarm.stay_awake_in_alarm();
        }
        self.dirty[id] = true;
        if alarm.is_as_new() {
            self.alarms[id] = None;
        }
        if spec.report == Report::Changes && evaluation.before == evaluation.after {
            return Ok(());
        }
        self.say(id, tick, evaluation, clock, out)
    }

    fn say(
        &mut self,
        id: usize,
        at: i64,
        evaluation: Evaluation,
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let Evaluation { before, after, breaching, newest, because } = evaluation;
        self.scratch.write(because);
        let line = Line {
            at,
            dimensions: &self.names[id],
            before,
            after,
            value: newest,
            breaching: Some(breaching),
            points: Some(&self.scratch.text),
            reason: &self.scratch.reason,
        };
        self.history.push(&line, clock, out)
    }

    /// Does what it is told: puts the state, until the next evaluation. What a former definition had come to has been said already.
    fn obey(&mut self, told: &Told, rows: &RecordBatch, out: &mut Output) -> Result<()> {
        let (state, at, reason) = match &told.order {
            Order::SetState { state, reason, .. } => (*state, told.effective(self.watermark), Some(reason)),
            Order::GoOn(Former::Alarm(former)) => (former.state, told.at.0, None),
            Order::Resize(_) | Order::GoOn(Former::Group(_)) => return Ok(()),
        };
        let mut ids = Vec::new();
        self.keys.intern(&[Arc::clone(rows.column(DIMENSIONS))], 1, &mut ids)?;
        self.grow()?;
        let id = ids[0] as usize;
        let AlarmSpec { rule, timing, .. } = &*self.spec;
        let alarm = self.alarms[id].get_or_insert_with(|| AlarmFold::new(rule, *timing));
        let before = alarm.set_state(state, *timing, Some(at).filter(|at| *at == self.watermark));
        self.dirty[id] = true;
        let Some(reason) = reason else { return Ok(()) };
        let line = Line {
            at,
            dimensions: &self.names[id],
            before,
            after: state,
            value: None,
            breaching: None,
            points: None,
            reason,
        };
        let clock = EventTime(self.watermark);
        self.history.push(&line, clock, out)?;
        self.history.flush(clock, out)
    }

    /// Gives back the room of forgotten alarms, once they are many and the next snapshot need not name them.
    fn collect_garbage(&mut self) {
        let dead = |id: &usize| self.alarms[*id].is_none() && !self.dirty[*id];
        let gone = (0..self.alarms.len()).filter(dead).count();
        if gone < GARBAGE_MIN || gone * 2 <= self.alarms.len() {
            return;
        }
        let kept: Vec<u32> = (0..self.alarms.len()).filter(|id| !dead(id)).map(|id| id as u32).collect();
        self.keys.retain(&kept);
        self.alarms = kept.iter().map(|id| self.alarms[*id as usize].take()).collect();
        self.names = kept.iter().map(|id| std::mem::take(&mut self.names[*id as usize])).collect();
        self.dirty = kept.iter().map(|id| self.dirty[*id as usize]).collect();
        self.order = (0..kept.len() as u32).collect();
        self.order.sort_by(|a, b| self.keys.compare(*a, *b));
    }
}

impl Scratch {
    /// Writes the points, oldest first, and the reason.
    fn write(&mut self, because: headwater_decide::alarm::Because) {
        let Self { points, text, reason } = self;
        text.clear();
        text.push('[');
        for (nth, point) in points.iter().rev().enumerate() {
            if nth > 0 {
                text.push_str(", ");
            }
            // Writing to a text does not fail.
            let _ = match point {
                Some(point) => write!(text, "{}", point.value),
                None => write!(text, "null"),
            };
        }
        text.push(']');
        reason.clear();
        let _ = write!(reason, "{because}");
    }
}

impl Operator for AlarmOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        if let Some(told) = Told::of(&rows.batch)? {
            return self.obey(&told, &rows.batch, out);
        }
        check_schema(NAME, &rows.batch, &alarm_points_schema())?;
        let mut ids = std::mem::take(&mut self.ids);
        self.keys.intern(&[Arc::clone(rows.batch.column(DIMENSIONS))], rows.len(), &mut ids)?;
        self.grow()?;
        let times = rows.batch.column(AT).as_primitive::<TimestampNanosecondType>();
        let values = rows.batch.column(VALUE).as_primitive::<Float64Type>();
        let samples = rows.batch.column(SAMPLES).as_primitive::<Int64Type>();
        let mut sorting = Sorting::with_capacity(rows.len());
        for (row, id) in ids.iter().enumerate() {
            if times.is_null(row) {
                sorting.untimed(row);
                continue;
            }
            let tick = self.spec.timing.tick_of(times.value(row));
            // The row's own shard says whether it is late; what the others have done since does not.
            let clock = rows.clock(row).0.max(self.watermark);
            if tick <= clock {
                sorting.late(row, times.value(row), clock);
                continue;
            }
            let count = samples.is_valid(row).then(|| samples.value(row).max(0) as u64);
            if values.is_valid(row) && count != Some(0) {
                let low = count.is_some_and(|count| self.spec.statistic.is_some_and(|it| it.is_low(count)));
                self.note(*id, tick, Point { value: values.value(row), low });
            }
        }
        self.ids = ids;
        sorting.emit_late(&rows.batch, &Arc::from(NAME), out)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = EventTime(self.watermark);
        if watermark <= clock {
            return Ok(());
        }
        self.watermark = watermark.0;
        self.evaluate(watermark.0, clock, out)
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for (id, alarm) in self.alarms.iter().enumerate() {
            let changed = std::mem::take(&mut self.dirty[id]);
            match alarm {
                Some(alarm) if changed || full => put.push((&*self.names[id], alarm.save())),
                None if changed && !full => gone.push(&*self.names[id]),
                _ => {}
            }
        }
        saved::push(NAME, "alarms", &put, &gone, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        if entries.table == "watermark" {
            self.watermark = self.watermark.max(read_watermark(&entries.rows));
            return Ok(());
        }
        if entries.table != "alarms" {
            return Err(OperatorError::no_state_table(NAME, &entries.table));
        }
        let mut ids = Vec::new();
        let all = saved::read::<Saved>(NAME, entries)?;
        self.keys.intern(&[Arc::clone(entries.rows.column(0))], all.len(), &mut ids)?;
        self.grow()?;
        for (id, (_, state)) in ids.into_iter().zip(all) {
            debug_assert_eq!(state.is_none(), entries.change == StateChange::Delete);
            let restore = |state| AlarmFold::restore(&self.spec.rule, self.spec.timing, state);
            self.alarms[id as usize] = state.map(restore);
        }
        Ok(())
    }

    /// Alarms that rest do not wait for time, so they do not count.
    fn state_size(&self) -> StateSize {
        let awake = self.alarms.iter().flatten().filter(|alarm| !alarm.rests()).count();
        let places = (self.spec.rule.range() - 1) * self.spec.timing.stride() + 1;
        let each = size_of::<AlarmFold>() + places * size_of::<Option<Point>>();
        let bytes = self.keys.size() + self.alarms.iter().flatten().count() * each;
        StateSize { entries: awake as u64, bytes: bytes as u64 }
    }
}
