//! How far a job has come that does not run: what its newest checkpoint says, and the lines of its journal behind that.
//!
//! ```text
//!  checkpoints    ……… 71                    rows taken, written and late; where each shard's clock is
//!  journal        … 70  71 │ 72  73  74      steps, places, watermark
//!                          └ only who does these steps again can count their rows
//! ```

use headwater_core::{EventTime, Sequence, ShardId, StreamId};
use headwater_log::{Log, ShardBounds};

use super::blobs::Blobs;
use super::checkpoint::newest_manifest;
use super::driver::cut_of;
use super::eras::Eras;
use super::journal::{Journal, JournalReader};
use super::pipeline::{Cut, ShardCut, ShardTime};
use super::progress::Counters;
use crate::error::{Result, RunError};
use crate::{Figure, JobStatus};

/// How far a job has come.
#[derive(Clone, Default)]
pub(crate) struct Rested {
    /// The step of its newest checkpoint.
    checkpoint: Option<u64>,
    step: u64,
    watermark: Option<EventTime>,
    rows_in: Option<u64>,
    rows_out: Option<u64>,
    rows_late: Option<u64>,
    /// The streams of its sources.
    sources: Vec<StreamId>,
    /// The first row of each shard of each source that it has not taken.
    taken: Vec<Vec<Sequence>>,
    times: Vec<ShardTime>,
}

impl Rested {
    /// One that has taken nothing yet.
    pub fn new(sources: Vec<StreamId>) -> Self {
        Self { rows_in: Some(0), rows_out: Some(0), rows_late: Some(0), sources, ..Self::default() }
    }

    /// Reads how far a job has come with its sources.
    pub fn read(
        log: &dyn Log,
        blobs: &dyn Blobs,
        journal: &Journal,
        job: &str,
        eras: &Eras,
        sources: Vec<StreamId>,
    ) -> Result<Self> {
        let bad = |reason| RunError::Checkpoint { job: job.to_owned(), reason };
        let manifest = newest_manifest(blobs, eras.began()).map_err(bad)?;
        let checkpoint = manifest.as_ref().map(|manifest| manifest.step);
        let manifest = manifest.unwrap_or_default();
        let mut shards: Vec<Vec<ShardCut>> =
            manifest.places.iter().map(|shards| shards.iter().map(cut_of).collect()).collect();
        let (mut step, mut watermark) =
            (manifest.step.max(journal.begins()), checkpoint.map(|_| EventTime(manifest.watermark)));
        let mut lines = JournalReader::open(log, journal, job, manifest.step, shards.clone(), eras)?;
        let mut is_counted = true;
        while let Some(line) = lines.next()? {
            is_counted = false;
            (step, watermark, shards) = (line.step, Some(line.watermark), line.cut.shards);
        }
        let clocks = manifest.places.iter().map(|shards| shards.iter().map(|place| place.get().1.watermark));
        let clocks: Vec<Vec<EventTime>> = clocks.map(Iterator::collect).collect();
        let times = times_of(&sources, &shards, if is_counted { &clocks[..] } else { &[] });
        let Counters { rows_in, rows_out, rows_late } = Counters::of(&manifest);
        let counted = |rows: u64| is_counted.then_some(rows);
        Ok(Self {
            checkpoint,
            step,
            watermark,
            rows_in: counted(rows_in),
            rows_out: counted(rows_out),
            rows_late: counted(rows_late),
            sources,
            taken: Cut { shards, advance: None }.ends(),
            times,
        })
    }

    /// The same of one of a set's triggers, which judges the rows of the set's stream from these on.
    #[must_use]
    pub fn as_member(&self, first: &[i64]) -> Self {
        let shards = self.taken.first().into_iter().flatten().zip(first);
        let judged = shards.map(|(next, first)| next.0.saturating_sub(*first as u64)).sum();
        Self { rows_in: Some(judged), rows_out: None, ..self.clone() }
    }

    /// How far event time is in each shard of its sources.
    pub fn shard_times(&self) -> &[ShardTime] {
        &self.times
    }

    /// Tells of it, and which figures nobody knows.
    pub fn tell(&self, log: &dyn Log, status: &mut JobStatus) {
        (status.steps, status.checkpoint) = (self.step, self.checkpoint);
        status.watermark = self.watermark.unwrap_or(EventTime::MIN);
        status.unknown = vec![Figure::OfTheProcess];
        let mut tell = |figure, value: Option<u64>, shown: &mut u64| match value {
            Some(value) => *shown = value,
            None => status.unknown.push(figure),
        };
        tell(Figure::RowsIn, self.rows_in, &mut status.rows_in);
        tell(Figure::RowsOut, self.rows_out, &mut status.rows_out);
        tell(Figure::RowsLate, self.rows_late, &mut status.rows_late);
        tell(Figure::Lag, self.lag(log), &mut status.lag);
    }

    /// How many rows of the log it has not taken; `None`: a stream that it reads is gone.
    fn lag(&self, log: &dyn Log) -> Option<u64> {
        let of_source = |(source, stream): (usize, &StreamId)| -> Option<u64> {
            let next = |shard: usize| self.taken.get(source).and_then(|shards| shards.get(shard)).copied();
            let behind = |(shard, bounds): (usize, &ShardBounds)| {
                bounds.next.0.saturating_sub(next(shard).unwrap_or(bounds.first).max(bounds.first).0)
            };
            Some(log.bounds(*stream).ok()?.iter().enumerate().map(behind).sum())
        };
        self.sources.iter().enumerate().map(of_source).sum()
    }
}

/// How far event time is in shards, by their clocks as far as these are known.
fn times_of(sources: &[StreamId], shards: &[Vec<ShardCut>], clocks: &[Vec<EventTime>]) -> Vec<ShardTime> {
    let mut times = Vec::new();
    for ((source, stream), cuts) in (0..).zip(sources).zip(shards) {
        let clock = |shard: usize| clocks.get(source as usize).and_then(|clocks| clocks.get(shard)).copied();
        times.extend(cuts.iter().enumerate().map(|(shard, cut)| ShardTime {
            source,
            stream: *stream,
            shard: ShardId(shard as u32),
            watermark: clock(shard),
            idle: cut.idle,
            ended: cut.ended,
        }));
    }
    times
}
