//! Rows that the steps of a journal took and that are nowhere any more, neither in an archive nor in the log.

use headwater_core::{Sequence, ShardId};
use headwater_log::{Durability, Log};
use headwater_operators::Reach;
use headwater_plan::Dataflow;
use headwater_plan::dataflow::Source;

use super::clock::ShardClock;
use super::driver::JobPlan;
use super::eras::Eras;
use super::journal::Journal;
use super::pipeline::Start;
use crate::error::{Result, RunError};

/// For each source, for each shard.
pub(crate) type Places = Vec<Vec<Sequence>>;

/// The first rows that are there of what a plan reads.
pub(crate) fn first_rows(log: &dyn Log, dataflow: &Dataflow) -> Result<Places> {
    let of_source = |source: &Source| {
        let info = log.stream_named(source.stream.as_str())?;
        Ok(log.bounds(info.id)?.iter().map(|bounds| bounds.first).collect())
    };
    dataflow.sources.iter().map(of_source).collect()
}

/// The first rows that the steps of a job took, where it began with others than the first of all.
pub(crate) fn begun_at(
    log: &dyn Log,
    job: &str,
    journal: &Journal,
    eras: &Eras,
    start: &Start,
    sources: usize,
) -> Result<Places> {
    let nexts = |shards: &Vec<(Sequence, ShardClock)>| shards.iter().map(|(next, _)| *next).collect();
    Ok(match start {
        Start::Resume(places) => places.iter().map(nexts).collect(),
        Start::Member { shards, .. } => vec![nexts(shards); sources],
        Start::At(_) => journal.begins_behind(log, job, eras)?,
    })
}

/// The shards of which rows from these places on are not there; a place that is not said is the first.
pub(crate) fn lost(from: &[Vec<Sequence>], kept: &Places) -> Vec<(usize, ShardId)> {
    let place = |source: usize, shard: usize| {
        let place = from.get(source).and_then(|shards| shards.get(shard));
        place.copied().unwrap_or(Sequence::ZERO)
    };
    let mut lost = Vec::new();
    for (source, shards) in kept.iter().enumerate() {
        let of_source = shards.iter().enumerate().filter(|(shard, first)| place(source, *shard) < **first);
        lost.extend(of_source.map(|(shard, _)| (source, ShardId(shard as u32))));
    }
    lost
}

impl JobPlan {
    /// Without a checkpoint all steps are done again: fails if the first ones are gone from the journal, or rows that the state follows
    /// from. Of a stream that is kept in memory alone it is known that they go.
    pub(super) fn check_history(&self, log: &dyn Log) -> Result<()> {
        let Some((step, what)) =
            gone(log, &self.name, &self.journal, &self.eras, &self.start, &self.dataflow)?
        else {
            return Ok(());
        };
        let reason =
            format!("{what}, and there is no checkpoint to go on from: drop the job and create it anew");
        Err(RunError::Journal { job: self.name.clone(), step, reason })
    }
}

/// What is gone that a job needs to do all its steps again: with which step of its journal, and what.
pub(crate) fn gone(
    log: &dyn Log,
    job: &str,
    journal: &Journal,
    eras: &Eras,
    start: &Start,
    dataflow: &Dataflow,
) -> Result<Option<(u64, String)>> {
    if let Some(first) = journal.beginning(log, job, eras)? {
        return Ok(Some((first.step, "is the first that the journal still has".to_owned())));
    }
    let begun = begun_at(log, job, journal, eras, start, dataflow.sources.len())?;
    // A step that only says where the job begins has taken nothing.
    let is_said = !begun.is_empty() && !matches!(start, Start::Member { .. });
    let first = journal.begins() + 1 + u64::from(is_said);
    if matches!(dataflow.reach(), Reach::Row) || journal.last_step(log)? < first {
        return Ok(None);
    }
    for (source, _) in lost(&begun, &first_rows(log, dataflow)?) {
        let stream = &dataflow.sources[source].stream;
        if log.stream_named(stream.as_str())?.spec.durability != Durability::Memory {
            let what = format!("this step or a later one took rows of {stream} that are gone");
            return Ok(Some((first, what)));
        }
    }
    Ok(None)
}
