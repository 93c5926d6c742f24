//! Checkpoints: what has changed in a job's state since the last one, and the cut that the state belongs to.
//!
//! ```text
//!  ck-…040 full ◄── ck-…055 ◄── ck-…071 ◄── …        each names the one before it; a restore reads the
//!                                                    chain back to a full one and applies it in order
//! ```
//!
//! A blob is: magic `HWCK0001`, length of the manifest (u32, little-endian), the manifest (JSON), the parts
//! ([`super::parts`]), CRC-32C of all that (u32, little-endian). Where there are many, most of the parts lie in blobs of their
//! own, `ck-…040-0001` and so on: the parts, CRC-32C. They are written first, so a checkpoint with a manifest is whole; and neither writing
//! ([`super::saving`]) nor restoring holds more than one of them in memory.
//!
//! The cost of a checkpoint follows the change: a full one is only taken when the deltas since the last full one have
//! outgrown it. The two newest chains are kept, so that a damaged blob costs time and not the job.

mod restore;

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::{EventTime, Sequence, World};
use serde::{Deserialize, Serialize};

use super::blobs::Blobs;
use super::clock::ShardClock;
use super::parts::{self, checksum};
use super::saving::Saving;
use super::spill::StatePart;

pub(crate) use restore::{Restored, newest_manifest, restore};

type Result<T> = std::result::Result<T, String>;

const MAGIC: &[u8; 8] = b"HWCK0001";

/// Parts go into a blob of their own when there are more bytes of them than this.
const BLOB_BYTES: usize = 32 << 20;

/// A job at the end of a step.
pub(crate) struct Checkpoint {
    /// Where it is.
    pub manifest: Manifest,
    /// What has changed in its state, or all of it; with the stage that it belongs to.
    pub state: Vec<(usize, StatePart)>,
}

/// Where a job is.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub(crate) struct Manifest {
    /// The job's name.
    pub job: String,
    /// The plan that the state belongs to; see [`headwater_plan::Dataflow::fingerprint`].
    pub plan: String,
    /// The step of the replacement with which the plan came; 0: it is the first.
    #[serde(default)]
    pub era: u64,
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

impl Manifest {
    /// The manifest of a plan that came with step `era`, after a step. Without the state, which a [`Writer`] adds.
    pub fn after(step: u64, job: &str, plan: String, era: u64) -> Self {
        Self { job: job.to_owned(), plan, era, step, ..Self::default() }
    }
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
    /// The number of the blob that it lies in; 0 is the manifest's own.
    #[serde(default, skip_serializing_if = "is_zero")]
    blob: u32,
    #[serde(flatten)]
    part: parts::Part,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The name of the blob of a step's checkpoint. Names sort as steps do.
fn name_of(step: u64) -> String {
    format!("ck-{step:020}.hwk")
}

/// The name of a blob of parts, from 1 on.
fn parts_of(step: u64, blob: u32) -> String {
    format!("ck-{step:020}-{blob:04}.hwk")
}

/// The step of a checkpoint's main blob.
fn step_of(name: &str) -> Option<u64> {
    name.strip_prefix("ck-")?.strip_suffix(".hwk")?.parse().ok()
}

/// The step of a checkpoint that a blob belongs to.
fn belongs_to(name: &str) -> Option<u64> {
    name.strip_prefix("ck-")?.strip_suffix(".hwk")?.split('-').next()?.parse().ok()
}

/// Writes a checkpoint part by part, with blobs of their own for parts as soon as there are more than `blob_bytes` of them.
pub(crate) struct Writer {
    blobs: Arc<dyn Blobs>,
    blob_bytes: usize,
    manifest: Manifest,
    bytes: Vec<u8>,
    blob: u32,
    written: usize,
}

impl Writer {
    /// Begins a checkpoint. Nothing counts before [`Writer::finish`].
    pub fn new(blobs: Arc<dyn Blobs>, manifest: Manifest) -> Self {
        Self { blobs, blob_bytes: BLOB_BYTES, manifest, bytes: Vec::new(), blob: 1, written: 0 }
    }

    /// The step of the checkpoint.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }

    /// Writes a blob of its own for each so many bytes of parts.
    #[cfg(test)]
    pub fn with_blobs_of(self, blob_bytes: usize) -> Self {
        Self { blob_bytes, ..self }
    }

    /// Adds a part of a stage's state. Parts are restored in the order in which they were added.
    pub fn add(&mut self, stage: usize, part: &StatePart) -> Result<()> {
        let part = part.encode(&mut self.bytes)?;
        self.manifest.parts.push(Part { stage, blob: self.blob, part });
        if self.bytes.len() > self.blob_bytes {
            self.written += self.bytes.len();
            let name = parts_of(self.manifest.step, self.blob);
            // The next will be as large.
            let next = Vec::with_capacity(self.bytes.len() + 4);
            self.blobs.put(&name, sealed(std::mem::replace(&mut self.bytes, next)))?;
            self.blob += 1;
        }
        Ok(())
    }

    /// Makes the checkpoint whole; how many bytes it has.
    pub fn finish(mut self) -> Result<usize> {
        let (manifest, bytes) = (&mut self.manifest, &self.bytes);
        let last = manifest.parts.iter_mut().filter(|part| part.blob == self.blob);
        last.for_each(|part| part.blob = 0);
        let json = serde_json::to_vec(manifest).map_err(|error| format!("encode manifest: {error}"))?;
        let mut main = Vec::with_capacity(MAGIC.len() + 8 + json.len() + bytes.len());
        main.extend_from_slice(MAGIC);
        main.extend_from_slice(&(json.len() as u32).to_le_bytes());
        main.extend_from_slice(&json);
        main.extend_from_slice(bytes);
        let written = self.written + main.len();
        self.blobs.put(&name_of(manifest.step), sealed(main))?;
        Ok(written)
    }
}

/// Bytes with their checksum behind them.
fn sealed(mut bytes: Vec<u8>) -> Bytes {
    let crc = checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.into()
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
    /// The step of the oldest checkpoint that is kept, when that has changed.
    oldest: Option<u64>,
    full_bytes: usize,
    delta_bytes: usize,
    writing: Option<Saving>,
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
            oldest: None,
            full_bytes: 0,
            delta_bytes: 0,
            writing: None,
        }
    }

    /// The step of the newest durable checkpoint.
    pub fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// The step of the oldest checkpoint that is kept, once after each change.
    pub fn take_oldest(&mut self) -> Option<u64> {
        self.oldest.take()
    }

    /// Whether one is being written.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the next one has to hold all of the state.
    pub fn wants_full(&self) -> bool {
        self.full_bytes == 0 || self.delta_bytes > self.full_bytes
    }

    /// Begins a checkpoint, whose state is to be added to it: all of it if it is `full`, or what has changed since the last.
    pub fn begin(&self, mut manifest: Manifest, full: bool) -> Saving {
        assert!(self.writing.is_none(), "one checkpoint at a time");
        manifest.previous = if full { None } else { self.newest };
        let writer = Writer::new(Arc::clone(&self.blobs), manifest);
        Saving::begin(&self.world, &self.name, writer, full)
    }

    /// Goes on with one that was begun, and to which all of its state has been added.
    pub fn finish(&mut self, saving: Saving) {
        saving.end();
        self.writing = Some(saving);
    }

    /// Begins to write a checkpoint whose state is `full` or what has changed since the last.
    pub fn start(&mut self, checkpoint: Checkpoint, full: bool) {
        let saving = self.begin(checkpoint.manifest, full);
        checkpoint.state.into_iter().for_each(|(stage, part)| saving.add(stage, part));
        self.finish(saving);
    }

    /// The outcome of the one being written, if it is known now.
    pub fn poll(&mut self) -> Option<Result<u64>> {
        let result = self.writing.as_ref()?.outcome()?;
        let writing = self.writing.take()?;
        match result {
            Ok(bytes) if writing.full => {
                (self.full_bytes, self.delta_bytes) = (bytes, 0);
                self.newest = Some(writing.step);
                if let Some(before) = self.base.replace(writing.step) {
                    self.remove_older(before);
                    self.oldest = Some(before);
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
        self.writing.as_ref()?.wait();
        self.poll()
    }

    /// Removes what two chains do not need: everything before the full checkpoint of the chain before.
    fn remove_older(&self, base: u64) {
        let names = self.blobs.list().unwrap_or_default();
        for name in names.iter().filter(|name| belongs_to(name).is_some_and(|step| step < base)) {
            if let Err(error) = self.blobs.remove(name) {
                tracing::warn!(checkpoint = name, error, "an old checkpoint could not be removed");
            }
        }
    }
}

/// Removes all checkpoints but the newest ones, each of which holds everything.
pub(crate) fn remove_all_but(blobs: &dyn Blobs, kept: usize) -> Result<()> {
    let names = blobs.list()?;
    let mut steps: Vec<u64> = names.iter().filter_map(|name| step_of(name)).collect();
    steps.sort_unstable();
    let Some(oldest) = steps.iter().rev().nth(kept.saturating_sub(1)) else { return Ok(()) };
    let mut older = names.iter().filter(|name| belongs_to(name).is_some_and(|step| step < *oldest));
    older.try_for_each(|name| blobs.remove(name))
}

/// The step of the newest checkpoint by its name, whatever is in it.
pub(crate) fn newest_step(blobs: &dyn Blobs) -> Result<Option<u64>> {
    Ok(blobs.list()?.iter().filter_map(|name| step_of(name)).max())
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::{Path, PathBuf};

    use arrow::array::{Int64Array, RecordBatch};
    use headwater_core::world::sim::SimWorld;
    use headwater_operators::{StateChange, StateEntries};

    use super::super::blobs::DiskBlobs;
    use super::*;

    /// A part of a state.
    pub(in super::super) fn entries(value: i64) -> StateEntries {
        let rows =
            RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![value; 9])) as _)]).unwrap();
        let slots = (0..9).collect();
        StateEntries { table: "groups".into(), change: StateChange::Put, rows, slots }
    }

    /// Writes a checkpoint with blobs of so many bytes.
    fn write(
        blobs: &Arc<dyn Blobs>,
        (step, previous): (u64, Option<u64>),
        values: std::ops::Range<i64>,
        blob_bytes: usize,
    ) -> usize {
        let manifest = Manifest { step, previous, ..Manifest::default() };
        let mut writer = Writer::new(Arc::clone(blobs), manifest).with_blobs_of(blob_bytes);
        values.for_each(|value| writer.add(1, &StatePart::Here(entries(value))).unwrap());
        writer.finish().unwrap()
    }

    fn restored(blobs: &dyn Blobs) -> (Vec<i64>, Vec<String>) {
        let (restored, passed_over) = restore(blobs, "", 0).unwrap();
        let mut values = Vec::new();
        let take = |stage, found: &StateEntries| {
            let column = found.rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            values.push(column.value(0));
            assert_eq!(
                (stage, &found.slots, &found.rows),
                (1, &entries(0).slots, &entries(column.value(0)).rows)
            );
            Ok(())
        };
        restored.unwrap().each(blobs, take).unwrap();
        (values, passed_over)
    }

    #[test]
    fn parts_in_blobs_of_their_own_are_read_back_checked_and_removed() {
        let machine = SimWorld::new(1);
        let dir = PathBuf::from("/checkpoints");
        let blobs: Arc<dyn Blobs> = Arc::new(DiskBlobs::open(machine.world(), dir.clone()).unwrap());
        let length = write(&blobs, (7, None), 0..1, 1 << 20);
        assert_eq!(blobs.list().unwrap(), [name_of(7)]);
        // Each part is larger than this, so that each has a blob.
        write(&blobs, (8, Some(7)), 1..4, length / 10);
        assert_eq!(blobs.list().unwrap().len(), 5);
        assert_eq!(restored(&*blobs), (vec![0, 1, 2, 3], vec![]));
        // Of several in one blob, the rest goes with the manifest.
        write(&blobs, (9, None), 4..9, length);
        assert!(blobs.list().unwrap().contains(&parts_of(9, 1)));
        assert_eq!(restored(&*blobs), (vec![4, 5, 6, 7, 8], vec![]));
        machine.disk().corrupt(&Path::new(&dir).join(parts_of(9, 1)), 100, 1).unwrap();
        let (values, passed_over) = restored(&*blobs);
        assert_eq!(values, [0, 1, 2, 3]);
        assert!(passed_over[0].contains("-0001.hwk is damaged"), "{passed_over:?}");
        Checkpointer::new(Arc::clone(&blobs), machine.world(), "j", None).remove_older(9);
        assert!(blobs.list().unwrap().iter().all(|name| belongs_to(name) == Some(9)));
    }
}
