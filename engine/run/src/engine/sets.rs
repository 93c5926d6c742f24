//! Sets of triggers: one job for all triggers over the same rows by the same keys.
//!
//! A trigger that begins with the newest row of a stream comes to the set of that stream and those keys, which is founded by the
//! first of them. Its stream of firings has the set's name as a property, so that it is known for ever. Triggers over views, those
//! that begin with the oldest row, and those that were paused or replaced are jobs of their own. A set is there as long as one of
//! its triggers, or of those that left it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{EventTime, Sequence};
use headwater_log::{Log, StreamInfo};
use headwater_operators::TriggerRoster;
use headwater_plan::{Catalog, Dataflow, Entry, StartAt, TriggerDef, TriggerPlan};

use super::events;
use super::jobs::{idle_timeouts, journal_spec, view_spec};
use super::state::{Inner, State};
use super::triggers::IDLE_TIMEOUT;
use crate::error::{Result, RunError};
use crate::job::{
    Coming, Eras, JobHandle, JobPlan, Journal, JournalReader, Leaving, Members, Membership, NEW_CLOCK,
    Results, ShardCut, Start, begin_at, first_cut, member_id, memberships,
};
use crate::{JobState, JobStatus};

/// The property of a stream of firings that names the set which its trigger came to.
const SET: &str = "trigger.set";

/// A set that runs, as a job of the set's name.
pub(crate) struct TriggerSet {
    /// Its triggers.
    pub members: Arc<Members>,
    source: Arc<StreamInfo>,
    journal: Arc<StreamInfo>,
}

/// A trigger's way: from where it began in the set that it came to.
pub(crate) struct Course {
    /// The steps of the set while the trigger was there, then its own.
    pub journal: Journal,
    /// The first row that it judges, by shard.
    pub from: Vec<i64>,
    /// Where the set was when it came.
    pub start: Start,
    /// The set's watermark then.
    pub reached: EventTime,
}

/// The set that a trigger came to, whether or not it is still there.
pub(crate) fn set_named_by(target: &StreamInfo) -> Option<&str> {
    target.spec.properties.get(SET).map(String::as_str)
}

impl State {
    /// The set that a trigger is in, and its number there.
    pub fn set_of(&self, trigger: &str) -> Option<(&str, &TriggerSet, i64)> {
        self.sets.iter().find_map(|(name, set)| Some((name.as_str(), set, set.members.id_of(trigger)?)))
    }

    /// The job of this name; of a trigger that is in a set, that of the set.
    pub fn job(&self, name: &str) -> Option<&JobHandle> {
        self.jobs.get(name).or_else(|| self.jobs.get(self.set_of(name)?.0))
    }

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
                        names.into_iter().filter_map(|name| set.status_of(&name, &status, count, log)),
                    );
                }
                None => all.push(job.status()),
            }
        }
        let paused = self.paused.iter().filter(|name| self.job(name).is_none());
        let triggers = paused.filter(|name| self.catalog.trigger(name).is_some());
        all.extend(triggers.map(|name| paused_status(name)));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// How a job does.
    pub fn status(&self, name: &str, log: &dyn Log) -> Option<JobStatus> {
        if let Some(job) = self.jobs.get(name) {
            return Some(job.status());
        }
        if let Some((of, set, _)) = self.set_of(name) {
            return set.status_of(name, &self.jobs.get(of)?.status(), set.members.count(), log);
        }
        self.paused.contains(name).then(|| paused_status(name))
    }
}

/// A trigger that has left its set and has not gone on yet.
fn paused_status(name: &str) -> JobStatus {
    JobStatus { state: JobState::Paused, ..JobStatus::new(name.to_owned(), name.to_owned()) }
}

impl TriggerSet {
    /// How one of its triggers does: as the set does, with its own rows, and an equal share of the state.
    fn status_of(&self, name: &str, of: &JobStatus, count: u64, log: &dyn Log) -> Option<JobStatus> {
        let progress = self.members.progress(self.members.id_of(name)?)?;
        let rows_out = firings_of(log, name)?;
        let (name, target) = (name.to_owned(), name.to_owned());
        let state_bytes = of.state_bytes / count.max(1);
        let (state, error) = match progress.failure {
            Some(failure) => (JobState::Failed, Some(failure)),
            None => (of.state, of.error.clone()),
        };
        let rows_in = progress.rows_in;
        Some(JobStatus { name, target, state, error, rows_in, rows_out, state_bytes, ..of.clone() })
    }

    /// Whether a trigger could be one of this set.
    fn takes(&self, plan: &TriggerPlan, source: &StreamInfo) -> bool {
        self.source.id == source.id && *self.members.roster.shared() == plan.trigger.shared()
    }
}

impl Inner {
    /// Starts a trigger that was created just now.
    pub fn start_trigger(self: &Arc<Self>, trigger: &Arc<TriggerDef>) -> Result<()> {
        let catalog = self.catalog();
        let plan = self.planner.trigger(&catalog, &self.tables(), trigger)?;
        let ended = self.state.lock().ends.contains_key(&trigger.on);
        if trigger.start != StartAt::Latest || plan.place.is_none() || ended {
            return self.start_job(&Entry::Trigger(Arc::clone(trigger)));
        }
        let source = self.log.stream_named(&trigger.on)?;
        let name = match self.set_for(&plan, &source) {
            Some(name) => name,
            None => self.found_set(&catalog, &plan, source)?,
        };
        let mut spec = view_spec(&trigger.name, &plan.dataflow)?;
        spec.properties.insert(SET.to_owned(), name.clone());
        events::ensure(&*self.log, spec)?;
        self.bring(&name, trigger, &plan)
    }

    /// A set that runs and takes a trigger.
    fn set_for(&self, plan: &TriggerPlan, source: &StreamInfo) -> Option<String> {
        let state = self.state.lock();
        let runs = |name: &str| {
            let job = state.jobs.get(name).map(JobHandle::status);
            job.is_some_and(|status| !matches!(status.state, JobState::Failed | JobState::Finished))
        };
        let found = state.sets.iter().find(|(name, set)| set.takes(plan, source) && runs(name));
        found.map(|(name, _)| name.clone())
    }

    /// Lets a trigger come to a set, to begin with the rows that are appended from now on.
    fn bring(self: &Arc<Self>, set: &str, trigger: &TriggerDef, plan: &TriggerPlan) -> Result<()> {
        let coming = self.coming(trigger, plan)?;
        let (members, journal, source) = {
            let state = self.state.lock();
            let set = state.sets.get(set).ok_or_else(|| RunError::NoJob { name: set.to_owned() })?;
            (Arc::clone(&set.members), Arc::clone(&set.journal), Arc::clone(&set.source))
        };
        let come = members.come(&*self.log, &journal, &source, coming);
        self.state.lock().jobs.get(set).into_iter().for_each(JobHandle::wake);
        come
    }

    fn coming(&self, trigger: &TriggerDef, plan: &TriggerPlan) -> Result<Coming> {
        Ok(Coming {
            name: trigger.name.clone(),
            trigger: Arc::clone(&plan.trigger),
            target: self.log.stream_named(&trigger.name)?,
            copies: self.copies_of(trigger, plan)?,
        })
    }

    /// Founds a set for triggers such as this one, behind the rows that there are.
    fn found_set(
        self: &Arc<Self>,
        catalog: &Catalog,
        plan: &TriggerPlan,
        source: Arc<StreamInfo>,
    ) -> Result<String> {
        let name = (1..).map(|nth| format!("system.triggers.s{}_{nth}", source.id.0));
        let mut free = name.filter(|name| self.log.stream_named(&format!("system.journal.{name}")).is_err());
        let name = free.next().unwrap_or_default();
        // What a former set of this name left when it went in the middle of a crash.
        self.forget_state(&name)?;
        let members = Members::new(name.clone(), roster_for(plan)?, 0);
        self.run_set(catalog, plan, members, source)?;
        Ok(name)
    }

    /// Starts the job of a set.
    fn run_set(
        self: &Arc<Self>,
        catalog: &Catalog,
        plan: &TriggerPlan,
        members: Arc<Members>,
        source: Arc<StreamInfo>,
    ) -> Result<()> {
        let name = members.set.clone();
        let dataflow = plan.of_set(&members.roster)?;
        let journal = Journal::of(events::ensure(&*self.log, journal_spec(&name)?)?);
        let first = || first_cut(&*self.log, &journal, &name, &Eras::default());
        let shards = match first()? {
            Some(shards) => shards,
            None => {
                let end = |next: Sequence| ShardCut { next, idle: false, ended: false };
                let ends = self.log.bounds(source.id)?.iter().map(|bounds| end(bounds.next)).collect();
                begin_at(&*self.log, journal.own(), vec![ends])?;
                first()?.unwrap_or_default()
            }
        };
        let place = |cut: &ShardCut| (cut.next, NEW_CLOCK);
        let start = Start::Resume(shards.iter().map(|shards| shards.iter().map(place).collect()).collect());
        let ends = {
            let state = self.state.lock();
            state.ends.iter().map(|(name, ends)| (name.clone(), ends.clone())).collect()
        };
        let of_stream = idle_timeouts(catalog);
        let idle_timeout =
            move |info: &StreamInfo| -> Option<Duration> { of_stream(info).or(Some(IDLE_TIMEOUT)) };
        let job = JobPlan {
            name: name.clone(),
            results: Results::Members(Arc::clone(&members)),
            journal: journal.clone(),
            eras: Eras::default(),
            late: self.late_rows(&dataflow)?,
            memory: self.memory.clone(),
            blobs: self.checkpoints_of(&name)?,
            start,
            reached: EventTime::MIN,
            workers: self.options.workers,
            limits: self.limits(),
            checkpoint_interval: self.options.checkpoint_interval,
            idle_timeout: Arc::new(idle_timeout),
            ends,
            paused: false,
            lookups: Vec::new(),
            dataflow: Arc::new(dataflow),
        };
        let handle = JobHandle::start(&self.world, Arc::clone(&self.log), job)?;
        let mut state = self.state.lock();
        state.ends.iter().for_each(|(stream, ends)| handle.end_stream(stream, ends.clone()));
        state.jobs.insert(name.clone(), handle);
        let journal = Arc::clone(journal.own());
        state.sets.insert(name, TriggerSet { members, source, journal });
        Ok(())
    }

    /// Starts the sets that the log knows, each with those of its triggers that are still in it.
    pub fn start_sets(self: &Arc<Self>) -> Result<()> {
        let catalog = self.catalog();
        let mut of_set: BTreeMap<String, Vec<Arc<TriggerDef>>> = BTreeMap::new();
        for entry in catalog.entries() {
            let Entry::Trigger(trigger) = entry else { continue };
            let Ok(target) = self.log.stream_named(&trigger.name) else { continue };
            if let Some(set) = set_named_by(&target) {
                of_set.entry(set.to_owned()).or_default().push(Arc::clone(trigger));
            }
        }
        for (set, triggers) in of_set {
            if let Err(error) = self.start_set(&catalog, &set, &triggers) {
                tracing::error!(set, code = %error.code(), %error, "the triggers of a set cannot start");
            }
        }
        Ok(())
    }

    fn start_set(self: &Arc<Self>, catalog: &Catalog, set: &str, triggers: &[Arc<TriggerDef>]) -> Result<()> {
        let known = match self.log.stream_named(&format!("system.journal.{set}")) {
            Ok(journal) => memberships(&*self.log, &journal)?,
            Err(_) => Vec::new(),
        };
        let mut running: Option<(Arc<Members>, TriggerPlan, Arc<StreamInfo>)> = None;
        let mut unborn = Vec::new();
        for trigger in triggers {
            let id = member_id(&*self.log.stream_named(&trigger.name)?);
            let place = known.iter().position(|membership| membership.id == id);
            if place.is_some_and(|place| known[place].left.is_some()) {
                continue;
            }
            // One trigger that cannot start must not keep the others from it.
            let plan = match self.planner.trigger(catalog, &self.tables(), trigger) {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::error!(trigger = trigger.name, %error, "the trigger cannot start");
                    continue;
                }
            };
            if running.is_none() {
                let members = Members::new(set.to_owned(), roster_for(&plan)?, known.len());
                running = Some((members, plan.clone(), self.log.stream_named(&trigger.on)?));
            }
            let Some((members, ..)) = &running else { continue };
            match place {
                Some(place) => members.add(self.coming(trigger, &plan)?, &known[place], place as u32 + 1)?,
                None => unborn.push((trigger, plan)),
            }
        }
        let Some((members, plan, source)) = running else { return Ok(()) };
        self.run_set(catalog, &plan, members, source)?;
        // Created just before a crash: they begin now.
        for (trigger, plan) in &unborn {
            self.bring(set, trigger, plan)?;
        }
        for trigger in triggers {
            if self.state.lock().paused.contains(&trigger.name) {
                self.ask_to_leave(trigger)?;
            }
        }
        Ok(())
    }

    /// Asks a trigger to leave its set, if it is in one, with its state, to be a job of its own; answers whether it is.
    pub fn ask_to_leave(self: &Arc<Self>, trigger: &TriggerDef) -> Result<bool> {
        let Some(id) = self.state.lock().set_of(&trigger.name).map(|(_, _, id)| id) else { return Ok(false) };
        let plan = self.planner.trigger(&self.catalog(), &self.tables(), trigger)?;
        let leaving = Leaving {
            id,
            name: trigger.name.clone(),
            blobs: self.checkpoints_of(&trigger.name)?,
            plan: plan.dataflow.fingerprint(),
            rows_out: firings_of(&*self.log, &trigger.name).unwrap_or(0),
        };
        let state = self.state.lock();
        if let Some((name, set, _)) = state.set_of(&trigger.name) {
            set.members.ask_to_leave(leaving);
            state.jobs.get(name).into_iter().for_each(JobHandle::wake);
        }
        Ok(true)
    }

    /// Makes a trigger that is in a set a job of its own. Blocks until it is.
    pub fn go_alone(self: &Arc<Self>, trigger: &Arc<TriggerDef>) -> Result<()> {
        let member = {
            let state = self.state.lock();
            if state.jobs.contains_key(&trigger.name) {
                return Ok(());
            }
            state.set_of(&trigger.name).map(|(of, set, id)| (of.to_owned(), Arc::clone(&set.members), id))
        };
        if let Some((of, members, id)) = member {
            self.ask_to_leave(trigger)?;
            members.wait_gone(&self.world, id, || self.is_at_rest(&of));
            if members.progress(id).is_some() {
                let reason =
                    "the job that it shares with other triggers has stopped, so that it cannot leave that";
                return Err(RunError::Replace { name: trigger.name.clone(), reason: reason.to_owned() });
            }
        }
        self.start_job(&Entry::Trigger(Arc::clone(trigger)))
    }

    /// Whether a set will take no step any more.
    fn is_at_rest(&self, set: &str) -> bool {
        let state = self.state.lock();
        let job = state.jobs.get(set).map(JobHandle::status);
        state.closed || job.is_none_or(|job| matches!(job.state, JobState::Failed | JobState::Finished))
    }

    /// Lets a trigger that was paused go on: in its set, if it has not left that yet.
    pub fn go_on(self: &Arc<Self>, trigger: &Arc<TriggerDef>) -> Result<()> {
        let member = {
            let state = self.state.lock();
            if let Some(job) = state.jobs.get(&trigger.name) {
                job.set_paused(false);
                return Ok(());
            }
            state.set_of(&trigger.name).map(|(_, set, id)| (Arc::clone(&set.members), id))
        };
        if let Some((members, id)) = member {
            // Either it has left by the time that this is held, or it will not.
            let _between = members.between_steps();
            members.stay(id);
            if members.progress(id).is_some() {
                return Ok(());
            }
        }
        self.start_job(&Entry::Trigger(Arc::clone(trigger)))
    }

    /// Takes a trigger that is dropped out of its set. Blocks. With the last one, also of those that left it, the set goes.
    pub fn retire(&self, name: &str) -> Result<()> {
        let Ok(target) = self.log.stream_named(name) else { return Ok(()) };
        let Some(set) = set_named_by(&target) else { return Ok(()) };
        let member = {
            let state = self.state.lock();
            state.set_of(name).map(|(of, set, id)| {
                set.members.retire(id);
                state.jobs.get(of).into_iter().for_each(JobHandle::wake);
                (Arc::clone(&set.members), id)
            })
        };
        if let Some((members, id)) = member {
            members.wait_gone(&self.world, id, || self.state.lock().closed);
        }
        let others = self.log.streams();
        let mut others = others.iter().filter(|info| info.id != target.id);
        if others.all(|info| set_named_by(info) != Some(set)) {
            self.state.lock().sets.remove(set);
            self.remove_job(set)?;
        }
        Ok(())
    }

    /// The way of a trigger that came to a set; `None`: the job has been one by itself from the first.
    pub fn course_of(&self, job: &str) -> Result<Option<Course>> {
        let Ok(target) = self.log.stream_named(job) else { return Ok(None) };
        let Some(set) = set_named_by(&target) else { return Ok(None) };
        let of_set = self.log.stream_named(&format!("system.journal.{set}"))?;
        let known = memberships(&*self.log, &of_set)?;
        let id = member_id(&target);
        let Some(membership) = known.into_iter().find(|membership| membership.id == id) else {
            return Ok(None);
        };
        let Some((start, reached)) = self.place_of(set, &of_set, &membership)? else { return Ok(None) };
        let journal = Journal::within(of_set, membership.step);
        let journal = match membership.left {
            Some(left) => journal.left(left, events::ensure(&*self.log, journal_spec(job)?)?),
            None => journal,
        };
        let from = membership.shards.iter().map(|(next, _)| next.0 as i64).collect();
        Ok(Some(Course { journal, from, start, reached }))
    }

    /// Where a set was when a trigger came.
    fn place_of(
        &self,
        set: &str,
        journal: &Arc<StreamInfo>,
        membership: &Membership,
    ) -> Result<Option<(Start, EventTime)>> {
        let journal = Journal::of(Arc::clone(journal));
        let mut steps = JournalReader::open(&*self.log, &journal, set, 0, Vec::new(), &Eras::default())?;
        while let Some(step) = steps.next()? {
            if step.step < membership.step {
                continue;
            }
            let at = |shards: &Vec<ShardCut>| {
                let clocks = membership.shards.iter().map(|(_, clock)| *clock);
                shards.iter().map(|cut| cut.next).zip(clocks).collect()
            };
            return Ok(Some((Start::Resume(step.cut.shards.iter().map(at).collect()), step.watermark)));
        }
        Ok(None)
    }

    /// The journal of a job.
    pub fn journal_of(&self, job: &str) -> Result<Journal> {
        match self.course_of(job)? {
            Some(course) => Ok(course.journal),
            None => Ok(Journal::of(self.log.stream_named(&format!("system.journal.{job}"))?)),
        }
    }

    /// The plan of an entry's job as it runs: that of a trigger which came to a set judges nothing before its first row.
    pub fn plan_to_run(self: &Arc<Self>, catalog: &Catalog, entry: &Entry) -> Result<Dataflow> {
        let Entry::Trigger(trigger) = entry else { return self.plan_of(catalog, entry, None) };
        let plan = self.planner.trigger(catalog, &self.tables(), trigger)?;
        match self.course_of(&trigger.name)? {
            Some(course) => Ok(plan.as_member(course.from)?),
            None => Ok(plan.dataflow),
        }
    }
}

/// How often a trigger has fired, tests among it.
fn firings_of(log: &dyn Log, trigger: &str) -> Option<u64> {
    let info = log.stream_named(trigger).ok()?;
    log.bounds(info.id).ok()?.first().map(|bounds| bounds.next.0)
}

fn roster_for(plan: &TriggerPlan) -> Result<TriggerRoster> {
    let unplaced = || RunError::Invalid("a trigger over a view is none of a set".to_owned());
    Ok(TriggerRoster::new(plan.trigger.shared(), plan.place.ok_or_else(unplaced)?))
}
