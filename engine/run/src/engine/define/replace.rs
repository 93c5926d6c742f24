//! `CREATE OR REPLACE`: another definition takes the place of one that is there.

use std::sync::Arc;

use headwater_plan::{Catalog, Entry, Parsed};

use super::Inner;
use crate::error::Result;
use crate::replace::Beside;

impl Inner {
    pub(super) fn replace(
        self: &Arc<Self>,
        after: &Catalog,
        entry: &Entry,
        parsed: &Parsed,
        besides: Vec<Beside>,
    ) -> Result<Vec<String>> {
        if !matches!(entry, Entry::View(_)) {
            after.computed_in(entry).iter().try_for_each(|entry| self.use_inputs(after, entry))?;
        }
        match entry {
            Entry::View(view) => {
                self.planner.batch(after, &self.tables(), &view.query)?;
                self.note(&view.name, parsed)?;
                self.state.lock().catalog = after.clone();
                Ok(Vec::new())
            }
            Entry::Trigger(trigger) => {
                let before = self.catalog().trigger(&trigger.name).map(Arc::clone);
                let tells_now =
                    trigger.delivers() && before.as_ref().is_some_and(|before| !before.delivers());
                let begin = || match tells_now {
                    // What has fired so far was not meant for anybody.
                    true => self.connectors.begin_delivery(&trigger.name, &self.ingest),
                    false => Ok(()),
                };
                let replaced = self
                    .check_delivery(after, trigger)
                    .and_then(|()| begin())
                    .and_then(|()| before.as_ref().map_or(Ok(()), |before| self.go_alone(before)))
                    .and_then(|()| self.replace_jobs(after, entry, parsed, besides));
                // Who delivers was stopped, and goes on from the firing that it had come to.
                let in_force = if replaced.is_ok() { Some(Arc::clone(trigger)) } else { before };
                in_force.map_or(Ok(()), |trigger| self.start_delivery(&trigger))?;
                replaced
            }
            Entry::ScalingGroup(group) => {
                let before = match self.catalog().get(&group.name) {
                    Some(Entry::ScalingGroup(before)) => Some(Arc::clone(before)),
                    _ => None,
                };
                let replaced = self
                    .check_actuator(group)
                    .and_then(|()| self.replace_jobs(after, entry, parsed, besides));
                let in_force = if replaced.is_ok() { Some(Arc::clone(group)) } else { before };
                in_force.iter().for_each(|group| self.carry_out(group));
                replaced
            }
            Entry::ScalingPolicy(_) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.replace_jobs(after, entry, parsed, besides)
            }
            _ => self.replace_jobs(after, entry, parsed, besides),
        }
    }
}
