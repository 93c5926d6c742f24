//! Starting jobs, and stopping them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_core::{EventTime, Sequence, StreamName, causes};
use headwater_ingest::dead_letter::{DEAD_LETTERS, LATE_ROWS};
use headwater_log::{From, ShardBounds, StreamInfo, StreamSpec};
use headwater_operators::Changes;
use headwater_plan::dataflow::Source;
use headwater_plan::{
    ALARM_HISTORY, Actuator, Catalog, Dataflow, Entry, Query, SCALING_ACTIVITIES, SCALING_PROGRESS, StartAt,
    Tables, Target, TriggerPlan,
};
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use parking_lot::MutexGuard;

use super::courses::Course;
use super::events::{self, Event};
use super::open::spec_of;
use super::state::{EngineTables, Inner, State};
use super::triggers::{start_at, trigger_idle_timeouts};
use crate::dead::DeadRows;
use crate::error::{Result, RunError};
use crate::job::{
    Blobs, Copies, DiskBlobs, IdleTimeouts, JobHandle, JobPlan, JobSettings, Journal, Limits, ObjectBlobs,
    Results, ShardCut, Start, WEIGHT, begin_at, first_cut, gone, journal_schema,
};
use crate::late::LateRows;
use crate::options::LookupTable;

/// What a job does, and from where on.
struct Beginning {
    dataflow: Dataflow,
    journal: Journal,
    start: Start,
    /// The watermark that was reached before the first step.
    reached: EventTime,
}

impl Inner {
    /// The tables that the planner sees.
    pub fn tables(self: &Arc<Self>) -> Arc<dyn Tables> {
        Arc::new(EngineTables(Arc::clone(self)))
    }

    /// The plan of a job or materialized view.
    pub fn plan_of(
        self: &Arc<Self>,
        catalog: &Catalog,
        entry: &Entry,
        query: Option<&Query>,
    ) -> Result<Dataflow> {
        let tables = self.tables();
        Ok(match entry {
            Entry::Job(job) => {
                let target =
                    catalog.stream(&job.target).ok_or_else(|| RunError::NoJob { name: job.name.clone() })?;
                let target = Target::Stream(target, &job.columns);
                self.planner.stream(catalog, &tables, query.unwrap_or(&job.query), target)?
            }
            Entry::MaterializedView(view) => {
                let target = Target::View(&view.columns);
                self.planner.stream(catalog, &tables, query.unwrap_or(&view.query), target)?
            }
            Entry::Alarm(alarm) => self.planner.alarm(catalog, &tables, alarm)?,
            Entry::ScalingGroup(group) => {
                self.planner.scaling_group(catalog, &tables, group, group.actuator == Actuator::DryRun)?
            }
            Entry::Trigger(trigger) => self.planner.trigger(catalog, &tables, trigger)?.dataflow,
            other => return Err(RunError::NoJob { name: other.name().to_owned() }),
        })
    }

    /// Starts a job, or the job of a materialized view or trigger. The target stream is made if it is not a job's. One that cannot start
    /// is shown as failed.
    pub fn start_job(self: &Arc<Self>, entry: &Entry) -> Result<()> {
        let started = self.try_start_job(entry);
        self.note_start(entry.name(), started)
    }

    /// Keeps in mind whether something of the catalog could start, for those who ask how it does.
    pub fn note_start(&self, name: &str, started: Result<()>) -> Result<()> {
        let mut state = self.state.lock();
        state.rested.remove(name);
        match &started {
            Ok(()) => state.unstarted.remove(name),
            Err(error) => {
                state.unstarted.insert(name.to_owned(), format!("{} {}", error.code(), causes(error)))
            }
        };
        drop(state);
        started
    }

    fn try_start_job(self: &Arc<Self>, entry: &Entry) -> Result<()> {
        let catalog = self.catalog();
        let name = entry.name();
        let (dataflow, trigger) = match entry {
            Entry::Trigger(trigger) => {
                let plan = self.planner.trigger(&catalog, &self.tables(), trigger)?;
                (plan.dataflow.clone(), Some((trigger, plan)))
            }
            _ => (self.plan_of(&catalog, entry, None)?, None),
        };
        let target = self.ensure_target(&catalog, entry, &dataflow)?;
        let Beginning { dataflow, journal, start, reached } =
            self.beginning_of(entry, dataflow, trigger.as_ref().map(|(_, plan)| plan))?;
        let (copies, idle_timeout) = match &trigger {
            Some((trigger, plan)) => {
                (self.copies_of(trigger, plan)?, trigger_idle_timeouts(self.idle_timeouts(&catalog), plan))
            }
            None => (None, self.timeouts_of(&catalog, &dataflow)),
        };
        // Taken before the plan is put together: two guards in one expression would wait for each other.
        let (ends, paused) = {
            let state = self.state.lock();
            (state.all_ends(), state.paused.contains(name))
        };
        let is_changing_view =
            matches!(entry, Entry::MaterializedView(_)) && dataflow.result.changes != Changes::AppendOnly;
        let plan = JobPlan {
            name: name.to_owned(),
            results: results_of(&catalog, target, copies)?,
            journal,
            eras: self.eras_of(name),
            late: self.late_rows(&dataflow)?,
            dead: self.dead_rows(&dataflow)?,
            blobs: self.checkpoints_of(name)?,
            start,
            reached,
            settings: self.job_settings(),
            idle_timeout,
            ends,
            paused,
            lookups: self.lookups_of(&catalog, &dataflow)?,
            dataflow: Arc::new(dataflow),
        };
        drop(self.add_job(plan)?);
        if is_changing_view {
            self.note_views();
        }
        Ok(())
    }

    /// Starts a job, and enters it among the others. The state stays locked, for what else there is to enter with it.
    pub(super) fn add_job(&self, plan: JobPlan) -> Result<MutexGuard<'_, State>> {
        let name = plan.name.clone();
        let handle = JobHandle::start(&self.world, Arc::clone(&self.log), plan)?;
        let mut state = self.state.lock();
        // A stream may have ended meanwhile, when nobody knew of the job.
        state.ends.iter().for_each(|(stream, ends)| handle.end_stream(stream, ends.clone()));
        state.jobs.insert(name, handle);
        Ok(state)
    }

    /// What a job does from its first step on. A trigger that has been in a set goes on with the set's journal, from where it came to it.
    fn beginning_of(
        &self,
        entry: &Entry,
        dataflow: Dataflow,
        trigger: Option<&TriggerPlan>,
    ) -> Result<Beginning> {
        let name = entry.name();
        let journal = self.ensure_journal(name)?;
        let course = if trigger.is_some() { self.course_of(name)? } else { None };
        if course.as_ref().is_some_and(|course| !course.has_left) {
            // The journal is the set's, who may go on with it.
            return Err(RunError::Invalid(format!(
                "trigger {name} shares a job with others and could not start with it: start the process again when what kept it is gone, \
                 or drop the trigger"
            )));
        }
        if let (Some(Course { journal, from, start, reached, .. }), Some(plan)) = (course, trigger) {
            return Ok(Beginning { dataflow: plan.as_member(from)?, journal, start, reached });
        }
        let journal = Journal::of(journal);
        let start = self.first_start(entry, &dataflow, &journal)?;
        Ok(Beginning { dataflow, journal, start, reached: EventTime::MIN })
    }

    /// What is gone that a job or view needs to do all its steps again with a plan: with which step of its journal, and what.
    pub(super) fn gone_for(&self, entry: &Entry, dataflow: Dataflow) -> Result<Option<(u64, String)>> {
        let name = entry.name();
        let Beginning { dataflow, journal, start, .. } = self.beginning_of(entry, dataflow, None)?;
        gone(&*self.log, name, &journal, &self.eras_of(name), &start, &dataflow)
    }

    /// The stream that the results go into, which is created if it is the entry's own.
    fn ensure_target(
        &self,
        catalog: &Catalog,
        entry: &Entry,
        dataflow: &Dataflow,
    ) -> Result<Arc<StreamInfo>> {
        match entry {
            Entry::Job(job) => Ok(self.log.stream_named(&job.target)?),
            Entry::Alarm(_) => self.own_stream(catalog, ALARM_HISTORY),
            Entry::ScalingGroup(_) => {
                self.own_stream(catalog, SCALING_PROGRESS)?;
                self.own_stream(catalog, SCALING_ACTIVITIES)
            }
            _ => events::ensure(&*self.log, view_spec(entry.name(), dataflow)?),
        }
    }

    /// The stream of a job's journal, with the columns of today.
    fn ensure_journal(&self, name: &str) -> Result<Arc<StreamInfo>> {
        let journal = events::ensure(&*self.log, journal_spec(name)?)?;
        if journal.spec.schema == journal_schema() {
            return Ok(journal);
        }
        // One of an older version.
        self.log.evolve(journal.id, journal_schema())?;
        Ok(self.log.stream_named(journal.spec.name.as_str())?)
    }

    /// Where a job starts that has no checkpoint.
    fn first_start(&self, entry: &Entry, dataflow: &Dataflow, journal: &Journal) -> Result<Start> {
        match start_at(entry) {
            StartAt::Earliest => {
                self.note_beginning(entry.name(), dataflow, journal)?;
                Ok(Start::At(From::Earliest))
            }
            StartAt::Latest => self.start_late(entry, dataflow, journal),
        }
    }

    /// The tables outside in which a dataflow looks rows up, by the stages that do.
    pub fn lookups_of(
        &self,
        catalog: &Catalog,
        dataflow: &Dataflow,
    ) -> Result<Vec<(usize, Box<dyn LookupTable>)>> {
        let mut tables = Vec::new();
        for (nth, stage) in dataflow.stages.iter().enumerate() {
            let Some(spec) = stage.operators.first().and_then(|operator| operator.as_lookup()) else {
                continue;
            };
            let lookup = spec.lookup();
            let failed = |reason: String| RunError::Connector { table: lookup.table.clone(), reason };
            let def = catalog.stream(&lookup.table).ok_or_else(|| failed("it is gone".to_owned()))?;
            let table = self.connectors.look_up(def, Arc::clone(&lookup.fetched), lookup.key_columns.clone());
            let mut table = table.map_err(failed)?;
            table.put_aside_in(&self.ingest);
            tables.push((nth, table));
        }
        Ok(tables)
    }

    /// A stream of the engine itself, as the catalog has it.
    pub fn own_stream(&self, catalog: &Catalog, name: &str) -> Result<Arc<StreamInfo>> {
        let def =
            catalog.stream(name).ok_or_else(|| RunError::Invalid(format!("there is no stream {name}")))?;
        events::ensure(&*self.log, spec_of(def)?)
    }

    /// How jobs run.
    pub(super) fn job_settings(&self) -> JobSettings {
        JobSettings {
            memory: self.memory.clone(),
            workers: self.options.workers,
            threaded_rows_min: self.options.threaded_rows_min,
            limits: self.limits(),
            checkpoint_interval: self.options.checkpoint_interval,
            keep_journal: self.options.keep.journals,
        }
    }

    /// How much a step takes.
    pub fn limits(&self) -> Limits {
        Limits { rows: self.options.step_rows_max, bytes: self.options.step_bytes_max }
    }

    pub(super) fn late_rows(&self, dataflow: &Dataflow) -> Result<LateRows> {
        let into = dataflow.late.as_ref().map_or(LATE_ROWS, |stream| stream.as_str());
        LateRows::new(self.log.stream_named(into)?, dataflow.late.is_some(), names_of(dataflow))
    }

    /// Where rows of a dataflow go that cannot be computed.
    pub fn dead_rows(&self, dataflow: &Dataflow) -> Result<DeadRows> {
        DeadRows::new(self.log.stream_named(DEAD_LETTERS)?, names_of(dataflow))
    }

    /// Where a job's checkpoints lie.
    pub fn checkpoints_of(&self, job: &str) -> Result<Arc<dyn Blobs>> {
        let bad = |reason: String| RunError::Checkpoint { job: job.to_owned(), reason };
        let objects = |store: Arc<dyn ObjectStore>, prefix: Path| {
            let (runtime, tasks) = (self.runtime.clone(), Arc::clone(&self.world.tasks));
            Arc::new(ObjectBlobs::new(store, prefix, runtime, tasks))
        };
        match (&self.options.checkpoints, &self.options.data) {
            (Some(url), _) => {
                let parsed = url::Url::parse(url).map_err(|error| bad(format!("{url}: {error}")))?;
                let (store, prefix): (Arc<dyn ObjectStore>, _) = match parsed.scheme() {
                    "s3" => {
                        let found = headwater_objects::s3(url, RetryConfig::default());
                        let (store, prefix) = found.map_err(|error| bad(error.to_string()))?;
                        (store, prefix)
                    }
                    _ => {
                        let options = std::env::vars().filter_map(|(key, value)| {
                            key.starts_with("AWS_").then(|| (key.to_ascii_lowercase(), value))
                        });
                        let found = object_store::parse_url_opts(&parsed, options);
                        let (store, prefix) = found.map_err(|error| bad(format!("{url}: {error}")))?;
                        (Arc::from(store), prefix)
                    }
                };
                Ok(objects(store, prefix.join(job)))
            }
            (None, Some(dir)) => {
                let dir = dir.join("checkpoints").join(job);
                Ok(Arc::new(DiskBlobs::open(self.world.clone(), dir).map_err(bad)?))
            }
            (None, None) => {
                let store = Arc::new(object_store::memory::InMemory::new());
                Ok(objects(store, job.into()))
            }
        }
    }

    /// Lets the journal of a new job say where it begins, if the first rows of its streams are gone: so that a replay need not miss them.
    fn note_beginning(&self, name: &str, dataflow: &Dataflow, journal: &Journal) -> Result<()> {
        let begin = |bounds: &ShardBounds| ShardCut { next: bounds.first, idle: false, ended: false };
        let of_source = |source: &Source| -> Result<Vec<ShardCut>> {
            let info = self.log.stream_named(source.stream.as_str())?;
            Ok(self.log.bounds(info.id)?.iter().map(begin).collect())
        };
        let places: Vec<Vec<ShardCut>> = dataflow.sources.iter().map(of_source).collect::<Result<_>>()?;
        let is_whole = places.iter().flatten().all(|cut| cut.next == Sequence::ZERO);
        if !is_whole && first_cut(&*self.log, journal, name, &self.eras_of(name))?.is_none() {
            begin_at(&*self.log, journal.own(), places)?;
        }
        Ok(())
    }

    /// Stops a job with a last checkpoint, if it runs. Blocks.
    pub fn stop_job(&self, name: &str) {
        let handle = self.state.lock().jobs.remove(name);
        if let Some(mut handle) = handle {
            handle.begin_close();
            handle.wait_closed();
        }
    }

    /// Stops a job for good and forgets its state. Blocks.
    pub fn remove_job(&self, name: &str) -> Result<()> {
        let handle = self.state.lock().jobs.remove(name);
        drop(handle);
        if let Ok(journal) = self.log.stream_named(&format!("system.journal.{name}")) {
            self.log.drop_stream(journal.id)?;
        }
        if let Err(error) = self.forget_state(name) {
            // The job may be dropped for this very reason; whoever creates one of its name is told.
            tracing::warn!(job = name, code = %error.code(), %error, "the checkpoints of a job that is gone stay");
        }
        Ok(())
    }

    /// Forgets the checkpoints of jobs of a name that are no more: also of one that was dropped just before a crash, so that no later job
    /// of the name goes on from them. Blocks.
    pub fn forget_state(&self, name: &str) -> Result<()> {
        let blobs = self.checkpoints_of(name)?;
        let remove = || blobs.list()?.iter().try_for_each(|blob| blobs.remove(blob));
        remove().map_err(|reason| RunError::Checkpoint { job: name.to_owned(), reason })
    }

    /// Notes that a stream has ended where it is now, and tells the jobs. Blocks.
    pub fn end_stream(&self, name: &str) -> Result<()> {
        let info = self.log.stream_named(name)?;
        let ends: Vec<Sequence> = self.log.bounds(info.id)?.iter().map(|bounds| bounds.next).collect();
        events::append(&self.world, &*self.log, &Event::End { name: name.to_owned(), ends: ends.clone() })?;
        let mut state = self.state.lock();
        state.ends.insert(name.to_owned(), ends.clone());
        for job in state.jobs.values() {
            job.end_stream(name, ends.clone());
        }
        Ok(())
    }

    /// How long a shard of each stream may be quiet, as the catalog has it: this one now, later ones as soon as they are learned here.
    pub fn idle_timeouts(&self, catalog: &Catalog) -> IdleTimeouts {
        let of_stream = |entry: &Entry| match entry {
            Entry::Stream(def) | Entry::Table(def) => Some((def.name.clone(), def.idle_timeout?)),
            _ => None,
        };
        *self.idle_timeouts.write() = catalog.entries().filter_map(of_stream).collect();
        let timeouts = Arc::clone(&self.idle_timeouts);
        Arc::new(move |info| timeouts.read().get(info.spec.name.as_str()).copied())
    }

    /// The same for a dataflow, which may read streams in processing time.
    pub fn timeouts_of(&self, catalog: &Catalog, dataflow: &Dataflow) -> IdleTimeouts {
        processing_timeouts(self.idle_timeouts(catalog), dataflow)
    }

    /// Tells the jobs that a stream is quiet and that time has come to `time`.
    pub fn advance_stream(&self, name: &str, time: EventTime) -> Result<()> {
        self.log.stream_named(name)?;
        self.state.lock().jobs.values().for_each(|job| job.advance_stream(name, time));
        Ok(())
    }
}

/// What becomes of a job's results: rows of its target, or no more than their number where nobody is to have them.
fn results_of(catalog: &Catalog, target: Arc<StreamInfo>, copies: Option<Copies>) -> Result<Results> {
    let is_black_hole = catalog.stream(target.spec.name.as_str()).is_some_and(|def| def.is_black_hole());
    if is_black_hole { Ok(Results::Counted(target)) } else { Results::to(target, copies) }
}

/// The streams that a dataflow reads.
fn names_of(dataflow: &Dataflow) -> String {
    let names: Vec<_> = dataflow.sources.iter().map(|source| source.stream.as_str()).collect();
    names.join(", ")
}

/// The stream of a job's journal.
pub(super) fn journal_spec(job: &str) -> Result<StreamSpec> {
    let name = StreamName::new(&format!("system.journal.{job}"));
    Ok(StreamSpec::new(name.map_err(|error| RunError::Invalid(error.to_string()))?, journal_schema()))
}

/// The stream of a materialized view: the query's columns, and a weight if rows change.
pub(super) fn view_spec(name: &str, dataflow: &Dataflow) -> Result<StreamSpec> {
    let name = StreamName::new(name).map_err(|error| RunError::Invalid(error.to_string()))?;
    let updating = dataflow.result.changes != Changes::AppendOnly;
    let time = dataflow.result.event_time.filter(|_| !updating);
    let spec = StreamSpec::new(name, result_schema(dataflow));
    Ok(StreamSpec {
        event_time: time.map(|column| dataflow.result.schema.field(column).name().clone()),
        ..spec
    })
}

/// The columns of a result as a stream holds them: a changelog has a weight.
pub(crate) fn result_schema(dataflow: &Dataflow) -> SchemaRef {
    let schema = &dataflow.result.schema;
    let fields = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    let weight =
        (dataflow.result.changes != Changes::AppendOnly).then(|| Field::new(WEIGHT, DataType::Int64, false));
    Arc::new(Schema::new(fields.chain(weight).collect::<Vec<_>>()))
}

/// After how long without rows a shard does not hold processing time back.
const PROCESSING_TIMEOUT: Duration = Duration::from_secs(1);

/// The same timeouts, but for the streams that are read in processing time.
fn processing_timeouts(timeouts: IdleTimeouts, dataflow: &Dataflow) -> IdleTimeouts {
    let is_processing =
        |source: &&Source| source.watermark.as_ref().is_some_and(|watermark| watermark.processing);
    let streams = dataflow.sources.iter().filter(is_processing).map(|source| source.stream.to_string());
    let streams: HashSet<String> = streams.collect();
    Arc::new(move |info| match streams.contains(info.spec.name.as_str()) {
        true => Some(PROCESSING_TIMEOUT),
        false => timeouts(info),
    })
}
