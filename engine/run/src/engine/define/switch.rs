//! `PAUSE` and `RESUME`.

use std::sync::Arc;
use std::time::Duration;

use headwater_plan::statement::Name;
use headwater_plan::{Catalog, Parsed};

use super::{Defined, Inner, State, runs, tag_of};
use crate::JobState;
use crate::error::{Result, RunError};

/// How long a statement waits for a job to pause or go on.
const SWITCH_PATIENCE: Duration = Duration::from_secs(20);

impl Inner {
    /// Waits until a job has left a state: it pauses when the step is done that is under way.
    pub(super) async fn await_switch(&self, job: &str, before: JobState) {
        let member = {
            let state = self.state.lock();
            let runs = state.status(job, &*self.log).is_some_and(|status| status.state == JobState::Running);
            state.set_of(job).map(|(_, set, id)| (Arc::clone(&set.members), id, runs))
        };
        if let Some((members, id, runs)) = member {
            if runs && before == JobState::Running {
                let _ = tokio::time::timeout(SWITCH_PATIENCE, members.await_gone(id)).await;
            }
            return;
        }
        let watch = self.state.lock().jobs.get(job).map(|job| job.watch());
        if let Some(mut watch) = watch {
            // One that is still catching up with its journal takes longer than anybody wants to wait; it pauses then.
            let switched = watch.wait_for(|state| *state != before);
            let _ = tokio::time::timeout(SWITCH_PATIENCE, switched).await;
        }
    }

    pub(super) fn pause(self: &Arc<Self>, name: &Name, parsed: &Parsed, paused: bool) -> Result<Defined> {
        let catalog = self.catalog();
        let trigger = catalog.trigger(&name.value);
        let known =
            self.state.lock().jobs.contains_key(&name.value) || catalog.get(&name.value).is_some_and(runs);
        if !known && trigger.is_none() {
            return Err(RunError::NoJob { name: name.value.clone() });
        }
        self.note(&name.value, parsed)?;
        {
            let mut state = self.state.lock();
            if paused {
                state.paused.insert(name.value.clone());
            } else {
                state.paused.remove(&name.value);
            }
        }
        match trigger {
            _ if !paused && self.start_failed(&catalog, &name.value)? => {}
            Some(trigger) if !paused => self.go_on(trigger)?,
            Some(trigger) if self.ask_to_leave(trigger)? => {}
            _ => {
                let state = self.state.lock();
                state.jobs.get(&name.value).into_iter().for_each(|job| job.set_paused(paused));
            }
        }
        Ok(Defined { tag: tag_of(&parsed.statement), notes: Vec::new() })
    }

    /// Starts a job again that has failed, or that could not start: it goes on from its newest checkpoint. `false`: it is not such a one.
    fn start_failed(self: &Arc<Self>, catalog: &Catalog, name: &str) -> Result<bool> {
        let has_failed = |state: &State, job: &str| {
            state.jobs.get(job).is_some_and(|job| job.status().state == JobState::Failed)
        };
        let (set, failed, gone) = {
            let state = self.state.lock();
            let set = state.set_of(name).map(|(set, of, id)| {
                let out = of.members.progress(id).is_some_and(|progress| progress.failure.is_some());
                (set.to_owned(), out || has_failed(&state, set))
            });
            let gone = set.is_none() && !state.jobs.contains_key(name);
            (set, has_failed(&state, name), gone)
        };
        match (set, catalog.get(name)) {
            (Some((set, true)), _) => self.restart_set(&set)?,
            (None, Some(entry)) if failed || (gone && runs(entry)) => {
                self.stop_job(name);
                self.start_job(entry)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
