//! Runs a replay.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use headwater_core::{EventTime, Sequence, ShardId, StreamName};
use headwater_log::{Append, From, Log, StreamInfo, StreamSpec};
use headwater_operators::{Reach, Rows};
use headwater_plan::{Dataflow, Entry, METADATA_COLUMNS, StartAt};

use super::compare::{differences, results_of};
use super::definition::{Definition, plan};
use super::pace::{PACED_ROWS, Pace};
use crate::engine::{Inner, ensure_stream, first_place, result_schema, start_at};
use crate::error::{Result, RunError};
use crate::job::{JournalReader, Limits, Pipeline, Start, fit, nanos};
use crate::{ReplayReport, ReplaySpec};

/// Runs a replay. Blocks.
pub(crate) fn run(inner: &Arc<Inner>, spec: &ReplaySpec) -> Result<ReplayReport> {
    let catalog = inner.catalog();
    let entry = catalog.get(&spec.job).ok_or_else(|| RunError::NoJob { name: spec.job.clone() })?;
    let definition = plan(inner, &catalog, entry, spec)?;
    let filter = Filter::of(spec, &definition)?;
    let mut replay = Replay::open(inner, entry, &definition, spec, filter)?;
    match obeys(entry, &definition, spec) {
        true => replay.obey(inner, &spec.job)?,
        false => replay.finish(inner)?,
    }
    let mut report = replay.report;
    if spec.diff {
        let name = spec.job.as_str();
        let (target, own) = match entry {
            Entry::Job(job) => (job.target.as_str(), None),
            Entry::Alarm(_) => (headwater_plan::ALARM_HISTORY, Some(("alarm", name))),
            Entry::ScalingGroup(_) => (headwater_plan::SCALING_ACTIVITIES, Some(("group", name))),
            _ => (name, None),
        };
        let before = results_of(inner, target, own, &report.schema, filter)?;
        let found = differences(&report.schema, &before, &report.rows)?;
        (report.only_before, report.only_now) = (found.only_before, found.only_now);
        (report.schema, report.in_both) = (found.schema, found.in_both);
    }
    Ok(report)
}

/// Which results belong to a stretch of event time, `[from, to)`.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    column: usize,
    from: EventTime,
    to: EventTime,
}

impl Filter {
    fn of(spec: &ReplaySpec, definition: &Definition) -> Result<Option<Self>> {
        if spec.from.is_none() && spec.to.is_none() {
            return Ok(None);
        }
        let (from, to) = (spec.from.unwrap_or(EventTime::MIN), spec.to.unwrap_or(EventTime::MAX));
        match definition.time {
            Some(column) => Ok(Some(Self { column, from, to })),
            None => Err(RunError::Invalid(format!(
                "the results of job {} have no timestamp, so that those of a stretch cannot be told from the others; replay \
                 all of it, or another definition whose WHERE holds the stretch",
                spec.job
            ))),
        }
    }

    /// The rows whose time lies in the stretch.
    pub fn keep(self, rows: RecordBatch) -> Result<RecordBatch> {
        let times = nanos(rows.column(self.column))
            .map_err(|source| RunError::Operator { job: "replay".to_owned(), source })?;
        let holds = |row| times.is_valid(row) && (self.from.0..self.to.0).contains(&times.value(row));
        let mask: BooleanArray = (0..times.len()).map(|row| Some(holds(row))).collect();
        Ok(arrow::compute::filter_record_batch(&rows, &mask)?)
    }
}

/// How often a table outside is asked for what the journal does not say.
const LOOKUP_ATTEMPTS: u32 = 3;

struct Replay {
    pipeline: Pipeline,
    report: ReplayReport,
    filter: Option<Filter>,
    /// The watermark at which all results of the stretch are out.
    enough: EventTime,
    log: Arc<dyn Log>,
    /// The stream that takes the results as they come.
    into: Option<Arc<StreamInfo>>,
    pace: Option<Pace>,
}

impl Replay {
    fn open(
        inner: &Arc<Inner>,
        entry: &Entry,
        definition: &Definition,
        spec: &ReplaySpec,
        filter: Option<Filter>,
    ) -> Result<Self> {
        let schema = result_schema(&definition.dataflow);
        let reach = definition.dataflow.reach();
        let start = start_of(inner, entry, definition, spec, reach)?;
        let enough = match (spec.to, reach) {
            (Some(to), Reach::Within(nanos)) => EventTime(to.0.saturating_add(nanos)),
            // A row that is late for nobody may come at any time, and a session may go on for ever.
            _ => EventTime::MAX,
        };
        let course = if obeys(entry, definition, spec) { inner.course_of(entry.name())? } else { None };
        let dataflow = match &course {
            Some(_) => Arc::new(inner.plan_to_run(&inner.catalog(), entry)?),
            None => Arc::clone(&definition.dataflow),
        };
        let mut pipeline =
            Pipeline::open(&*inner.log, dataflow, inner.options.workers, &start, inner.lease())?;
        if let Some(course) = course {
            pipeline.restore_watermark(course.reached);
        }
        let lookups = inner.lookups_of(&inner.catalog(), &definition.dataflow)?;
        pipeline.look_up(lookups, inner.world.clone(), Box::new(|_, attempt| attempt < LOOKUP_ATTEMPTS));
        let report = ReplayReport {
            schema,
            rows_in: 0,
            rows: Vec::new(),
            only_before: Vec::new(),
            only_now: Vec::new(),
            in_both: 0,
        };
        let into = spec.into.as_deref().map(|name| target(inner, name, &report.schema)).transpose()?;
        let pace = spec.speed.map(|speed| Pace::new(inner, &definition.dataflow, speed)).transpose()?;
        Ok(Self { pipeline, report, filter, enough, log: Arc::clone(&inner.log), into, pace })
    }

    /// Does the steps of the journal again. Those that lie before the place where the pipeline begins take nothing.
    fn obey(&mut self, inner: &Inner, job: &str) -> Result<()> {
        let journal = inner.journal_of(job)?;
        let eras = inner.eras_of(job);
        let mut entries = JournalReader::open(&*inner.log, &journal, job, 0, Vec::new(), &eras)?;
        while let Some(entry) = entries.next()? {
            let now = inner.world.clock.monotonic();
            let step = if eras.is_former(entry.step) {
                self.pipeline.step_at(&entry.cut, entry.watermark, now)?
            } else {
                self.pipeline.obey_answers(entry.answers);
                self.pipeline.step_again(&entry.cut, entry.watermark, now)?
            };
            self.take(step.rows_in, &step.output.rows)?;
            if step.watermark >= self.enough {
                break;
            }
        }
        Ok(())
    }

    /// Takes everything that is there now, and then ends the inputs.
    fn finish(&mut self, inner: &Inner) -> Result<()> {
        let streams: Vec<_> =
            self.pipeline.dataflow().sources.iter().map(|source| source.stream.clone()).collect();
        for stream in streams {
            let info = inner.log.stream_named(stream.as_str())?;
            let ends: Vec<Sequence> = inner.log.bounds(info.id)?.iter().map(|bounds| bounds.next).collect();
            self.pipeline.set_end(stream.as_str(), &ends);
        }
        let limits = match &self.pace {
            Some(_) => Limits { rows: PACED_ROWS, ..inner.limits() },
            None => inner.limits(),
        };
        while !self.pipeline.is_finished() && self.pipeline.watermark() < self.enough {
            let Some(step) = self.pipeline.step_live(limits, inner.world.clock.monotonic())? else {
                break;
            };
            if let Some(pace) = &mut self.pace {
                pace.wait(inner, self.pipeline.latest())?;
            }
            self.take(step.rows_in, &step.output.rows)?;
        }
        Ok(())
    }

    fn take(&mut self, rows_in: u64, rows: &[Rows]) -> Result<()> {
        self.report.rows_in += rows_in;
        for rows in rows {
            let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
            if columns.len() < self.report.schema.fields().len() {
                let ones = || Int64Array::from_value(1, rows.len());
                columns.push(Arc::new(rows.weights.clone().unwrap_or_else(ones)));
            }
            let rows = fit(&self.report.schema, columns)?;
            let rows = match self.filter {
                Some(filter) => filter.keep(rows)?,
                None => rows,
            };
            if rows.num_rows() == 0 {
                continue;
            }
            if let Some(into) = &self.into {
                let rows = fit(&into.spec.schema, rows.columns().to_vec())?;
                self.log.append(vec![Append::new(into.id, ShardId(0), rows)])?;
            }
            self.report.rows.push(rows);
        }
        Ok(())
    }
}

/// Whether the journal is obeyed. What began with the newest row, over a stretch, is not asked what it said, but what it would have.
fn obeys(entry: &Entry, definition: &Definition, spec: &ReplaySpec) -> bool {
    let asks_would = start_at(entry) == StartAt::Latest && (spec.from.is_some() || spec.to.is_some());
    definition.own && spec.speed.is_none() && !asks_would
}

/// Where the first row is that is taken.
fn start_of(
    inner: &Inner,
    entry: &Entry,
    definition: &Definition,
    spec: &ReplaySpec,
    reach: Reach,
) -> Result<Start> {
    let obeys = obeys(entry, definition, spec);
    if obeys && start_at(entry) == StartAt::Latest {
        return first_place(inner, entry.name(), &inner.eras_of(entry.name()));
    }
    let from = match (spec.from, reach) {
        (None, _) | (_, Reach::History) => return Ok(Start::At(From::Earliest)),
        (_, Reach::Within(_)) if obeys => return Ok(Start::At(From::Earliest)),
        // Without state any place is as good to begin at as the first step.
        (Some(from), Reach::Row) => from,
        // Twice as far as windows reach, so that clocks are right when the first window of the stretch begins.
        (Some(from), Reach::Within(nanos)) => EventTime(from.0.saturating_sub(nanos.saturating_mul(2))),
    };
    Ok(Start::At(place_at(&definition.dataflow, from)))
}

/// The place from which on all rows lie that a plan's time counts as of this time or later.
pub(crate) fn place_at(dataflow: &Dataflow, time: EventTime) -> From {
    let by_arrival = |source: &headwater_plan::dataflow::Source| {
        source.watermark.as_ref().is_some_and(|watermark| watermark.text == METADATA_COLUMNS[2])
    };
    match dataflow.sources.iter().any(by_arrival) {
        true => From::Arrival(time),
        false => From::EventTime(time),
    }
}

/// The stream that takes the results.
fn target(inner: &Inner, name: &str, schema: &SchemaRef) -> Result<Arc<StreamInfo>> {
    let stream = StreamName::new(name).map_err(|error| RunError::Invalid(error.to_string()))?;
    if stream.is_system() {
        return Err(RunError::Invalid(format!("{name} is the engine's own: replay into another stream")));
    }
    ensure_stream(&*inner.log, StreamSpec::new(stream, Arc::clone(schema)))
}
