//! Sets of triggers: one job for all triggers over the same rows by the same keys.
//!
//! A trigger that begins with the newest row of a stream comes to the set of that stream and those keys, which is founded by the
//! first of them. Its stream of firings has the set's name as a property, so that it is known for ever. Triggers over views, those
//! that begin with the oldest row, and those that were paused or replaced are jobs of their own. A set is there as long as one of
//! its triggers, or of those that left it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{EventTime, Sequence, StreamId, causes};
use headwater_log::StreamInfo;
use headwater_operators::TriggerRoster;
use headwater_plan::{Catalog, Entry, StartAt, TriggerDef, TriggerPlan};
use parking_lot::Mutex;

use super::events;
use super::jobs::{journal_spec, view_spec};
use super::state::{Inner, State};
use super::triggers::IDLE_TIMEOUT;
use crate::JobState;
use crate::error::{Result, RunError};
use crate::job::{
    Apart, Coming, Eras, JobHandle, JobPlan, Journal, Leaving, Members, Membership, NEW_CLOCK, Results, Roll,
    ShardCut, Start, begin_at, first_cut, member_id,
};

/// The property of a stream of firings that names the set which its trigger came to.
const SET: &str = "trigger.set";

/// A set that runs, as a job of the set's name.
pub(crate) struct TriggerSet {
    /// Its triggers.
    pub members: Arc<Members>,
    source: Arc<StreamInfo>,
    journal: Arc<StreamInfo>,
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
}

impl TriggerSet {
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
        let members = Members::new(name.clone(), roster_for(plan)?, self.new_roll(&name)?, Vec::new());
        self.run_set(catalog, plan, members, source)?;
        Ok(name)
    }

    /// What the journal of a set says of its triggers, with a journal if there was none.
    fn new_roll(&self, set: &str) -> Result<Arc<Mutex<Roll>>> {
        events::ensure(&*self.log, journal_spec(set)?)?;
        self.roll_of(set)?.ok_or_else(|| RunError::NoJob { name: set.to_owned() })
    }

    /// Those of a set's triggers that have left it, as far as they are there.
    fn apart(&self, known: &[Membership]) -> Result<Vec<Apart>> {
        let there = known.iter().filter_map(|membership| {
            let stream = self.log.stream(StreamId(membership.id as u32)).ok()?;
            Some((membership, membership.left?, stream))
        });
        let apart = there.map(|(membership, left, stream)| {
            let blobs = self.checkpoints_of(stream.spec.name.as_str())?;
            Ok(Apart { id: membership.id, came: membership.step, left, blobs })
        });
        apart.collect()
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
        let ends = self.state.lock().all_ends();
        let of_stream = self.idle_timeouts(catalog);
        let idle_timeout =
            move |info: &StreamInfo| -> Option<Duration> { of_stream(info).or(Some(IDLE_TIMEOUT)) };
        let job = JobPlan {
            name: name.clone(),
            results: Results::Members(Arc::clone(&members)),
            journal: journal.clone(),
            eras: Eras::default(),
            late: self.late_rows(&dataflow)?,
            dead: self.dead_rows(&dataflow)?,
            blobs: self.checkpoints_of(&name)?,
            start,
            reached: EventTime::MIN,
            settings: self.job_settings(),
            idle_timeout: Arc::new(idle_timeout),
            ends,
            paused: false,
            lookups: Vec::new(),
            dataflow: Arc::new(dataflow),
        };
        let journal = Arc::clone(journal.own());
        self.add_job(job)?.sets.insert(name, TriggerSet { members, source, journal });
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

    /// Starts a set anew, as when the log is opened, because its job or one of its triggers has failed. Blocks.
    pub fn restart_set(self: &Arc<Self>, set: &str) -> Result<()> {
        self.stop_job(set);
        self.state.lock().sets.remove(set);
        let catalog = self.catalog();
        let is_of_set = |trigger: &&Arc<TriggerDef>| {
            let target = self.log.stream_named(&trigger.name);
            target.is_ok_and(|target| set_named_by(&target) == Some(set))
        };
        let triggers = catalog.entries().filter_map(|entry| match entry {
            Entry::Trigger(trigger) => Some(trigger),
            _ => None,
        });
        let triggers: Vec<_> = triggers.filter(is_of_set).map(Arc::clone).collect();
        self.start_set(&catalog, set, &triggers)
    }

    fn start_set(self: &Arc<Self>, catalog: &Catalog, set: &str, triggers: &[Arc<TriggerDef>]) -> Result<()> {
        let mut staying: Vec<_> = triggers.iter().map(|trigger| (trigger, None)).collect();
        let known = self.with_roll(set, |roll| roll.memberships().to_vec()).map(Option::unwrap_or_default);
        let started = known.and_then(|known| {
            self.find_places(&known, &mut staying)?;
            staying.retain(|(_, place)| place.is_none_or(|place| known[place].left.is_none()));
            self.start_members(catalog, set, &known, &staying)
        });
        if let Err(error) = &started {
            let reason = format!("{} {}", error.code(), causes(error));
            let mut state = self.state.lock();
            let names = staying.iter().map(|(trigger, _)| &trigger.name);
            let out: Vec<String> = names.filter(|name| state.set_of(name).is_none()).cloned().collect();
            state.rested.retain(|name, _| !out.contains(name));
            state.unstarted.extend(out.into_iter().map(|name| (name, reason.clone())));
        }
        started
    }

    /// Finds the places of triggers among those that a set has had.
    fn find_places(&self, known: &[Membership], of: &mut [(&Arc<TriggerDef>, Option<usize>)]) -> Result<()> {
        let places = known.iter().enumerate().map(|(place, membership)| (membership.id, place));
        let places: HashMap<i64, usize> = places.collect();
        for (trigger, place) in of {
            *place = places.get(&member_id(&*self.log.stream_named(&trigger.name)?)).copied();
        }
        Ok(())
    }

    /// Starts a set with those of its triggers that have not left it; `place`: the place of each among those that the journal knows.
    fn start_members(
        self: &Arc<Self>,
        catalog: &Catalog,
        set: &str,
        known: &[Membership],
        staying: &[(&Arc<TriggerDef>, Option<usize>)],
    ) -> Result<()> {
        let mut running: Option<(Arc<Members>, TriggerPlan, Arc<StreamInfo>)> = None;
        let mut unborn = Vec::new();
        for (trigger, place) in staying {
            // One trigger that cannot start must not keep the others from it.
            let plan = match self.planner.trigger(catalog, &self.tables(), trigger) {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::error!(trigger = trigger.name, %error, "the trigger cannot start");
                    self.note_start(&trigger.name, Err(error.into())).unwrap_or_default();
                    continue;
                }
            };
            if running.is_none() {
                let (roll, apart) = (self.new_roll(set)?, self.apart(known)?);
                let members = Members::new(set.to_owned(), roster_for(&plan)?, roll, apart);
                running = Some((members, plan.clone(), self.log.stream_named(&trigger.on)?));
            }
            let Some((members, ..)) = &running else { continue };
            match place {
                Some(place) => members.add(self.coming(trigger, &plan)?, &known[*place])?,
                None => unborn.push((*trigger, plan)),
            }
        }
        let Some((members, plan, source)) = running else { return Ok(()) };
        self.run_set(catalog, &plan, members, source)?;
        // Created just before a crash: they begin now.
        for (trigger, plan) in &unborn {
            self.bring(set, trigger, plan)?;
        }
        for (trigger, _) in staying {
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
            rows_out: self.state.lock().firings_of(&trigger.name, &*self.log).unwrap_or(0),
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
            let gone = self.state.lock().sets.remove(set);
            gone.into_iter().for_each(|gone| drop(self.rolls.lock().remove(&gone.journal.id)));
            self.remove_job(set)?;
        }
        Ok(())
    }
}

fn roster_for(plan: &TriggerPlan) -> Result<TriggerRoster> {
    let unplaced = || RunError::Invalid("a trigger over a view is none of a set".to_owned());
    Ok(TriggerRoster::new(plan.trigger.shared(), plan.place.ok_or_else(unplaced)?))
}
