//! Statements that change what there is: each is checked, appended to the catalog's stream, and then takes effect.

mod change;
mod create;
mod replace;
mod switch;
mod warnings;

use std::sync::Arc;

use headwater_plan::statement::Kind;
use headwater_plan::{
    Action, Catalog, Change, Entry, Parsed, Statement, Target, check_altered_options, check_own_streams,
};

use super::events::{self, Event};
use super::open::spec_of;
use super::state::{Inner, State};
use crate::JobState;
use crate::blocking::on_thread;
use crate::error::Result;
use crate::replace::Beside;

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
            on_thread(move || inner.go_alone(&trigger)).await??;
        }
        let (inner, parsed) = (Arc::clone(self), parsed.clone());
        on_thread(move || inner.build_beside(&parsed)).await?
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
        let defined = on_thread(move || inner.define_with(&parsed, besides)).await??;
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
    written_by(entry) == Some(stream)
}

/// Whether a job writes its late rows into a stream.
pub(super) fn writes_late_into(entry: &Entry, stream: &str) -> bool {
    let query = match entry {
        Entry::Job(job) => &job.query,
        Entry::MaterializedView(view) => &view.query,
        _ => return false,
    };
    query.options.late.as_ref().is_some_and(|late| late.value == stream)
}

/// The stream or table of its own name into which the rows of a job or trigger go.
pub(super) fn written_by(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::Job(job) => Some(&job.target),
        Entry::Trigger(trigger) => match &trigger.action {
            Action::Insert { target, .. } => Some(target),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn tag_of(statement: &Statement) -> String {
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
