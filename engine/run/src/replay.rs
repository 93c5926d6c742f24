//! Replay: what a job would have said over a stretch of history.
//!
//! Without a stretch and with the job's own definition, the journal is obeyed: the same steps, so the same rows in the same
//! order, including those that a floating-point sum's rounding depends on. With a stretch or another definition there is no journal to
//! obey; the rows of the stretch are taken at full speed and the inputs end with it, so that all windows close. With a speed, small
//! steps are taken and each waits until as much real time has passed as its event time asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow_row::{OwnedRow, RowConverter, SortField};
use headwater_core::{EventTime, Sequence, ShardId, StreamName};
use headwater_log::{Append, From, Log, ReadSpec, StreamInfo, StreamSpec};
use headwater_operators::Rows;
use headwater_plan::{Dataflow, Entry, METADATA_COLUMNS, Statement, parse_one};
use parking_lot::{Condvar, Mutex};

use crate::engine::{Inner, ensure_stream, first_place, result_schema};
use crate::error::{Result, RunError};
use crate::job::{JournalReader, Limits, Pipeline, Start, Stretch, fit, nanos};
use crate::{ReplayReport, ReplaySpec};

/// Runs a replay. Blocks.
pub(crate) fn run(inner: &Arc<Inner>, spec: &ReplaySpec) -> Result<ReplayReport> {
    let catalog = inner.catalog();
    let entry = catalog.get(&spec.job).ok_or_else(|| RunError::NoJob { name: spec.job.clone() })?;
    let exact = spec.query.is_none() && spec.from.is_none() && spec.to.is_none() && spec.speed.is_none();
    let own = match entry {
        // What came of its activities belongs to what it decided then, and to nothing else.
        Entry::ScalingGroup(group) if !exact => {
            inner.planner.scaling_group(&catalog, &inner.tables(), group, true)?
        }
        _ => inner.plan_of(&catalog, entry, None)?,
    };
    let other = spec.query.as_deref().map(|text| other_plan(inner, text)).transpose()?;
    let dataflow = Arc::new(other.unwrap_or(own));
    let stretch =
        Stretch { from: spec.from.unwrap_or(EventTime::MIN), to: spec.to.unwrap_or(EventTime::MAX) };
    let start = start_of(inner, entry, &dataflow, exact, stretch)?;
    let mut replay = Replay::open(inner, Arc::clone(&dataflow), stretch, &start)?;
    if let Some(name) = &spec.into {
        replay.into = Some(target(inner, name, &replay.report.schema)?);
    }
    if let Some(speed) = spec.speed {
        replay.pace = Some(Pace::new(inner, &dataflow, speed)?);
    }
    if exact {
        replay.obey(inner, &spec.job)?
    } else {
        replay.finish(inner)?
    }
    let mut report = replay.report;
    if spec.diff {
        let target = match entry {
            Entry::Job(job) => job.target.as_str(),
            Entry::Alarm(_) => headwater_plan::ALARM_HISTORY,
            Entry::ScalingGroup(_) => headwater_plan::SCALING_ACTIVITIES,
            _ => spec.job.as_str(),
        };
        let shared = match entry {
            Entry::Alarm(_) => Some("alarm"),
            Entry::ScalingGroup(_) => Some("group"),
            _ => None,
        };
        let own = shared.map(|column| (column, spec.job.as_str()));
        let before = results_of(inner, target, own, &report.schema, &dataflow, stretch)?;
        let (only_before, only_now, in_both) = differences(&report.schema, &before, &report.rows)?;
        (report.only_before, report.only_now, report.in_both) = (only_before, only_now, in_both);
    }
    Ok(report)
}

/// Where the first row is: that of the stretch, or where the job itself began.
fn start_of(
    inner: &Inner,
    entry: &Entry,
    dataflow: &Dataflow,
    exact: bool,
    stretch: Stretch,
) -> Result<Start> {
    if exact && let Entry::Trigger(trigger) = entry {
        return first_place(inner, trigger);
    }
    let by_arrival = |source: &headwater_plan::dataflow::Source| {
        source.watermark.as_ref().is_some_and(|watermark| watermark.text == METADATA_COLUMNS[2])
    };
    Ok(Start::At(match stretch.from {
        EventTime::MIN => From::Earliest,
        from if dataflow.sources.iter().any(by_arrival) => From::Arrival(from),
        from => From::EventTime(from),
    }))
}

fn other_plan(inner: &Arc<Inner>, text: &str) -> Result<Dataflow> {
    let parsed = parse_one(text)?;
    match &parsed.statement {
        Statement::Query(query) => inner.plan_query(query),
        Statement::Insert(insert) => inner.plan_query(&insert.query),
        Statement::CreateJob(job) => inner.plan_query(&job.definition.query),
        Statement::CreateMaterializedView(view) => inner.plan_query(&view.definition.query),
        Statement::CreateScalingGroup(group) => {
            Ok(inner.planner.scaling_group(&inner.catalog(), &inner.tables(), &group.definition, true)?)
        }
        Statement::CreateAlarm(alarm) => {
            Ok(inner.planner.alarm(&inner.catalog(), &inner.tables(), &alarm.definition)?)
        }
        Statement::CreateTrigger(create) => {
            Ok(inner.planner.trigger(&inner.catalog(), &inner.tables(), &create.definition)?.dataflow)
        }
        _ => Err(RunError::Invalid("the other definition of a job must be a query".into())),
    }
}

struct Replay {
    pipeline: Pipeline,
    report: ReplayReport,
    log: Arc<dyn Log>,
    /// The stream that takes the results as they come.
    into: Option<Arc<StreamInfo>>,
    pace: Option<Pace>,
}

impl Replay {
    fn open(inner: &Inner, dataflow: Arc<Dataflow>, stretch: Stretch, start: &Start) -> Result<Self> {
        let schema = result_schema(&dataflow);
        let mut pipeline = Pipeline::open(&*inner.log, dataflow, inner.options.workers, start)?;
        pipeline.set_stretch(stretch);
        let report = ReplayReport {
            schema,
            rows_in: 0,
            rows: Vec::new(),
            only_before: Vec::new(),
            only_now: Vec::new(),
            in_both: 0,
        };
        Ok(Self { pipeline, report, log: Arc::clone(&inner.log), into: None, pace: None })
    }

    /// Does the steps of the journal again.
    fn obey(&mut self, inner: &Inner, job: &str) -> Result<()> {
        let journal = inner.log.stream_named(&format!("system.journal.{job}"))?;
        let mut entries = JournalReader::open(&*inner.log, &journal, job, 0, Vec::new())?;
        while let Some(entry) = entries.next()? {
            let step = self.pipeline.step_obeying(&entry.cut, inner.world.clock.monotonic())?;
            self.take(step.rows_in, &step.output.rows)?;
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
        while !self.pipeline.is_finished() {
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
            if let Some(into) = &self.into {
                let rows = fit(&into.spec.schema, rows.columns().to_vec())?;
                self.log.append(vec![Append::new(into.id, ShardId(0), rows)])?;
            }
            self.report.rows.push(rows);
        }
        Ok(())
    }
}

/// The column by which a result belongs to a stretch: the one that carries event time or, where the query gives none (a job
/// that keeps only the start of its windows, say), the first timestamp.
fn time_of(dataflow: &Dataflow, schema: &SchemaRef) -> Option<usize> {
    let is_time = |field: &Arc<Field>| matches!(field.data_type(), DataType::Timestamp(..));
    dataflow.result.event_time.or_else(|| schema.fields().iter().position(is_time))
}

/// What the job has said, over the stretch if its results have a time. Of a stream that several share, its own rows: those with
/// this value in this column.
fn results_of(
    inner: &Inner,
    target: &str,
    own: Option<(&str, &str)>,
    schema: &SchemaRef,
    dataflow: &Dataflow,
    stretch: Stretch,
) -> Result<Vec<RecordBatch>> {
    let info = inner.log.stream_named(target)?;
    let mut batches = Vec::new();
    for (shard, bounds) in inner.log.bounds(info.id)?.iter().enumerate() {
        if bounds.first == bounds.next {
            continue;
        }
        let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard as u32)) };
        let mut reader = inner.log.read(spec)?;
        while let Some(read) = reader.next()? {
            let mut rows = read.rows;
            if let Some((column, owner)) = own
                && let Some(names) = rows.column_by_name(column)
            {
                let names = names.as_string::<i32>();
                let own: BooleanArray = names.iter().map(|name| Some(name == Some(owner))).collect();
                rows = arrow::compute::filter_record_batch(&rows, &own)?;
            }
            if let Some(column) = time_of(dataflow, schema).filter(|_| stretch != Stretch::ALL) {
                let times = nanos(rows.column(column))
                    .map_err(|source| RunError::Operator { job: target.to_owned(), source })?;
                let within = (0..times.len())
                    .map(|row| times.is_valid(row) && stretch.holds(EventTime(times.value(row))));
                let mask: BooleanArray = within.map(Some).collect();
                rows = arrow::compute::filter_record_batch(&rows, &mask)?;
            }
            if rows.num_columns() != schema.fields().len() {
                return Err(RunError::Invalid(format!(
                    "stream {target} has {} columns, the replay has {}: they cannot be compared",
                    rows.num_columns(),
                    schema.fields().len()
                )));
            }
            batches.push(fit(schema, rows.columns().to_vec())?);
        }
    }
    Ok(batches)
}

/// Compares two bags of rows: only in the first, only in the second, how many in both.
fn differences(
    schema: &SchemaRef,
    before: &[RecordBatch],
    now: &[RecordBatch],
) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>, u64)> {
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let mut counts: BTreeMap<OwnedRow, (u64, u64)> = BTreeMap::new();
    for (batches, is_now) in [(before, false), (now, true)] {
        for batch in batches {
            for row in &converter.convert_columns(batch.columns())? {
                let (before, now) = counts.entry(row.owned()).or_default();
                *if is_now { now } else { before } += 1;
            }
        }
    }
    let rest = |of: &dyn Fn(&(u64, u64)) -> u64| -> Result<Vec<RecordBatch>> {
        let rows =
            counts.iter().flat_map(|(row, counts)| std::iter::repeat_n(row.row(), of(counts) as usize));
        let columns = converter.convert_rows(rows)?;
        let batch = RecordBatch::try_new(Arc::clone(schema), columns)?;
        Ok(if batch.num_rows() > 0 { vec![batch] } else { Vec::new() })
    };
    let in_both = counts.values().map(|(before, now)| (*before).min(*now)).sum();
    Ok((
        rest(&|(before, now)| before.saturating_sub(*now))?,
        rest(&|(before, now)| now.saturating_sub(*before))?,
        in_both,
    ))
}

/// The stream that takes the results.
fn target(inner: &Inner, name: &str, schema: &SchemaRef) -> Result<Arc<StreamInfo>> {
    let stream = StreamName::new(name).map_err(|error| RunError::Invalid(error.to_string()))?;
    ensure_stream(&*inner.log, StreamSpec::new(stream, Arc::clone(schema)))
}

/// The most rows of a step when it matters when they come.
const PACED_ROWS: usize = 64;

/// Lets event time pass at a multiple of real time.
struct Pace {
    speed: f64,
    /// Where event time and the monotonic clock were at the first step.
    began: Option<(EventTime, Duration)>,
    nudge: (Mutex<()>, Condvar),
}

impl Pace {
    fn new(inner: &Inner, dataflow: &Dataflow, speed: f64) -> Result<Self> {
        inner.check_open()?;
        if !(speed.is_finite() && speed > 0.0) {
            return Err(RunError::Invalid(format!("{speed} is no speed; 60 lets a minute pass in a second")));
        }
        if dataflow.sources.iter().all(|source| source.watermark.is_none()) {
            return Err(RunError::Invalid(
                "no stream that the job reads has event time, so there is no speed at which it could pass"
                    .into(),
            ));
        }
        Ok(Self { speed, began: None, nudge: (Mutex::new(()), Condvar::new()) })
    }

    /// Waits until it is time for what happened at `reached`.
    fn wait(&mut self, inner: &Inner, reached: EventTime) -> Result<()> {
        if reached == EventTime::MIN {
            return Ok(());
        }
        let clock = &inner.world.clock;
        let (from, began) = *self.began.get_or_insert_with(|| (reached, clock.monotonic()));
        let passed = reached.0.saturating_sub(from.0).max(0) as f64 / self.speed;
        let due = began.saturating_add(Duration::from_nanos(passed as u64));
        loop {
            let now = clock.monotonic();
            if now >= due {
                return Ok(());
            }
            inner.check_open()?;
            if !inner.world.tasks.drive() {
                // Nobody nudges: this is a pause that looks up now and then whether the engine closes.
                let pause = (due - now).min(Duration::from_millis(200));
                self.nudge.1.wait_for(&mut self.nudge.0.lock(), pause);
            }
        }
    }
}
