//! Opening an engine: the log, the catalog folded from it, and everything that the catalog says should run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_archive::History;
use headwater_core::{StreamName, World};
use headwater_ingest::Ingest;
use headwater_ingest::dead_letter::{DEAD_LETTERS, LATE_ROWS, system_stream};
use headwater_log::{Log, Retention, StreamSpec};
use headwater_operators::OperatorError;
use headwater_plan::{Catalog, Entry, JOB_METRICS, Planner, Statement, StreamDef, own_streams, parse_one};
use parking_lot::Mutex;

use super::archives::reconcile_holds;
use super::events::{self, CATALOG, Event};
use super::sets::set_named_by;
use super::state::{Inner, State};
use super::triggers::DELIVERIES;
use crate::error::{Result, RunError};
use crate::job::StateMemory;
use crate::options::{ConnectorHost, EngineOptions};
use crate::replay::Replays;
use crate::table::{ReadText, bounded_runtime};

/// The property of a stream in which its idle timeout is kept, in Flink's spelling.
const CLOCK_GUARD: &str = "clock.guard";

impl Inner {
    /// Folds the catalog from the log and, unless it is only looked at, starts everything.
    pub fn open(
        world: World,
        options: EngineOptions,
        log: Arc<dyn Log>,
        connectors: Arc<dyn ConnectorHost>,
        runtime: tokio::runtime::Handle,
        starts: bool,
    ) -> Result<Arc<Self>> {
        check_definitions(&*log)?;
        let history = History::new(log);
        let log: Arc<dyn Log> = Arc::clone(&history) as _;
        let ingest = Arc::new(Ingest::new(world.clone(), Arc::clone(&log))?);
        let mut state = fold(&events::read(&*log)?)?;
        state.catalog = reconcile(&*log, &state.catalog)?;
        reconcile_holds(&*log, &state.catalog)?;
        make_own_streams(&*log, connectors.streams())?;
        if starts {
            keep_records(&*log, options.keep.records)?;
        }
        let memory = match (&options.data, options.state_memory) {
            (Some(dir), Some(limit)) => Some(spill_to(&world, dir, limit)?),
            _ => None,
        };
        let planner = match options.query_memory {
            Some(limit) => {
                let spill = options.data.as_ref().map(|dir| dir.join("query-spill"));
                Planner::in_runtime(bounded_runtime(&world, limit, spill)?)
            }
            None => Planner::new(),
        };
        let inner = Arc::new(Self {
            memory,
            world,
            options,
            log,
            history,
            idle_timeouts: Arc::default(),
            ingest,
            planner: planner.with_table_function("read_text", Arc::new(ReadText)),
            runtime,
            connectors,
            state: Mutex::new(state),
            rolls: Mutex::default(),
            replays: Replays::default(),
            defining: tokio::sync::Mutex::new(()),
        });
        if !starts {
            inner.leave_at_rest();
        }
        inner.start_all()?;
        Ok(inner)
    }

    /// Starts what the catalog says. What cannot start is told in the process's own log, and keeps nothing else from it.
    fn start_all(self: &Arc<Self>) -> Result<()> {
        let catalog = self.catalog();
        for entry in catalog.entries() {
            if let Entry::Stream(def) | Entry::Table(def) = entry
                && let Err(error) = self.tell_time(&catalog, def)
            {
                tracing::error!(stream = def.name, code = %error.code(), %error, "its event time is not computed");
            }
        }
        self.measure_jobs(&catalog)?;
        // Before those who read: a job that starts from the first row finds it in the archive.
        for entry in catalog.entries() {
            if let Entry::Archive(archive) = entry
                && let Err(error) = self.start_archive(archive)
            {
                tracing::error!(archive = archive.name, code = %error.code(), %error, "the archive cannot start");
            }
        }
        if self.state.lock().at_rest {
            return Ok(());
        }
        self.start_sets()?;
        for entry in catalog.entries() {
            self.start_entry(entry);
        }
        Ok(())
    }

    /// Starts what an entry says should run, but for what starts with all entries of its kind.
    fn start_entry(self: &Arc<Self>, entry: &Entry) {
        match entry {
            Entry::ScalingGroup(group) => {
                if let Err(error) = self.start_group(group) {
                    tracing::error!(group = group.name, code = %error.code(), %error, "the group cannot start");
                }
            }
            Entry::Trigger(trigger) => {
                if self.state.lock().set_of(entry.name()).is_none() {
                    self.start_own_job(entry);
                }
                if let Err(error) = self.start_delivery(trigger) {
                    let code = error.code();
                    tracing::error!(trigger = trigger.name, %code, %error, "nothing is delivered");
                }
            }
            Entry::Job(_) | Entry::MaterializedView(_) | Entry::Alarm(_) => self.start_own_job(entry),
            Entry::MapReduce(job) => {
                if let Err(error) = self.restart_programs(job) {
                    tracing::error!(job = job.name, code = %error.code(), %error, "the job cannot start");
                    self.show_failed(job, &error);
                }
            }
            Entry::Table(table) => {
                let started = self.restart_connector(table);
                if let Err(error) = self.note_start(&table.name, started) {
                    tracing::error!(table = table.name, code = %error.code(), %error, "the connector cannot start");
                }
            }
            Entry::Stream(_) | Entry::View(_) | Entry::ScalingPolicy(_) | Entry::Archive(_) => {}
        }
    }

    /// Starts a job that is an entry's alone. A trigger that is to be of a set starts with that or not at all.
    fn start_own_job(self: &Arc<Self>, entry: &Entry) {
        let is_of_set = self.state.lock().unstarted.contains_key(entry.name());
        if !is_of_set && let Err(error) = self.start_job(entry) {
            tracing::error!(job = entry.name(), code = %error.code(), %error, "the job cannot start");
        }
    }

    /// Starts a table's connector, if it is known what it is used as.
    fn restart_connector(self: &Arc<Self>, table: &Arc<StreamDef>) -> Result<()> {
        if table.is_procedure() {
            return Ok(());
        }
        let used = self.state.lock().roles.get(&table.name).copied();
        let Some(role) = used.map_or_else(|| self.only_role_of(table), |role| Ok(Some(role)))? else {
            return Ok(());
        };
        self.state.lock().roles.insert(table.name.clone(), role);
        self.start_connector(table, role)
    }
}

/// Refuses a log whose definitions are gone: without them each of its streams would look like one that was dropped.
fn check_definitions(log: &dyn Log) -> Result<()> {
    let of_users = log.streams().into_iter().find(|info| !info.spec.name.is_system());
    match of_users.filter(|_| log.stream_named(CATALOG).is_err()) {
        None => Ok(()),
        Some(info) => Err(RunError::Invalid(format!(
            "{CATALOG} is gone, and {} is there: nothing says any more what was defined. `headwater log dump` reads its rows; restore the \
             directory, or begin another one with them",
            info.spec.name
        ))),
    }
}

/// The state that events lead to.
fn fold(all: &[Event]) -> Result<State> {
    let mut state = State::default();
    for event in all {
        match event {
            Event::End { name, ends } => {
                state.ends.insert(name.clone(), ends.clone());
            }
            Event::Use { name, role } => {
                state.roles.insert(name.clone(), *role);
            }
            Event::Failed { name, reason } => {
                state.failures.insert(name.clone(), reason.clone());
            }
            Event::Replace { name, replaced } => {
                state.catalog = state.catalog.apply(&parse_one(&replaced.statement)?)?.0;
                let eras = state.eras.entry(name.clone()).or_default();
                *eras = eras.with(replaced.era.clone());
            }
            Event::Statement { text, .. } => {
                let parsed = parse_one(text)?;
                match &parsed.statement {
                    Statement::PauseJob(name) | Statement::PauseTrigger(name) => {
                        state.paused.insert(name.value.clone());
                    }
                    Statement::ResumeJob(name) | Statement::ResumeTrigger(name) => {
                        state.paused.remove(&name.value);
                    }
                    Statement::TestTrigger(name) => *state.tests.entry(name.value.clone()).or_default() += 1,
                    Statement::Drop(drop) => {
                        if let Some(entry) = state.catalog.get(&drop.name.value).cloned() {
                            state.note_drop(&entry);
                        }
                        state.tests.remove(&drop.name.value);
                        state.paused.remove(&drop.name.value);
                        state.ends.remove(&drop.name.value);
                        state.roles.remove(&drop.name.value);
                        state.failures.remove(&drop.name.value);
                        state.eras.remove(&drop.name.value);
                        state.catalog = state.catalog.apply(&parsed)?.0;
                    }
                    _ => state.catalog = state.catalog.apply(&parsed)?.0,
                }
            }
        }
    }
    Ok(state)
}

/// Brings the log in line with the catalog, after a crash between a statement and its effect. Only the log knows the columns of a
/// table that was created without any: the answer is the catalog with them.
fn reconcile(log: &dyn Log, catalog: &Catalog) -> Result<Catalog> {
    let mut whole = catalog.clone();
    for entry in catalog.entries() {
        let (Entry::Stream(def) | Entry::Table(def)) = entry else { continue };
        match log.stream_named(&def.name) {
            Err(_) => {
                log.create_stream(spec_of(def)?)?;
            }
            Ok(info) => {
                if def.connector.is_some() && def.schema.fields().is_empty() {
                    whole = whole.with_columns(&def.name, Arc::clone(&info.spec.schema));
                } else if info.spec.schema != def.schema {
                    log.evolve(info.id, Arc::clone(&def.schema))?;
                }
                let retention = Retention { age: def.retention.age, bytes: def.retention.bytes };
                // How long its own are kept the engine is told by its options.
                if info.spec.retention != retention && !info.spec.name.is_system() {
                    log.set_retention(info.id, retention)?;
                }
                let properties = spec_of(def)?.properties;
                if matches!(entry, Entry::Stream(_)) && info.spec.properties != properties {
                    log.set_properties(info.id, properties)?;
                }
            }
        }
    }
    let mut kept: BTreeSet<&str> = catalog.names().collect();
    let streams = log.streams();
    let firings = streams.iter().filter(|info| catalog.trigger(info.spec.name.as_str()).is_some());
    kept.extend(firings.filter_map(|info| set_named_by(info)));
    for info in &streams {
        let name = info.spec.name.as_str();
        let owner = name.strip_prefix("system.journal.").unwrap_or(name);
        if !kept.contains(owner) && (owner != name || !info.spec.name.is_system()) {
            log.drop_stream(info.id)?;
        }
    }
    Ok(whole)
}

/// Makes the engine's own streams, so that who asks before anything has happened finds nothing, and not that there is no such thing.
fn make_own_streams(log: &dyn Log, of_connectors: Vec<(&str, SchemaRef)>) -> Result<()> {
    for def in own_streams() {
        events::ensure(log, spec_of(&def)?)?;
    }
    for (name, schema) in of_connectors {
        system_stream(log, name, schema)?;
    }
    Ok(())
}

/// The streams of the engine's own that tell people what happened. No state is in them, unlike in the histories of alarms and scaling
/// groups, whose newest rows are what these are in.
const RECORDS: [&str; 4] = [DEAD_LETTERS, LATE_ROWS, JOB_METRICS, DELIVERIES];

/// Lets the log keep the rows of [`RECORDS`] for so long.
fn keep_records(log: &dyn Log, age: Option<std::time::Duration>) -> Result<()> {
    let retention = Retention { age, bytes: None };
    for name in RECORDS {
        if let Ok(info) = log.stream_named(name)
            && info.spec.retention != retention
        {
            log.set_retention(info.id, retention)?;
        }
    }
    Ok(())
}

/// A stream as the log wants it.
pub(super) fn spec_of(def: &StreamDef) -> Result<StreamSpec> {
    let name = StreamName::new(&def.name).map_err(|error| RunError::Invalid(error.to_string()))?;
    let mut properties = def.options.clone();
    let guard = match def.clock_guard {
        Some(guard) => format!("{} ms", guard.as_millis()),
        None => "none".to_owned(),
    };
    properties.insert(CLOCK_GUARD.to_owned(), guard);
    if let Some(format) = &def.format {
        properties.insert("format".to_owned(), format.clone());
    }
    Ok(StreamSpec {
        shards: def.shards,
        partition_by: def.partition_by.clone(),
        event_time: def.stored_event_time().map(str::to_owned),
        durability: match def.durability {
            headwater_plan::Durability::Disk => headwater_log::Durability::Disk,
            headwater_plan::Durability::Process => headwater_log::Durability::Process,
            headwater_plan::Durability::Memory => headwater_log::Durability::Memory,
        },
        compression: match def.compression {
            headwater_plan::Compression::None => headwater_log::Compression::None,
            headwater_plan::Compression::Lz4 => headwater_log::Compression::Lz4,
            headwater_plan::Compression::Zstd => headwater_log::Compression::Zstd,
        },
        retention: Retention { age: def.retention.age, bytes: def.retention.bytes },
        properties,
        ..StreamSpec::new(name, Arc::clone(&def.schema))
    })
}

fn spill_to(world: &World, data: &Path, limit: u64) -> Result<Arc<StateMemory>> {
    let dir = data.join("spill");
    StateMemory::new(world.clone(), dir.clone(), limit).map_err(|source| RunError::Operator {
        what: "opening the data directory".into(),
        source: OperatorError::Spill {
            operator: "state memory".into(),
            reason: format!("{}: {source}", dir.display()),
        },
    })
}
