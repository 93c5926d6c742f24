//! How a job begins: its pipeline at the place of a checkpoint or at its start, and its producer in a new epoch.

use std::sync::Arc;

use headwater_core::hash::SLOTS;
use headwater_core::{Epoch, EventTime, ProducerId, ShardId};
use headwater_log::{Log, Producer, StreamInfo};

use super::JobPlan;
use crate::error::{Result, RunError};
use crate::job::checkpoint::{self, Restored};
use crate::job::pipeline::{Pipeline, ShardCut, Start};
use crate::job::spill::StateMemory;

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
    let workers = plan.workers.min(SLOTS as usize);
    let lease = plan.memory.as_ref().map(StateMemory::lease);
    let mut pipeline = Pipeline::open(log, Arc::clone(&plan.dataflow), workers, &start, lease)?;
    pipeline.set_idle_timeouts(Arc::clone(&plan.idle_timeout));
    pipeline.executor().thread_from(plan.threaded_rows_min);
    if let Some(restored) = restored {
        let executor = pipeline.executor();
        executor.expect(restored.bytes());
        restored.each(&*plan.blobs, |stage, entries| {
            let restore = executor.restore(stage, entries);
            restore.map_err(|source| RunError::Operator { job: plan.name.clone(), source })
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
