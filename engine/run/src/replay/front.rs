//! How a replay is asked for: for a report, for its rows as they come, or step by step.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use headwater_core::EventTime;
use headwater_plan::Entry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::asked::{asked, check_known};
use super::compare::{Bags, Said};
use super::definition::{Definition, plan, plan_compared};
use super::into::{Taker, Target};
use super::run::{Course, Filter, Replay};
use super::watch::{Registered, Wanted, Watched};
use crate::blocking::on_thread;
use crate::engine::{Engine, Inner, result_schema};
use crate::error::{Result, RunError};
use crate::{ReplayReport, ReplaySpec, ReplayStep};

/// How long a replay that waits to be asked for a step goes without a look whether it is to end.
const PATIENCE: Duration = Duration::from_millis(200);

impl Engine {
    /// Runs a job, or another definition of it, over a stretch of history. The rows are kept in memory, unless they go into a stream; see
    /// [`Engine::replay_rows`]. Nothing is asked or delivered outside that the spec does not name. If the future is dropped, the replay
    /// is cancelled.
    pub async fn replay(&self, spec: ReplaySpec) -> Result<ReplayReport> {
        let begun = self.begin_replay(spec).await?;
        let _wanted = begun.registered.wanted();
        on_thread(move || begun.report()).await?
    }

    /// The results of a replay, as they come. If the stream is dropped, the replay is cancelled.
    pub async fn replay_rows(&self, spec: ReplaySpec) -> Result<SendableRecordBatchStream> {
        let begun = self.begin_replay(spec).await?;
        let (schema, wanted) = (result_schema(&begun.plan.definition.dataflow), begun.registered.wanted());
        let (send, receive) = mpsc::channel::<RecordBatch>(2);
        let done = tokio::task::spawn_blocking(move || {
            begun.run(&begun.plan.definition, &begun.plan.course, |step| {
                let mut rows = step.rows.into_iter();
                rows.try_for_each(|batch| send.blocking_send(batch))
                    .map_err(|_| begun.registered.watched.cancelled())
            })
        });
        let rows = stream::try_unfold((receive, done, wanted), |(mut receive, done, wanted)| async move {
            if let Some(batch) = receive.recv().await {
                return Ok(Some((batch, (receive, done, wanted))));
            }
            let done = done.await.map_err(|error| RunError::Invalid(error.to_string())).flatten();
            done.map(|()| None).map_err(|error| DataFusionError::External(Box::new(error)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// A replay that takes a step when it is asked for one: a step of the journal, for the job's own definition; of another, a few rows.
    pub async fn replay_steps(&self, mut spec: ReplaySpec) -> Result<ReplaySteps> {
        spec.step_by_step = true;
        let begun = self.begin_replay(spec).await?;
        let wanted = begun.registered.wanted();
        let (ask, asked) = std::sync::mpsc::channel();
        let (send, steps) = mpsc::channel(1);
        let schema = result_schema(&begun.plan.definition.dataflow);
        let done = tokio::task::spawn_blocking(move || begun.step_by_step(&asked, &send));
        Ok(ReplaySteps { schema, ask, steps, done: Some(done), wanted })
    }

    /// [`Engine::replay`] on the calling thread.
    pub fn replay_here(&self, spec: &ReplaySpec) -> Result<ReplayReport> {
        let inner = &self.0;
        let plan = Plan::of(inner, spec)?;
        if let (Some(target), Some(name)) = (&plan.target, &spec.into) {
            target.prepare_here(inner, name)?;
        }
        Begun { registered: Registered::new(inner, spec)?, plan }.report()
    }

    /// Ends a replay that is under way, before its next step.
    pub fn cancel_replay(&self, id: u64) -> Result<()> {
        self.0.replays.cancel(id)
    }

    async fn begin_replay(&self, spec: ReplaySpec) -> Result<Begun> {
        let inner = Arc::clone(&self.0);
        let planned = spec.clone();
        let plan = on_thread(move || Plan::of(&inner, &planned)).await??;
        if let (Some(target), Some(name)) = (&plan.target, &spec.into) {
            Box::pin(target.prepare(&self.0, name)).await?;
        }
        Ok(Begun { registered: Registered::new(&self.0, &spec)?, plan })
    }
}

/// A replay whose steps are asked for. Dropped, it is cancelled.
pub struct ReplaySteps {
    schema: arrow::datatypes::SchemaRef,
    ask: std::sync::mpsc::Sender<()>,
    steps: mpsc::Receiver<ReplayStep>,
    done: Option<JoinHandle<Result<()>>>,
    wanted: Wanted,
}

impl ReplaySteps {
    /// Its number in `system.replays`.
    pub fn id(&self) -> u64 {
        self.wanted.id()
    }

    /// The columns of its results.
    pub fn schema(&self) -> &arrow::datatypes::SchemaRef {
        &self.schema
    }

    /// Takes the next step; `None`: there are no more. With a stretch, steps before its begin that say nothing of it are passed over.
    pub async fn next(&mut self) -> Result<Option<ReplayStep>> {
        // If it has ended, what it has to say of that is below.
        let _ = self.ask.send(());
        if let Some(step) = self.steps.recv().await {
            return Ok(Some(step));
        }
        match self.done.take() {
            Some(done) => done.await.map_err(|error| RunError::Invalid(error.to_string()))?.map(|()| None),
            None => Ok(None),
        }
    }
}

/// What is to be done, checked.
struct Plan {
    entry: Entry,
    definition: Definition,
    course: Course,
    /// With a difference between two definitions: the job's own.
    compared: Option<(Definition, Course)>,
    target: Option<Target>,
}

impl Plan {
    fn of(inner: &Arc<Inner>, spec: &ReplaySpec) -> Result<Self> {
        inner.check_open()?;
        let catalog = inner.catalog();
        let entry = catalog.get(&spec.job).ok_or_else(|| RunError::NoJob { name: spec.job.clone() })?;
        let definition = plan(inner, &catalog, entry, spec)?;
        Filter::of(spec, &definition)?;
        let course = Course::of(entry, &definition, spec, false)?;
        let mut outside = asked(&definition.dataflow);
        let compared = match spec.diff && spec.query.is_some() {
            true => {
                let own = plan_compared(inner, &catalog, entry)?;
                outside.extend(asked(&own.dataflow));
                let course = Course::of(entry, &own, spec, true)?;
                Some((own, course))
            }
            false => None,
        };
        check_known(&spec.effects, &outside, spec.into.as_deref())?;
        let schema = result_schema(&definition.dataflow);
        let target = Target::of(inner, &catalog, spec, &definition.dataflow, &schema)?;
        Ok(Self { entry: entry.clone(), definition, course, compared, target })
    }
}

/// A replay that shows in `system.replays`.
struct Begun {
    registered: Registered,
    plan: Plan,
}

impl Begun {
    fn watched(&self) -> &Watched {
        &self.registered.watched
    }

    fn open(&self, definition: &Definition, course: &Course) -> Result<Replay<'_>> {
        Replay::open(&self.registered.inner, &self.plan.entry, definition, self.watched(), course)
    }

    fn taker(&self) -> Result<Option<Taker>> {
        let into = self.watched().spec.into.as_deref();
        into.map(|name| Taker::open(&self.registered.inner, name)).transpose()
    }

    /// Takes all steps of a definition. Its results go into the stream, if there is one.
    fn run(
        &self,
        definition: &Definition,
        course: &Course,
        mut take: impl FnMut(ReplayStep) -> Result<()>,
    ) -> Result<()> {
        let (mut replay, taker) = (self.open(definition, course)?, self.taker()?);
        let mut uncomputed = 0;
        while let Some(step) = replay.next()? {
            if let Some(taker) = &taker {
                taker.append(&step.rows)?;
            }
            uncomputed += step.uncomputed;
            take(step)?;
        }
        if uncomputed > 0 {
            let job = &self.watched().spec.job;
            tracing::warn!(
                job,
                uncomputed,
                "rows of a replay could not be computed: see system.dead_letters"
            );
        }
        Ok(())
    }

    fn step_by_step(
        self,
        asked: &std::sync::mpsc::Receiver<()>,
        send: &mpsc::Sender<ReplayStep>,
    ) -> Result<()> {
        let gone = || self.watched().cancelled();
        let from = self.watched().spec.from.unwrap_or(EventTime::MIN);
        let mut replay = self.open(&self.plan.definition, &self.plan.course)?;
        let taker = self.taker()?;
        loop {
            match asked.recv_timeout(PATIENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.watched().check(&self.registered.inner)?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
            let step = loop {
                let Some(step) = replay.next()? else { return Ok(()) };
                if let Some(taker) = &taker {
                    taker.append(&step.rows)?;
                }
                if step.watermark >= from || !step.rows.is_empty() || step.uncomputed > 0 {
                    break step;
                }
            };
            send.blocking_send(step).map_err(|_| gone())?;
        }
    }

    fn report(self) -> Result<ReplayReport> {
        let schema = result_schema(&self.plan.definition.dataflow);
        let mut rows = Vec::new();
        let (mut only_before, mut only_now, mut in_both) = (Vec::new(), Vec::new(), 0);
        let mut shown = Arc::clone(&schema);
        let (mut rows_in, mut rows_out, mut uncomputed) = (0, 0, 0);
        let mut count = |step: &ReplayStep| {
            rows_in += step.rows_in;
            uncomputed += step.uncomputed;
            rows_out += step.rows.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        };
        let Plan { definition, course, .. } = &self.plan;
        if self.watched().spec.diff {
            let mut bags = self.bags_before(&schema)?;
            self.run(definition, course, |step| {
                count(&step);
                step.rows.iter().try_for_each(|batch| bags.add(batch, 1))
            })?;
            let found = bags.differences()?;
            (only_before, only_now, in_both) = (found.only_before, found.only_now, found.in_both);
            shown = found.schema;
        } else {
            let keeps = self.watched().spec.into.is_none();
            self.run(definition, course, |step| {
                count(&step);
                if keeps {
                    rows.extend(step.rows);
                }
                Ok(())
            })?;
        }
        let schema = shown;
        Ok(ReplayReport { schema, rows_in, rows_out, uncomputed, rows, only_before, only_now, in_both })
    }

    /// Bags with what is compared: what the job has said, or what its own definition says of the stretch.
    fn bags_before(&self, schema: &arrow::datatypes::SchemaRef) -> Result<Bags> {
        let inner = &self.registered.inner;
        let pool = Arc::clone(&inner.planner.session().runtime_env().memory_pool);
        let mut bags = Bags::new(schema, &pool)?;
        match &self.plan.compared {
            Some((definition, course)) => {
                let mut replay = self.open(definition, course)?;
                while let Some(step) = replay.next()? {
                    step.rows.iter().try_for_each(|batch| bags.add(batch, 0))?;
                }
            }
            None => {
                let said = Said::of(&inner.catalog(), &self.plan.entry)?;
                let filter = Filter::of(&self.watched().spec, &self.plan.definition)?;
                said.read(inner, schema, filter, |batch| {
                    self.watched().check(inner)?;
                    bags.add(&batch, 0)
                })?;
            }
        }
        Ok(bags)
    }
}
