//! What a step takes from its sources: of several, what is behind in event time comes first where that spares memory. Before all others
//! come sources of which the plan wants all rows first.

use std::time::Duration;

use headwater_core::{EventTime, Sequence};
use headwater_operators::Rows;

use super::{Cut, Pipeline};
use crate::error::Result;
use crate::job::source::{ShardInput, Until};

impl Pipeline {
    /// Takes from all sources alike.
    pub(super) fn take(
        &mut self,
        until: impl Fn(usize, usize) -> Until,
        now: Duration,
    ) -> Result<Vec<Vec<Rows>>> {
        (0..self.sources.len()).map(|nth| self.take_source(nth, &until, now)).collect()
    }

    /// Whether sources that come first have more rows than were taken, or may. `until`: where this step is to end in a shard of a
    /// source, if that is given.
    pub fn waits_for_first(&self, until: impl Fn(usize, usize) -> Option<Sequence>) -> bool {
        let first = |nth: &usize| self.dataflow.sources[*nth].comes_first && !self.sources[*nth].is_mute;
        (0..self.sources.len()).filter(first).any(|nth| {
            let is_read = |(shard_nth, shard): (usize, &ShardInput)| {
                shard.is_at_end() || until(nth, shard_nth).is_some_and(|end| shard.position() >= end)
            };
            !self.sources[nth].shards.iter().enumerate().all(is_read)
        })
    }

    /// Takes from the sources that come first alone. The others are made to wait.
    pub(super) fn take_first(
        &mut self,
        until: impl Fn(usize, usize) -> Until,
        now: Duration,
    ) -> Result<Vec<Vec<Rows>>> {
        let mut all = Vec::with_capacity(self.sources.len());
        for nth in 0..self.sources.len() {
            all.push(if self.dataflow.sources[nth].comes_first {
                self.take_source(nth, &until, now)?
            } else {
                self.sources[nth].shards.iter_mut().for_each(|shard| shard.last_rows = now);
                Vec::new()
            });
        }
        Ok(all)
    }

    /// Takes from the source that is furthest behind in event time first. As long as it has more rows than a step takes and its time goes
    /// on, nothing is taken from sources that are ahead of it:
    ///
    /// ```text
    ///   source 0   ├─── taken so far ───┤─ this step ─┤─ more ── …
    ///   source 1   ├─── taken so far ────────────────────┤ waits, in the log
    ///   time       ──────────────────────────────────────────────►
    /// ```
    pub(super) fn take_aligned(
        &mut self,
        until: impl Fn(usize, usize) -> Until,
        now: Duration,
    ) -> Result<Vec<Vec<Rows>>> {
        let mut order: Vec<(Option<EventTime>, usize)> =
            (0..self.sources.len()).map(|nth| (self.time_of(nth), nth)).collect();
        order.sort_unstable();
        let mut all: Vec<Vec<Rows>> = self.sources.iter().map(|_| Vec::new()).collect();
        let mut furthest_behind: Option<EventTime> = None;
        for (before, nth) in order {
            if let (Some(time), Some(behind)) = (before, furthest_behind)
                && time > behind
            {
                // It is made to wait, and not quiet.
                self.sources[nth].shards.iter_mut().for_each(|shard| shard.last_rows = now);
                continue;
            }
            all[nth] = self.take_source(nth, &until, now)?;
            let has_more = self.sources[nth].shards.iter().any(|shard| shard.has_more);
            if let Some(time) = self.time_of(nth).filter(|time| has_more && Some(*time) > before) {
                furthest_behind = Some(furthest_behind.map_or(time, |behind| behind.min(time)));
            }
        }
        Ok(all)
    }

    /// How far a source's event time has come, if its rows share one and it is awake.
    fn time_of(&self, nth: usize) -> Option<EventTime> {
        let watermark = self.dataflow.sources[nth].watermark.as_ref()?;
        if watermark.per_key || watermark.processing || self.sources[nth].is_mute {
            return None;
        }
        let awake = self.sources[nth].shards.iter().filter(|shard| !shard.clock.ended && !shard.clock.idle);
        awake.map(|shard| shard.clock.watermark).min()
    }

    fn take_source(
        &mut self,
        nth: usize,
        until: &impl Fn(usize, usize) -> Until,
        now: Duration,
    ) -> Result<Vec<Rows>> {
        let (spec, source) = (&self.dataflow.sources[nth], &mut self.sources[nth]);
        let mut morsels = Vec::new();
        if source.is_mute {
            return Ok(morsels);
        }
        for (shard_nth, shard) in source.shards.iter_mut().enumerate() {
            let until = until(nth, shard_nth);
            let taken = shard.take(spec, until, self.watermark, self.morsels)?;
            self.failed.append(&mut shard.failed);
            // One that is held back at an end may well have rows behind it.
            let is_held = matches!(until, Until::Budget { end, .. } if shard.position() >= end);
            if !taken.is_empty() || is_held {
                shard.last_rows = now;
            }
            morsels.extend(taken);
        }
        Ok(morsels)
    }

    /// Takes exactly what a cut says.
    pub(super) fn take_cut(&mut self, cut: &Cut, now: Duration) -> Result<Vec<Vec<Rows>>> {
        for (source, cuts) in self.sources.iter_mut().zip(&cut.shards) {
            for (shard, cut) in source.shards.iter_mut().zip(cuts) {
                shard.clock.idle = cut.idle;
                shard.end = if cut.ended { Some(cut.next) } else { None };
            }
        }
        let morsels = self.take(|source, shard| Until::Cut(cut.shards[source][shard].next), now)?;
        // Rows end a shard's idleness, but the cut has the last word: it was made after the same rows.
        for (source, cuts) in self.sources.iter_mut().zip(&cut.shards) {
            for (shard, cut) in source.shards.iter_mut().zip(cuts) {
                shard.clock.idle = cut.idle;
            }
        }
        Ok(morsels)
    }
}
