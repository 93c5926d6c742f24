//! What people say to alarms and scaling groups: `ALTER ALARM ... SET STATE` and `ALTER SCALING GROUP ... SET`.
//!
//! It goes into a step of the job's own, and so into its journal. An alarm is told wherever it is computed: in its own job, and in those of
//! the composite alarms and scaling groups that hear it.

use std::sync::Arc;

use headwater_decide::scaling::BY_HAND;
use headwater_operators::decide::{Order, Told};
use headwater_plan::decision::{AlarmOn, MetricFrom};
use headwater_plan::statement::{AlterScalingGroup, GroupChange, Kind, SetAlarmState};
use headwater_plan::{Entry, Parsed, SCALING_ACTIVITIES};

use super::alarms::{quoted, text};
use super::state::Inner;
use crate::JobState;
use crate::error::{Result, RunError};

impl Inner {
    /// `ALTER ALARM ... SET STATE`.
    pub async fn set_alarm_state(self: &Arc<Self>, set: &SetAlarmState, parsed: &Parsed) -> Result<()> {
        let catalog = self.catalog();
        let name = &set.name.value;
        let Some(Entry::Alarm(alarm)) = catalog.get(name) else {
            return Err(catalog.not_a(&set.name, Kind::Alarm).at(set.name.position, &parsed.script).into());
        };
        if let AlarmOn::Metric { metric, .. } = &alarm.on
            && let MetricFrom::Stream(of) = &metric.from
            && of.dimensions.is_empty() != set.dimensions.is_none()
        {
            return Err(RunError::Invalid(match of.dimensions.as_slice() {
                [] => format!("alarm {name} has no dimensions: leave FOR out"),
                names => format!(
                    "alarm {name} has a state for each value of {}: say which with FOR '{}=...'",
                    names.join(", "),
                    names[0]
                ),
            }));
        }
        let dimensions = set.dimensions.clone().unwrap_or_default();
        let order = Order::SetState { dimensions, state: set.state, reason: set.reason.clone() };
        let _one_at_a_time = self.defining.lock().await;
        self.tell(name, order).await
    }

    /// `ALTER SCALING GROUP ... SET`. An error says why the group has not done it.
    pub async fn alter_scaling_group(
        self: &Arc<Self>,
        alter: &AlterScalingGroup,
        parsed: &Parsed,
    ) -> Result<()> {
        let catalog = self.catalog();
        let name = &alter.name.value;
        let Some(Entry::ScalingGroup(_)) = catalog.get(name) else {
            let error = catalog.not_a(&alter.name, Kind::ScalingGroup);
            return Err(error.at(alter.name.position, &parsed.script).into());
        };
        let resize = match &alter.change {
            GroupChange::Resize(resize) => resize.clone(),
            GroupChange::Rules { .. } => return self.define(parsed.clone()).await.map(drop),
        };
        let _one_at_a_time = self.defining.lock().await;
        self.tell(name, Order::Resize(resize)).await?;
        let came_to = format!(
            "SELECT reason FROM {SCALING_ACTIVITIES} WHERE \"group\" = {} AND \"by\" = {} AND NOT scaled \
             AND _sequence = (SELECT MAX(_sequence) FROM {SCALING_ACTIVITIES} WHERE \"group\" = {} AND \"by\" = {})",
            quoted(name),
            quoted(BY_HAND),
            quoted(name),
            quoted(BY_HAND)
        );
        let rows = self.batches(&came_to).await?;
        let reason = rows.iter().find(|rows| rows.num_rows() > 0).map(|rows| text(rows, "reason", 0));
        let done = ["the bounds changed", "the size is what is asked for"];
        match reason {
            Some(reason) if !done.iter().any(|done| reason.ends_with(done)) => {
                let why = reason.split_once(": ").map_or(reason.as_str(), |(_, why)| why);
                Err(RunError::Invalid(format!("scaling group {name} stays as it is: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// Says something to all jobs that compute what has this name, and waits until they have done it.
    async fn tell(&self, name: &str, order: Order) -> Result<()> {
        let told = Told { at: self.world.clock.now(), order };
        let row = told.row().map_err(|source| RunError::Operator { what: format!("job {name}"), source })?;
        let heard: Vec<_> = {
            let state = self.state.lock();
            let jobs: Vec<_> = state.jobs.iter().filter(|(_, job)| job.hears(name)).collect();
            if let Some((job, status)) = jobs
                .iter()
                .map(|(job, handle)| (job, handle.status().state))
                .find(|(_, status)| *status != JobState::Running)
            {
                return Err(RunError::Invalid(format!(
                    "{job} is {}, so that it hears nothing",
                    status.as_str()
                )));
            }
            jobs.into_iter().map(|(_, job)| job.tell(name, row.clone())).collect()
        };
        if heard.is_empty() {
            return Err(RunError::Invalid(format!("{name} does not run, so that it hears nothing")));
        }
        for done in heard {
            let gone =
                |_| RunError::Invalid(format!("{name} has failed or ended meanwhile: see system.jobs"));
            done.await.map_err(gone)?;
        }
        Ok(())
    }
}
