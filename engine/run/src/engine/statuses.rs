//! How jobs do: those that run, the triggers of a set each by itself, and those that could not start.

use headwater_log::Log;
use headwater_plan::{ALARM_HISTORY, Entry, SCALING_ACTIVITIES};

use super::rested;
use super::sets::TriggerSet;
use super::state::State;
use crate::job::ShardTime;
use crate::{Figure, JobState, JobStatus};

impl State {
    /// How all jobs do, by name. A set is shown as its triggers.
    pub fn statuses(&self, log: &dyn Log) -> Vec<JobStatus> {
        let mut all = Vec::new();
        for (name, job) in &self.jobs {
            match self.sets.get(name) {
                Some(set) => {
                    let status = job.status();
                    let names = set.members.names();
                    let count = names.len() as u64;
                    all.extend(
                        names.into_iter().filter_map(|name| self.status_in(set, &name, &status, count, log)),
                    );
                }
                None => all.push(job.status()),
            }
        }
        all.extend(self.unstarted.keys().filter_map(|name| self.unstarted_status(name, log)));
        let paused = self.paused.iter().filter(|name| self.job(name).is_none());
        let paused = paused.filter(|name| !self.unstarted.contains_key(*name));
        let triggers = paused.filter(|name| self.catalog.trigger(name).is_some());
        all.extend(triggers.map(|name| self.paused_status(name, log)));
        if self.at_rest {
            all = self.resting_statuses(log);
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// How a job does.
    pub fn status(&self, name: &str, log: &dyn Log) -> Option<JobStatus> {
        if let Some(job) = self.jobs.get(name) {
            return Some(job.status());
        }
        if let Some((of, set, _)) = self.set_of(name) {
            return self.status_in(set, name, &self.jobs.get(of)?.status(), set.members.count(), log);
        }
        let resting = self.resting_status(name, log);
        let unstarted = resting.or_else(|| self.unstarted_status(name, log));
        unstarted.or_else(|| self.paused.contains(name).then(|| self.paused_status(name, log)))
    }

    /// How far event time is in each shard of a job's sources, as far as that is known. A trigger of a set has the set's.
    pub fn shard_times(&self, name: &str) -> Vec<ShardTime> {
        if let Some(job) = self.job(name) {
            return job.shard_times();
        }
        let rested = self.rested.get(name).and_then(|rested| rested.as_ref().ok());
        rested.map(|rested| rested.shard_times().to_vec()).unwrap_or_default()
    }

    /// How one of a set's triggers does: as the set does, with its own rows, and an equal share of the state.
    fn status_in(
        &self,
        set: &TriggerSet,
        name: &str,
        of: &JobStatus,
        count: u64,
        log: &dyn Log,
    ) -> Option<JobStatus> {
        let progress = set.members.progress(set.members.id_of(name)?)?;
        let rows_out = self.firings_of(name, log)?;
        let (name, target) = (name.to_owned(), name.to_owned());
        let state_bytes = of.state_bytes / count.max(1);
        let (state, error) = match progress.failure {
            Some(failure) => (JobState::Failed, Some(failure)),
            None => (of.state, of.error.clone()),
        };
        let rows_in = progress.rows_in;
        Some(JobStatus { name, target, state, error, rows_in, rows_out, state_bytes, ..of.clone() })
    }

    /// How often a trigger has fired, tests aside.
    pub fn firings_of(&self, trigger: &str, log: &dyn Log) -> Option<u64> {
        let info = log.stream_named(trigger).ok()?;
        let rows = log.bounds(info.id).ok()?.first()?.next.0;
        Some(rows.saturating_sub(self.tests.get(trigger).copied().unwrap_or(0)))
    }

    /// How a job does that could not start.
    fn unstarted_status(&self, name: &str, log: &dyn Log) -> Option<JobStatus> {
        let reason = self.unstarted.get(name)?;
        let target = self.target_of(name)?;
        let mut status = JobStatus { state: JobState::Failed, ..JobStatus::new(name.to_owned(), target) };
        rested::tell(&self.rested, log, &mut status);
        // Why it could not start, not why that cannot be read.
        status.error = Some(reason.clone());
        self.tell_firings(&mut status, log);
        Some(status)
    }

    /// The stream that a job writes into.
    pub fn target_of(&self, name: &str) -> Option<String> {
        Some(match self.catalog.get(name)? {
            // Its connector is not a job.
            Entry::Table(_) => return None,
            Entry::Job(job) => job.target.clone(),
            Entry::Alarm(_) => ALARM_HISTORY.to_owned(),
            Entry::ScalingGroup(_) => SCALING_ACTIVITIES.to_owned(),
            _ => name.to_owned(),
        })
    }

    /// How a trigger does that has left its set and has not gone on yet.
    fn paused_status(&self, name: &str, log: &dyn Log) -> JobStatus {
        let rows_out = self.firings_or_none(name, log);
        JobStatus { state: JobState::Paused, rows_out, ..JobStatus::new(name.to_owned(), name.to_owned()) }
    }

    /// Tells how often a trigger has fired, which its stream knows whether or not it runs.
    pub fn tell_firings(&self, status: &mut JobStatus, log: &dyn Log) {
        if self.catalog.trigger(&status.name).is_some()
            && let Some(firings) = self.firings_of(&status.name, log)
        {
            status.rows_out = firings;
            status.unknown.retain(|figure| *figure != Figure::RowsOut);
        }
    }

    fn firings_or_none(&self, name: &str, log: &dyn Log) -> u64 {
        let trigger = self.catalog.trigger(name);
        trigger.and_then(|trigger| self.firings_of(&trigger.name, log)).unwrap_or(0)
    }
}
