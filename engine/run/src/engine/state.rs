//! What an engine holds while it is open.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use headwater_archive::{Archive, History};
use headwater_core::world::Task;
use headwater_core::{Sequence, StreamId, World};
use headwater_ingest::Ingest;
use headwater_log::Log;
use headwater_plan::{Catalog, Entry, FunctionDef, Planner, Procedure, Tables};
use parking_lot::{Mutex, RwLock};

use super::events::CATALOG;
use super::rested::RestedJobs;
use super::sets::TriggerSet;
use crate::error::{Result, RunError};
use crate::job::{Eras, JobHandle, Lease, Roll, ShardTime, StateMemory, WEIGHT};
use crate::options::{ConnectorHost, EngineOptions, Role, RunningConnector, RunningPrograms};
use crate::replay::Replays;
use crate::table::{CatalogTable, SYSTEM_TABLES, StreamTable, ViewFold, ViewTable, system_table};

/// An open engine.
pub(crate) struct Inner {
    pub world: World,
    pub options: EngineOptions,
    /// Log and archives as one log.
    pub log: Arc<dyn Log>,
    /// The same, by its own name.
    pub history: Arc<History>,
    /// After how long without rows a shard of a stream is idle, by the stream's name. Jobs that run look here.
    pub idle_timeouts: Arc<RwLock<HashMap<String, Duration>>>,
    pub ingest: Arc<Ingest>,
    pub planner: Planner,
    pub runtime: tokio::runtime::Handle,
    pub connectors: Arc<dyn ConnectorHost>,
    /// What the states of jobs share; `None`: nothing bounds them.
    pub memory: Option<Arc<StateMemory>>,
    pub state: Mutex<State>,
    /// What the journals of sets say of their triggers, as far as somebody has asked.
    pub rolls: Mutex<HashMap<StreamId, Arc<Mutex<Roll>>>>,
    /// Replays that are under way.
    pub replays: Replays,
    /// Held while a statement changes what there is, so that such statements follow one another.
    pub defining: tokio::sync::Mutex<()>,
}

/// What changes.
#[derive(Default)]
pub(crate) struct State {
    pub catalog: Catalog,
    /// Jobs, materialized views, alarms, triggers that are not in a set, and sets.
    pub jobs: BTreeMap<String, JobHandle>,
    /// Sets of triggers, by the names of their jobs.
    pub sets: BTreeMap<String, TriggerSet>,
    pub folds: HashMap<String, Arc<ViewFold>>,
    pub connectors: BTreeMap<String, Arc<dyn RunningConnector>>,
    pub archives: BTreeMap<String, Arc<Archive>>,
    /// MapReduce jobs.
    pub programs: BTreeMap<String, Box<dyn RunningPrograms>>,
    /// What tables are used as, once that is known.
    pub roles: BTreeMap<String, Role>,
    /// Streams that have ended, and where.
    pub ends: BTreeMap<String, Vec<Sequence>>,
    /// What of the catalog could not start when it was last tried, and why.
    pub unstarted: BTreeMap<String, String>,
    /// Triggers whose firings nobody can deliver, and why: the configuration may allow less than it did when they were created.
    pub undelivered: BTreeMap<String, String>,
    /// MapReduce jobs that have failed, and why.
    pub failures: BTreeMap<String, String>,
    /// The eras of jobs that were replaced.
    pub eras: BTreeMap<String, Eras>,
    /// Tables and streams into which a job wrote that was dropped before it came to its end.
    pub deserted: BTreeSet<String>,
    /// How many INSERT INTO are under way, by their targets.
    pub inserting: BTreeMap<String, usize>,
    /// How often triggers were fired by hand.
    pub tests: BTreeMap<String, u64>,
    /// Jobs that are paused.
    pub paused: BTreeSet<String>,
    /// Who measures the jobs.
    pub measuring: Option<Task>,
    /// Who notes down what changing views have come to.
    pub noting: Option<Task>,
    /// The directory is only looked at: what the catalog says should run does not.
    pub at_rest: bool,
    /// How far jobs have come that do not run, once somebody has asked.
    pub rested: RestedJobs,
    pub closed: bool,
}

impl State {
    /// The streams that have ended, and where.
    pub fn all_ends(&self) -> Vec<(String, Vec<Sequence>)> {
        self.ends.iter().map(|(name, ends)| (name.clone(), ends.clone())).collect()
    }

    /// Whether no more rows will come to a stream or table some day, or none do already.
    pub fn ends_by_itself(&self, name: &str) -> bool {
        self.ends.contains_key(name)
            || self.connectors.get(name).is_some_and(|connector| connector.is_bounded())
    }
}

impl Inner {
    /// A share of the memory for state.
    pub fn lease(&self) -> Option<Lease> {
        self.memory.as_ref().map(StateMemory::lease)
    }

    /// The catalog as of now.
    pub fn catalog(&self) -> Catalog {
        self.state.lock().catalog.clone()
    }

    /// Fails once the engine is closing.
    pub fn check_open(&self) -> Result<()> {
        if self.state.lock().closed { Err(RunError::Closed) } else { Ok(()) }
    }

    /// The eras of a job.
    pub fn eras_of(&self, job: &str) -> Eras {
        self.state.lock().eras.get(job).cloned().unwrap_or_default()
    }

    /// How all jobs do, by name; MapReduce jobs are behind the others.
    pub fn job_statuses(self: &Arc<Self>) -> Vec<crate::JobStatus> {
        self.look_at_jobs();
        let state = self.state.lock();
        let jobs = state.statuses(&*self.log).into_iter();
        jobs.chain(state.programs.values().map(|programs| programs.status())).collect()
    }

    /// How far event time is in each shard of a job's sources, as far as that is known.
    pub fn shard_times(&self, job: &str) -> Vec<ShardTime> {
        self.state.lock().shard_times(job)
    }

    /// The fold of a changing view.
    pub fn fold(&self, name: &str) -> Result<Option<Arc<ViewFold>>> {
        let Ok(info) = self.log.stream_named(name) else { return Ok(None) };
        if info.spec.schema.fields().last().is_none_or(|field| field.name() != WEIGHT) {
            return Ok(None);
        }
        if let Some(fold) = self.state.lock().folds.get(name) {
            return Ok(Some(Arc::clone(fold)));
        }
        let notes = self.notes_of(info.id).unwrap_or_else(|error| {
            tracing::warn!(view = name, %error, "what the view had come to cannot be read: all of its changelog is");
            None
        });
        let new = Arc::new(ViewFold::new(Arc::clone(&self.log), info, notes)?);
        let mut state = self.state.lock();
        // Somebody else may have been faster.
        Ok(Some(Arc::clone(state.folds.entry(name.to_owned()).or_insert(new))))
    }
}

/// The tables of an engine, for the planner.
pub(crate) struct EngineTables(pub Arc<Inner>);

impl std::fmt::Debug for EngineTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EngineTables")
    }
}

impl Tables for EngineTables {
    fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let inner = &self.0;
        if SYSTEM_TABLES.contains(&name) {
            return Some(system_table(inner, name));
        }
        if matches!(inner.catalog().get(name), Some(Entry::MaterializedView(_)))
            && let Ok(Some(fold)) = inner.fold(name)
        {
            return Some(Arc::new(ViewTable(fold)));
        }
        let info = inner.log.stream_named(name).ok()?;
        let table = StreamTable::new(Arc::clone(&inner.history), info);
        if name == CATALOG {
            return Some(Arc::new(CatalogTable(table)));
        }
        Some(Arc::new(table))
    }

    fn names(&self) -> Vec<String> {
        let system = SYSTEM_TABLES.iter().map(|name| (*name).to_owned());
        let streams = self.0.log.streams().into_iter().map(|info| info.spec.name.to_string());
        streams.chain(system).collect()
    }

    fn is_written(&self, table: &str) -> bool {
        self.0.state.lock().roles.get(table) == Some(&Role::Sink)
    }

    fn procedure(&self, function: &FunctionDef) -> std::result::Result<Arc<dyn Procedure>, String> {
        self.0.procedure(function)
    }
}
