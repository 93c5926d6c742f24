//! An engine at rest: its directory is looked at, and what the catalog says should run does not.
//!
//! Reading works as ever. Of statements that change something those work that nobody has to run for: they take effect when the directory
//! is served, as after a crash between a statement and its effect. The others are refused with what to do instead. A directory in which
//! nothing would run is not at rest: what is defined there runs.

use std::sync::Arc;

use headwater_core::World;
use headwater_log::{DiskLog, DiskLogOptions, Log};
use headwater_plan::statement::{Insert, Kind};
use headwater_plan::{Entry, Query, Statement};

use super::connect::inputs_of;
use super::define::tag_of;
use super::handle::Engine;
use super::rested;
use super::state::{Inner, State};
use crate::error::{Result, RunError};
use crate::options::{ConnectorHost, EngineOptions};
use crate::{JobState, JobStatus};

/// How many names an error tells.
const NAMES_MAX: usize = 3;

impl Engine {
    /// Opens the data directory to look at it: of what its catalog names nothing starts, no job, trigger, delivery, connector or archive,
    /// and retention removes nothing. A statement that needs them is [`RunError::AtRest`]. If there is nothing that could start, the engine
    /// is as [`Engine::open`] makes it.
    pub fn open_at_rest(
        world: World,
        options: EngineOptions,
        connectors: Arc<dyn ConnectorHost>,
    ) -> Result<Self> {
        let Some(dir) = &options.data else { return Self::open(world, options, connectors) };
        let looks = DiskLogOptions { maintains: false, ..options.log.clone() };
        let log = DiskLog::open(world.clone(), dir, looks)?;
        let runtime = tokio::runtime::Handle::current();
        Ok(Self(Inner::open(world, options, log, connectors, runtime, false)?))
    }

    /// [`Engine::open_at_rest`] on a log that is somewhere else. No directory is touched: the process that writes the log may have it.
    pub fn look_at(
        world: World,
        options: EngineOptions,
        log: Arc<dyn Log>,
        connectors: Arc<dyn ConnectorHost>,
    ) -> Result<Self> {
        let options = EngineOptions { data: None, checkpoints: None, ..options };
        let runtime = tokio::runtime::Handle::current();
        Ok(Self(Inner::open(world, options, log, connectors, runtime, false)?))
    }
}

impl Inner {
    /// Leaves what the catalog names at rest, if any of that would run.
    pub fn leave_at_rest(&self) {
        let catalog = self.catalog();
        for entry in catalog.entries() {
            let Entry::Table(table) = entry else { continue };
            let is_known = self.state.lock().roles.contains_key(&table.name);
            // Nobody notes what leaves no choice. One whose options are wrong would not start.
            if !is_known && let Ok(Some(role)) = self.only_role_of(table) {
                self.state.lock().roles.insert(table.name.clone(), role);
            }
        }
        let mut state = self.state.lock();
        state.at_rest = state.has_what_runs();
    }

    /// Fails if a statement needs what is left at rest.
    pub fn check_at_rest(&self, statement: &Statement) -> Result<()> {
        let state = self.state.lock();
        if !state.at_rest || state.works_at_rest(statement) {
            return Ok(());
        }
        let what = match statement {
            Statement::Query(_) => "a query of a table that nothing was read from yet".to_owned(),
            Statement::Insert(_) => "this INSERT".to_owned(),
            Statement::Replay(_) => "a replay with effects".to_owned(),
            Statement::SetAlarmState(_) => "ALTER ALARM".to_owned(),
            Statement::AlterScalingGroup(_) => "ALTER SCALING GROUP".to_owned(),
            Statement::Together(_) => "several definitions at once".to_owned(),
            other => tag_of(other),
        };
        Err(RunError::AtRest { what, resting: state.resting() })
    }
}

impl State {
    /// What of the catalog would run.
    fn resting_names(&self) -> impl Iterator<Item = &str> {
        let would_run = |entry: &&Entry| match entry {
            Entry::Table(def) => self.roles.contains_key(&def.name) && !self.ends.contains_key(&def.name),
            Entry::Stream(_) | Entry::View(_) | Entry::ScalingPolicy(_) => false,
            Entry::Job(_)
            | Entry::MaterializedView(_)
            | Entry::Alarm(_)
            | Entry::ScalingGroup(_)
            | Entry::Trigger(_)
            | Entry::MapReduce(_)
            | Entry::Archive(_) => true,
        };
        self.catalog.entries().filter(would_run).map(Entry::name)
    }

    /// Whether anything of the catalog would run.
    fn has_what_runs(&self) -> bool {
        self.resting_names().next().is_some()
    }

    /// What is at rest, as an error tells it.
    fn resting(&self) -> String {
        let mut names: Vec<&str> = self.resting_names().collect();
        let more = names.len().saturating_sub(NAMES_MAX);
        names.truncate(NAMES_MAX);
        match more {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    fn works_at_rest(&self, statement: &Statement) -> bool {
        match statement {
            Statement::Explain(_)
            | Statement::ExplainAlarm(_)
            | Statement::Show(_)
            | Statement::ShowCreate(_)
            | Statement::Describe(_)
            | Statement::DescribeFunction(_)
            | Statement::Set(_)
            | Statement::PassedOver(_)
            | Statement::CancelReplay(_)
            | Statement::CreateStream(_)
            | Statement::CreateView(_)
            | Statement::CreateFunction(_)
            | Statement::DropFunction(_)
            | Statement::Drop(_)
            | Statement::PauseJob(_)
            | Statement::PauseTrigger(_) => true,
            Statement::Query(query) => self.is_read(query),
            Statement::Replay(replay) => replay.effects.is_empty(),
            Statement::Insert(insert) => self.is_plain(insert),
            _ => false,
        }
    }

    /// Whether the tables of a query were read from before: what of them is in the log is what there is to look at.
    fn is_read(&self, query: &Query) -> bool {
        let is_new = |name: &String| {
            matches!(self.catalog.get(name), Some(Entry::Table(_))) && !self.roles.contains_key(name)
        };
        !inputs_of(&self.catalog, query).iter().any(is_new)
    }

    /// Whether rows are only appended to a stream, and are there when it is done.
    fn is_plain(&self, insert: &Insert) -> bool {
        let into_table = matches!(self.catalog.get(&insert.target.value), Some(Entry::Table(_)));
        !into_table && !insert.settings.goes_on.unwrap_or(false) && self.is_read(&insert.query)
    }

    /// How a job does that was left at rest; how far it has come only after [`Inner::look_at_jobs`].
    pub fn resting_status(&self, name: &str, log: &dyn Log) -> Option<JobStatus> {
        let entry = self.catalog.get(name).filter(|_| self.at_rest)?;
        let is_job = matches!(
            entry.kind(),
            Kind::Job | Kind::MaterializedView | Kind::Alarm | Kind::ScalingGroup | Kind::Trigger
        );
        if !is_job || matches!(entry, Entry::MapReduce(_)) {
            return None;
        }
        let state = if self.paused.contains(name) { JobState::Paused } else { JobState::Resting };
        let mut status = JobStatus { state, ..JobStatus::new(name.to_owned(), self.target_of(name)?) };
        rested::tell(&self.rested, log, &mut status);
        self.tell_firings(&mut status, log);
        Some(status)
    }

    /// The jobs that were left at rest.
    pub fn resting_statuses(&self, log: &dyn Log) -> Vec<JobStatus> {
        let names = self.catalog.entries().map(Entry::name);
        names.filter_map(|name| self.resting_status(name, log)).collect()
    }
}
