//! The operator behind [`super::ScalingSpec`].
//!
//! What the alarms say in a step is put in the order of time, so that policies that ask at the same moment are heard together. A
//! policy whose alarm stays on asks again once a minute, as long as it does.
//!
//! Tables of a snapshot: `watermark`; `group`: its name and its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type, TimestampNanosecondType};
use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use headwater_decide::scaling::{Ask, Decision, Group, GroupState, Outcome, PolicyKind};
use serde::{Deserialize, Serialize};

use super::activities::{Decided, activities, scaling_progress_schema};
use super::former::{Former, FormerGroup, Heard};
use super::history::{AFTER, AT, VALUE, alarm_history_schema};
use super::orders::{Order, Told};
use super::saved;
use super::scaling::{ScalingInput, ScalingSpec};
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::windows::{check_schema, push_watermark, read_watermark};

const NAME: &str = "ScalingGroup";
/// After so many nanoseconds a policy whose alarm is still on asks again.
const AGAIN: i64 = 60_000_000_000;

pub(super) struct ScalingOperator {
    spec: Arc<ScalingSpec>,
    group: Group,
    policies: Vec<Heard>,
    /// What the alarms have said since the last watermark: time, then input, state and newest point.
    said: BTreeMap<i64, Vec<(ScalingInput, AlarmState, Option<f64>)>>,
    decided: Vec<Decided>,
    dirty: bool,
    watermark: i64,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    group: GroupState,
    policies: Vec<Heard>,
}

/// What a part of a group's checkpoint says to another definition of it.
pub(super) fn hand_over(spec: &ScalingSpec, entries: &StateEntries) -> Result<Vec<(String, Order)>> {
    if entries.table != "group" {
        return Ok(Vec::new());
    }
    let order = |(name, saved): (String, Option<Saved>)| {
        let saved = saved?;
        let names = spec.rules.policies.iter().map(|policy| policy.name.clone());
        let former = FormerGroup { state: saved.group, policies: names.zip(saved.policies).collect() };
        Some((name, Order::GoOn(Former::Group(Box::new(former)))))
    };
    Ok(saved::read::<Saved>(NAME, entries)?.into_iter().filter_map(order).collect())
}

impl ScalingOperator {
    pub(super) fn new(spec: Arc<ScalingSpec>) -> Self {
        Self {
            group: Group::new(spec.rules.clone()),
            policies: vec![Heard::default(); spec.rules.policies.len()],
            spec,
            said: BTreeMap::new(),
            decided: Vec::new(),
            dirty: false,
            watermark: EventTime::MIN.0,
        }
    }

    fn note_progress(&mut self, rows: &Rows) -> Result<()> {
        check_schema(NAME, &rows.batch, &scaling_progress_schema())?;
        let times = rows.batch.column(0).as_primitive::<TimestampNanosecondType>();
        let groups = rows.batch.column(1).as_string::<i32>();
        let activities = rows.batch.column(2).as_primitive::<Int64Type>();
        let succeeded = rows.batch.column(3).as_boolean();
        for row in (0..rows.len()).filter(|row| groups.value(*row) == self.spec.name) {
            let activity = activities.value(row).max(0) as u64;
            self.group.finish(activity, EventTime(times.value(row)), succeeded.value(row));
            self.dirty = true;
        }
        Ok(())
    }

    /// Hears what the alarms say at one moment, and decides.
    fn hear(&mut self, at: i64, said: &[(ScalingInput, AlarmState, Option<f64>)]) {
        let mut points: BTreeMap<usize, Option<f64>> = BTreeMap::new();
        let mut changed = Vec::new();
        for (input, state, point) in said {
            let (policy, low) = match input {
                ScalingInput::Alarm(policy) => (*policy, false),
                ScalingInput::Low(policy) => (*policy, true),
                ScalingInput::Progress | ScalingInput::Clock => continue,
            };
            let heard = &mut self.policies[policy];
            let known = if low { &mut heard.low } else { &mut heard.alarm };
            if std::mem::replace(known, *state) != *state {
                changed.push(policy);
            }
            let newest = points.entry(policy).or_insert(*point);
            *newest = newest.or(*point);
        }
        let asks = self.asks(at, &points, &changed);
        self.dirty = true;
        let decisions = self.group.decide(EventTime(at), &asks);
        // A policy whose alarm has said nothing now only lends its state to the others.
        let spoken = |decision: &Decision| {
            let own = |ask: &&Ask| self.spec.rules.policies[ask.policy].name == decision.by;
            asks.iter().find(own).is_some_and(|ask| points.contains_key(&ask.policy))
        };
        let decisions: Vec<Decision> = decisions.into_iter().filter(spoken).collect();
        for decision in decisions {
            let nth = self.spec.rules.policies.iter().position(|policy| policy.name == decision.by);
            let rule = nth.map_or(String::new(), |nth| self.spec.rules.policies[nth].kind.to_string());
            if let Some(heard) = nth.and_then(|nth| self.policies.get_mut(nth)) {
                heard.asked = Some(at);
            }
            self.decide(decision, rule);
        }
    }

    /// What the policies ask for. Target tracking is always heard, as it may keep others from taking away.
    fn asks(&self, at: i64, points: &BTreeMap<usize, Option<f64>>, changed: &[usize]) -> Vec<Ask> {
        let policies = self.spec.rules.policies.iter().zip(&self.policies).enumerate();
        let asks = policies.filter_map(|(nth, (policy, heard))| {
            let again = heard.asked.is_none_or(|asked| at - asked >= AGAIN) || changed.contains(&nth);
            let tracks = matches!(policy.kind, PolicyKind::Target { .. });
            let speaks = points.contains_key(&nth) && again;
            let ask = Ask {
                policy: nth,
                metric: points.get(&nth).copied().flatten(),
                alarm: heard.alarm,
                low: heard.low,
            };
            (speaks || tracks).then_some(ask)
        });
        asks.collect()
    }

    fn run_scheduled(&mut self, until: i64) {
        while let Some((due, _)) = self.group.next_scheduled(EventTime(until)) {
            self.dirty = true;
            for decision in self.group.run_scheduled(due) {
                let all = &self.spec.rules.schedules;
                let schedule = all.iter().find(|schedule| schedule.name == decision.by);
                let rule =
                    schedule.map_or(String::new(), |schedule| format!("scheduled, {}", schedule.times));
                self.decide(decision, rule);
            }
        }
    }

    /// Does what it is told.
    fn obey(&mut self, told: &Told) {
        match &told.order {
            Order::Resize(resize) => {
                let at = told.effective(self.watermark);
                let decision = self.group.resize(EventTime(at), resize);
                self.decide(decision, "by hand".to_owned());
            }
            Order::GoOn(Former::Group(former)) => self.go_on(former, told.at),
            Order::SetState { .. } | Order::GoOn(Former::Alarm(_)) => return,
        }
        self.dirty = true;
    }

    /// Goes on from what a former definition had come to.
    fn go_on(&mut self, former: &FormerGroup, at: EventTime) {
        self.group = Group::go_on(self.spec.rules.clone(), former.state.clone(), at);
        for (policy, heard) in self.spec.rules.policies.iter().zip(&mut self.policies) {
            *heard = former.policies.get(&policy.name).copied().unwrap_or_default();
        }
    }

    fn decide(&mut self, decision: Decision, rule: String) {
        if let Outcome::Scaled(activity) = decision.outcome
            && self.spec.is_instant()
        {
            self.group.finish(activity, decision.at, true);
        }
        let bounds = (self.group.state().min, self.group.state().max);
        self.decided.push(Decided { decision, rule, bounds });
    }
}

impl Operator for ScalingOperator {
    fn on_batch(&mut self, input: usize, rows: Rows, _out: &mut Output) -> Result<()> {
        if let Some(told) = Told::of(&rows.batch)? {
            self.obey(&told);
            return Ok(());
        }
        let input = self.spec.inputs[input];
        if input == ScalingInput::Progress {
            return self.note_progress(&rows);
        }
        if input == ScalingInput::Clock {
            return Ok(());
        }
        check_schema(NAME, &rows.batch, &alarm_history_schema())?;
        let times = rows.batch.column(AT).as_primitive::<TimestampNanosecondType>();
        let states = rows.batch.column(AFTER).as_string::<i32>();
        let values = rows.batch.column(VALUE).as_primitive::<Float64Type>();
        for row in 0..rows.len() {
            let state = AlarmState::parse(states.value(row)).unwrap_or_default();
            let value = values.is_valid(row).then(|| values.value(row));
            self.said.entry(times.value(row)).or_default().push((input, state, value));
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        let mut last = None;
        for (at, said) in std::mem::take(&mut self.said) {
            self.run_scheduled(at);
            self.hear(at, &said);
            last = Some(at);
        }
        // Time begins with the first alarm, or with the clock; at the end of the input there is no more of it.
        let has_clock = self.spec.inputs.contains(&ScalingInput::Clock) && watermark > EventTime::MIN;
        let begun = last.is_some() || has_clock || self.group.has_begun();
        if begun && watermark < EventTime::MAX {
            self.run_scheduled(self.watermark);
        }
        if !self.decided.is_empty() {
            let batch = activities(&self.spec.name, &std::mem::take(&mut self.decided))?;
            out.emit(Rows { batch, weights: None, clocks: Clocks::Uniform(clock) });
        }
        Ok(())
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        if std::mem::take(&mut self.dirty) || full {
            let saved = Saved { group: self.group.state().clone(), policies: self.policies.clone() };
            saved::push(NAME, "group", &[(self.spec.name.as_str(), saved)], &[], out)?;
        }
        Ok(())
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        match entries.table.as_str() {
            "watermark" => self.watermark = self.watermark.max(read_watermark(&entries.rows)),
            "group" => {
                for (_, saved) in saved::read::<Saved>(NAME, entries)? {
                    let policies = self.policies.len();
                    let saved = saved.filter(|saved| saved.policies.len() == policies).ok_or_else(|| {
                        OperatorError::bad_checkpoint(NAME, "it has another number of policies")
                    })?;
                    self.group = Group::restore(self.spec.rules.clone(), saved.group);
                    self.policies = saved.policies;
                }
            }
            other => return Err(OperatorError::no_state_table(NAME, other)),
        }
        Ok(())
    }

    fn state_size(&self) -> StateSize {
        // Scheduled actions wait for time.
        let waits = !self.spec.rules.schedules.is_empty() && self.group.has_begun();
        StateSize { entries: u64::from(waits), bytes: size_of::<Group>() as u64 }
    }
}
