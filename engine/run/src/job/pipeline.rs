//! A dataflow over the log, a step at a time: what jobs, tails and replays have in common.
//!
//! A step is told how far to go in one of two ways: live, it takes what is there and answers a [`Cut`]; obeying, it is given a
//! cut and takes exactly that. The same cuts give the same rows.

mod cut;
mod idle;
mod limits;
mod start;
mod taking;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use headwater_core::{EventTime, Sequence, ShardId, StreamId, World};
use headwater_log::{Log, StreamInfo};
use headwater_operators::{Failed, Rows, StateBound, StateSize};
use headwater_plan::dataflow::{Dataflow, Exchange};

pub(crate) use self::cut::{Cut, ShardCut, ShardTime, Taken};
pub(crate) use self::idle::IdleTimeouts;
pub(crate) use self::limits::Limits;
pub(crate) use self::start::Start;
use super::clock::{ShardClock, job_watermark};
use super::exec::{Executor, StepOutput};
use super::lookup::{Answer, Answers, Patience};
use super::source::{Morsels, ShardInput, Until};
use super::spill::Lease;
use crate::error::{Result, RunError};
use crate::options::LookupTable;

/// What a step did.
pub(crate) struct Step {
    /// How far it went.
    pub cut: Cut,
    /// How far each source has been taken with it.
    pub taken: Vec<Taken>,
    /// How many rows it took.
    pub rows_in: u64,
    /// The watermark after it.
    pub watermark: EventTime,
    /// What it says.
    pub output: StepOutput,
}

struct SourceInput {
    info: Arc<StreamInfo>,
    shards: Vec<ShardInput>,
    /// Nothing is read from it, whatever a cut says.
    is_mute: bool,
}

/// A dataflow and its state.
pub(crate) struct Pipeline {
    dataflow: Arc<Dataflow>,
    sources: Vec<SourceInput>,
    executor: Executor,
    morsels: Morsels,
    /// Whether what is behind in event time is taken first, as rows of a source that is ahead would wait in the state for it.
    aligned: bool,
    /// Rows that were read for this step and of which a column could not be computed.
    failed: Vec<Failed>,
    watermark: EventTime,
    steps: u64,
    answers: Answers,
    idle_timeouts: IdleTimeouts,
}

/// After so many steps the state is measured, so that it is bounded whoever takes them.
const MEASURE_STEPS: u64 = 16;

impl Pipeline {
    /// Opens the sources and makes the operators, without state.
    pub fn open(
        log: &dyn Log,
        dataflow: Arc<Dataflow>,
        workers: usize,
        start: &Start,
        lease: Option<Lease>,
    ) -> Result<Self> {
        let mut sources = Vec::with_capacity(dataflow.sources.len());
        for (nth, source) in dataflow.sources.iter().enumerate() {
            let info = log.stream_named(source.stream.as_str())?;
            let mut shards = Vec::with_capacity(info.spec.shards as usize);
            for shard in 0..info.spec.shards {
                let (from, clock, first) = start.of(nth, shard);
                let mut input = ShardInput::open(log, &info, source, ShardId(shard), from)?;
                (input.clock, input.first) = (clock, first);
                shards.push(input);
            }
            sources.push(SourceInput { info, shards, is_mute: false });
        }
        let executor = Executor::new(Arc::clone(&dataflow), workers, lease)
            .map_err(|error| RunError::Operator { what: "making operators".into(), source: error })?;
        Ok(Self {
            morsels: morsels_of(&dataflow),
            aligned: waits_for_time(&dataflow),
            dataflow,
            sources,
            executor,
            failed: Vec::new(),
            watermark: EventTime::MIN,
            steps: 0,
            answers: Answers::default(),
            idle_timeouts: Arc::new(|_| None),
        })
    }

    /// The plan.
    pub fn dataflow(&self) -> &Arc<Dataflow> {
        &self.dataflow
    }

    /// The streams that it reads.
    pub fn streams(&self) -> Vec<StreamId> {
        self.sources.iter().map(|source| source.info.id).collect()
    }

    /// Whether it keeps anything from one step to the next.
    pub fn keeps_state(&self) -> bool {
        let mut operators = self.dataflow.stages.iter().flat_map(|stage| &stage.operators);
        self.morsels == Morsels::Counted || operators.any(|operator| operator.as_lookup().is_some())
    }

    /// The operators and their state.
    pub fn executor(&mut self) -> &mut Executor {
        &mut self.executor
    }

    /// How much state there is: all its entries, and the bytes in memory. What has outgrown its share is put away from now on.
    pub fn measure(&mut self) -> Result<StateSize> {
        self.executor.measure().map_err(|error| RunError::Operator { what: "a step".into(), source: error })
    }

    /// Asks tables outside, by the stages that look rows up in them.
    pub fn look_up(&mut self, tables: Vec<(usize, Box<dyn LookupTable>)>, world: World, patience: Patience) {
        for (stage, table) in &tables {
            self.executor.limit_lookup(*stage, table.cache());
        }
        self.answers.ask(tables, world, patience);
    }

    /// Asks the tables that another pipeline asks, which ends.
    pub fn look_up_like(&mut self, former: &mut Self) {
        self.answers = std::mem::take(&mut former.answers);
        for (stage, table) in self.answers.tables() {
            self.executor.limit_lookup(stage, table.cache());
        }
    }

    /// What tables outside answer to the next step, which is one of the journal.
    pub fn obey_answers(&mut self, answers: Vec<Answer>) {
        self.answers.obey(answers);
    }

    /// A step without rows in which something is said to an alarm or a scaling group; `None`: it is not in this dataflow.
    pub fn step_told(&mut self, to: &str, order: &RecordBatch) -> Result<Option<Step>> {
        let stages = stages_told(&self.dataflow, to);
        if stages.is_empty() {
            return Ok(None);
        }
        let told: Vec<Answer> = stages.into_iter().map(|stage| (stage, order.clone())).collect();
        self.step_told_again(&told).map(Some)
    }

    /// The same with what was said to which stages.
    pub fn step_told_again(&mut self, told: &[Answer]) -> Result<Step> {
        told.iter().for_each(|(stage, order)| self.answers.tell(*stage, order.clone()));
        let none = self.sources.iter().map(|_| Vec::new()).collect();
        self.run_to(none, self.watermark, None)
    }

    /// Reads from some of the sources alone, from now on.
    pub fn read_only(&mut self, wanted: &[bool]) {
        self.sources.iter_mut().zip(wanted).for_each(|(source, wanted)| source.is_mute = !wanted);
    }

    /// Whether a step to this cut would take rows from any source that is read.
    pub fn would_take(&self, cut: &Cut) -> bool {
        let read = self.sources.iter().zip(&cut.shards).filter(|(source, _)| !source.is_mute);
        let mut shards = read.flat_map(|(source, cuts)| source.shards.iter().zip(cuts));
        shards.any(|(shard, cut)| shard.position() < cut.next)
    }

    /// The watermark after the last step.
    pub fn watermark(&self) -> EventTime {
        self.watermark
    }

    /// Takes only rows of an event time, from now on.
    pub fn take_since(&mut self, since: Option<EventTime>) {
        self.sources.iter_mut().flat_map(|source| &mut source.shards).for_each(|shard| shard.since = since);
    }

    /// Puts the watermark where a checkpoint has it.
    pub fn restore_watermark(&mut self, watermark: EventTime) {
        self.watermark = watermark;
        self.executor.restore_watermark(watermark);
    }

    /// Where each shard is and what its clock says: what a checkpoint keeps.
    pub fn places(&self) -> Vec<Vec<(Sequence, ShardClock)>> {
        let of = |source: &SourceInput| {
            source.shards.iter().map(|shard| (shard.position(), shard.clock)).collect()
        };
        self.sources.iter().map(of).collect()
    }

    /// How far each source has been taken.
    pub fn taken(&self) -> Vec<Taken> {
        let taken = |source: &SourceInput| Taken {
            stream: source.info.id,
            next: source.shards.iter().map(ShardInput::position).collect(),
            clocks: source.shards.iter().map(|shard| shard.clock).collect(),
        };
        self.sources.iter().map(taken).collect()
    }

    /// Says where the shards of a stream end.
    pub fn set_end(&mut self, stream: &str, ends: &[Sequence]) {
        for source in self.sources.iter_mut().filter(|source| source.info.spec.name.as_str() == stream) {
            for (shard, end) in source.shards.iter_mut().zip(ends) {
                shard.end = Some(*end);
            }
        }
    }

    /// Whether all input has ended and been taken.
    pub fn is_finished(&self) -> bool {
        self.sources.iter().all(|source| source.shards.iter().all(|shard| shard.clock.ended))
    }

    /// What the next live step should take of what it may.
    pub fn modest(&mut self, limits: Limits) -> Limits {
        limits.within(&self.dataflow, self.executor.spilled_bytes())
    }

    /// Takes what is there. `None`: nothing is, and no shard has ended since the last step.
    pub fn step_live(&mut self, limits: Limits, now: Duration) -> Result<Option<Step>> {
        self.step_up_to(None, limits, now)
    }

    /// Takes what is there up to an end for each shard of each source, or without one. A shard that has been without rows for long enough
    /// is idle from this step on, however busy others are.
    pub fn step_up_to(
        &mut self,
        ends: Option<&[Vec<Sequence>]>,
        limits: Limits,
        now: Duration,
    ) -> Result<Option<Step>> {
        let shards = self.sources.iter().map(|source| source.shards.len()).sum::<usize>().max(1);
        let (rows, bytes) = ((limits.rows / shards).max(1), (limits.bytes / shards).max(1));
        let end = |source: usize, shard: usize| ends.and_then(|ends| ends.get(source)?.get(shard)).copied();
        let until = |source, shard| {
            let end = end(source, shard).unwrap_or(Sequence(u64::MAX));
            Until::Budget { rows, bytes, end }
        };
        let before: Vec<_> = self.places();
        let morsels = match self.aligned {
            _ if self.waits_for_first(end) => self.take_first(until, now)?,
            true => self.take_aligned(until, now)?,
            false => self.take(until, now)?,
        };
        self.end_shards(&before, now);
        if self.places() == before {
            return Ok(None);
        }
        let timeouts = Arc::clone(&self.idle_timeouts);
        // One that has come to its end waits for that, and not for rows.
        self.fall_idle(&*timeouts, now, |shard| !shard.is_at_end());
        self.run(morsels, None).map(Some)
    }

    /// Takes exactly what a cut says, and puts time where another plan over the same rows had it after that step.
    pub fn step_at(&mut self, cut: &Cut, watermark: EventTime, now: Duration) -> Result<Step> {
        let morsels = self.take_cut(cut, now)?;
        self.run_to(morsels, watermark.max(self.watermark), cut.advance)
    }

    /// Does a step of a journal again, which says where time was after it. Where rows are gone of a stream that is kept in memory alone,
    /// time is put where they had put it: what that said is said, and is not said again.
    pub fn step_again(&mut self, cut: &Cut, watermark: EventTime, now: Duration) -> Result<Step> {
        let morsels = self.take_cut(cut, now)?;
        let is_whole = self.lost_ranges().next().is_none();
        // Earlier versions ended time when some shards had ended and the others were idle.
        let ended_early = watermark == EventTime::MAX && self.all_idle();
        if is_whole && !ended_early {
            return self.run(morsels, cut.advance);
        }
        self.run_to(morsels, watermark.max(self.watermark), cut.advance)
    }

    /// The rows that are gone of streams that are kept in memory alone, and were to be taken.
    fn lost_ranges(&self) -> impl Iterator<Item = (&StreamInfo, ShardId, &Range<Sequence>)> {
        self.sources.iter().flat_map(|source| {
            source.shards.iter().filter_map(|shard| Some((&*source.info, shard.shard, shard.lost.as_ref()?)))
        })
    }

    /// Says which rows are gone of streams that are kept in memory alone, if any were to be taken.
    pub fn lost(&self) -> Option<String> {
        let range = |(info, shard, lost): (&StreamInfo, ShardId, &Range<Sequence>)| {
            format!("rows {} to {} of stream {} shard {shard}", lost.start, lost.end, info.spec.name)
        };
        let all: Vec<String> = self.lost_ranges().map(range).collect();
        (!all.is_empty()).then(|| {
            format!(
                "HW1010 {} are gone, as it is kept in memory alone; the job goes on without them",
                all.join(", ")
            )
        })
    }

    fn run(&mut self, morsels: Vec<Vec<Rows>>, advance: Option<EventTime>) -> Result<Step> {
        let timed = self.dataflow.sources.iter().any(|source| source.watermark.is_some());
        let clocks = self.sources.iter().zip(&self.dataflow.sources).flat_map(|(source, spec)| {
            // A source without event time does not hold back those that have it.
            let counts = spec.watermark.is_some() || !timed;
            let per_key = spec.watermark.as_ref().is_none_or(|watermark| watermark.per_key);
            source.shards.iter().filter(move |_| counts).map(move |shard| (&shard.clock, per_key))
        });
        let watermark = job_watermark(clocks, self.watermark, advance);
        self.run_to(morsels, watermark, advance)
    }

    fn run_to(
        &mut self,
        morsels: Vec<Vec<Rows>>,
        watermark: EventTime,
        advance: Option<EventTime>,
    ) -> Result<Step> {
        let rows_in = morsels.iter().flatten().map(|rows| rows.len() as u64).sum();
        let mut output = self
            .executor
            .step(morsels, watermark, self.answers.begin())
            .map_err(|error| RunError::Operator { what: "a step".into(), source: error })?;
        output.failed.splice(..0, self.failed.drain(..));
        self.watermark = watermark;
        self.steps += 1;
        if self.steps.is_multiple_of(MEASURE_STEPS) {
            self.measure()?;
        }
        let shards = self.sources.iter().map(|source| {
            let cut = |shard: &ShardInput| ShardCut {
                next: shard.position(),
                idle: shard.clock.idle,
                ended: shard.clock.ended,
            };
            source.shards.iter().map(cut).collect()
        });
        let cut = Cut { shards: shards.collect(), advance };
        Ok(Step { cut, taken: self.taken(), rows_in, watermark, output })
    }
}

/// The stages of a dataflow to which something can be said under this name: an alarm is in each dataflow that hears it.
pub(crate) fn stages_told(dataflow: &Dataflow, name: &str) -> Vec<usize> {
    let stages = dataflow.stages.iter().enumerate();
    let told = stages.filter(|(_, stage)| {
        stage.operators.iter().any(|operator| operator.takes_orders_for() == Some(name))
    });
    told.map(|(nth, _)| nth).collect()
}

/// Morsels matter where they are aggregated, and clocks where something waits for time: in stages with state.
fn morsels_of(dataflow: &Dataflow) -> Morsels {
    let mut exchanges = dataflow.stages.iter().flat_map(|stage| &stage.inputs).map(|input| &input.exchange);
    let keeps_none = exchanges.all(|exchange| *exchange == Exchange::Forward);
    if keeps_none { Morsels::AsRead } else { Morsels::Counted }
}

/// Whether the state ends with the watermark, so that it is the smaller the closer the sources are to one another in event time.
fn waits_for_time(dataflow: &Dataflow) -> bool {
    let mut operators = dataflow.stages.iter().flat_map(|stage| &stage.operators);
    operators.any(|operator| operator.state_bound() == StateBound::Watermark)
}
