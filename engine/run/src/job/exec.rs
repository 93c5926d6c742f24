//! Runs the stages of a dataflow over one step's rows.
//!
//! Work is spread over threads in two ways, and neither shows in the result:
//!
//! - a stateless stage is run morsel by morsel, each by whichever worker is free; the results are put back in the
//!   morsels' order;
//! - a keyed stage has one operator instance per worker; each row goes to the instance that owns its key's slot,
//!   in the input's order, and what the instances emit is merged by the operator's own order.
//!
//! A step that holds few rows is run on the calling thread: starting threads would cost more than they save.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat_batches, interleave_record_batch, lexsort_to_indices};
use headwater_core::EventTime;
use headwater_core::hash::{hash_rows, slot_of, worker_of};
use headwater_operators::{
    Clocks, Late, Operator, OperatorError, Output, Rows, Snapshot, StateBound, StateEntries, StateSize,
};
use headwater_plan::dataflow::{Dataflow, Exchange, Stage, Upstream};
use parking_lot::Mutex;

/// Steps with fewer rows than this are run on one thread.
const PARALLEL_ROWS_MIN: usize = 16_384;

type Result<T> = std::result::Result<T, OperatorError>;

/// What a step says.
#[derive(Default)]
pub(crate) struct StepOutput {
    /// The result's rows, in canonical order.
    pub rows: Vec<Rows>,
    /// The rows that came too late, in canonical order.
    pub late: Vec<Late>,
}

/// The operator instances of one job and the state in them.
pub(crate) struct Executor {
    dataflow: Arc<Dataflow>,
    stages: Vec<Instances>,
    /// The watermark of the step before.
    watermark: EventTime,
}

enum Instances {
    /// For each worker, a chain of operators without state.
    Stateless(Vec<Vec<Box<dyn Operator>>>),
    /// For each worker, an operator with state.
    Keyed(Vec<Box<dyn Operator>>),
}

impl Executor {
    /// Makes the instances, without state.
    pub fn new(dataflow: Arc<Dataflow>, workers: usize) -> Result<Self> {
        let stages =
            dataflow.stages.iter().map(|stage| instantiate(stage, workers)).collect::<Result<_>>()?;
        Ok(Self { dataflow, stages, watermark: EventTime::MIN })
    }

    /// Runs one step: `sources` holds the morsels of each source, in canonical order.
    pub fn step(&mut self, sources: Vec<Vec<Rows>>, watermark: EventTime) -> Result<StepOutput> {
        debug_assert!(watermark >= self.watermark, "a watermark never moves back");
        let before = std::mem::replace(&mut self.watermark, watermark);
        let dataflow = Arc::clone(&self.dataflow);
        let mut outputs: Vec<Vec<Rows>> = Vec::with_capacity(dataflow.stages.len());
        let mut late = Vec::new();
        for (stage, instances) in dataflow.stages.iter().zip(&mut self.stages) {
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
            let inputs: Vec<(usize, &[Rows])> =
                held.iter().enumerate().map(|(nth, rows)| (nth, rows.as_ref())).collect();
            let output = match instances {
                Instances::Stateless(chains) => run_stateless(chains, &inputs)?,
                Instances::Keyed(operators) => {
                    let (before, watermark) = (earlier(before, stage.delay), earlier(watermark, stage.delay));
                    run_keyed(stage, operators, &inputs, before, watermark)?
                }
            };
            drop(held);
            late.extend(output.late);
            outputs.push(output.rows);
        }
        Ok(StepOutput { rows: outputs.pop().unwrap_or_default(), late })
    }

    /// What has changed in the state since the last call (or all of it), with the stage it belongs to.
    pub fn snapshot(&mut self, full: bool) -> Result<Vec<(usize, StateEntries)>> {
        let mut all = Vec::new();
        for (nth, stage) in self.stages.iter_mut().enumerate() {
            let Instances::Keyed(operators) = stage else { continue };
            for operator in operators {
                let mut snapshot = Snapshot::default();
                operator.snapshot(full, &mut snapshot)?;
                all.extend(snapshot.entries.into_iter().map(|entries| (nth, entries)));
            }
        }
        Ok(all)
    }

    /// Gives back one part of a snapshot, each row to the instance that owns its slot now.
    pub fn restore(&mut self, stage: usize, entries: &StateEntries) -> Result<()> {
        let Some(Instances::Keyed(operators)) = self.stages.get_mut(stage) else {
            return Err(OperatorError::BadCheckpoint {
                operator: format!("stage {stage}"),
                reason: "the checkpoint has state for a stage that keeps none".into(),
            });
        };
        let workers = operators.len() as u32;
        for (worker, operator) in operators.iter_mut().enumerate() {
            if workers == 1 || entries.slots.is_empty() {
                operator.restore(entries)?;
                continue;
            }
            let own: Vec<u32> = (0..entries.slots.len() as u32)
                .filter(|row| worker_of(entries.slots[*row as usize], workers) == worker as u32)
                .collect();
            if own.is_empty() {
                continue;
            }
            operator.restore(&StateEntries {
                table: entries.table.clone(),
                change: entries.change,
                slots: own.iter().map(|row| entries.slots[*row as usize]).collect(),
                rows: arrow::compute::take_record_batch(&entries.rows, &UInt32Array::from(own))?,
            })?;
        }
        Ok(())
    }

    /// Sets the watermark that the first step after a restore follows on.
    pub fn restore_watermark(&mut self, watermark: EventTime) {
        self.watermark = watermark;
    }

    /// Whether there is state that waits for time to pass, or ends with the watermark.
    pub fn waits_for_time(&self) -> bool {
        self.dataflow.stages.iter().zip(&self.stages).any(|(stage, instances)| match instances {
            Instances::Stateless(_) => false,
            Instances::Keyed(operators) => {
                let ends = stage.operators[0].state_bound() == StateBound::Watermark;
                operators
                    .iter()
                    .any(|operator| operator.waits_for_time() || (ends && operator.state_size().entries > 0))
            }
        })
    }

    /// How much state there is.
    pub fn state_size(&self) -> StateSize {
        let mut sum = StateSize::default();
        for stage in &self.stages {
            let Instances::Keyed(operators) = stage else { continue };
            for size in operators.iter().map(|operator| operator.state_size()) {
                sum.entries += size.entries;
                sum.bytes += size.bytes;
            }
        }
        sum
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
fn earlier(time: EventTime, by: i64) -> EventTime {
    if time == EventTime::MAX { time } else { EventTime(time.0.saturating_sub(by)) }
}

fn instantiate(stage: &Stage, workers: usize) -> Result<Instances> {
    let keyed = stage.inputs.iter().any(|input| input.exchange != Exchange::Forward);
    if !keyed {
        let chain = || stage.operators.iter().map(|operator| operator.instantiate()).collect::<Result<_>>();
        return Ok(Instances::Stateless((0..workers).map(|_| chain()).collect::<Result<_>>()?));
    }
    assert_eq!(stage.operators.len(), 1, "a keyed stage holds one operator");
    let gathered = stage.inputs.iter().any(|input| input.exchange == Exchange::Gather);
    let instances = if gathered { 1 } else { workers };
    Ok(Instances::Keyed((0..instances).map(|_| stage.operators[0].instantiate()).collect::<Result<_>>()?))
}

fn row_count(inputs: &[(usize, &[Rows])]) -> usize {
    inputs.iter().flat_map(|(_, rows)| rows.iter()).map(Rows::len).sum()
}

fn run_stateless(chains: &mut [Vec<Box<dyn Operator>>], inputs: &[(usize, &[Rows])]) -> Result<Output> {
    let morsels: Vec<(usize, &Rows)> =
        inputs.iter().flat_map(|(nth, rows)| rows.iter().map(move |rows| (*nth, rows))).collect();
    if chains[0].is_empty() {
        return Ok(Output {
            rows: morsels.into_iter().map(|(_, rows)| rows.clone()).collect(),
            ..Output::default()
        });
    }
    let threads = chains.len().min(morsels.len());
    if threads <= 1 || row_count(inputs) < PARALLEL_ROWS_MIN {
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
        now = output.rows;
        if now.is_empty() {
            return Ok(());
        }
    }
    out.rows.extend(now);
    Ok(())
}

fn run_keyed(
    stage: &Stage,
    operators: &mut [Box<dyn Operator>],
    inputs: &[(usize, &[Rows])],
    before: EventTime,
    watermark: EventTime,
) -> Result<Output> {
    let run = |operator: &mut Box<dyn Operator>, rows: Vec<(usize, Rows)>| -> Result<Output> {
        let mut output = Output::default();
        for (input, rows) in rows {
            operator.on_batch(input, rows, &mut output)?;
        }
        operator.on_watermark(watermark, &mut output)?;
        Ok(output)
    };
    let parts = spread(stage, inputs, operators.len())?;
    let mut outputs: Vec<Result<Output>> = Vec::with_capacity(operators.len());
    if operators.len() == 1 || row_count(inputs) < PARALLEL_ROWS_MIN {
        outputs.extend(operators.iter_mut().zip(parts).map(|(operator, rows)| run(operator, rows)));
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = operators
                .iter_mut()
                .zip(parts)
                .map(|(operator, rows)| scope.spawn(|| run(operator, rows)))
                .collect();
            outputs.extend(threads.into_iter().map(|thread| match thread.join() {
                Ok(output) => output,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
        });
    }
    let outputs = outputs.into_iter().collect::<Result<Vec<_>>>()?;
    merge(stage, outputs, before)
}

/// Gives each worker the rows whose keys it owns, in the input's order.
fn spread(stage: &Stage, inputs: &[(usize, &[Rows])], workers: usize) -> Result<Vec<Vec<(usize, Rows)>>> {
    let mut parts: Vec<Vec<(usize, Rows)>> = (0..workers).map(|_| Vec::new()).collect();
    for (nth, morsels) in inputs {
        for rows in *morsels {
            let Exchange::Hash(columns) = &stage.inputs[*nth].exchange else {
                parts[0].push((*nth, rows.clone()));
                continue;
            };
            if workers == 1 || columns.is_empty() {
                parts[0].push((*nth, rows.clone()));
                continue;
            }
            let keys: Vec<_> = columns.iter().map(|column| Arc::clone(rows.batch.column(*column))).collect();
            let mut indices: Vec<Vec<u32>> = vec![Vec::new(); workers];
            for (row, hash) in hash_rows(&keys)?.into_iter().enumerate() {
                indices[worker_of(slot_of(hash), workers as u32) as usize].push(row as u32);
            }
            for (part, own) in parts.iter_mut().zip(indices) {
                if own.len() == rows.len() {
                    part.push((*nth, rows.clone()));
                } else if !own.is_empty() {
                    part.push((*nth, rows.take(&UInt32Array::from(own))?));
                }
            }
        }
    }
    Ok(parts)
}

/// Puts what several instances emitted in the operator's order, and late rows in the order of their values: neither
/// may depend on how many instances there are.
fn merge(stage: &Stage, outputs: Vec<Output>, before: EventTime) -> Result<Output> {
    let instances = outputs.len();
    let mut all = Output::default();
    let mut slots: Vec<Vec<u32>> = Vec::new();
    for output in outputs {
        all.rows.extend(output.rows.into_iter().map(|rows| Rows { clocks: Clocks::Uniform(before), ..rows }));
        all.late.extend(output.late);
        slots.extend(Some(output.slots).filter(|slots| !slots.is_empty()));
    }
    let order = stage.operators[0].emission().order;
    if slots.len() > 1 {
        all.rows = vec![merge_slots(&all.rows, &slots, before)?];
    } else if instances > 1 && !order.is_empty() && all.rows.len() > 1 {
        all.rows = vec![sort_rows(&all.rows, &order, before)?];
    }
    let mut late: BTreeMap<Arc<str>, Vec<Late>> = BTreeMap::new();
    for one in all.late {
        late.entry(Arc::clone(&one.operator)).or_default().push(one);
    }
    // By operator, since a join's sides differ in their columns.
    all.late = late.values().map(|late| sort_late(late)).collect::<Result<_>>()?;
    Ok(all)
}

/// The rows of all instances, ordered by slot. A slot belongs to one instance, so that its rows are in order already.
fn merge_slots(rows: &[Rows], slots: &[Vec<u32>], clock: EventTime) -> Result<Rows> {
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(slots.iter().map(Vec::len).sum());
    for (instance, slots) in slots.iter().enumerate() {
        debug_assert_eq!(slots.len(), rows[instance].len(), "each row has its slot");
        places.extend((0..slots.len()).map(|row| (instance, row)));
    }
    places.sort_by_key(|(instance, row)| slots[*instance][*row]);
    let batches: Vec<&RecordBatch> = rows.iter().map(|rows| &rows.batch).collect();
    let batch = interleave_record_batch(&batches, &places)?;
    let weight = |rows: &Rows, row: usize| rows.weights.as_ref().map_or(1, |weights| weights.value(row));
    let weights = rows.iter().any(|rows| rows.weights.is_some()).then(|| {
        Int64Array::from_iter_values(places.iter().map(|(instance, row)| weight(&rows[*instance], *row)))
    });
    Ok(Rows { batch, weights, clocks: Clocks::Uniform(clock) })
}

fn sort_rows(rows: &[Rows], order: &[usize], clock: EventTime) -> Result<Rows> {
    let batch = concat_batches(&rows[0].batch.schema(), rows.iter().map(|rows| &rows.batch))?;
    let weights = rows.iter().any(|rows| rows.weights.is_some()).then(|| {
        let each = rows.iter().flat_map(|rows| {
            (0..rows.len()).map(move |row| rows.weights.as_ref().map_or(1, |weights| weights.value(row)))
        });
        each.collect::<Int64Array>()
    });
    let mut columns: Vec<SortColumn> = order.iter().map(|column| ascending(batch.column(*column))).collect();
    columns.extend(weights.iter().map(|weights| ascending(&(Arc::new(weights.clone()) as _))));
    // Ties keep the instances' order: the position is the last key, since the sort itself is not stable.
    let position: arrow::array::ArrayRef =
        Arc::new(UInt32Array::from_iter_values(0..batch.num_rows() as u32));
    columns.push(ascending(&position));
    let indices = lexsort_to_indices(&columns, None)?;
    Rows { batch, weights, clocks: Clocks::Uniform(clock) }.take(&indices)
}

fn sort_late(late: &[Late]) -> Result<Late> {
    let batch = concat_batches(&late[0].batch.schema(), late.iter().map(|late| &late.batch))?;
    let sortable = |column: &&arrow::array::ArrayRef| !column.data_type().is_nested();
    let columns: Vec<_> = batch.columns().iter().filter(sortable).map(ascending).collect();
    let batch = if columns.is_empty() || batch.num_rows() < 2 {
        batch
    } else {
        let indices = lexsort_to_indices(&columns, None)?;
        arrow::compute::take_record_batch(&batch, &indices)?
    };
    Ok(Late { batch, operator: Arc::clone(&late[0].operator) })
}

fn ascending(values: &arrow::array::ArrayRef) -> SortColumn {
    let options = SortOptions { descending: false, nulls_first: true };
    SortColumn { values: Arc::clone(values), options: Some(options) }
}

/// All the rows in one batch, for those who need them together.
pub(crate) fn concat(schema: &arrow::datatypes::SchemaRef, rows: &[Rows]) -> Result<RecordBatch> {
    Ok(concat_batches(schema, rows.iter().map(|rows| &rows.batch))?)
}
