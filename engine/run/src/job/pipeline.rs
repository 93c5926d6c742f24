//! A dataflow over the log, a step at a time: what jobs, tails and replays have in common.
//!
//! A step is told how far to go in one of two ways: live, it takes what is there and answers a [`Cut`]; obeying, it is given a
//! cut and takes exactly that. The same cuts give the same rows.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use headwater_core::{EventTime, Sequence, ShardId, StreamId, World};
use headwater_log::{From, Log, ShardBounds, StreamInfo};
use headwater_operators::{Changes, Failed, Rows, StateBound, StateSize};
use headwater_plan::dataflow::{Dataflow, Exchange};

use super::clock::{NEW_CLOCK, ShardClock, job_watermark};
use super::exec::{Executor, StepOutput};
use super::lookup::{Answer, Answers, Patience};
use super::source::{Morsels, ShardInput, Until};
use super::spill::Lease;
use crate::error::{Result, RunError};
use crate::options::LookupTable;

/// How far a step goes, and what the runtime decided in it: what the journal keeps.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Cut {
    /// For each source, for each shard.
    pub shards: Vec<Vec<ShardCut>>,
    /// Where time was put, when all shards were idle.
    pub advance: Option<EventTime>,
}

impl Cut {
    /// The first row of each shard that is not taken.
    pub fn ends(&self) -> Vec<Vec<Sequence>> {
        let of = |shards: &Vec<ShardCut>| shards.iter().map(|shard| shard.next).collect();
        self.shards.iter().map(of).collect()
    }
}

/// How far a step goes in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardCut {
    /// The first row that the step does not take.
    pub next: Sequence,
    /// The shard was declared idle before this step, and had no rows in it.
    pub idle: bool,
    /// The shard has ended.
    pub ended: bool,
}

/// How far a source has been taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// Its stream.
    pub stream: StreamId,
    /// The first row of each shard that has not been taken.
    pub next: Vec<Sequence>,
}

impl Taken {
    /// How many rows of the log have not been taken.
    pub fn lag(&self, log: &dyn Log) -> Result<u64> {
        let bounds = log.bounds(self.stream)?;
        // What is gone is not to be taken any more.
        let behind = |(bounds, next): (&ShardBounds, &Sequence)| {
            bounds.next.0.saturating_sub(next.max(&bounds.first).0)
        };
        Ok(bounds.iter().zip(&self.next).map(behind).sum())
    }
}

/// How much a live step takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Rows, roughly.
    pub rows: usize,
    /// Bytes, roughly.
    pub bytes: usize,
}

/// What a step takes at most where a larger one would save nothing: what it makes of its rows is in memory with them.
const MODEST: Limits = Limits { rows: 1 << 17, bytes: 8 << 20 };

impl Limits {
    /// What a step over a dataflow should take of this, while so many bytes of state are in files.
    ///
    /// Where changes are added up within a step, a larger one says less; and where state is in files, it reads each of them once.
    fn within(self, dataflow: &Dataflow, spilled_bytes: u64) -> Self {
        let mut operators = dataflow.stages.iter().flat_map(|stage| &stage.operators);
        if spilled_bytes > 0 || operators.any(|operator| operator.changes() != Changes::AppendOnly) {
            return self;
        }
        Self { rows: self.rows.min(MODEST.rows), bytes: self.bytes.min(MODEST.bytes) }
    }
}

/// What a step did.
pub(crate) struct Step {
    /// How far it went.
    pub cut: Cut,
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

/// Where a pipeline starts reading.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Every shard at the same kind of place.
    At(From),
    /// At these cuts, with these clocks: a checkpoint.
    Resume(Vec<Vec<(Sequence, ShardClock)>>),
    /// Where the set was that a trigger came to.
    Member {
        /// The shards of its stream, and what their clocks said. All sources read that one.
        shards: Vec<(Sequence, ShardClock)>,
        /// The first row of each shard that it judges. Those before move the clock and nothing else.
        first: Vec<Sequence>,
    },
}

impl Start {
    /// Where reading of a shard begins, what its clock says there, and the first row that counts.
    fn of(&self, source: usize, shard: u32) -> (From, ShardClock, Sequence) {
        let shard = shard as usize;
        let (place, first) = match self {
            Self::At(from) => return (*from, NEW_CLOCK, Sequence::ZERO),
            Self::Resume(places) => (places.get(source).and_then(|shards| shards.get(shard)), None),
            Self::Member { shards, first } => (shards.get(shard), first.get(shard)),
        };
        let (next, clock) = place.copied().unwrap_or((Sequence::ZERO, NEW_CLOCK));
        (From::Sequence(next), clock, first.copied().unwrap_or(Sequence::ZERO))
    }
}

/// After how long without rows a shard of a stream is idle.
pub(crate) type IdleTimeouts = Arc<dyn Fn(&StreamInfo) -> Option<Duration> + Send + Sync>;

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
            .map_err(|error| RunError::Operator { job: "planning".into(), source: error })?;
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
        self.executor.measure().map_err(|error| RunError::Operator { job: "step".into(), source: error })
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

    /// Says after how long without rows shards are idle in live steps; nobody has said so: never.
    pub fn set_idle_timeouts(&mut self, timeouts: IdleTimeouts) {
        self.idle_timeouts = timeouts;
    }

    /// Counts how long shards have been quiet from now on.
    pub fn count_quiet_from(&mut self, now: Duration) {
        self.sources.iter_mut().flat_map(|source| &mut source.shards).for_each(|shard| shard.last_rows = now);
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
        let next = |source: &SourceInput| source.shards.iter().map(ShardInput::position).collect();
        self.sources.iter().map(|source| Taken { stream: source.info.id, next: next(source) }).collect()
    }

    /// How far each source had been taken by the step that went to a cut.
    pub fn taken_at(&self, cut: &Cut) -> Vec<Taken> {
        let taken = |(source, next): (&SourceInput, Vec<Sequence>)| Taken { stream: source.info.id, next };
        self.sources.iter().zip(cut.ends()).map(taken).collect()
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
        let morsels = if self.aligned { self.take_aligned(until, now)? } else { self.take(until, now)? };
        self.end_shards(&before, now);
        if self.places() == before {
            return Ok(None);
        }
        let timeouts = Arc::clone(&self.idle_timeouts);
        // One that has come to its end waits for that, and not for rows.
        self.fall_idle(&*timeouts, now, |shard| !shard.is_at_end());
        self.run(morsels, None).map(Some)
    }

    /// Ends the shards that have come to their end and had no rows in this step. One whose clock is ahead of time and of all others waits
    /// until those have ended or overtaken it: so time comes to what the rows have said before it ends, wherever steps were cut.
    ///
    /// ```text
    ///   shard 0   rows up to 100 │ waits │ ended
    ///   shard 1   rows up to 50  │ ended │
    ///   time      50             │ 100   │ its end
    /// ```
    fn end_shards(&mut self, before: &[Vec<(Sequence, ShardClock)>], now: Duration) {
        let reached = self.watermark;
        let shards = self.sources.iter_mut().zip(before).flat_map(|(source, before)| {
            source.shards.iter_mut().zip(before).map(|(shard, (from, _))| (shard, *from))
        });
        let open = shards.filter(|(shard, _)| !shard.clock.ended);
        let (done, others): (Vec<_>, Vec<_>) =
            open.partition(|(shard, from)| shard.is_at_end() && shard.position() == *from);
        let of_others = others.iter().map(|(shard, _)| shard.clock.watermark).max();
        let of_done = done.iter().map(|(shard, _)| shard.clock.watermark).max();
        let is_ahead = |shard: &ShardInput| {
            let own = Some(shard.clock.watermark);
            shard.clock.watermark > reached && own == of_done && own > of_others
        };
        let (waiting, ending): (Vec<_>, Vec<_>) = done.into_iter().partition(|(shard, _)| is_ahead(shard));
        // Nobody is left to wait for: time comes to them in this step, and they end in the next one.
        let are_last = others.is_empty();
        let nothing_changes = ending.is_empty() && waiting.iter().all(|(shard, _)| !shard.clock.idle);
        ending.into_iter().for_each(|(shard, _)| shard.clock.ended = true);
        for (shard, _) in waiting.into_iter().filter(|_| are_last) {
            (shard.clock.idle, shard.last_rows) = (false, now);
            shard.clock.ended = nothing_changes;
        }
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

    fn take_cut(&mut self, cut: &Cut, now: Duration) -> Result<Vec<Vec<Rows>>> {
        for (source, cuts) in self.sources.iter_mut().zip(&cut.shards) {
            for (shard, cut) in source.shards.iter_mut().zip(cuts) {
                shard.clock.idle = cut.idle;
                shard.end = if cut.ended { Some(cut.next) } else { None };
            }
        }
        let morsels = self.take(|source, shard| Until::Cut(cut.shards[source][shard].next), now)?;
        // Rows end a shard's idleness, but the cut has the last word: it was made after the same rows.
        for (source, cuts) in self.sources.iter_mut().zip(&cut.shards) {
            for (shard, cut) in source.shards.iter_mut().zip(cuts) {
                shard.clock.idle = cut.idle;
            }
        }
        Ok(morsels)
    }

    /// A step without rows: shards that have been without any for long enough are declared idle, and when all of them are,
    /// time is put to `advance`. `None` if that changes nothing.
    pub fn step_idle(&mut self, now: Duration, advance: Option<EventTime>) -> Result<Option<Step>> {
        let timeouts = Arc::clone(&self.idle_timeouts);
        self.step_quiet(&*timeouts, now, advance)
    }

    fn step_quiet(
        &mut self,
        timeout: &dyn Fn(&StreamInfo) -> Option<Duration>,
        now: Duration,
        advance: Option<EventTime>,
    ) -> Result<Option<Step>> {
        let changed = self.fall_idle(timeout, now, |_| true);
        let advance = advance.filter(|time| self.all_idle() && *time > self.watermark);
        if !changed && advance.is_none() {
            return Ok(None);
        }
        let none = self.sources.iter().map(|_| Vec::new()).collect();
        self.run(none, advance).map(Some)
    }

    /// A step without rows in which the shards of a stream are declared idle and, if no other is awake, time is put to `time`. `None` if
    /// that changes nothing, or if the job does not read the stream.
    pub fn step_advance(&mut self, stream: &str, time: EventTime, now: Duration) -> Result<Option<Step>> {
        if self.sources.iter().all(|source| source.info.spec.name.as_str() != stream) {
            return Ok(None);
        }
        let none = |info: &StreamInfo| (info.spec.name.as_str() == stream).then_some(Duration::ZERO);
        self.step_quiet(&none, now, Some(time))
    }

    /// Declares shards idle that have been without rows for so long. Whether there were any.
    fn fall_idle(
        &mut self,
        timeout: &dyn Fn(&StreamInfo) -> Option<Duration>,
        now: Duration,
        may: impl Fn(&ShardInput) -> bool,
    ) -> bool {
        let mut changed = false;
        for source in &mut self.sources {
            let Some(timeout) = timeout(&source.info) else { continue };
            for shard in source.shards.iter_mut().filter(|shard| !shard.clock.idle && !shard.clock.ended) {
                if now.saturating_sub(shard.last_rows) >= timeout && may(shard) {
                    shard.clock.idle = true;
                    changed = true;
                }
            }
        }
        changed
    }

    /// How long until a shard falls idle if no rows come; when all are idle, how long until time is moved on.
    pub fn idle_in(&self, now: Duration) -> Option<Duration> {
        let timed =
            self.sources.iter().zip(&self.dataflow.sources).filter(|(_, spec)| spec.watermark.is_some());
        let left = timed
            .filter_map(|(source, _)| Some((source, (self.idle_timeouts)(&source.info)?)))
            .flat_map(|(source, timeout)| {
                let open = source.shards.iter().filter(|shard| !shard.clock.ended);
                open.map(move |shard| match shard.clock.idle {
                    true => (true, timeout),
                    false => (false, (shard.last_rows + timeout).saturating_sub(now)),
                })
            });
        // Shards that are awake come first; only when none is left does time go on by itself.
        left.min().map(|(_, left)| left)
    }

    /// Whether no shard that has not ended is awake, and one is asleep.
    pub fn all_idle(&self) -> bool {
        let mut open = self
            .sources
            .iter()
            .flat_map(|source| &source.shards)
            .filter(|shard| !shard.clock.ended)
            .peekable();
        open.peek().is_some() && open.all(|shard| shard.clock.idle)
    }

    /// Whether time is that of processing, which goes on by itself.
    pub fn is_in_processing_time(&self) -> bool {
        let mut watermarks = self.dataflow.sources.iter().filter_map(|source| source.watermark.as_ref());
        watermarks.any(|watermark| watermark.processing)
    }

    /// The greatest watermark that any shard's rows have reached.
    pub fn latest(&self) -> EventTime {
        let clocks = self.sources.iter().flat_map(|source| &source.shards).map(|shard| shard.clock.watermark);
        clocks.max().unwrap_or(EventTime::MIN)
    }

    fn take(&mut self, until: impl Fn(usize, usize) -> Until, now: Duration) -> Result<Vec<Vec<Rows>>> {
        (0..self.sources.len()).map(|nth| self.take_source(nth, &until, now)).collect()
    }

    /// Takes from the source that is furthest behind in event time first. As long as it has more rows than a step takes and its time goes
    /// on, nothing is taken from sources that are ahead of it:
    ///
    /// ```text
    ///   source 0   ├─── taken so far ───┤─ this step ─┤─ more ── …
    ///   source 1   ├─── taken so far ────────────────────┤ waits, in the log
    ///   time       ──────────────────────────────────────────────►
    /// ```
    fn take_aligned(
        &mut self,
        until: impl Fn(usize, usize) -> Until,
        now: Duration,
    ) -> Result<Vec<Vec<Rows>>> {
        let mut order: Vec<(Option<EventTime>, usize)> =
            (0..self.sources.len()).map(|nth| (self.time_of(nth), nth)).collect();
        order.sort_unstable();
        let mut all: Vec<Vec<Rows>> = self.sources.iter().map(|_| Vec::new()).collect();
        let mut furthest_behind: Option<EventTime> = None;
        for (before, nth) in order {
            if let (Some(time), Some(behind)) = (before, furthest_behind)
                && time > behind
            {
                // It is made to wait, and not quiet.
                self.sources[nth].shards.iter_mut().for_each(|shard| shard.last_rows = now);
                continue;
            }
            all[nth] = self.take_source(nth, &until, now)?;
            let has_more = self.sources[nth].shards.iter().any(|shard| shard.has_more);
            if let Some(time) = self.time_of(nth).filter(|time| has_more && Some(*time) > before) {
                furthest_behind = Some(furthest_behind.map_or(time, |behind| behind.min(time)));
            }
        }
        Ok(all)
    }

    /// How far a source's event time has come, if its rows share one and it is awake.
    fn time_of(&self, nth: usize) -> Option<EventTime> {
        let watermark = self.dataflow.sources[nth].watermark.as_ref()?;
        if watermark.per_key || watermark.processing || self.sources[nth].is_mute {
            return None;
        }
        let awake = self.sources[nth].shards.iter().filter(|shard| !shard.clock.ended && !shard.clock.idle);
        awake.map(|shard| shard.clock.watermark).min()
    }

    fn take_source(
        &mut self,
        nth: usize,
        until: &impl Fn(usize, usize) -> Until,
        now: Duration,
    ) -> Result<Vec<Rows>> {
        let (spec, source) = (&self.dataflow.sources[nth], &mut self.sources[nth]);
        let mut morsels = Vec::new();
        if source.is_mute {
            return Ok(morsels);
        }
        for (shard_nth, shard) in source.shards.iter_mut().enumerate() {
            let until = until(nth, shard_nth);
            let taken = shard.take(spec, until, self.watermark, self.morsels)?;
            self.failed.append(&mut shard.failed);
            // One that is held back at an end may well have rows behind it.
            let is_held = matches!(until, Until::Budget { end, .. } if shard.position() >= end);
            if !taken.is_empty() || is_held {
                shard.last_rows = now;
            }
            morsels.extend(taken);
        }
        Ok(morsels)
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
            .map_err(|error| RunError::Operator { job: "step".into(), source: error })?;
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
        Ok(Step { cut: Cut { shards: shards.collect(), advance }, rows_in, watermark, output })
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
