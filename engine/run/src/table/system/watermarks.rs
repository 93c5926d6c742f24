//! `system.watermarks`: how far event time has come, for each job and for each shard that it reads.
//!
//! | job | source | stream | shard | watermark | idle | ended |
//! |---|---|---|---|---|---|---|
//! | averages | NULL | NULL | NULL | 10:00:05 | NULL | false |
//! | averages | 0 | readings | 0 | 10:00:05 | false | false |
//! | averages | 0 | readings | 1 | 10:02:41 | false | false |

use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array};
use headwater_core::EventTime;
use headwater_log::Log;

use super::{Columns, text, time};
use crate::engine::Inner;
use crate::job::ShardTime;
use crate::{Figure, JobStatus};

/// A line: of a job as a whole, or of a shard that it reads.
#[derive(Default)]
struct Line {
    job: String,
    of: Option<(u32, String, u32)>,
    watermark: Option<EventTime>,
    idle: Option<bool>,
    ended: Option<bool>,
}

impl Line {
    /// The least over its shards that are not idle, which never moves back.
    fn of_job(job: JobStatus) -> Self {
        let ended = job.knows(Figure::Steps).then_some(job.watermark == EventTime::MAX);
        Self { job: job.name, watermark: Some(job.watermark), ended, ..Self::default() }
    }

    fn of_shard(job: &str, log: &dyn Log, time: &ShardTime) -> Option<Self> {
        let stream = log.stream(time.stream).ok()?.spec.name.to_string();
        Some(Self {
            job: job.to_owned(),
            of: Some((time.source, stream, time.shard.0)),
            watermark: time.watermark,
            idle: Some(time.idle),
            ended: Some(time.ended),
        })
    }
}

/// | column | |
/// |---|---|
/// | job | which |
/// | source, stream, shard | which of its sources, from 0 on, the stream that this is, and which shard of it; NULL: the job as a whole |
/// | watermark | of a job the least of its shards that are not idle; of a shard what its own rows have come to. NULL: none, or not known |
/// | idle | whether time does not wait for the shard, as it has been quiet |
/// | ended | whether no more rows will come |
pub(super) fn watermarks(inner: &Arc<Inner>) -> Columns {
    let log = &*inner.log;
    let mut all = Vec::new();
    for job in inner.job_statuses() {
        let times = inner.shard_times(&job.name);
        let shards = times.iter().filter_map(|time| Line::of_shard(&job.name, log, time));
        let shards: Vec<Line> = shards.collect();
        all.push(Line::of_job(job));
        all.extend(shards);
    }
    let sources = all.iter().map(|line| line.of.as_ref().map(|(source, ..)| *source as i32));
    let shards = all.iter().map(|line| line.of.as_ref().map(|(.., shard)| *shard as i32));
    Columns(vec![
        ("job", text(&all, |line| Some(line.job.clone()))),
        ("source", Arc::new(sources.collect::<Int32Array>())),
        ("stream", text(&all, |line| line.of.as_ref().map(|(_, stream, _)| stream.clone()))),
        ("shard", Arc::new(shards.collect::<Int32Array>())),
        ("watermark", time(&all, |line| line.watermark)),
        ("idle", Arc::new(all.iter().map(|line| line.idle).collect::<BooleanArray>())),
        ("ended", Arc::new(all.iter().map(|line| line.ended).collect::<BooleanArray>())),
    ])
}
