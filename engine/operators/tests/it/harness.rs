//! Plays the runner: routes rows by slot, runs steps, merges outputs, takes snapshots and restores them elsewhere.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat, concat_batches, lexsort_to_indices};
use headwater_core::EventTime;
use headwater_core::hash::{hash_rows, slot_of, worker_of};
use headwater_operators::{Operator, OperatorSpec, Output, Rows, Snapshot, StateEntries, StateSize};

/// Batches, and the watermark after them.
#[derive(Clone)]
pub struct Step {
    pub batches: Vec<Rows>,
    pub watermark: i64,
}

/// What is done after a step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Between {
    Nothing,
    /// Takes a snapshot.
    Snapshot {
        full: bool,
    },
    /// Takes a snapshot, forgets everything, restores with so many workers.
    Restart {
        full: bool,
        workers: u32,
    },
}

/// Instances of one operator.
pub struct Runner {
    spec: Arc<dyn OperatorSpec>,
    /// For each input, by which columns rows are routed; none: all to the first.
    keys: Vec<Vec<usize>>,
    instances: Vec<Box<dyn Operator>>,
    snapshots: Vec<StateEntries>,
    pub late: Vec<String>,
}

impl Runner {
    pub fn new(spec: Arc<dyn OperatorSpec>, keys: &[usize], workers: u32) -> Self {
        let instances = (0..workers).map(|_| spec.instantiate().unwrap()).collect();
        Self { spec, keys: vec![keys.to_vec()], instances, snapshots: Vec::new(), late: Vec::new() }
    }

    /// Instances of an operator with two inputs.
    pub fn of_two(spec: Arc<dyn OperatorSpec>, keys: [&[usize]; 2], workers: u32) -> Self {
        Self { keys: keys.map(<[usize]>::to_vec).to_vec(), ..Self::new(spec, &[], workers) }
    }

    /// Runs one step, and gives what came out, in order.
    pub fn step(&mut self, step: &Step) -> Option<Rows> {
        let batches: Vec<(usize, Rows)> = step.batches.iter().map(|batch| (0, batch.clone())).collect();
        self.step_inputs(&batches, step.watermark)
    }

    /// The same with batches for several inputs.
    pub fn step_inputs(&mut self, batches: &[(usize, Rows)], watermark: i64) -> Option<Rows> {
        let mut outs: Vec<Output> = self.instances.iter().map(|_| Output::default()).collect();
        for (input, batch) in batches {
            for (worker, rows) in self.route(*input, batch) {
                self.instances[worker].on_batch(*input, rows, &mut outs[worker]).unwrap();
            }
        }
        for (instance, out) in self.instances.iter_mut().zip(&mut outs) {
            instance.on_watermark(EventTime(watermark), out).unwrap();
        }
        for late in outs.iter().flat_map(|out| &out.late) {
            self.late.extend(lines(&late.batch).into_iter().map(|line| format!("{}: {line}", late.operator)));
        }
        if outs.iter().any(|out| !out.slots.is_empty()) {
            return merge_slots(outs);
        }
        self.merge(outs.into_iter().map(|out| out.rows).collect())
    }

    fn route(&self, input: usize, rows: &Rows) -> Vec<(usize, Rows)> {
        let workers = self.instances.len() as u32;
        let keys = &self.keys[input];
        if keys.is_empty() || workers == 1 {
            return vec![(0, rows.clone())];
        }
        let columns: Vec<ArrayRef> = keys.iter().map(|key| rows.batch.column(*key).clone()).collect();
        let mut parts = vec![Vec::new(); workers as usize];
        for (row, hash) in hash_rows(&columns).unwrap().into_iter().enumerate() {
            parts[worker_of(slot_of(hash), workers) as usize].push(row as u32);
        }
        let parts = parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty());
        parts.map(|(worker, part)| (worker, rows.take(&UInt32Array::from(part)).unwrap())).collect()
    }

    fn merge(&self, outs: Vec<Vec<Rows>>) -> Option<Rows> {
        let order = self.spec.emission().order;
        let per_instance: Vec<Rows> = outs.into_iter().filter_map(concat_rows).collect();
        for rows in &per_instance {
            let sorted = sort(rows, &order);
            assert_eq!(lines(&sorted.batch), lines(&rows.batch), "an instance's rows come out sorted");
        }
        concat_rows(per_instance).map(|rows| sort(&rows, &order))
    }

    pub fn between(&mut self, what: Between) {
        let (Between::Snapshot { full } | Between::Restart { full, .. }) = what else { return };
        if full {
            self.snapshots.clear();
        }
        let mut taken = Snapshot::default();
        for instance in &mut self.instances {
            instance.snapshot(full, &mut taken).unwrap();
        }
        self.snapshots.extend(taken.entries);
        let Between::Restart { workers, .. } = what else { return };
        self.instances = (0..workers).map(|_| self.spec.instantiate().unwrap()).collect();
        for entries in &self.snapshots {
            for (worker, instance) in self.instances.iter_mut().enumerate() {
                if let Some(own) = own_entries(entries, worker as u32, workers) {
                    instance.restore(&own).unwrap();
                }
            }
        }
    }

    pub fn state_size(&self) -> StateSize {
        self.instances.iter().map(|instance| instance.state_size()).fold(StateSize::default(), |a, b| {
            StateSize { entries: a.entries + b.entries, bytes: a.bytes + b.bytes }
        })
    }

    /// How many rows of entries a snapshot writes.
    pub fn snapshot_rows(&mut self, full: bool) -> usize {
        let mut taken = Snapshot::default();
        self.instances.iter_mut().for_each(|instance| instance.snapshot(full, &mut taken).unwrap());
        taken.entries.iter().filter(|entries| !entries.slots.is_empty()).map(|e| e.rows.num_rows()).sum()
    }
}

/// The rows of all instances by slot, each slot's as its instance gave them.
fn merge_slots(outs: Vec<Output>) -> Option<Rows> {
    let slots: Vec<u32> = outs.iter().flat_map(|out| out.slots.clone()).collect();
    for out in &outs {
        assert!(out.slots.is_sorted(), "an instance's rows come out by slot");
    }
    let rows = concat_rows(outs.into_iter().flat_map(|out| out.rows).collect())?;
    assert_eq!(rows.len(), slots.len(), "each row has its slot");
    let mut places: Vec<u32> = (0..slots.len() as u32).collect();
    places.sort_by_key(|place| slots[*place as usize]);
    Some(rows.take(&UInt32Array::from(places)).unwrap())
}

fn own_entries(entries: &StateEntries, worker: u32, workers: u32) -> Option<StateEntries> {
    if entries.slots.is_empty() {
        return Some(entries.clone());
    }
    assert_eq!(entries.slots.len(), entries.rows.num_rows(), "each row has its slot");
    let own: Vec<u32> = (0..entries.slots.len() as u32)
        .filter(|row| worker_of(entries.slots[*row as usize], workers) == worker)
        .collect();
    let slots = own.iter().map(|row| entries.slots[*row as usize]).collect();
    let rows = Rows::new(entries.rows.clone()).take(&UInt32Array::from(own)).unwrap().batch;
    (rows.num_rows() > 0).then(|| StateEntries { rows, slots, ..entries.clone() })
}

/// Runs all steps with something between them.
pub fn run(
    spec: &Arc<dyn OperatorSpec>,
    keys: &[usize],
    steps: &[Step],
    workers: u32,
    between: impl Fn(usize) -> Between,
) -> (Vec<Rows>, Vec<String>) {
    let mut runner = Runner::new(Arc::clone(spec), keys, workers);
    let mut rows = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        rows.extend(runner.step(step));
        runner.between(between(number));
    }
    runner.late.sort();
    (rows, runner.late)
}

/// Sends steps through a stateless operator.
pub fn forward(spec: &dyn OperatorSpec, steps: &[Step]) -> (Vec<Step>, Vec<String>) {
    let mut late = Vec::new();
    let steps = steps.iter().map(|step| {
        let mut out = Output::default();
        let mut instance = spec.instantiate().unwrap();
        for batch in &step.batches {
            instance.on_batch(0, batch.clone(), &mut out).unwrap();
        }
        for one in &out.late {
            late.extend(lines(&one.batch).into_iter().map(|line| format!("{}: {line}", one.operator)));
        }
        Step { batches: out.rows, watermark: step.watermark }
    });
    let steps = steps.collect();
    late.sort();
    (steps, late)
}

pub fn concat_rows(parts: Vec<Rows>) -> Option<Rows> {
    let first = parts.first()?.clone();
    let batches: Vec<&RecordBatch> = parts.iter().map(|rows| &rows.batch).collect();
    let batch = concat_batches(&first.batch.schema(), batches).unwrap();
    let weights: Vec<Int64Array> = parts.iter().map(weights).collect();
    let weights: Vec<&dyn Array> = weights.iter().map(|weights| weights as &dyn Array).collect();
    let weights = Int64Array::from(concat(&weights).unwrap().to_data());
    Some(Rows { batch, weights: Some(weights), clocks: first.clocks })
}

pub fn weights(rows: &Rows) -> Int64Array {
    rows.weights.clone().unwrap_or_else(|| Int64Array::from(vec![1; rows.len()]))
}

fn sort(rows: &Rows, order: &[usize]) -> Rows {
    if rows.is_empty() || order.is_empty() {
        return rows.clone();
    }
    let options = Some(SortOptions { descending: false, nulls_first: true });
    let mut columns: Vec<_> =
        order.iter().map(|c| SortColumn { values: rows.batch.column(*c).clone(), options }).collect();
    columns.push(SortColumn { values: Arc::new(weights(rows)), options });
    columns
        .push(SortColumn { values: Arc::new(UInt32Array::from_iter_values(0..rows.len() as u32)), options });
    let indices = lexsort_to_indices(&columns, None).unwrap();
    rows.take(&indices).unwrap()
}

/// Each row as text.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" | "))
        .collect()
}

/// Each row as text, with its weight.
pub fn weighted_lines(rows: &[Rows]) -> Vec<String> {
    let of = |rows: &Rows| -> Vec<String> {
        let weights = weights(rows);
        lines(&rows.batch)
            .into_iter()
            .zip(weights.values())
            .map(|(line, w)| format!("{w:+} {line}"))
            .collect()
    };
    rows.iter().flat_map(of).collect()
}
