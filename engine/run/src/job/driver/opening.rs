//! How a job begins: its pipeline at the place of a checkpoint or at its start, and its producer in a new epoch.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_core::hash::SLOTS;
use headwater_core::{Epoch, EventTime, ProducerId, Sequence, ShardId, World};
use headwater_log::{Log, Producer, StreamInfo};

use super::{Driver, JobPlan};
use crate::error::{Result, RunError};
use crate::job::checkpoint::{self, Checkpointer, Manifest, Restored};
use crate::job::handle::{Shared, hold_back};
use crate::job::histogram::Histogram;
use crate::job::journal::JournalReader;
use crate::job::pace::Pace;
use crate::job::pipeline::{Pipeline, ShardCut, Start};
use crate::job::progress::Counters;
use crate::job::quiet::Quiet;
use crate::job::spill::StateMemory;

impl Driver {
    /// Restores a job to where its newest checkpoint left it.
    pub(in crate::job) fn open(
        world: World,
        log: Arc<dyn Log>,
        mut plan: JobPlan,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let restored = restore(&plan)?;
        if restored.is_none() {
            plan.check_history(&*log)?;
        }
        let mut pipeline = open_pipeline(&*log, &plan, restored.as_ref())?;
        let lookups = std::mem::take(&mut plan.lookups);
        pipeline.look_up(lookups, world.clone(), hold_back(Arc::clone(&shared)));
        let manifest = restored.as_ref().map_or_else(Manifest::default, |restored| restored.manifest.clone());
        let cut: Vec<Vec<ShardCut>> =
            manifest.places.iter().map(|shards| shards.iter().map(cut_of).collect()).collect();
        let redo =
            JournalReader::open(&*log, &plan.journal, &plan.name, manifest.step, cut.clone(), &plan.eras)?;
        let redo_until = plan.journal.last_step(&*log)?;
        let step = manifest.step.max(plan.journal.begins());
        let producer = producer_of(&*log, &plan.name, plan.journal.own(), step)?;
        let checkpointer =
            Checkpointer::new(Arc::clone(&plan.blobs), world.clone(), &plan.name, restored.as_ref());
        let now = world.clock.monotonic();
        pipeline.count_quiet_from(now);
        let mut driver = Self {
            pace: Pace::new(plan.settings.limits),
            producer,
            redo: Some(redo),
            redo_until,
            in_flight: VecDeque::new(),
            journal_next: Sequence::ZERO,
            unsaid: None,
            cut,
            step,
            last_checkpoint: now,
            checkpoint_began: now,
            quiet: Quiet::begin(&world),
            step_times: Histogram::default(),
            checkpoint_times: Histogram::default(),
            counters: Counters::of(&manifest),
            measured: None,
            stopped: false,
            world,
            log,
            shared,
            pipeline,
            checkpointer,
            plan,
        };
        driver.note_place();
        driver.update_status()?;
        Ok(driver)
    }
}

/// The newest checkpoint that is whole and fits a plan.
pub(super) fn restore(plan: &JobPlan) -> Result<Option<Restored>> {
    let (fingerprint, era) = (plan.dataflow.fingerprint(), plan.eras.began());
    let bad = |reason: String| RunError::Checkpoint { job: plan.name.clone(), reason };
    let (restored, passed_over) = checkpoint::restore(&*plan.blobs, &fingerprint, era).map_err(bad)?;
    for reason in passed_over {
        tracing::warn!(
            job = plan.name,
            reason,
            "a checkpoint was passed over; an older one or the journal makes up for it"
        );
    }
    Ok(restored)
}

pub(in crate::job) fn open_pipeline(
    log: &dyn Log,
    plan: &JobPlan,
    restored: Option<&Restored>,
) -> Result<Pipeline> {
    let start = match restored {
        Some(restored) => {
            let shards = |shards: &Vec<checkpoint::Place>| shards.iter().map(|place| place.get()).collect();
            Start::Resume(restored.manifest.places.iter().map(shards).collect())
        }
        None => plan.start.clone(),
    };
    let workers = plan.settings.workers.min(SLOTS as usize);
    let lease = plan.settings.memory.as_ref().map(StateMemory::lease);
    let mut pipeline = Pipeline::open(log, Arc::clone(&plan.dataflow), workers, &start, lease)?;
    pipeline.set_idle_timeouts(Arc::clone(&plan.idle_timeout));
    pipeline.executor().thread_from(plan.settings.threaded_rows_min);
    if let Some(restored) = restored {
        let executor = pipeline.executor();
        executor.expect(restored.bytes());
        restored.each(&*plan.blobs, |stage, entries| {
            let restore = executor.restore(stage, entries);
            restore.map_err(|source| RunError::Operator { what: format!("job {}", plan.name), source })
        })?;
        pipeline.restore_watermark(EventTime(restored.manifest.watermark));
    } else if plan.reached > EventTime::MIN {
        pipeline.restore_watermark(plan.reached);
    }
    Ok(pipeline)
}

pub(in crate::job) fn cut_of(place: &checkpoint::Place) -> ShardCut {
    let (next, clock) = place.get();
    ShardCut { next, idle: clock.idle, ended: clock.ended }
}

/// The producer of a job's results, in a new epoch, as of a step: a stable function of its name and of its journal's number, which is
/// never used again. So a job that is dropped and created anew is another producer.
pub(crate) fn producer_of(log: &dyn Log, job: &str, journal: &StreamInfo, step: u64) -> Result<Producer> {
    let name = format!("job {job} {}", journal.id);
    let name: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec![name]));
    let id = ProducerId(headwater_core::hash::hash_rows(&[name]).map_or(0, |hashes| hashes[0]));
    let epoch = match log.last_of(journal.id, ShardId(0), id)? {
        Some((last, _)) => Epoch(last.epoch.0 + 1),
        None => Epoch(1),
    };
    Ok(Producer { id, epoch, sequence: step })
}
