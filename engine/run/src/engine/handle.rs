//! The engine as its users hold it: a handle that is cheap to clone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use headwater_core::{EventTime, World};
use headwater_ingest::Ingest;
use headwater_log::{DiskLog, Log, MemoryLog};
use headwater_plan::statement::{Insert, Replay, Show};
use headwater_plan::{Entry, Parsed, Statement, parse};

use super::connect::{self, inputs_of, inputs_of_entry};
use super::define::Defined;
use super::settings;
use super::state::Inner;
use crate::blocking::on_thread;
use crate::error::{Result, RunError};
use crate::options::{ConnectorHost, ConnectorStatus, EngineOptions, Role};
use crate::tail::{Tail, TailFrom};
use crate::{JobState, JobStatus, ReplaySpec, tail};

/// What a statement answers.
pub enum Answer {
    /// Rows: of a query, SHOW, DESCRIBE, EXPLAIN.
    Rows(SendableRecordBatchStream),
    /// Something was done.
    Done {
        /// What, such as `CREATE STREAM` or `INSERT 3`.
        tag: String,
        /// What the user should know, such as a warning about state that never ends.
        notes: Vec<String>,
    },
}

/// A running engine.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

impl Engine {
    /// Opens the data directory, recovers the log, and starts the jobs and connectors that its catalog names.
    ///
    /// Must be called within a tokio runtime, on a thread that may block (`spawn_blocking`, or before anything else runs).
    /// A job that cannot start is shown as failed and does not keep the others from starting.
    pub fn open(world: World, options: EngineOptions, connectors: Arc<dyn ConnectorHost>) -> Result<Self> {
        Self::open_on(tokio::runtime::Handle::current(), world, options, connectors)
    }

    /// [`Engine::open`] with the runtime that object stores and connectors are to use.
    pub fn open_on(
        runtime: tokio::runtime::Handle,
        world: World,
        options: EngineOptions,
        connectors: Arc<dyn ConnectorHost>,
    ) -> Result<Self> {
        let log: Arc<dyn Log> = match &options.data {
            Some(dir) => DiskLog::open(world.clone(), dir, options.log.clone())?,
            None => MemoryLog::new(world.clone()),
        };
        Ok(Self(Inner::open(world, options, log, connectors, runtime, true)?))
    }

    /// [`Engine::open`] on a log that is somewhere else: the data directory is for checkpoints and what memory cannot hold.
    pub fn open_with_log(
        world: World,
        options: EngineOptions,
        log: Arc<dyn Log>,
        connectors: Arc<dyn ConnectorHost>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        Ok(Self(Inner::open(world, options, log, connectors, runtime, true)?))
    }

    /// The log.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.0.log
    }

    /// What takes records in.
    pub fn ingest(&self) -> &Arc<Ingest> {
        &self.0.ingest
    }

    /// Runs a script: statements in order, separated by `;`. Stops at the first error; what was done before stays done.
    pub async fn execute(&self, sql: &str) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for parsed in parse(sql)? {
            answers.push(self.run(parsed).await?);
        }
        Ok(answers)
    }

    /// The rows of a query whose parameters stand for values: `$1`, `$2` by number, `$device` by name; both are given without the
    /// dollar sign. An error says which one is missing or not known.
    pub async fn select(
        &self,
        sql: &str,
        parameters: BTreeMap<String, ScalarValue>,
    ) -> Result<SendableRecordBatchStream> {
        self.0.check_open()?;
        match headwater_plan::parse_one(sql)?.statement {
            Statement::Query(query) => self.0.select(&query, parameters).await,
            _ => Err(RunError::Invalid(
                "only a query has parameters; run other statements by themselves".into(),
            )),
        }
    }

    /// Runs one statement.
    pub async fn run(&self, parsed: Parsed) -> Result<Answer> {
        let inner = &self.0;
        inner.check_open()?;
        inner.check_at_rest(&parsed.statement)?;
        let rows = match &parsed.statement {
            Statement::Query(query) => inner.query(query).await?,
            Statement::Explain(explain) => inner.explain(explain).await?,
            Statement::Show(Show::Alarms) => inner.show_alarms().await?,
            Statement::Show(Show::ScalingGroups) => inner.show_scaling_groups().await?,
            Statement::ExplainAlarm(explain) => inner.explain_alarm(explain, &parsed).await?,
            Statement::Show(what) => inner.show(*what)?,
            Statement::ShowCreate(show) => inner.show_create(show, &parsed)?,
            Statement::Describe(name) => inner.describe(name)?,
            Statement::DescribeFunction(name) => inner.describe_function(name, &parsed)?,
            Statement::Replay(replay) => return self.run_replay(replay).await,
            Statement::Insert(insert) => return self.insert(insert, &parsed).await,
            _ => return self.change(parsed).await,
        };
        Ok(Answer::Rows(rows))
    }

    /// Replays a job into a stream, or answers the rows that come out.
    async fn run_replay(&self, replay: &Replay) -> Result<Answer> {
        let spec = ReplaySpec {
            job: replay.job.value.clone(),
            from: replay.from,
            to: replay.to,
            into: replay.into.as_ref().map(|name| name.value.clone()),
            speed: replay.speed,
            effects: replay.effects.iter().map(|name| name.value.clone()).collect(),
            query: replay.definition.clone(),
            ..ReplaySpec::default()
        };
        let Some(name) = &replay.into else {
            return Ok(Answer::Rows(self.replay_rows(spec).await?));
        };
        let report = self.replay(spec).await?;
        let tag = format!("REPLAY {} INTO {}", report.rows_out, name.value);
        Ok(Answer::Done { tag, notes: report.notes() })
    }

    /// Inserts rows: those that a query gives now, or by a job if it goes on for ever.
    async fn insert(&self, insert: &Insert, parsed: &Parsed) -> Result<Answer> {
        let inner = &self.0;
        if inner.goes_on(insert).await? {
            let (inner, parsed, insert) = (Arc::clone(inner), parsed.clone(), insert.clone());
            return to_its_end(async move { inner.insert_on(&insert, &parsed).await }).await;
        }
        let Defined { tag, notes } = inner.insert(insert).await?;
        Ok(Answer::Done { tag, notes })
    }

    /// Runs a statement that answers what it has done.
    async fn change(&self, parsed: Parsed) -> Result<Answer> {
        let inner = &self.0;
        let (tag, notes) = match &parsed.statement {
            Statement::SetAlarmState(set) => {
                inner.set_alarm_state(set, &parsed).await?;
                ("ALTER ALARM", Vec::new())
            }
            Statement::AlterScalingGroup(alter) => {
                inner.alter_scaling_group(alter, &parsed).await?;
                ("ALTER SCALING GROUP", Vec::new())
            }
            Statement::CancelReplay(id) => {
                self.cancel_replay(*id)?;
                ("CANCEL REPLAY", Vec::new())
            }
            Statement::PassedOver(why) => ("OK", vec![why.clone()]),
            Statement::Set(set) => ("SET", vec![settings::set(set, &parsed.script)?]),
            _ => {
                let inner = Arc::clone(inner);
                return to_its_end(async move { inner.define(parsed).await }).await;
            }
        };
        Ok(Answer::Done { tag: tag.to_owned(), notes })
    }

    /// Lets the sources begin that a stream or a query is about to be tailed from, if nobody has read from them before.
    pub async fn begin_reading(&self, stream_or_query: &str) -> Result<()> {
        let catalog = self.0.catalog();
        let tables = match headwater_plan::parse_one(stream_or_query).map(|parsed| parsed.statement) {
            Ok(Statement::Query(query)) => inputs_of(&catalog, &query),
            _ => vec![stream_or_query.to_owned()],
        };
        self.0.read_from(tables).await
    }

    /// Makes sure that rows can be appended to a stream from outside: it may be a table that is read from, one without columns, or the rows
    /// of a view or a trigger.
    pub async fn begin_writing(&self, stream: &str) -> Result<()> {
        let catalog = self.0.catalog();
        match catalog.get(stream) {
            Some(Entry::Table(def)) if def.schema.fields().is_empty() => Err(RunError::Invalid(format!(
                "table {stream} has no columns yet: it gets those of the first INSERT INTO {stream} SELECT ..."
            ))),
            Some(Entry::Table(def)) => self.0.write_to(stream, &def.schema).await,
            Some(Entry::Stream(_)) | None => Ok(()),
            Some(other) => Err(RunError::Invalid(format!(
                "{stream} is {}, and its rows are what it says itself: nothing is appended to it from outside",
                other.kind().with_article()
            ))),
        }
    }

    /// The rows of a stream, as they come.
    pub fn tail_stream(&self, stream: &str, from: TailFrom) -> Result<Tail> {
        tail::of_stream(&self.0, stream, from)
    }

    /// The rows of a streaming query, as they come. The query runs as a job without a name, which ends with the tail.
    /// If rows can be retracted, the last column is `_weight`.
    pub fn tail_query(&self, sql: &str, from: TailFrom) -> Result<Tail> {
        let parsed = headwater_plan::parse_one(sql)?;
        let Statement::Query(query) = &parsed.statement else {
            return Err(RunError::Invalid(
                "only a query can be tailed; run other statements with /v1/sql".into(),
            ));
        };
        tail::of_query(&self.0, self.0.plan_query(query)?, from)
    }

    /// All jobs, by name. Materialized views are jobs, too.
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.0.look_at_jobs();
        self.0.state.lock().statuses(&*self.0.log)
    }

    /// How a job does.
    pub fn job(&self, name: &str) -> Option<JobStatus> {
        self.0.look_at_jobs();
        self.0.state.lock().status(name, &*self.0.log)
    }

    /// All jobs as `system.jobs` has them: MapReduce jobs are behind the others.
    pub fn job_statuses(&self) -> Vec<JobStatus> {
        self.0.job_statuses()
    }

    /// How all archives do, by name.
    pub fn archives(&self) -> Vec<(String, headwater_archive::ArchiveStatus)> {
        self.0.archive_statuses()
    }

    /// The tables with connectors, by name, and how each fares; `None` if its connector does not run: nobody has used the table
    /// yet, or its input ended in an earlier life of the process.
    pub fn connectors(&self) -> Vec<(String, Option<ConnectorStatus>)> {
        self.0.connectors()
    }

    /// The definitions: streams, tables, views, jobs.
    pub fn catalog(&self) -> headwater_plan::Catalog {
        self.0.catalog()
    }

    /// Waits until every job with bounded inputs has finished or failed, and until what they wrote to tables with connectors
    /// has been delivered. Jobs over endless inputs are not waited for; answers whether there are such.
    pub async fn wait_bounded(&self) -> Result<bool> {
        while let Some(name) = self.next_bounded() {
            let mut watch = {
                let state = self.0.state.lock();
                match state.job(&name) {
                    Some(job) => job.watch(),
                    None => continue,
                }
            };
            let over =
                |state: &JobState| matches!(state, JobState::Finished | JobState::Failed | JobState::Paused);
            let inputs = self.inputs_of_job(&name);
            tokio::select! {
                ended = watch.wait_for(over) => ended.map(drop).map_err(|_| RunError::Closed)?,
                error = self.0.failure_of(&inputs) => return Err(error),
            }
            self.end_target_of(&name).await?;
        }
        self.await_sinks().await?;
        Ok(self.jobs().iter().any(|job| job.state == JobState::Running))
    }

    /// Waits until the sinks have delivered all that their streams hold.
    async fn await_sinks(&self) -> Result<()> {
        let running: Vec<_> = {
            let state = self.0.state.lock();
            let is_sink = |name: &String| state.roles.get(name) == Some(&Role::Sink);
            let sinks = state.connectors.iter().filter(|(name, _)| is_sink(name));
            sinks.map(|(name, running)| (name.clone(), Arc::clone(running))).collect()
        };
        for (table, running) in running {
            running.settled().await;
            connect::check(&table, &running.status())?;
        }
        Ok(())
    }

    fn inputs_of_job(&self, name: &str) -> Vec<String> {
        let catalog = self.0.catalog();
        catalog.get(name).map(|entry| inputs_of_entry(&catalog, entry)).unwrap_or_default()
    }

    /// A running job all of whose sources end.
    fn next_bounded(&self) -> Option<String> {
        let state = self.0.state.lock();
        let all = state.statuses(&*self.0.log).into_iter();
        let running = all.filter(|status| status.state == JobState::Running);
        running
            .filter(|status| {
                let entry = state.catalog.get(&status.name);
                entry.is_some_and(|entry| {
                    inputs_of_entry(&state.catalog, entry).iter().all(|name| state.ends_by_itself(name))
                })
            })
            .map(|status| status.name)
            .next()
    }

    /// The jobs that come to an end, or have: those whose inputs end, and those that read what such jobs alone write.
    pub fn bounded_jobs(&self) -> BTreeSet<String> {
        let state = self.0.state.lock();
        let entries = state.catalog.entries().filter(|entry| entry.has_job());
        let job = |entry: &Entry| {
            let inputs = inputs_of_entry(&state.catalog, entry);
            Some((entry.name().to_owned(), state.target_of(entry.name())?, inputs))
        };
        let jobs: Vec<_> = entries.filter_map(job).collect();
        let mut bounded = BTreeSet::new();
        loop {
            let ends = |input: &String| {
                let mut writers = jobs.iter().filter(|(_, target, _)| target == input).peekable();
                let is_written = writers.peek().is_some();
                state.ends_by_itself(input) || is_written && writers.all(|(name, ..)| bounded.contains(name))
            };
            let found = jobs.iter().filter(|(_, _, inputs)| inputs.iter().all(ends));
            let found: BTreeSet<String> = found.map(|(name, ..)| name.clone()).collect();
            if found.len() == bounded.len() {
                return bounded;
            }
            bounded = found;
        }
    }

    /// When all jobs that write to a stream have finished, those that read it may finish, too.
    async fn end_target_of(&self, job: &str) -> Result<()> {
        let (target, last) = {
            let state = self.0.state.lock();
            let Some(target) = state.status(job, &*self.0.log).map(|job| job.target) else { return Ok(()) };
            let all = state.statuses(&*self.0.log).into_iter();
            let last =
                all.filter(|status| status.target == target).all(|status| status.state == JobState::Finished);
            let reads =
                |entry: &Entry| entry.has_job() && inputs_of_entry(&state.catalog, entry).contains(&target);
            let read = state.catalog.entries().any(reads);
            (target, last && read)
        };
        if last { self.end_stream(&target).await } else { Ok(()) }
    }

    /// Says that no more rows will come to a stream: its windows close. Rows that are appended later are late.
    pub async fn end_stream(&self, stream: &str) -> Result<()> {
        let (inner, stream) = (Arc::clone(&self.0), stream.to_owned());
        on_thread(move || inner.end_stream(&stream)).await?
    }

    /// Says that a stream is quiet and that time has come to `time` meanwhile: windows that end by then close, once the jobs have taken
    /// the rows that are there. Rows may come later; those of closed windows are late. A job that also reads streams that are not
    /// quiet waits for them. What a job has made of this is in its journal; a job that is not there yet, or is killed before
    /// it got so far, does not know of it.
    pub fn advance_stream(&self, stream: &str, time: EventTime) -> Result<()> {
        self.0.advance_stream(stream, time)
    }

    /// Stops the connectors, takes a checkpoint of every job, makes the log durable and stops. Idempotent.
    pub async fn close(&self) -> Result<()> {
        let connectors = {
            let mut state = self.0.state.lock();
            state.closed = true;
            state.programs.clear();
            std::mem::take(&mut state.connectors)
        };
        // All at once: what one of them still waits for, others may wait for, too.
        futures::future::join_all(connectors.values().map(|connector| connector.stop())).await;
        let engine = self.clone();
        on_thread(move || engine.close_here()).await?
    }

    /// Sets how many workers compute a job's steps, from the next step on; 1 at least. Answers how many there were. It lasts as long as the
    /// process: a scaling group with the actuator `job` sets it anew.
    pub fn set_workers(&self, job: &str, workers: usize) -> Result<usize> {
        self.0.set_workers(job, Some(workers))
    }

    /// Runs statements that define something on the calling thread, without a runtime: for simulations, where all work is
    /// done on one thread.
    pub fn define_here(&self, sql: &str) -> Result<()> {
        parse(sql)?.iter().try_for_each(|parsed| self.0.define_here(parsed).map(drop))
    }

    /// [`Engine::end_stream`] on the calling thread.
    pub fn end_stream_here(&self, stream: &str) -> Result<()> {
        self.0.end_stream(stream)
    }

    /// [`Engine::close`] on the calling thread; connectors are not waited for.
    pub fn close_here(&self) -> Result<()> {
        let (mut jobs, measuring, noting) = {
            let mut state = self.0.state.lock();
            state.closed = true;
            (std::mem::take(&mut state.jobs), state.measuring.take(), state.noting.take())
        };
        drop((measuring, noting));
        jobs.values().for_each(|job| job.begin_close());
        jobs.values_mut().for_each(|job| job.wait_closed());
        drop(jobs);
        self.0.stop_archives();
        match self.0.log.close() {
            Err(headwater_log::LogError::Closed) => Ok(()),
            other => other.map_err(RunError::from),
        }
    }
}

/// Goes on with what has begun to change, even if whoever asked for it has gone away.
async fn to_its_end(change: impl Future<Output = Result<Defined>> + Send + 'static) -> Result<Answer> {
    let defined = tokio::spawn(Box::pin(change)).await;
    let Defined { tag, notes } = defined.map_err(|error| RunError::Invalid(error.to_string()))??;
    Ok(Answer::Done { tag, notes })
}
