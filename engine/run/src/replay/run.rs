//! Runs a replay: which steps it takes, and which of their results belong to the stretch that is asked for.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use headwater_core::{EventTime, Sequence};
use headwater_log::From;
use headwater_operators::{Failed, Reach, Rows};
use headwater_plan::{Dataflow, Entry, METADATA_COLUMNS, StartAt};

use super::asked::{Unasked, asked, check_named};
use super::definition::Definition;
use super::kept::Needs;
use super::pace::{PACED_ROWS, Pace};
use super::watch::Watched;
use crate::dead::DeadRows;
use crate::engine::{Inner, first_place, result_schema, start_at};
use crate::error::{Result, RunError};
use crate::job::{Entry as Line, Eras, JournalReader, Limits, Pipeline, Start, Step, at_once, fit, nanos};
use crate::options::LookupTable;
use crate::{ReplaySpec, ReplayStep};

/// Which results belong to a stretch of event time, `[from, to)`.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    column: usize,
    from: EventTime,
    to: EventTime,
}

impl Filter {
    pub fn of(spec: &ReplaySpec, definition: &Definition) -> Result<Option<Self>> {
        if spec.from.is_none() && spec.to.is_none() {
            return Ok(None);
        }
        let (from, to) = (spec.from.unwrap_or(EventTime::MIN), spec.to.unwrap_or(EventTime::MAX));
        if from >= to {
            return Err(RunError::Invalid(format!(
                "nothing lies from {from} to {to}: a stretch ends after it begins, and what it ends with does not belong to it"
            )));
        }
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
            .map_err(|source| RunError::Operator { what: "a replay".to_owned(), source })?;
        let holds = |row| times.is_valid(row) && (self.from.0..self.to.0).contains(&times.value(row));
        let mask: BooleanArray = (0..times.len()).map(|row| Some(holds(row))).collect();
        Ok(arrow::compute::filter_record_batch(&rows, &mask)?)
    }
}

/// The most rows of a replay that go to the dead letters: another definition may be wrong for all of history.
const LETTERS_MAX: usize = 1_000;

/// How a definition is replayed.
pub(super) struct Course {
    /// By the steps of the journal, or by steps of its own.
    pub obeys: bool,
    /// Steps of its own are small ones, as it matters when they come.
    pub small: bool,
}

impl Course {
    /// The journal is obeyed by the job's own definition. What began with the newest row, over a stretch, is not asked what it said, but
    /// what it would have; so is a definition that is `compared` with another one. What asks tables outside is asked by its journal, unless
    /// these are to be asked again.
    pub fn of(entry: &Entry, definition: &Definition, spec: &ReplaySpec, compared: bool) -> Result<Self> {
        let asked = asked(&definition.dataflow);
        let asks_would = start_at(entry) == StartAt::Latest && (spec.from.is_some() || spec.to.is_some());
        let asks_again = asked.iter().any(|table| spec.effects.contains(table));
        let is_told = (spec.speed.is_none() && !compared) || !asked.is_empty();
        let obeys = definition.own && !asks_would && !asks_again && is_told;
        if !obeys {
            check_named(&asked, &spec.effects)?;
        }
        Ok(Self { obeys, small: spec.speed.is_some() || spec.step_by_step })
    }
}

#[expect(clippy::large_enum_variant, reason = "a replay has one of them")]
enum Steps {
    /// Those of the journal. Those that lie before the place where the pipeline begins take nothing. If the first ones are gone, or rows
    /// that they took, what is left of these is taken in steps of its own, up to `first`.
    Journal { entries: JournalReader, eras: Eras, first: Option<Line> },
    /// Whatever is there, up to where the inputs ended when the replay began.
    Own(Limits),
}

/// A replay that is under way.
pub(super) struct Replay<'a> {
    inner: &'a Inner,
    watched: &'a Watched,
    pipeline: Pipeline,
    schema: SchemaRef,
    filter: Option<Filter>,
    steps: Steps,
    /// Where rows go that cannot be computed, and how many may yet go there. Those of a job's own definition are there.
    dead: Option<(DeadRows, usize)>,
    count: u64,
    /// The watermark at which all results of the stretch are out.
    enough: EventTime,
    is_over: bool,
    pace: Option<Pace>,
}

impl<'a> Replay<'a> {
    pub fn open(
        inner: &'a Arc<Inner>,
        entry: &Entry,
        definition: &Definition,
        watched: &'a Watched,
        course: &Course,
    ) -> Result<Self> {
        let spec = &watched.spec;
        let reach = definition.dataflow.reach();
        let start = start_of(inner, entry, definition, spec, reach, course.obeys)?;
        let enough = match (spec.to, reach) {
            (Some(to), Reach::Within(nanos)) => EventTime(to.0.saturating_add(nanos)),
            // A row that is late for nobody may come at any time, and a session may go on for ever.
            _ => EventTime::MAX,
        };
        let in_set = if course.obeys { inner.course_of(entry.name())? } else { None };
        let dataflow = match &in_set {
            Some(_) => Arc::new(inner.plan_to_run(&inner.catalog(), entry)?),
            None => Arc::clone(&definition.dataflow),
        };
        let mut pipeline =
            Pipeline::open(&*inner.log, dataflow, inner.options.workers, &start, inner.lease())?;
        pipeline.executor().thread_from(inner.options.threaded_rows_min);
        if let Some(in_set) = in_set {
            pipeline.restore_watermark(in_set.reached);
        }
        let lookups = lookups_of(inner, definition, spec)?;
        pipeline.look_up(lookups, inner.world.clone(), at_once());
        let steps = if course.obeys {
            let (job, eras) = (entry.name(), inner.eras_of(entry.name()));
            let journal = inner.journal_of(job)?;
            let mut entries = JournalReader::open(&*inner.log, &journal, job, 0, Vec::new(), &eras)?;
            let (start, journal, dataflow) = (&start, &journal, &**pipeline.dataflow());
            let needs = Needs { job, dataflow, journal, start, spec, reach };
            let first = needs.first_of(inner, &mut entries)?;
            Steps::Journal { entries, eras, first }
        } else {
            end_inputs(inner, &mut pipeline)?;
            let rows = if course.small { PACED_ROWS } else { inner.limits().rows };
            Steps::Own(Limits { rows, ..inner.limits() })
        };
        let dead = match definition.own {
            true => None,
            false => Some((inner.dead_rows(&definition.dataflow)?, LETTERS_MAX)),
        };
        Ok(Self {
            inner,
            watched,
            pipeline,
            schema: result_schema(&definition.dataflow),
            filter: Filter::of(spec, definition)?,
            steps,
            dead,
            count: 0,
            enough,
            is_over: false,
            pace: spec.speed.map(|speed| Pace::new(inner, &definition.dataflow, speed)).transpose()?,
        })
    }

    /// The next step; `None`: all results are out.
    pub fn next(&mut self) -> Result<Option<ReplayStep>> {
        self.watched.check(self.inner)?;
        if self.is_over {
            return Ok(None);
        }
        let now = self.inner.world.clock.monotonic();
        self.count += 1;
        let (number, step) = match &mut self.steps {
            Steps::Journal { entries, eras, first } => {
                let limits = self.inner.limits();
                let next = next_of(&mut self.pipeline, entries, eras, first, limits, now)?;
                let Some(step) = next else { return Ok(None) };
                self.is_over = step.1.watermark >= self.enough;
                step
            }
            Steps::Own(limits) => {
                if self.pipeline.is_finished() || self.pipeline.watermark() >= self.enough {
                    return Ok(None);
                }
                let Some(step) = self.pipeline.step_live(*limits, now)? else { return Ok(None) };
                (self.count, step)
            }
        };
        let uncomputed = self.leave_out(&step.output.failed)?;
        if let Some(pace) = &mut self.pace {
            pace.wait(self.inner, self.watched, self.pipeline.latest())?;
        }
        let rows = self.rows(&step.output.rows)?;
        let rows_out = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        self.watched.note(step.rows_in, rows_out, uncomputed, step.watermark);
        let sources = self.pipeline.dataflow().sources.iter().map(|source| source.stream.to_string());
        let places = self.pipeline.places().into_iter();
        let places = places.map(|shards| shards.into_iter().map(|(next, _)| next).collect());
        Ok(Some(ReplayStep {
            step: number,
            rows_in: step.rows_in,
            uncomputed,
            watermark: step.watermark,
            position: sources.zip(places).collect(),
            rows,
        }))
    }

    /// Counts the rows of a step that could not be computed, and puts the first ones of a replay to the dead letters.
    fn leave_out(&mut self, failed: &[Failed]) -> Result<u64> {
        if let Some((dead, left)) = &mut self.dead {
            let first = failed.iter().map(|failed| {
                let first = failed.first(*left);
                *left -= first.reasons.len();
                first
            });
            let first: Vec<Failed> = first.filter(|first| !first.reasons.is_empty()).collect();
            let who = format!("replay {} of job {}", self.watched.id, self.watched.spec.job);
            let letters = dead.of_replay(&who, &first, self.inner.world.clock.now())?;
            if !letters.is_empty() {
                self.inner.log.append(letters)?;
            }
        }
        Ok(failed.iter().map(|failed| failed.reasons.len() as u64).sum())
    }

    /// What a step says of the stretch, under the columns of the results.
    fn rows(&self, said: &[Rows]) -> Result<Vec<RecordBatch>> {
        let mut all = Vec::new();
        for rows in said {
            let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
            if columns.len() < self.schema.fields().len() {
                let ones = || Int64Array::from_value(1, rows.len());
                columns.push(Arc::new(rows.weights.clone().unwrap_or_else(ones)));
            }
            let rows = fit(&self.schema, columns)?;
            let rows = match self.filter {
                Some(filter) => filter.keep(rows)?,
                None => rows,
            };
            if rows.num_rows() > 0 {
                all.push(rows);
            }
        }
        Ok(all)
    }
}

/// The next step of a journal, and its number; `None`: there is none.
fn next_of(
    pipeline: &mut Pipeline,
    entries: &mut JournalReader,
    eras: &Eras,
    first: &mut Option<Line>,
    limits: Limits,
    now: Duration,
) -> Result<Option<(u64, Step)>> {
    if let Some(line) = first {
        if let Some(step) = pipeline.step_up_to(Some(&line.cut.ends()), limits, now)? {
            return Ok(Some((line.step, step)));
        }
        let step = pipeline.step_at(&line.cut, line.watermark, now)?;
        let number = line.step;
        *first = None;
        return Ok(Some((number, step)));
    }
    let Some(entry) = entries.next()? else { return Ok(None) };
    let step = if eras.is_former(entry.step) {
        pipeline.step_at(&entry.cut, entry.watermark, now)?
    } else {
        pipeline.obey_answers(entry.answers);
        pipeline.step_again(&entry.cut, entry.watermark, now)?
    };
    Ok(Some((entry.step, step)))
}

/// Lets the inputs end where they are now.
fn end_inputs(inner: &Inner, pipeline: &mut Pipeline) -> Result<()> {
    let streams: Vec<_> = pipeline.dataflow().sources.iter().map(|source| source.stream.clone()).collect();
    for stream in streams {
        let info = inner.log.stream_named(stream.as_str())?;
        let ends: Vec<Sequence> = inner.log.bounds(info.id)?.iter().map(|bounds| bounds.next).collect();
        pipeline.set_end(stream.as_str(), &ends);
    }
    Ok(())
}

/// The tables that are looked into, each with the stage that does; those that are not named are not asked.
fn lookups_of(
    inner: &Inner,
    definition: &Definition,
    spec: &ReplaySpec,
) -> Result<Vec<(usize, Box<dyn LookupTable>)>> {
    let dataflow = &definition.dataflow;
    let silenced = |(stage, table): (usize, Box<dyn LookupTable>)| {
        let named = dataflow.stages[stage].operators.first().and_then(|operator| operator.as_lookup());
        let is_named = named.is_some_and(|lookup| spec.effects.contains(&lookup.lookup().table));
        let asked: Box<dyn LookupTable> = if is_named { table } else { Box::new(Unasked(table.cache())) };
        (stage, asked)
    };
    Ok(inner.lookups_of(&inner.catalog(), dataflow)?.into_iter().map(silenced).collect())
}

/// Where the first row is that is taken.
fn start_of(
    inner: &Inner,
    entry: &Entry,
    definition: &Definition,
    spec: &ReplaySpec,
    reach: Reach,
    obeys: bool,
) -> Result<Start> {
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
