//! Runs the stages of a dataflow over one step's rows.
//!
//! Work is spread over threads in two ways, and neither shows in the result:
//!
//! - a stateless stage is run morsel by morsel, each by whichever worker is free; the results are put back in the
//!   morsels' order;
//! - a keyed stage has one operator instance per worker, or more ([`super::keyed`]); each row goes to the instance that owns its
//!   key's slot, in the input's order, and what the instances emit is merged by the operator's own order.
//!
//! A step that holds few rows is run on the calling thread: starting threads would cost more than they save. So is any step while other
//! jobs wait for a thread.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::compute::{concat as concat_arrays, concat_batches};
use headwater_core::EventTime;
use headwater_operators::{
    Clocks, Failed, Late, LookupCache, LookupOperator, Operator, OperatorError, Output, Rows, Snapshot,
    StateEntries, StateSize,
};
use headwater_plan::dataflow::{Dataflow, Exchange, Stage, Upstream};
use parking_lot::Mutex;

use super::keyed::Keyed;
use super::lookup::{Answer, StepAnswers};
use super::spill::{Lease, StatePart};
use crate::options::EngineOptions;

type Result<T> = std::result::Result<T, OperatorError>;

/// What a step says.
#[derive(Default)]
pub(crate) struct StepOutput {
    /// The result's rows, in canonical order.
    pub rows: Vec<Rows>,
    /// The rows that came too late, in canonical order.
    pub late: Vec<Late>,
    /// The rows for which an expression could not be computed, in canonical order.
    pub failed: Vec<Failed>,
    /// What tables outside were asked and said.
    pub answers: Vec<Answer>,
}

impl StepOutput {
    /// How many rows the result has.
    pub fn count(&self) -> u64 {
        self.rows.iter().map(|rows| rows.len() as u64).sum()
    }
}

/// The operator instances of one job and the state in them.
pub(crate) struct Executor {
    dataflow: Arc<Dataflow>,
    stages: Vec<Instances>,
    /// The watermark of the step before.
    watermark: EventTime,
    /// What the state may take of memory; without it, all it wants.
    lease: Option<Lease>,
    /// Over how many threads a step may be spread, whatever the number of workers.
    threads: usize,
    /// Stages that are given fewer rows than this are run on one.
    threaded_rows_min: usize,
}

enum Instances {
    /// For each worker, a chain of operators without state.
    Stateless(Vec<Vec<Box<dyn Operator>>>),
    /// Instances of an operator with state.
    Keyed(Keyed),
    /// An operator that asks a table outside. It keeps the order of its input.
    Lookup(Box<LookupOperator>),
}

impl Executor {
    /// Makes the instances, without state.
    pub fn new(dataflow: Arc<Dataflow>, workers: usize, lease: Option<Lease>) -> Result<Self> {
        let each = dataflow.stages.iter().enumerate();
        let stages = each.map(|(nth, stage)| instantiate(stage, workers, asks_for_batches(&dataflow, nth)));
        let stages = stages.collect::<Result<_>>()?;
        let (threads, threaded_rows_min) = (usize::MAX, EngineOptions::THREADED_ROWS_MIN);
        Ok(Self { dataflow, stages, watermark: EventTime::MIN, lease, threads, threaded_rows_min })
    }

    /// Starts threads for so many rows or more, from now on.
    pub fn thread_from(&mut self, rows: usize) {
        self.threaded_rows_min = rows;
    }

    /// Spreads steps over so many threads at the most, from now on: others want theirs.
    pub fn spread_over(&mut self, threads: usize) {
        self.threads = threads;
    }

    /// Runs one step: `sources` holds the morsels of each source, in canonical order.
    pub fn step(
        &mut self,
        sources: Vec<Vec<Rows>>,
        watermark: EventTime,
        mut outside: StepAnswers<'_>,
    ) -> Result<StepOutput> {
        debug_assert!(watermark >= self.watermark, "a watermark never moves back");
        let before = std::mem::replace(&mut self.watermark, watermark);
        let dataflow = Arc::clone(&self.dataflow);
        let mut outputs: Vec<Vec<Rows>> = Vec::with_capacity(dataflow.stages.len());
        let (mut late, mut failed, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        for (nth, (stage, instances)) in dataflow.stages.iter().zip(&mut self.stages).enumerate() {
            let held: Vec<Cow<'_, [Rows]>> = stage
                .inputs
                .iter()
                .map(|input| match input.from {
                    Upstream::Source(source) => hold_back(&sources[source], stage.delay),
                    Upstream::Stage(upstream) => {
                        hold_back(&outputs[upstream], stage.delay - dataflow.stages[upstream].delay)
                    }
                })
                .collect();
            let told: Vec<Rows> = match instances {
                Instances::Keyed(_) => outside.told(nth).cloned().map(Rows::new).collect(),
                Instances::Stateless(_) | Instances::Lookup(_) => Vec::new(),
            };
            let mut inputs: Vec<(usize, &[Rows])> =
                held.iter().enumerate().map(|(nth, rows)| (nth, rows.as_ref())).collect();
            if !told.is_empty() {
                answers.extend(told.iter().map(|order| (nth, order.batch.clone())));
                inputs.insert(0, (0, told.as_slice()));
            }
            let threads = if row_count(&inputs) < self.threaded_rows_min { 1 } else { self.threads };
            let output = match instances {
                Instances::Stateless(chains) => run_stateless(chains, &inputs, threads)?,
                Instances::Keyed(keyed) => {
                    let (before, watermark) = (earlier(before, stage.delay), earlier(watermark, stage.delay));
                    keyed.run(stage, &inputs, before, watermark, threads)?
                }
                Instances::Lookup(operator) => {
                    let rows = inputs.first().map_or(&[][..], |(_, rows)| *rows);
                    if let Some((answer, unfit)) = outside.to(nth, operator, rows)? {
                        operator.learn(&answer)?;
                        answers.push((nth, answer));
                        failed.extend(unfit);
                    }
                    let mut output = Output::default();
                    rows.iter().try_for_each(|rows| operator.join(rows).map(|rows| output.emit(rows)))?;
                    operator.settle();
                    output
                }
            };
            drop(held);
            late.extend(output.late);
            failed.extend(output.failed);
            outputs.push(output.rows);
        }
        Ok(StepOutput { rows: outputs.pop().unwrap_or_default(), late, failed, answers })
    }

    /// What has changed in the state since the last call (or all of it), with the stage it belongs to.
    pub fn snapshot(&mut self, full: bool) -> Result<Vec<(usize, StatePart)>> {
        let mut all = Vec::new();
        self.snapshot_to(full, &mut |stage, part| all.push((stage, part)))?;
        Ok(all)
    }

    /// The same, each part as soon as there is one.
    pub fn snapshot_to(&mut self, full: bool, take: &mut dyn FnMut(usize, StatePart)) -> Result<()> {
        for (nth, (_, keyed)) in self.keyed() {
            keyed.snapshot(full, &mut |part| take(nth, part))?;
        }
        for (nth, operator) in self.lookups() {
            operator.snapshot(full, &mut Snapshot::to(&mut |entries| take(nth, StatePart::Here(entries))))?;
        }
        Ok(())
    }

    /// Says that so many bytes of state are about to be restored, so that they go where they fit.
    pub fn expect(&mut self, bytes: u64) {
        let Some(mut lease) = self.lease.take() else { return };
        let allowance = lease.note(0);
        let stages = self.keyed().filter(|(_, (stage, keyed))| keyed.can_split(stage)).count() as u64;
        // What is restored takes more in memory than it does as bytes.
        if bytes > allowance / 4 && stages > 0 {
            for (_, (stage, keyed)) in self.keyed() {
                if keyed.can_split(stage) {
                    keyed.put_all_away(&mut lease, allowance / stages, bytes);
                }
            }
        }
        self.lease = Some(lease);
    }

    /// Gives back one part of a snapshot, each row to the instance that owns its slot now.
    pub fn restore(&mut self, stage: usize, entries: &StateEntries) -> Result<()> {
        if let Some((_, operator)) = self.lookups().find(|(nth, _)| *nth == stage) {
            return operator.restore(entries);
        }
        match self.keyed().find(|(nth, _)| *nth == stage) {
            Some((_, (stage, keyed))) => keyed.restore(stage, entries),
            None => Err(OperatorError::BadCheckpoint {
                operator: format!("stage {stage}"),
                reason: "the checkpoint has state for a stage that keeps none".into(),
            }),
        }
    }

    /// Says how much of what a table outside answered a stage keeps.
    pub fn limit_lookup(&mut self, stage: usize, limits: LookupCache) {
        if let Some((_, operator)) = self.lookups().find(|(nth, _)| *nth == stage) {
            operator.limit(limits);
        }
    }

    /// Sets the watermark that the first step after a restore follows on.
    pub fn restore_watermark(&mut self, watermark: EventTime) {
        self.watermark = watermark;
    }

    /// Whether there is state that waits for time to pass, or ends with the watermark.
    pub fn waits_for_time(&mut self) -> bool {
        self.keyed().any(|(_, (stage, keyed))| keyed.waits_for_time(stage))
    }

    /// How much state there is: all its entries, and the bytes of those in memory. What has outgrown its share of the memory is
    /// put away from now on.
    pub fn measure(&mut self) -> Result<StateSize> {
        let mut sum = StateSize::default();
        let mut holders = 0;
        for (_, (_, keyed)) in self.keyed() {
            let size = keyed.measure();
            sum.entries += size.entries;
            sum.bytes += size.bytes;
            holders += u64::from(size.entries > 0);
        }
        let mut asked = 0;
        for (_, operator) in self.lookups() {
            let size = operator.state_size();
            sum.entries += size.entries;
            asked += size.bytes;
        }
        sum.bytes += asked;
        if let Some(mut lease) = self.lease.take() {
            let share = lease.note(sum.bytes) / holders.max(1);
            let bounded =
                self.keyed().try_for_each(|(_, (stage, keyed))| keyed.bound(stage, share, &mut lease));
            self.lease = Some(lease);
            bounded?;
            // What has been put away just now is not in memory any more.
            let resident: u64 = self.keyed().map(|(_, (_, keyed))| keyed.resident_bytes()).sum();
            sum.bytes = asked + resident;
        }
        Ok(sum)
    }

    /// Bytes of state that are in files instead of memory.
    pub fn spilled_bytes(&mut self) -> u64 {
        self.keyed().map(|(_, (_, keyed))| keyed.spilled_bytes()).sum()
    }

    /// The stages with state, by their numbers.
    fn keyed(&mut self) -> impl Iterator<Item = (usize, (&Stage, &mut Keyed))> {
        let stages = self.dataflow.stages.iter().zip(&mut self.stages).enumerate();
        stages.filter_map(|(nth, (stage, instances))| match instances {
            Instances::Keyed(keyed) => Some((nth, (stage, keyed))),
            Instances::Stateless(_) | Instances::Lookup(_) => None,
        })
    }

    /// The stages that ask tables outside, by their numbers.
    fn lookups(&mut self) -> impl Iterator<Item = (usize, &mut LookupOperator)> {
        self.stages.iter_mut().enumerate().filter_map(|(nth, instances)| match instances {
            Instances::Lookup(operator) => Some((nth, &mut **operator)),
            Instances::Stateless(_) | Instances::Keyed(_) => None,
        })
    }
}

/// Rows whose clocks are earlier, for a stage in which event time may lie further behind than in the one before.
fn hold_back(rows: &[Rows], by: i64) -> Cow<'_, [Rows]> {
    if by <= 0 {
        return Cow::Borrowed(rows);
    }
    let each = |rows: &Rows| {
        let clocks = match &rows.clocks {
            Clocks::Uniform(time) => Clocks::Uniform(earlier(*time, by)),
            Clocks::PerRow(times) => Clocks::PerRow(times.unary(|time| earlier(EventTime(time), by).0)),
        };
        Rows { batch: rows.batch.clone(), weights: rows.weights.clone(), clocks }
    };
    Cow::Owned(rows.iter().map(each).collect())
}

/// A watermark held back. The end of time stays where it is: no row comes after it.
pub(super) fn earlier(time: EventTime, by: i64) -> EventTime {
    if time == EventTime::MAX { time } else { EventTime(time.0.saturating_sub(by)) }
}

/// Whether a stage takes what another emits by batches, and not row by row.
fn asks_for_batches(dataflow: &Dataflow, nth: usize) -> bool {
    let reads = |stage: &Stage| stage.inputs.iter().any(|input| input.from == Upstream::Stage(nth));
    let mut readers = dataflow.stages.iter().enumerate().filter(|(_, stage)| reads(stage));
    readers.any(|(reader, stage)| {
        let passes_on = stage.inputs.iter().all(|input| input.exchange == Exchange::Forward);
        let adds_up = stage.operators.iter().any(|operator| operator.adds_up_batches());
        adds_up || (passes_on && asks_for_batches(dataflow, reader))
    })
}

fn instantiate(stage: &Stage, workers: usize, as_one: bool) -> Result<Instances> {
    if let [operator] = stage.operators.as_slice()
        && let Some(lookup) = operator.as_lookup()
    {
        return Ok(Instances::Lookup(Box::new(lookup.open()?)));
    }
    let keyed = stage.inputs.iter().any(|input| input.exchange != Exchange::Forward);
    if !keyed {
        let chain = || stage.operators.iter().map(|operator| operator.instantiate()).collect::<Result<_>>();
        return Ok(Instances::Stateless((0..workers).map(|_| chain()).collect::<Result<_>>()?));
    }
    assert_eq!(stage.operators.len(), 1, "a keyed stage holds one operator");
    Ok(Instances::Keyed(Keyed::new(stage, workers, as_one)?))
}

fn row_count(inputs: &[(usize, &[Rows])]) -> usize {
    inputs.iter().flat_map(|(_, rows)| rows.iter()).map(Rows::len).sum()
}

fn run_stateless(
    chains: &mut [Vec<Box<dyn Operator>>],
    inputs: &[(usize, &[Rows])],
    threads_max: usize,
) -> Result<Output> {
    let morsels: Vec<(usize, &Rows)> =
        inputs.iter().flat_map(|(nth, rows)| rows.iter().map(move |rows| (*nth, rows))).collect();
    if chains[0].is_empty() {
        return Ok(Output {
            rows: morsels.into_iter().map(|(_, rows)| rows.clone()).collect(),
            ..Output::default()
        });
    }
    let threads = chains.len().min(morsels.len()).min(threads_max);
    if threads <= 1 {
        let mut all = Output::default();
        for (input, rows) in morsels {
            run_chain(&mut chains[0], input, rows.clone(), &mut all)?;
        }
        return Ok(all);
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Output>)>> = Mutex::new(Vec::with_capacity(morsels.len()));
    std::thread::scope(|scope| {
        for chain in &mut chains[..threads] {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some((input, rows)) = morsels.get(nth) else { break };
                    let mut output = Output::default();
                    let result = run_chain(chain, *input, (*rows).clone(), &mut output).map(|()| output);
                    done.lock().push((nth, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(nth, _)| *nth);
    let mut all = Output::default();
    for (_, output) in done {
        let output = output?;
        all.rows.extend(output.rows);
        all.late.extend(output.late);
        all.failed.extend(output.failed);
    }
    Ok(all)
}

/// Pushes rows through a chain; what comes out at its end is added to `out`.
fn run_chain(chain: &mut [Box<dyn Operator>], input: usize, rows: Rows, out: &mut Output) -> Result<()> {
    let mut now = vec![rows];
    for (nth, operator) in chain.iter_mut().enumerate() {
        let mut output = Output::default();
        for rows in now {
            operator.on_batch(if nth == 0 { input } else { 0 }, rows, &mut output)?;
        }
        out.late.append(&mut output.late);
        out.failed.append(&mut output.failed);
        now = output.rows;
        if now.is_empty() {
            return Ok(());
        }
    }
    out.rows.extend(now);
    Ok(())
}

/// How often each of the rows is added or retracted. There is one at least.
pub(crate) fn concat_weights(rows: &[Rows]) -> Result<Int64Array> {
    let each = rows.iter().map(|rows| match &rows.weights {
        Some(weights) => weights.clone(),
        None => Int64Array::from_value(1, rows.len()),
    });
    let each: Vec<Int64Array> = each.collect();
    let parts: Vec<&dyn Array> = each.iter().map(|weights| weights as &dyn Array).collect();
    Ok(concat_arrays(&parts)?.as_primitive().clone())
}

/// All the rows in one batch, for those who need them together.
pub(crate) fn concat(schema: &arrow::datatypes::SchemaRef, rows: &[Rows]) -> Result<RecordBatch> {
    Ok(concat_batches(schema, rows.iter().map(|rows| &rows.batch))?)
}
