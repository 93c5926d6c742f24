//! Checkpoints: what has changed in a job's state since the last one, and the cut that the state belongs to.
//!
//! ```text
//!  ck-…040 full ◄── ck-…055 ◄── ck-…071 ◄── …        each names the one before it; a restore reads the
//!                                                    chain back to a full one and applies it in order
//! ```
//!
//! A blob is: magic `HWCK0001`, length of the manifest (u32, little-endian), the manifest (JSON), the parts
//! (Arrow IPC streams, one for each table of state and kind of change; the slots of the rows are a last column `_slot`), CRC-32C of all
//! that (u32, little-endian).
//!
//! The cost of a checkpoint follows the change: a full one is only taken when the deltas since the last full one have
//! outgrown it. The two newest chains are kept, so that a damaged blob costs time and not the job.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use headwater_core::world::{Task, Turn};
use headwater_core::{EventTime, Sequence, World};
use headwater_operators::{StateChange, StateEntries};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use super::blobs::Blobs;
use super::clock::ShardClock;

type Result<T> = std::result::Result<T, String>;

const MAGIC: &[u8; 8] = b"HWCK0001";
const SLOT: &str = "_slot";

/// A job at the end of a step.
pub(crate) struct Checkpoint {
    /// Where it is.
    pub manifest: Manifest,
    /// What has changed in its state, or all of it; with the stage that it belongs to.
    pub state: Vec<(usize, StateEntries)>,
}

/// Where a job is.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct Manifest {
    /// The job's name.
    pub job: String,
    /// The plan that the state belongs to; see [`fingerprint`].
    pub plan: String,
    /// The step after which this was taken.
    pub step: u64,
    /// The checkpoint whose state this one changes; `None`: this one has all of it.
    pub previous: Option<u64>,
    /// The job's watermark, nanoseconds.
    pub watermark: i64,
    /// For each source, for each shard.
    pub places: Vec<Vec<Place>>,
    /// Rows taken so far.
    pub rows_in: u64,
    /// Rows written so far.
    pub rows_out: u64,
    /// Late rows so far.
    pub rows_late: u64,
    /// Where the state lies in the blob.
    pub(super) parts: Vec<Part>,
}

/// Where one shard is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub(crate) struct Place {
    next: u64,
    watermark: i64,
    idle: bool,
    ended: bool,
}

impl Place {
    /// A place as the manifest has it.
    pub fn new(next: Sequence, clock: ShardClock) -> Self {
        Self { next: next.0, watermark: clock.watermark.0, idle: clock.idle, ended: clock.ended }
    }

    /// The next sequence number and the clock.
    pub fn get(self) -> (Sequence, ShardClock) {
        let Self { next, watermark, idle, ended } = self;
        (Sequence(next), ShardClock { watermark: EventTime(watermark), idle, ended })
    }
}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct Part {
    stage: usize,
    table: String,
    delete: bool,
    offset: usize,
    length: usize,
}

/// What a plan's state depends on: its stages with state, as EXPLAIN shows them, and their columns.
pub(crate) fn fingerprint(dataflow: &headwater_plan::Dataflow) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for source in &dataflow.sources {
        let _ = writeln!(text, "{} {:?}", source.stream, source.schema.fields());
    }
    let _ = write!(text, "{}", dataflow.explain());
    text
}

/// The name of the blob of a step's checkpoint. Names sort as steps do.
fn name_of(step: u64) -> String {
    format!("ck-{step:020}.hwk")
}

fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("ck-")?.strip_suffix(".hwk")?.parse().ok()
}

fn encode(checkpoint: Checkpoint) -> Result<Bytes> {
    let Checkpoint { mut manifest, state } = checkpoint;
    let mut parts = Vec::new();
    for (stage, entries) in state {
        let offset = parts.len();
        write_part(&entries, &mut parts).map_err(|error| format!("encode {}: {error}", entries.table))?;
        let delete = entries.change == StateChange::Delete;
        manifest.parts.push(Part {
            stage,
            table: entries.table,
            delete,
            offset,
            length: parts.len() - offset,
        });
    }
    let json = serde_json::to_vec(&manifest).map_err(|error| format!("encode manifest: {error}"))?;
    let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + json.len() + parts.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(json.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&parts);
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    Ok(bytes.into())
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn write_part(
    entries: &StateEntries,
    out: &mut Vec<u8>,
) -> std::result::Result<(), arrow::error::ArrowError> {
    let rows = if entries.slots.is_empty() {
        entries.rows.clone()
    } else {
        let mut fields = entries.rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(SLOT, DataType::UInt32, false)));
        let mut columns = entries.rows.columns().to_vec();
        columns.push(Arc::new(UInt32Array::from(entries.slots.clone())));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?
    };
    let mut writer = StreamWriter::try_new(out, &rows.schema())?;
    writer.write(&rows)?;
    writer.finish()
}

/// A checkpoint as it was read, whole and checked.
struct Loaded {
    manifest: Manifest,
    parts: Bytes,
}

impl Loaded {
    fn read(blobs: &dyn Blobs, step: u64) -> Result<Self> {
        let name = name_of(step);
        let bytes = blobs.get(&name)?;
        let damaged = |what: &str| format!("{name} is damaged: {what}");
        let body =
            bytes.len().checked_sub(4).filter(|length| *length >= 12).ok_or_else(|| damaged("too short"))?;
        let stored = u32::from_le_bytes(bytes[body..].try_into().map_err(|_| damaged("too short"))?);
        if &bytes[..8] != MAGIC || stored != checksum(&bytes[..body]) {
            return Err(damaged("its checksum does not match"));
        }
        let length = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
        let json = bytes.get(12..12 + length).ok_or_else(|| damaged("the manifest is cut"))?;
        let manifest = serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))?;
        Ok(Self { manifest, parts: bytes.slice(12 + length..body) })
    }

    fn entries(&self) -> Result<Vec<(usize, StateEntries)>> {
        self.manifest.parts.iter().map(|part| self.part(part).map(|entries| (part.stage, entries))).collect()
    }

    fn part(&self, part: &Part) -> Result<StateEntries> {
        let name = name_of(self.manifest.step);
        let bad = |what: String| format!("{name}, table {}: {what}", part.table);
        let bytes =
            self.parts.get(part.offset..part.offset + part.length).ok_or_else(|| bad("cut".into()))?;
        let reader =
            StreamReader::try_new(Cursor::new(bytes), None).map_err(|error| bad(error.to_string()))?;
        let schema = reader.schema();
        let batches =
            reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| bad(error.to_string()))?;
        let mut rows =
            arrow::compute::concat_batches(&schema, &batches).map_err(|error| bad(error.to_string()))?;
        let mut slots = Vec::new();
        if schema.fields().last().is_some_and(|field| field.name() == SLOT) {
            let column = rows.remove_column(rows.num_columns() - 1);
            slots = column.as_primitive::<UInt32Type>().values().to_vec();
        }
        let change = if part.delete { StateChange::Delete } else { StateChange::Put };
        Ok(StateEntries { table: part.table.clone(), change, rows, slots })
    }
}

/// What a job is restored from.
pub(crate) struct Restored {
    /// Where it was.
    pub manifest: Manifest,
    /// The step of the full checkpoint that its chain begins with.
    pub base: u64,
    /// Its state, in the order in which it is to be given back.
    pub state: Vec<(usize, StateEntries)>,
}

/// Reads the newest checkpoint that is whole and fits the plan. Others are passed over, and named in the second answer.
pub(crate) fn restore(blobs: &dyn Blobs, plan: &str) -> Result<(Option<Restored>, Vec<String>)> {
    let mut passed_over = Vec::new();
    let mut steps: Vec<u64> = blobs.list()?.iter().filter_map(|name| step_of(name)).collect();
    steps.sort_unstable();
    for step in steps.into_iter().rev() {
        match restore_at(blobs, step, plan) {
            Ok(restored) => return Ok((Some(restored), passed_over)),
            Err(reason) => passed_over.push(reason),
        }
    }
    Ok((None, passed_over))
}

fn restore_at(blobs: &dyn Blobs, step: u64, plan: &str) -> Result<Restored> {
    let newest = Loaded::read(blobs, step)?;
    if newest.manifest.plan != plan {
        return Err(format!("{} belongs to another definition of the job", name_of(step)));
    }
    let mut chain = Vec::new();
    let mut previous = newest.manifest.previous;
    while let Some(step) = previous {
        let loaded = Loaded::read(blobs, step)?;
        previous = loaded.manifest.previous;
        chain.push(loaded);
    }
    let mut state = Vec::new();
    for loaded in chain.iter().rev().chain([&newest]) {
        state.extend(loaded.entries()?);
    }
    let base = chain.last().map_or(step, |loaded| loaded.manifest.step);
    Ok(Restored { manifest: newest.manifest, base, state })
}

/// Writes checkpoints in the background, one at a time.
pub(crate) struct Checkpointer {
    blobs: Arc<dyn Blobs>,
    world: World,
    name: String,
    /// The newest durable checkpoint, on which the next one may build.
    newest: Option<u64>,
    /// The full checkpoint that `newest` builds on.
    base: Option<u64>,
    full_bytes: usize,
    delta_bytes: usize,
    writing: Option<Writing>,
}

struct Writing {
    _task: Task,
    step: u64,
    full: bool,
    outcome: Arc<Outcome>,
}

/// How many bytes were written, once it is known.
#[derive(Default)]
struct Outcome {
    result: Mutex<Option<Result<usize>>>,
    known: Condvar,
}

impl Checkpointer {
    /// A writer for one job; `restored` is the checkpoint that it goes on from.
    pub fn new(blobs: Arc<dyn Blobs>, world: World, job: &str, restored: Option<&Restored>) -> Self {
        // The first checkpoint after a restore is full: so a chain never outlives the process that began it.
        Self {
            blobs,
            world,
            name: format!("checkpoint-{job}"),
            newest: restored.map(|restored| restored.manifest.step),
            base: restored.map(|restored| restored.base),
            full_bytes: 0,
            delta_bytes: 0,
            writing: None,
        }
    }

    /// The step of the newest durable checkpoint.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether one is being written.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the next one has to hold all of the state.
    pub fn wants_full(&self) -> bool {
        self.full_bytes == 0 || self.delta_bytes > self.full_bytes
    }

    /// Begins to write a checkpoint whose state is `full` or what has changed since the last.
    pub fn start(&mut self, mut checkpoint: Checkpoint, full: bool) {
        assert!(self.writing.is_none(), "one checkpoint at a time");
        let step = checkpoint.manifest.step;
        checkpoint.manifest.previous = if full { None } else { self.newest };
        let blobs = Arc::clone(&self.blobs);
        let outcome = Arc::new(Outcome::default());
        let told = Arc::clone(&outcome);
        let mut checkpoint = Some(checkpoint);
        let turn = move || {
            if let Some(checkpoint) = checkpoint.take() {
                let write = || {
                    let bytes = encode(checkpoint)?;
                    let length = bytes.len();
                    blobs.put(&name_of(step), bytes)?;
                    Ok(length)
                };
                *told.result.lock() = Some(write());
                told.known.notify_all();
            }
            Turn::Done
        };
        let task = self.world.tasks.spawn(&self.name, Box::new(turn));
        self.writing = Some(Writing { _task: task, step, full, outcome });
    }

    /// The outcome of the one being written, if it is known now.
    pub fn poll(&mut self) -> Option<Result<u64>> {
        let result = self.writing.as_ref()?.outcome.result.lock().take()?;
        let writing = self.writing.take()?;
        match result {
            Ok(bytes) if writing.full => {
                (self.full_bytes, self.delta_bytes) = (bytes, 0);
                self.newest = Some(writing.step);
                if let Some(before) = self.base.replace(writing.step) {
                    self.remove_older(before);
                }
                Some(Ok(writing.step))
            }
            Ok(bytes) => {
                self.delta_bytes += bytes;
                self.newest = Some(writing.step);
                Some(Ok(writing.step))
            }
            Err(error) => {
                // What had changed is marked as written in the operators, so the next one must hold everything.
                self.full_bytes = 0;
                Some(Err(error))
            }
        }
    }

    /// Waits for the one being written.
    pub fn wait(&mut self) -> Option<Result<u64>> {
        let outcome = Arc::clone(&self.writing.as_ref()?.outcome);
        loop {
            if outcome.result.lock().is_some() {
                return self.poll();
            }
            if !self.world.tasks.drive() {
                let mut result = outcome.result.lock();
                while result.is_none() {
                    outcome.known.wait(&mut result);
                }
            }
        }
    }

    /// Removes what two chains do not need: everything before the full checkpoint of the chain before.
    fn remove_older(&self, base: u64) {
        let names = self.blobs.list().unwrap_or_default();
        for name in names.iter().filter(|name| step_of(name).is_some_and(|step| step < base)) {
            if let Err(error) = self.blobs.remove(name) {
                tracing::warn!(checkpoint = name, error, "an old checkpoint could not be removed");
            }
        }
    }
}
