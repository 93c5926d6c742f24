//! The operator behind [`super::CompositeAlarmSpec`].
//!
//! What the alarms say in a step belongs to the time up to the step's watermark; it is put in the order of time and evaluated moment by
//! moment, so that alarms that change at once are seen to.
//!
//! Tables of a snapshot: `watermark`; `alarms`: dimensions, the states of the inputs and its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use serde::{Deserialize, Serialize};

use super::alarm::Report;
use super::composite::CompositeAlarmSpec;
use super::former::{Former, FormerAlarm};
use super::history::{AFTER, AT, DIMENSIONS, History, Line, alarm_history_schema};
use super::orders::{Order, Told};
use super::saved;
use crate::api::{Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::windows::{check_schema, push_watermark, read_watermark};

const NAME: &str = "CompositeAlarm";

/// What the states in a part of a composite alarm's checkpoint say to another definition, by dimensions.
pub(super) fn hand_over(spec: &CompositeAlarmSpec, entries: &StateEntries) -> Result<Vec<(String, Order)>> {
    if entries.table != "alarms" {
        return Ok(Vec::new());
    }
    let order = |(dimensions, states): (String, Option<States>)| {
        let states = states?;
        let alarms = spec.inputs.iter().cloned().zip(states.inputs).collect();
        let former = FormerAlarm { dimensions: dimensions.clone(), state: states.own, alarms };
        Some((dimensions, Order::GoOn(Former::Alarm(former))))
    };
    Ok(saved::read::<States>(NAME, entries)?.into_iter().filter_map(order).collect())
}

pub(super) struct CompositeOperator {
    spec: Arc<CompositeAlarmSpec>,
    alarms: BTreeMap<String, States>,
    /// What the inputs have said since the last evaluation: time, dimensions, input, state.
    said: BTreeMap<(i64, String), Vec<(usize, AlarmState)>>,
    dirty: BTreeSet<String>,
    history: History,
    watermark: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct States {
    inputs: Vec<AlarmState>,
    own: AlarmState,
}

impl CompositeOperator {
    pub(super) fn new(spec: Arc<CompositeAlarmSpec>) -> Self {
        Self {
            history: History::new(&spec.name, &spec.expression.to_string()),
            spec,
            alarms: BTreeMap::new(),
            said: BTreeMap::new(),
            dirty: BTreeSet::new(),
            watermark: EventTime::MIN.0,
        }
    }

    fn evaluate(
        &mut self,
        at: i64,
        dimensions: &str,
        said: &[(usize, AlarmState)],
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let spec = Arc::clone(&self.spec);
        let states = self.states(dimensions);
        for (input, state) in said {
            states.inputs[*input] = *state;
        }
        let state_of = |name: &str| {
            let place = spec.inputs.iter().position(|input| input == name);
            place.map_or(AlarmState::default(), |place| states.inputs[place])
        };
        let outcome = spec.expression.evaluate(&state_of);
        let before = std::mem::replace(&mut states.own, outcome.state);
        self.dirty.insert(dimensions.to_owned());
        if spec.report == Report::Changes && before == outcome.state {
            return Ok(());
        }
        let line = Line {
            at,
            dimensions,
            before,
            after: outcome.state,
            value: None,
            breaching: None,
            points: None,
            reason: &outcome.because,
        };
        self.history.push(&line, clock, out)
    }
}

impl CompositeOperator {
    /// Does what people say: puts the state, until one of the alarms says something.
    fn obey(&mut self, told: &Told, out: &mut Output) -> Result<()> {
        match &told.order {
            Order::SetState { dimensions, state, reason } => {
                let at = told.effective(self.watermark);
                let line = Line {
                    at,
                    dimensions,
                    before: std::mem::replace(&mut self.states(dimensions).own, *state),
                    after: *state,
                    value: None,
                    breaching: None,
                    points: None,
                    reason,
                };
                self.dirty.insert(dimensions.clone());
                let clock = EventTime(self.watermark);
                self.history.push(&line, clock, out)?;
                self.history.flush(clock, out)
            }
            Order::GoOn(Former::Alarm(former)) => {
                self.go_on(former, told.at);
                Ok(())
            }
            Order::Resize(_) | Order::GoOn(Former::Group(_)) => Ok(()),
        }
    }

    /// Goes on from what a former definition had come to, and looks at once what its own expression says to that. Alarms that the former
    /// one did not hear have been heard meanwhile.
    fn go_on(&mut self, former: &FormerAlarm, at: EventTime) {
        let spec = Arc::clone(&self.spec);
        let states = self.states(&former.dimensions);
        states.own = former.state;
        for (name, state) in spec.inputs.iter().zip(&mut states.inputs) {
            *state = former.alarms.get(name).copied().unwrap_or(*state);
        }
        self.said.entry((at.0, former.dimensions.clone())).or_default();
    }

    /// The states of one value of the dimensions.
    fn states(&mut self, dimensions: &str) -> &mut States {
        let inputs = self.spec.inputs.len();
        let new = || States { inputs: vec![AlarmState::default(); inputs], own: AlarmState::default() };
        self.alarms.entry(dimensions.to_owned()).or_insert_with(new)
    }
}

impl Operator for CompositeOperator {
    fn on_batch(&mut self, input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        if let Some(told) = Told::of(&rows.batch)? {
            return self.obey(&told, out);
        }
        check_schema(NAME, &rows.batch, &alarm_history_schema())?;
        let times = rows.batch.column(AT).as_primitive::<TimestampNanosecondType>();
        let dimensions = rows.batch.column(DIMENSIONS).as_string::<i32>();
        let states = rows.batch.column(AFTER).as_string::<i32>();
        for row in 0..rows.len() {
            let state = AlarmState::parse(states.value(row)).unwrap_or_default();
            let key = (times.value(row), dimensions.value(row).to_owned());
            self.said.entry(key).or_default().push((input, state));
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        for ((at, dimensions), said) in std::mem::take(&mut self.said) {
            self.evaluate(at, &dimensions, &said, clock, out)?;
        }
        self.history.flush(clock, out)
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let dirty = std::mem::take(&mut self.dirty);
        let changed = self.alarms.iter().filter(|(name, _)| full || dirty.contains(*name));
        let put: Vec<(&str, &States)> = changed.map(|(name, states)| (name.as_str(), states)).collect();
        saved::push(NAME, "alarms", &put, &[], out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        match entries.table.as_str() {
            "watermark" => self.watermark = self.watermark.max(read_watermark(&entries.rows)),
            "alarms" => {
                for (name, states) in saved::read::<States>(NAME, entries)? {
                    let states = states.filter(|states| states.inputs.len() == self.spec.inputs.len());
                    let states = states.ok_or_else(|| {
                        OperatorError::bad_checkpoint(NAME, "it has another number of alarms")
                    })?;
                    self.alarms.insert(name, states);
                }
            }
            other => return Err(OperatorError::no_state_table(NAME, other)),
        }
        Ok(())
    }

    fn state_size(&self) -> StateSize {
        let each = size_of::<States>() + self.spec.inputs.len();
        let bytes = self.alarms.keys().map(|name| name.len() + each).sum::<usize>();
        // None of it waits for time.
        StateSize { entries: 0, bytes: bytes as u64 }
    }
}
