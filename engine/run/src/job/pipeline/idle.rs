//! Shards that give no rows: those that have been quiet for long are idle, and time does not wait for them; those that have come to
//! their end are ended. When all are idle, time can be moved on without rows.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{EventTime, Sequence};
use headwater_log::StreamInfo;

use super::{Pipeline, Step};
use crate::error::Result;
use crate::job::clock::ShardClock;
use crate::job::source::ShardInput;

/// After how long without rows a shard of a stream is idle.
pub(crate) type IdleTimeouts = Arc<dyn Fn(&StreamInfo) -> Option<Duration> + Send + Sync>;

impl Pipeline {
    /// Says after how long without rows shards are idle in live steps; nobody has said so: never.
    pub fn set_idle_timeouts(&mut self, timeouts: IdleTimeouts) {
        self.idle_timeouts = timeouts;
    }

    /// Counts how long shards have been quiet from now on.
    pub fn count_quiet_from(&mut self, now: Duration) {
        self.sources.iter_mut().flat_map(|source| &mut source.shards).for_each(|shard| shard.last_rows = now);
    }

    /// Ends the shards that have come to their end and had no rows in this step. One whose clock is ahead of time and of all others waits
    /// until those have ended or overtaken it: so time comes to what the rows have said before it ends, wherever steps were cut.
    ///
    /// ```text
    ///   shard 0   rows up to 100 │ waits │ ended
    ///   shard 1   rows up to 50  │ ended │
    ///   time      50             │ 100   │ its end
    /// ```
    pub(super) fn end_shards(&mut self, before: &[Vec<(Sequence, ShardClock)>], now: Duration) {
        let reached = self.watermark;
        let shards = self.sources.iter_mut().zip(before).flat_map(|(source, before)| {
            source.shards.iter_mut().zip(before).map(|(shard, (from, _))| (shard, *from))
        });
        let open = shards.filter(|(shard, _)| !shard.clock.ended);
        let (done, others): (Vec<_>, Vec<_>) =
            open.partition(|(shard, from)| shard.is_at_end() && shard.position() == *from);
        let of_others = others.iter().map(|(shard, _)| shard.clock.watermark).max();
        let of_done = done.iter().map(|(shard, _)| shard.clock.watermark).max();
        let is_ahead = |shard: &ShardInput| {
            let own = Some(shard.clock.watermark);
            shard.clock.watermark > reached && own == of_done && own > of_others
        };
        let (waiting, ending): (Vec<_>, Vec<_>) = done.into_iter().partition(|(shard, _)| is_ahead(shard));
        // Nobody is left to wait for: time comes to them in this step, and they end in the next one.
        let are_last = others.is_empty();
        let nothing_changes = ending.is_empty() && waiting.iter().all(|(shard, _)| !shard.clock.idle);
        ending.into_iter().for_each(|(shard, _)| shard.clock.ended = true);
        for (shard, _) in waiting.into_iter().filter(|_| are_last) {
            (shard.clock.idle, shard.last_rows) = (false, now);
            shard.clock.ended = nothing_changes;
        }
    }

    /// A step without rows: shards that have been without any for long enough are declared idle, and when all of them are,
    /// time is put to `advance`. `None` if that changes nothing.
    pub fn step_idle(&mut self, now: Duration, advance: Option<EventTime>) -> Result<Option<Step>> {
        let timeouts = Arc::clone(&self.idle_timeouts);
        self.step_quiet(&*timeouts, now, advance)
    }

    /// A step without rows in which the shards of a stream are declared idle and, if no other is awake, time is put to `time`. `None` if
    /// that changes nothing, or if the job does not read the stream.
    pub fn step_advance(&mut self, stream: &str, time: EventTime, now: Duration) -> Result<Option<Step>> {
        if self.sources.iter().all(|source| source.info.spec.name.as_str() != stream) {
            return Ok(None);
        }
        let none = |info: &StreamInfo| (info.spec.name.as_str() == stream).then_some(Duration::ZERO);
        self.step_quiet(&none, now, Some(time))
    }

    fn step_quiet(
        &mut self,
        timeout: &dyn Fn(&StreamInfo) -> Option<Duration>,
        now: Duration,
        advance: Option<EventTime>,
    ) -> Result<Option<Step>> {
        let changed = self.fall_idle(timeout, now, |_| true);
        let advance = advance.filter(|time| self.all_idle() && *time > self.watermark);
        if !changed && advance.is_none() {
            return Ok(None);
        }
        let none = self.sources.iter().map(|_| Vec::new()).collect();
        self.run(none, advance).map(Some)
    }

    /// Declares shards idle that have been without rows for so long. Whether there were any.
    pub(super) fn fall_idle(
        &mut self,
        timeout: &dyn Fn(&StreamInfo) -> Option<Duration>,
        now: Duration,
        may: impl Fn(&ShardInput) -> bool,
    ) -> bool {
        let mut changed = false;
        for source in &mut self.sources {
            let Some(timeout) = timeout(&source.info) else { continue };
            for shard in source.shards.iter_mut().filter(|shard| !shard.clock.idle && !shard.clock.ended) {
                if now.saturating_sub(shard.last_rows) >= timeout && may(shard) {
                    shard.clock.idle = true;
                    changed = true;
                }
            }
        }
        changed
    }

    /// How long until a shard falls idle if no rows come; when all are idle, how long until time is moved on.
    pub fn idle_in(&self, now: Duration) -> Option<Duration> {
        let timed =
            self.sources.iter().zip(&self.dataflow.sources).filter(|(_, spec)| spec.watermark.is_some());
        let left = timed
            .filter_map(|(source, _)| Some((source, (self.idle_timeouts)(&source.info)?)))
            .flat_map(|(source, timeout)| {
                let open = source.shards.iter().filter(|shard| !shard.clock.ended);
                open.map(move |shard| match shard.clock.idle {
                    true => (true, timeout),
                    false => (false, (shard.last_rows + timeout).saturating_sub(now)),
                })
            });
        // Shards that are awake come first; only when none is left does time go on by itself.
        left.min().map(|(_, left)| left)
    }

    /// Whether no shard that has not ended is awake, and one is asleep.
    pub fn all_idle(&self) -> bool {
        let mut open = self
            .sources
            .iter()
            .flat_map(|source| &source.shards)
            .filter(|shard| !shard.clock.ended)
            .peekable();
        open.peek().is_some() && open.all(|shard| shard.clock.idle)
    }

    /// Whether time is that of processing, which goes on by itself.
    pub fn is_in_processing_time(&self) -> bool {
        let mut watermarks = self.dataflow.sources.iter().filter_map(|source| source.watermark.as_ref());
        watermarks.any(|watermark| watermark.processing)
    }

    /// The greatest watermark that any shard's rows have reached.
    pub fn latest(&self) -> EventTime {
        let clocks = self.sources.iter().flat_map(|source| &source.shards).map(|shard| shard.clock.watermark);
        clocks.max().unwrap_or(EventTime::MIN)
    }
}
