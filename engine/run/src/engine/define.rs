//! Statements that change what there is: each is checked, appended to the catalog's stream, and then takes effect.

use std::sync::Arc;
use std::time::Duration;

use headwater_ingest::format_options_of;
use headwater_log::Retention;
use headwater_plan::statement::{Kind, Name};
use headwater_plan::{
    Action, Catalog, Change, Entry, Parsed, Statement, StreamDef, Target, check_altered_options,
    check_own_streams,
};

use super::events::{self, Event};
use super::open::spec_of;
use super::state::{Inner, State};
use crate::JobState;
use crate::error::{Result, RunError};
use crate::job::JobHandle;
use crate::options::Role;
use crate::replace::Beside;

/// How long a statement waits for a job to pause or go on.
const SWITCH_PATIENCE: Duration = Duration::from_secs(20);

/// What a statement did.
pub(crate) struct Defined {
    /// What, such as `CREATE STREAM`.
    pub tag: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Inner {
    /// Runs a statement that defines, drops, pauses or resumes something.
    pub async fn define(self: &Arc<Self>, parsed: Parsed) -> Result<Defined> {
        check_new(&parsed)?;
        let beside = self.beside(&parsed).await?;
        let switched = match &parsed.statement {
            Statement::PauseJob(name) | Statement::PauseTrigger(name) => {
                Some((name.value.clone(), JobState::Running))
            }
            Statement::ResumeJob(name) | Statement::ResumeTrigger(name) => {
                Some((name.value.clone(), JobState::Paused))
            }
            _ => None,
        };
        let defined = self.define_alone(parsed, beside).await?;
        if let Some((job, before)) = switched {
            self.await_switch(&job, before).await;
        }
        Ok(defined)
    }

    /// Waits until a job has left a state: it pauses when the step is done that is under way.
    async fn await_switch(&self, job: &str, before: JobState) {
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

    /// Builds what is to take a job's place, while others may define what they like.
    async fn beside(self: &Arc<Self>, parsed: &Parsed) -> Result<Vec<Beside>> {
        let replaces = match &parsed.statement {
            Statement::CreateJob(job) => job.or_replace,
            Statement::CreateMaterializedView(view) => view.or_replace,
            Statement::CreateTrigger(trigger) => trigger.or_replace,
            Statement::CreateAlarm(alarm) => alarm.or_replace,
            Statement::CreateScalingPolicy(policy) => policy.or_replace,
            Statement::CreateScalingGroup(group) => group.or_replace,
            _ => false,
        };
        if !replaces {
            return Ok(Vec::new());
        }
        self.check_open()?;
        if let Statement::CreateTrigger(trigger) = &parsed.statement
            && self.catalog().apply(parsed).is_ok()
            && let Some(trigger) = self.catalog().trigger(&trigger.name.value).map(Arc::clone)
        {
            let _one_at_a_time = self.defining.lock().await;
            let inner = Arc::clone(self);
            let work = move || inner.go_alone(&trigger);
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| RunError::Invalid(error.to_string()))??;
        }
        let (inner, parsed) = (Arc::clone(self), parsed.clone());
        let work = move || inner.build_beside(&parsed);
        tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Invalid(error.to_string()))?
    }

    async fn define_alone(self: &Arc<Self>, parsed: Parsed, besides: Vec<Beside>) -> Result<Defined> {
        let _one_at_a_time = self.defining.lock().await;
        self.check_open()?;
        match &parsed.statement {
            Statement::Drop(drop) if self.catalog().apply(&parsed).is_ok() => {
                self.stop_connector(&drop.name.value).await;
            }
            Statement::PauseTrigger(name) if self.catalog().trigger(&name.value).is_some() => {
                self.stop_connector(&name.value).await;
            }
            Statement::CreateTrigger(trigger)
                if trigger.or_replace && self.catalog().apply(&parsed).is_ok() =>
            {
                self.stop_connector(&trigger.name.value).await;
            }
            Statement::CreateScalingGroup(group) if self.has_other_actuator(group, &parsed) => {
                self.stop_connector(&group.name.value).await;
            }
            _ => {}
        }
        let again = match &parsed.statement {
            Statement::ResumeConnector(name) => Some(name.value.clone()),
            Statement::AlterStream(alter) => Some(alter.name.value.clone()),
            _ => None,
        };
        let inner = Arc::clone(self);
        let work = move || inner.define_with(&parsed, besides);
        let defined = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| RunError::Invalid(error.to_string()))??;
        if let Some(table) = again {
            self.start_again(&table).await?;
        }
        Ok(defined)
    }

    /// Like [`Inner::define`], on this thread.
    pub fn define_here(self: &Arc<Self>, parsed: &Parsed) -> Result<Defined> {
        check_new(parsed)?;
        self.define_with(parsed, Vec::new())
    }

    pub(super) fn define_with(self: &Arc<Self>, parsed: &Parsed, besides: Vec<Beside>) -> Result<Defined> {
        match &parsed.statement {
            Statement::Together(together) => self.do_together(together),
            Statement::PauseJob(name) => self.pause(name, parsed, true),
            Statement::ResumeJob(name) => self.pause(name, parsed, false),
            Statement::PauseTrigger(name) => {
                self.known_trigger(name, parsed)?;
                self.pause(name, parsed, true)
            }
            Statement::ResumeTrigger(name) => {
                let trigger = self.known_trigger(name, parsed)?;
                let defined = self.pause(name, parsed, false)?;
                if !self.state.lock().connectors.contains_key(&name.value) {
                    self.start_delivery(&trigger)?;
                }
                Ok(defined)
            }
            Statement::ResumeConnector(name) => {
                self.known_connector(name, parsed)?;
                Ok(Defined { tag: tag_of(&parsed.statement), notes: Vec::new() })
            }
            Statement::TestTrigger(name) => {
                let trigger = self.known_trigger(name, parsed)?;
                self.test_trigger(&trigger, parsed)?;
                Ok(Defined { tag: tag_of(&parsed.statement), notes: Vec::new() })
            }
            _ => self.change(parsed, besides),
        }
    }

    fn change(self: &Arc<Self>, parsed: &Parsed, besides: Vec<Beside>) -> Result<Defined> {
        let read = self.with_module(parsed)?;
        let parsed = read.as_ref().unwrap_or(parsed);
        let mut notes = Vec::new();
        let before = self.catalog();
        let (after, change) = before.apply(parsed)?;
        self.measure_jobs(&after)?;
        let done = match change {
            Change::Unchanged(why) => {
                return Ok(Defined { tag: tag_of(&parsed.statement), notes: vec![why] });
            }
            Change::Created(entry) => self.create(&after, &entry, parsed),
            Change::Replaced(entry) => {
                self.replace(&after, &entry, parsed, besides).map(|replaced| notes = replaced)
            }
            Change::Dropped(entry) => self.drop_entry(&after, &entry, parsed),
            Change::Altered { from, to } => self.alter(&after, &from, &to, parsed),
            Change::Function(name) => self.define_function(&after, &name, parsed),
        };
        if done.is_err() {
            self.measure_no_more_in_vain();
        }
        done?;
        notes.extend(self.warnings(parsed));
        Ok(Defined { tag: tag_of(&parsed.statement), notes })
    }

    fn define_function(self: &Arc<Self>, after: &Catalog, name: &str, parsed: &Parsed) -> Result<()> {
        self.planner.check(after, &self.tables(), parsed)?;
        let answers = after.functions().get(name).and_then(|function| function.answers());
        answers.map_or(Ok(()), |table| self.check_procedure(&table))?;
        self.note(name, parsed)?;
        self.state.lock().catalog = after.clone();
        Ok(())
    }

    fn note(&self, name: &str, parsed: &Parsed) -> Result<()> {
        let event = Event::Statement { name: name.to_owned(), text: parsed.text.clone() };
        events::append(&self.world, &*self.log, &event)
    }

    fn create(self: &Arc<Self>, after: &Catalog, entry: &Entry, parsed: &Parsed) -> Result<()> {
        match entry {
            Entry::Stream(def) => {
                self.planner.check(after, &self.tables(), parsed)?;
                let spec = spec_of(def)?;
                format_options_of(&spec)?;
                self.note(&def.name, parsed)?;
                self.log.create_stream(spec)?;
                self.tell_time(after, def)?;
            }
            Entry::Table(def) if def.is_procedure() => {
                let spec = spec_of(def)?;
                self.check_procedure(def)?;
                self.note(&def.name, parsed)?;
                self.log.create_stream(spec)?;
            }
            Entry::Table(def) => {
                self.planner.check(after, &self.tables(), parsed)?;
                let roles = self.roles_of(def)?;
                let spec = spec_of(def)?;
                // A former table of this name may have been dropped just before a crash.
                self.connectors.forget(&def.name, &self.ingest)?;
                self.note(&def.name, parsed)?;
                self.log.create_stream(spec)?;
                self.tell_time(after, def)?;
                self.state.lock().catalog = after.clone();
                // One of a database may be there to look rows up in: the first use tells.
                if def.is_database() {
                    return Ok(());
                }
                // One without columns waits for those of what is written into it.
                let [role] = roles.as_slice() else { return Ok(()) };
                if def.schema.fields().is_empty() {
                    return Ok(());
                }
                self.state.lock().roles.insert(def.name.clone(), *role);
                return self.start_connector(def, *role);
            }
            Entry::View(view) => {
                self.planner.batch(after, &self.tables(), &view.query)?;
                self.note(&view.name, parsed)?;
            }
            Entry::ScalingPolicy(policy) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.note(&policy.name, parsed)?;
            }
            Entry::Alarm(_) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.forget_state(entry.name())?;
                self.note(entry.name(), parsed)?;
                self.state.lock().catalog = after.clone();
                self.start_job(entry)?;
                return self.use_inputs(after, entry);
            }
            Entry::ScalingGroup(group) => {
                self.planner.check(after, &self.tables(), parsed)?;
                self.check_actuator(group)?;
                self.forget_state(entry.name())?;
                self.note(entry.name(), parsed)?;
                self.state.lock().catalog = after.clone();
                self.start_group(group)?;
                return self.use_inputs(after, entry);
            }
            Entry::MapReduce(job) => {
                // Started first: what it may not do, or cannot, is told before it is written down.
                let running = self.start_programs(job, false)?;
                self.note(&job.name, parsed)?;
                self.state.lock().programs.insert(job.name.clone(), running);
            }
            Entry::Archive(archive) => {
                self.claim_archive(archive)?;
                self.note(&archive.name, parsed)?;
                self.state.lock().catalog = after.clone();
                return self.start_archive(archive);
            }
            Entry::Trigger(trigger) => {
                self.check_delivery(after, trigger)?;
                self.plan_of(after, entry, None)?;
                if let Action::Insert { target, .. } = &trigger.action {
                    self.use_table(target, Role::Sink)?;
                }
                self.forget_state(entry.name())?;
                self.note(entry.name(), parsed)?;
                self.state.lock().catalog = after.clone();
                self.note_start(&trigger.name, self.start_trigger(trigger))?;
                self.start_delivery(trigger)?;
                // Only now: it judges what comes from here on.
                return self.use_inputs(after, entry);
            }
            Entry::Job(_) | Entry::MaterializedView(_) => {
                let dataflow = self.plan_of(after, entry, None)?;
                if let Entry::Job(job) = entry {
                    self.give_columns(&job.target, &dataflow.result.schema)?;
                    self.use_table(&job.target, Role::Sink)?;
                }
                self.use_inputs(after, entry)?;
                self.forget_state(entry.name())?;
                self.note(entry.name(), parsed)?;
                // The target may have got columns.
                let (after, _) = self.catalog().apply(parsed)?;
                self.state.lock().catalog = after;
                return self.start_job(entry);
            }
        }
        self.state.lock().catalog = after.clone();
        Ok(())
    }

    fn replace(
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

    fn drop_entry(self: &Arc<Self>, after: &Catalog, entry: &Entry, parsed: &Parsed) -> Result<()> {
        let name = entry.name();
        self.note(name, parsed)?;
        self.ingest.tell_time(name, None);
        {
            let mut state = self.state.lock();
            state.catalog = after.clone();
            state.ends.remove(name);
            state.paused.remove(name);
            state.folds.remove(name);
            state.roles.remove(name);
            state.failures.remove(name);
            state.eras.remove(name);
            state.unstarted.remove(name);
            state.undelivered.remove(name);
            state.tests.remove(name);
        }
        if let Entry::MapReduce(_) = entry {
            drop(self.state.lock().programs.remove(name));
            return Ok(());
        }
        if let Entry::Archive(archive) = entry {
            return self.remove_archive(archive);
        }
        let kind = entry.kind();
        let is_job = matches!(kind, Kind::Job | Kind::MaterializedView | Kind::Trigger);
        if kind == Kind::Trigger {
            self.retire(name)?;
        }
        if is_job || matches!(kind, Kind::Alarm | Kind::ScalingGroup) {
            self.remove_job(name)?;
        }
        if kind == Kind::MaterializedView {
            self.forget_notes(name);
        }
        if matches!(entry.kind(), Kind::Stream | Kind::Table | Kind::MaterializedView | Kind::Trigger) {
            // A view or trigger that could never start has none.
            if let Ok(info) = self.log.stream_named(name) {
                self.log.drop_stream(info.id)?;
            }
        }
        if entry.kind() == Kind::Table {
            self.connectors.forget(name, &self.ingest)?;
        }
        Ok(())
    }

    fn alter(
        self: &Arc<Self>,
        after: &Catalog,
        from: &Arc<StreamDef>,
        to: &Arc<StreamDef>,
        parsed: &Parsed,
    ) -> Result<()> {
        if to.connector.is_some() {
            self.check_use(to)?;
        }
        self.note(&to.name, parsed)?;
        let info = self.log.stream_named(&to.name)?;
        if from.schema != to.schema {
            // Who writes there begins again with the new columns, which are empty.
            let writers: Vec<&Entry> = after.entries().filter(|entry| writes_into(entry, &to.name)).collect();
            let triggers = writers.iter().filter_map(|writer| after.trigger(writer.name()));
            triggers.into_iter().try_for_each(|trigger| self.go_alone(trigger))?;
            writers.iter().for_each(|writer| self.stop_job(writer.name()));
            let evolved = self.log.evolve(info.id, Arc::clone(&to.schema));
            if evolved.is_ok() {
                self.state.lock().catalog = after.clone();
            }
            let started = writers.into_iter().try_for_each(|writer| self.start_job(writer));
            evolved?;
            started?;
        }
        if from.retention != to.retention {
            self.log
                .set_retention(info.id, Retention { age: to.retention.age, bytes: to.retention.bytes })?;
        }
        let properties = spec_of(to)?.properties;
        if info.spec.properties != properties {
            self.log.set_properties(info.id, properties)?;
        }
        self.state.lock().catalog = after.clone();
        // Jobs that run ask anew.
        self.idle_timeouts(after);
        self.state.lock().jobs.values().for_each(JobHandle::wake);
        Ok(())
    }

    fn pause(self: &Arc<Self>, name: &Name, parsed: &Parsed, paused: bool) -> Result<Defined> {
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

    /// What should be said about a new definition: of a job, state that grows without end.
    fn warnings(self: &Arc<Self>, parsed: &Parsed) -> Vec<String> {
        let catalog = self.catalog();
        if let Statement::Drop(drop) = &parsed.statement
            && drop.kind == Kind::Archive
        {
            return vec![
                "its files stay; rows that only it holds are no longer read with the stream".to_owned(),
            ];
        }
        if let Statement::CreateFunction(create) = &parsed.statement {
            let users = catalog.users_of_function(&create.name.value);
            let note = || format!("{} keep the definition that they were made with", users.join(", "));
            return if users.is_empty() { Vec::new() } else { vec![note()] };
        }
        let name = match &parsed.statement {
            Statement::CreateJob(job) => &job.name.value,
            Statement::CreateMaterializedView(view) => &view.name.value,
            Statement::CreateAlarm(alarm) => &alarm.name.value,
            Statement::CreateTrigger(trigger) => &trigger.name.value,
            _ => return Vec::new(),
        };
        let Some(entry) = catalog.get(name) else { return Vec::new() };
        let Ok(dataflow) = self.plan_of(&catalog, entry, None) else { return Vec::new() };
        let operators = dataflow.stages.iter().flat_map(|stage| &stage.operators);
        let grows = operators.filter_map(|operator| match operator.state_bound() {
            headwater_operators::StateBound::Grows(columns) => Some(format!(
                "the state of {} grows with the distinct values of {}",
                operator.name(),
                columns.join(", ")
            )),
            headwater_operators::StateBound::GrowsWithRows => {
                Some(format!("the state of {} grows with the rows that it reads", operator.name()))
            }
            _ => None,
        });
        grows.collect()
    }

    /// The plan of a query as a stream.
    pub fn plan_query(self: &Arc<Self>, query: &headwater_plan::Query) -> Result<headwater_plan::Dataflow> {
        Ok(self.planner.stream(&self.catalog(), &self.tables(), query, Target::Anywhere)?)
    }
}

/// What is asked of a statement that is new, and not of one that stands in the catalog already.
pub(super) fn check_new(parsed: &Parsed) -> Result<()> {
    check_own_streams(parsed)?;
    check_altered_options(parsed)?;
    Ok(())
}

/// Whether it is something that always has a job of its own. A trigger may share one.
fn runs(entry: &Entry) -> bool {
    matches!(entry.kind(), Kind::Job | Kind::MaterializedView | Kind::Alarm | Kind::ScalingGroup)
}

/// Whether the rows of a job or trigger go into a stream.
pub(crate) fn writes_into(entry: &Entry, stream: &str) -> bool {
    match entry {
        Entry::Job(job) => job.target == stream,
        Entry::Trigger(trigger) => {
            matches!(&trigger.action, Action::Insert { target, .. } if target == stream)
        }
        _ => false,
    }
}

fn tag_of(statement: &Statement) -> String {
    match statement {
        Statement::CreateStream(_) => "CREATE STREAM".to_owned(),
        Statement::CreateTable(_) => "CREATE TABLE".to_owned(),
        Statement::CreateView(_) => "CREATE VIEW".to_owned(),
        Statement::CreateMaterializedView(_) => "CREATE MATERIALIZED VIEW".to_owned(),
        Statement::CreateJob(_) => "CREATE JOB".to_owned(),
        Statement::CreateAlarm(_) => "CREATE ALARM".to_owned(),
        Statement::CreateScalingPolicy(_) => "CREATE SCALING POLICY".to_owned(),
        Statement::CreateScalingGroup(_) => "CREATE SCALING GROUP".to_owned(),
        Statement::AlterScalingGroup(_) => "ALTER SCALING GROUP".to_owned(),
        Statement::CreateMapReduce(_) => "CREATE MAPREDUCE JOB".to_owned(),
        Statement::CreateArchive(_) => "CREATE ARCHIVE".to_owned(),
        Statement::CreateTrigger(_) => "CREATE TRIGGER".to_owned(),
        Statement::CreateFunction(_) => "CREATE FUNCTION".to_owned(),
        Statement::DropFunction(_) => "DROP FUNCTION".to_owned(),
        Statement::PauseTrigger(_) => "PAUSE TRIGGER".to_owned(),
        Statement::ResumeTrigger(_) => "RESUME TRIGGER".to_owned(),
        Statement::TestTrigger(_) => "TEST TRIGGER".to_owned(),
        Statement::Drop(drop) => format!("DROP {}", drop.kind.keyword()),
        Statement::AlterStream(_) => "ALTER STREAM".to_owned(),
        Statement::PauseJob(_) => "PAUSE JOB".to_owned(),
        Statement::ResumeJob(_) => "RESUME JOB".to_owned(),
        Statement::ResumeConnector(_) => "RESUME TABLE".to_owned(),
        _ => "OK".to_owned(),
    }
}
