//! An alarm with another definition keeps the states of its metrics, as an update of an alarm does elsewhere: the first evaluation by the
//! new rule goes on from them, and a change is told as such.
//!
//! The new definition, which has done the steps of the journal, is told the old one's states ([`Told`]) in the step of the switch. What it
//! is told is in that step's line of the journal, so that it comes to the same without a checkpoint.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use headwater_operators::decide::{Order, Told, states_in};
use headwater_operators::{OperatorError, StateEntries};
use headwater_plan::{Dataflow, Entry};

use super::rebuild::Rebuild;
use super::replacement::Replacement;
use crate::error::{Result, RunError};
use crate::job::{Answer, Blobs, Restored, stages_told};

/// What the new definition of an alarm is told at the switch, with the stage that it is told to; nothing if it is no alarm.
pub(super) fn kept_states(
    replacement: &Replacement,
    saved: Option<&Restored>,
    blobs: &dyn Blobs,
    rebuild: Option<&mut Rebuild>,
    now: EventTime,
) -> Result<Vec<Answer>> {
    let name = replacement.name.as_str();
    let stage_of = |plan: &Dataflow| stages_told(plan, name).last().copied();
    let (Entry::Alarm(_), Some(rebuild)) = (&replacement.entry, rebuild) else { return Ok(Vec::new()) };
    let Some(new) = stage_of(&replacement.dataflow) else { return Ok(Vec::new()) };
    let failed = |source: OperatorError| RunError::Operator { job: name.to_owned(), source };
    // A metric that only the new definition has begins as new ones do.
    let mut states: BTreeMap<String, AlarmState> = BTreeMap::new();
    for (_, part) in rebuild.state(name)?.iter().filter(|(stage, _)| *stage == new) {
        let bad = |reason: String| RunError::Checkpoint { job: name.to_owned(), reason };
        note(&mut states, &part.entries().map_err(bad)?, |_| AlarmState::default()).map_err(failed)?;
    }
    let old = replacement.former.as_deref().and_then(stage_of);
    if let (Some(old), Some(saved)) = (old, saved) {
        saved.each(blobs, |stage, entries| match stage == old {
            true => note(&mut states, entries, |state| state).map_err(failed),
            false => Ok(()),
        })?;
    }
    let row = |(dimensions, state): (String, AlarmState)| -> Result<RecordBatch> {
        let reason = "as it was before the alarm was replaced".to_owned();
        Told { at: now, order: Order::SetState { dimensions, state, reason } }.row().map_err(failed)
    };
    let told: Vec<Answer> = states.into_iter().map(|state| Ok((new, row(state)?))).collect::<Result<_>>()?;
    rebuild.tell(&told)?;
    Ok(told)
}

fn note(
    states: &mut BTreeMap<String, AlarmState>,
    entries: &StateEntries,
    of: impl Fn(AlarmState) -> AlarmState,
) -> std::result::Result<(), OperatorError> {
    for (dimensions, state) in states_in(entries)? {
        states.insert(dimensions, of(state.unwrap_or_default()));
    }
    Ok(())
}
