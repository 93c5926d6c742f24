//! Scaling groups: the jobs behind them, and who carries their decisions out.

use std::sync::Arc;

use headwater_plan::statement::CreateScalingGroup;
use headwater_plan::{Actuator, Entry, GroupDef, Parsed, SCALING_ACTIVITIES, SCALING_PROGRESS};

use super::events;
use super::jobs::journal_spec;
use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::GroupActuator;

impl Inner {
    /// Checks what is to carry a group's decisions out.
    pub fn check_actuator(self: &Arc<Self>, group: &Arc<GroupDef>) -> Result<()> {
        if !group.actuator.is_host() {
            return Ok(());
        }
        if let Actuator::Host { name, options } = &group.actuator
            && let (true, Some(job)) = (name == "job", options.get("job"))
            && self.state.lock().job(job).is_none()
        {
            let reason = format!("there is no job '{job}'");
            return Err(RunError::Actuator { group: group.name.clone(), reason });
        }
        let actuator = self.actuator(group, String::new());
        let checked = self.connectors.validate_actuator(&actuator);
        checked.map_err(|reason| RunError::Actuator { group: group.name.clone(), reason })
    }

    /// Starts a group: first who carries its decisions out, so that none is missed, then what decides.
    pub fn start_group(self: &Arc<Self>, group: &Arc<GroupDef>) -> Result<()> {
        self.carry_out(group);
        self.start_job(&Entry::ScalingGroup(Arc::clone(group)))
    }

    /// Starts who carries a group's decisions out, unless it runs.
    pub fn carry_out(self: &Arc<Self>, group: &Arc<GroupDef>) {
        let runs = self.state.lock().connectors.contains_key(&group.name);
        if group.actuator.is_host()
            && !runs
            && let Err(error) = self.start_actuator(group)
        {
            // Decisions are made and kept all the same; they are carried out when this is mended.
            tracing::error!(group = group.name, code = %error.code(), %error, "nothing is carried out");
        }
    }

    /// Whether a statement gives the group that there is other options for its actuator, so that this has to start again.
    pub fn has_other_actuator(&self, create: &CreateScalingGroup, parsed: &Parsed) -> bool {
        let catalog = self.catalog();
        match catalog.get(&create.name.value) {
            Some(Entry::ScalingGroup(before)) if create.or_replace && catalog.apply(parsed).is_ok() => {
                before.actuator != create.definition.actuator
            }
            _ => false,
        }
    }

    fn actuator(self: &Arc<Self>, group: &Arc<GroupDef>, identity: String) -> GroupActuator {
        GroupActuator { def: Arc::clone(group), identity, set_workers: self.workers_setter() }
    }

    fn start_actuator(self: &Arc<Self>, group: &Arc<GroupDef>) -> Result<()> {
        let catalog = self.catalog();
        for name in [SCALING_PROGRESS, SCALING_ACTIVITIES] {
            self.own_stream(&catalog, name)?;
        }
        // The journal's number is never used again: it tells the group from one that had its name before.
        let journal = events::ensure(&*self.log, journal_spec(&group.name)?)?;
        let actuator = self.actuator(group, journal.id.to_string());
        let running = self.connectors.start_actuator(actuator, Arc::clone(&self.ingest))?;
        self.state.lock().connectors.insert(group.name.clone(), Arc::from(running));
        Ok(())
    }
}
