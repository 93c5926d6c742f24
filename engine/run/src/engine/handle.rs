//! The engine as its users hold it: a handle that is cheap to clone.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use headwater_core::World;
use headwater_ingest::Ingest;
use headwater_log::Log;
use headwater_plan::statement::Show;
use headwater_plan::{Entry, Parsed, Statement, parse};

use super::show;
use super::state::Inner;
use crate::error::{Result, RunError};
use crate::options::{ConnectorHost, EngineOptions};
use crate::tail::{Tail, TailFrom};
use crate::{JobState, JobStatus, ReplayReport, ReplaySpec, replay, tail};

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
    /// A job that cannot start is reported to the log of the process and does not keep the others from starting.
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
        Ok(Self(Inner::open(world, options, connectors, runtime)?))
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

    /// Runs one statement.
    pub async fn run(&self, parsed: Parsed) -> Result<Answer> {
        let inner = &self.0;
        inner.check_open()?;
        let rows = match &parsed.statement {
            Statement::Query(query) => inner.query(query).await?,
            Statement::Explain(explain) => inner.explain(explain).await?,
            Statement::Show(Show::Alarms) => inner.show_alarms().await?,
            Statement::Show(Show::ScalingGroups) => inner.show_scaling_groups().await?,
            Statement::ExplainAlarm(explain) => inner.explain_alarm(explain).await?,
            Statement::Show(what) => inner.show(*what)?,
            Statement::Describe(name) => inner.describe(name)?,
            Statement::Replay(replay) => {
                let spec = ReplaySpec {
                    job: replay.job.value.clone(),
                    from: replay.from,
                    to: replay.to,
                    into: replay.into.as_ref().map(|name| name.value.clone()),
                    speed: replay.speed,
                    ..ReplaySpec::default()
                };
                let report = self.replay(spec).await?;
                if let Some(name) = &replay.into {
                    let rows: usize = report.rows.iter().map(|batch| batch.num_rows()).sum();
                    let tag = format!("REPLAY {rows} INTO {}", name.value);
                    return Ok(Answer::Done { tag, notes: Vec::new() });
                }
                let batch = arrow::compute::concat_batches(&report.schema, &report.rows)?;
                show::rows(batch)?
            }
            Statement::Insert(insert) => {
                let (accepted, dead) = inner.insert(insert).await?;
                let note = format!("{dead} rows went to system.dead_letters");
                let notes = if dead > 0 { vec![note] } else { Vec::new() };
                return Ok(Answer::Done { tag: format!("INSERT {accepted}"), notes });
            }
            Statement::Set(set) => {
                return Err(RunError::Invalid(format!(
                    "there is no setting {:?} in this version",
                    set.key.value
                )));
            }
            _ => {
                let defined = inner.define(parsed).await?;
                return Ok(Answer::Done { tag: defined.tag, notes: defined.notes });
            }
        };
        Ok(Answer::Rows(rows))
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
        self.0.state.lock().jobs.values().map(|job| job.status()).collect()
    }

    /// How all archives do, by name.
    pub fn archives(&self) -> Vec<(String, headwater_archive::ArchiveStatus)> {
        self.0.archive_statuses()
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
                match state.jobs.get(&name) {
                    Some(job) => job.watch(),
                    None => continue,
                }
            };
            let over =
                |state: &JobState| matches!(state, JobState::Finished | JobState::Failed | JobState::Paused);
            if watch.wait_for(over).await.is_err() {
                return Err(RunError::Closed);
            }
            self.end_target_of(&name).await?;
        }
        let running: Vec<_> = {
            let state = self.0.state.lock();
            let of = |job: &JobStatus| state.connectors.get(&job.target).map(Arc::clone);
            state.jobs.values().filter_map(|job| of(&job.status())).collect()
        };
        for connector in running {
            connector.settled().await;
        }
        Ok(self.jobs().iter().any(|job| job.state == JobState::Running))
    }

    /// A running job all of whose sources end.
    fn next_bounded(&self) -> Option<String> {
        let state = self.0.state.lock();
        let running =
            state.jobs.values().map(|job| job.status()).filter(|status| status.state == JobState::Running);
        let ends = |name: &String| {
            state.ends.contains_key(name)
                || state.connectors.get(name).is_some_and(|connector| connector.is_bounded())
        };
        running
            .filter(|status| {
                let entry = state.catalog.get(&status.name);
                entry.is_some_and(|entry| inputs_of(&state.catalog, entry).iter().all(ends))
            })
            .map(|status| status.name)
            .next()
    }

    /// When all jobs that write to a stream have finished, those that read it may finish, too.
    async fn end_target_of(&self, job: &str) -> Result<()> {
        let (target, last) = {
            let state = self.0.state.lock();
            let Some(target) = state.jobs.get(job).map(|job| job.status().target) else { return Ok(()) };
            let writers =
                state.jobs.values().map(|job| job.status()).filter(|status| status.target == target);
            let last = writers.into_iter().all(|status| status.state == JobState::Finished);
            let read = state.catalog.entries().any(|entry| {
                matches!(
                    entry,
                    Entry::Job(_)
                        | Entry::MaterializedView(_)
                        | Entry::Trigger(_)
                        | Entry::Alarm(_)
                        | Entry::ScalingGroup(_)
                ) && inputs_of(&state.catalog, entry).contains(&target)
            });
            (target, last && read)
        };
        if last { self.end_stream(&target).await } else { Ok(()) }
    }

    /// Runs a job, or another definition of it, over a stretch of history. Nothing is delivered outside.
    pub async fn replay(&self, spec: ReplaySpec) -> Result<ReplayReport> {
        let inner = Arc::clone(&self.0);
        let work = move || replay::run(&inner, &spec);
        tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Invalid(error.to_string()))?
    }

    /// Says that no more rows will come to a stream: its windows close. Rows that are appended later are late.
    pub async fn end_stream(&self, stream: &str) -> Result<()> {
        let (inner, stream) = (Arc::clone(&self.0), stream.to_owned());
        let work = move || inner.end_stream(&stream);
        tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Invalid(error.to_string()))?
    }

    /// Stops the connectors, takes a checkpoint of every job, makes the log durable and stops. Idempotent.
    pub async fn close(&self) -> Result<()> {
        let connectors = {
            let mut state = self.0.state.lock();
            state.closed = true;
            std::mem::take(&mut state.connectors)
        };
        for connector in connectors.values() {
            connector.stop().await;
        }
        let engine = self.clone();
        let work = move || engine.close_here();
        tokio::task::spawn_blocking(work).await.map_err(|error| RunError::Invalid(error.to_string()))?
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

    /// [`Engine::replay`] on the calling thread.
    pub fn replay_here(&self, spec: &ReplaySpec) -> Result<ReplayReport> {
        replay::run(&self.0, spec)
    }

    /// [`Engine::close`] on the calling thread; connectors are not waited for.
    pub fn close_here(&self) -> Result<()> {
        let mut jobs = {
            let mut state = self.0.state.lock();
            state.closed = true;
            std::mem::take(&mut state.jobs)
        };
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

/// The streams and tables that a job reads, through views; an alarm, through the alarms that it names, too.
fn inputs_of(catalog: &headwater_plan::Catalog, entry: &Entry) -> Vec<String> {
    let read = |entry: &Entry| {
        let mut names = entry.references();
        match entry {
            // What is written is not read, unless the query reads it, too.
            Entry::Job(job) if !reads(&job.query, &job.target) => {
                names.remove(&job.target);
            }
            Entry::Alarm(_) => {
                names.remove(headwater_plan::ALARM_HISTORY);
            }
            Entry::ScalingGroup(group) => {
                names.remove(headwater_plan::SCALING_ACTIVITIES);
                if group.actuator == headwater_plan::Actuator::DryRun {
                    names.remove(headwater_plan::SCALING_PROGRESS);
                }
            }
            Entry::Trigger(trigger) => return [trigger.on.clone()].into(),
            _ => {}
        }
        names
    };
    let mut pending: Vec<String> = read(entry).into_iter().collect();
    let mut inputs = Vec::new();
    while let Some(name) = pending.pop() {
        match catalog.get(&name) {
            Some(inner @ (Entry::View(_) | Entry::Alarm(_) | Entry::ScalingPolicy(_))) => {
                pending.extend(read(inner))
            }
            _ => inputs.push(name),
        }
    }
    inputs
}

fn reads(query: &headwater_plan::Query, name: &str) -> bool {
    let view = headwater_plan::ViewDef { name: String::new(), columns: Vec::new(), query: query.clone() };
    Entry::View(Arc::new(view)).references().contains(name)
}
