//! Alarms and scaling groups under another definition go on from what they had come to, as an update of them does elsewhere: states,
//! sizes, cooldowns and activities stay. The first evaluation by the new rule goes on from there, and a change is told as such.
//!
//! The new definition is told what the old one had come to ([`Told`]) in the step of the switch. That is in that step's line of the
//! journal, so that it comes to the same without a checkpoint. What it says to that is part of the switch.

use std::collections::BTreeMap;

use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use headwater_decide::scaling::Resize;
use headwater_operators::decide::{Former, FormerAlarm, Order, Told};
use headwater_operators::{OperatorError, Reach, StateEntries};
use headwater_plan::{Dataflow, Entry};

use super::rebuild::Rebuild;
use super::replacement::Replacement;
use crate::error::{Result, RunError};
use crate::job::{Answer, Blobs, Restored};

/// What stages had come to, each by the keys of its entries.
type Had = BTreeMap<usize, BTreeMap<String, Order>>;

/// What the new definition is told at the switch, with the stages that are told it.
pub(super) fn told_at_switch(
    replacement: &Replacement,
    saved: Option<&Restored>,
    blobs: &dyn Blobs,
    rebuild: &mut Rebuild,
    now: EventTime,
) -> Result<Vec<Answer>> {
    let (Some(former), Some(saved)) = (&replacement.former, saved) else { return Ok(Vec::new()) };
    if replacement.succession.told().next().is_none() {
        return Ok(Vec::new());
    }
    let name = replacement.name.as_str();
    let failed = |source: OperatorError| RunError::Operator { what: format!("job {name}"), source };
    let mut had = Had::new();
    saved.each(blobs, |stage, entries| note(&mut had, former, stage, entries).map_err(failed))?;
    let mut built = Had::new();
    for (stage, part) in rebuild.state(name)? {
        let bad = |reason: String| RunError::Checkpoint { job: name.to_owned(), reason };
        note(&mut built, &replacement.dataflow, stage, &part.entries().map_err(bad)?).map_err(failed)?;
    }
    let states = states_of(former, &had);
    let mut told = Vec::new();
    for (new, old) in replacement.succession.told() {
        let mut orders = had.get(&old).cloned().unwrap_or_default();
        if is_told_all(&replacement.dataflow, new) {
            orders.values_mut().for_each(|order| complete(order, &states));
        } else {
            // A metric that only the new definition has begins as new ones do.
            for key in built.get(&new).into_iter().flat_map(BTreeMap::keys) {
                orders.entry(key.clone()).or_insert_with(|| as_new(key));
            }
        }
        let at = time_of(&replacement.dataflow, new, rebuild, now);
        let is_group = orders.values().any(|order| matches!(order, Order::GoOn(Former::Group(_))));
        let bounds = other_bounds(replacement).filter(|_| is_group).map(Order::Resize);
        for order in orders.into_values().chain(bounds) {
            told.push((new, Told { at, order }.row().map_err(failed)?));
        }
    }
    Ok(told)
}

/// Notes what a part of a checkpoint says.
fn note(
    had: &mut Had,
    plan: &Dataflow,
    stage: usize,
    entries: &StateEntries,
) -> std::result::Result<(), OperatorError> {
    for operator in plan.stages.get(stage).into_iter().flat_map(|stage| &stage.operators) {
        had.entry(stage).or_default().extend(operator.hand_over(entries)?);
    }
    Ok(())
}

/// The states of all alarms of a dataflow, by name and dimensions.
fn states_of(plan: &Dataflow, had: &Had) -> BTreeMap<(String, String), AlarmState> {
    let mut states = BTreeMap::new();
    for (stage, orders) in had {
        let Some(name) =
            plan.stages[*stage].operators.iter().find_map(|operator| operator.takes_orders_for())
        else {
            continue;
        };
        for order in orders.values() {
            if let Order::GoOn(Former::Alarm(FormerAlarm { dimensions, state, .. })) = order {
                states.insert((dimensions.clone(), name.to_owned()), *state);
            }
        }
    }
    states
}

/// Whether a stage is told all that it knows. An alarm sees its points again.
fn is_told_all(plan: &Dataflow, stage: usize) -> bool {
    plan.stages[stage].operators.iter().any(|operator| operator.reach_when_told() == Some(Reach::Row))
}

/// A composite alarm hears what the old dataflow had of alarms that its former definition did not name.
fn complete(order: &mut Order, states: &BTreeMap<(String, String), AlarmState>) {
    let Order::GoOn(Former::Alarm(former)) = order else { return };
    let own = (former.dimensions.clone(), String::new())..;
    for ((_, alarm), state) in
        states.range(own).take_while(|((dimensions, _), _)| *dimensions == former.dimensions)
    {
        former.alarms.entry(alarm.clone()).or_insert(*state);
    }
}

fn as_new(dimensions: &str) -> Order {
    let dimensions = dimensions.to_owned();
    let former = FormerAlarm { dimensions, state: AlarmState::default(), alarms: BTreeMap::new() };
    Order::GoOn(Former::Alarm(former))
}

/// The time of the switch in a stage; by the clock, if there is none.
fn time_of(plan: &Dataflow, stage: usize, rebuild: &Rebuild, now: EventTime) -> EventTime {
    let watermark = rebuild.reached().map_or(EventTime::MIN, |reached| reached.watermark);
    match watermark {
        EventTime::MIN | EventTime::MAX => now,
        EventTime(at) => EventTime(at.saturating_sub(plan.stages[stage].delay)),
    }
}

/// The bounds of a scaling group that its new definition has and the former one had not. Its size is the group's own.
fn other_bounds(replacement: &Replacement) -> Option<Resize> {
    let (Entry::ScalingGroup(old), Entry::ScalingGroup(new)) = (&replacement.before, &replacement.entry)
    else {
        return None;
    };
    let resize = Resize { min: Some(new.min), max: Some(new.max), desired: None, honor_cooldown: false };
    ((old.min, old.max) != (new.min, new.max)).then_some(resize)
}
