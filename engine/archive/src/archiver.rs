//! Writes what the log has and the archive has not, a step at a time.
//!
//! Every step is decided from the manifest and the log alone, so it does not matter who did the one before, nor whether they
//! lived to know of it:
//!
//! ```text
//!  a range is planned ──yes──> write its files, commit it
//!         │ no
//!  rows are due ──yes──> plan the next range of each shard that has some
//!         │ no
//!       wait
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{EventTime, Sequence, ShardId, World};
use headwater_log::{Durability, From, Log, ReadSpec, SegmentInfo, ShardBounds, StreamInfo};

use crate::encode::{About, encode};
use crate::error::{ArchiveError, Result};
use crate::gather::gather;
use crate::identity::Identity;
use crate::ledger::Ledger;
use crate::manifest::{Act, Manifest, Range, Span};
use crate::place::Place;
use crate::settings::Settings;
use crate::upload::{Progress, put_file};

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stepped {
    /// The next ranges are planned.
    Planned,
    /// A range was committed.
    Committed,
    /// Somebody else was first; what they did is known now.
    Overtaken,
    /// There is nothing to do; rows that are there will be due after this long.
    Idle(Option<Duration>),
}

/// Writes a stream's rows to its archive.
pub struct Archiver {
    world: World,
    log: Arc<dyn Log>,
    info: Arc<StreamInfo>,
    identity: Identity,
    settings: Settings,
    ledger: Ledger,
    progress: Arc<Progress>,
    /// Of each shard the next row to archive and when it arrived.
    waiting: HashMap<u32, (u64, EventTime)>,
}

impl Archiver {
    /// Takes a place for a stream's archive, or goes on with the one that is there.
    pub async fn open(
        world: World,
        log: Arc<dyn Log>,
        info: Arc<StreamInfo>,
        place: Place,
        settings: Settings,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let spec = &info.spec;
        if spec.durability == Durability::Memory {
            return Err(ArchiveError::Invalid(format!(
                "stream {} has durability 'memory': after a restart its sequence numbers name other rows, so it cannot be archived",
                spec.name
            )));
        }
        settings.check(&spec.schema, spec.event_time.as_deref())?;
        let identity = Identity::of(&info, settings.partition);
        let ledger = identity.claim(&world, &place).await?;
        let archiver =
            Self { world, log, info, identity, settings, ledger, progress, waiting: HashMap::new() };
        archiver.check_fits()?;
        Ok(archiver)
    }

    /// What is committed.
    pub fn manifest(&self) -> &Manifest {
        self.ledger.manifest()
    }

    /// Whose archive it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads what others have added to the manifest.
    pub async fn refresh(&mut self) -> Result<bool> {
        self.ledger.refresh().await
    }

    /// Rows of the log that are not committed.
    pub fn lag(&self) -> Result<u64> {
        let bounds = self.log.bounds(self.info.id)?;
        let lag =
            |(shard, bounds): (u32, &ShardBounds)| bounds.next.0.saturating_sub(self.next_of(shard, bounds));
        Ok((0..).zip(&bounds).map(lag).sum())
    }

    /// Lets the log's retention have what is committed.
    pub fn release(&self) -> Result<()> {
        for shard in 0..self.info.spec.shards {
            if let Some((_, next)) = self.manifest().bounds(shard) {
                self.log.release(self.info.id, ShardId(shard), Sequence(next))?;
            }
        }
        Ok(())
    }

    /// Does the next thing. After an error the same is tried again by the next call.
    pub async fn step(&mut self) -> Result<Stepped> {
        self.check_owner()?;
        if self.next_planned().is_none() {
            if let Err(wait) = self.due()? {
                return Ok(Stepped::Idle(wait));
            }
            // Before anything is decided, what others have decided is read.
            self.ledger.refresh().await?;
            self.check_owner()?;
        }
        self.check_fits()?;
        if let Some(span) = self.next_planned() {
            return self.write(span).await;
        }
        match self.due()? {
            Ok(spans) => {
                let planned = self.ledger.append(&self.world, Act::Plan(spans)).await?;
                Ok(if planned { Stepped::Planned } else { Stepped::Overtaken })
            }
            Err(wait) => Ok(Stepped::Idle(wait)),
        }
    }

    fn next_planned(&self) -> Option<Span> {
        (0..self.info.spec.shards).find_map(|shard| self.manifest().planned(shard))
    }

    async fn write(&mut self, span: Span) -> Result<Stepped> {
        let info = self.log.stream(self.info.id)?;
        let rows = gather(&*self.log, &info, &span)?;
        let about = About {
            stream: self.identity.stream.clone(),
            created: self.identity.created,
            span,
            settings: self.settings.remembered(),
        };
        let place = self.ledger.place().clone();
        let mut files = Vec::new();
        for file in encode(rows, &span, &self.identity, &self.settings)? {
            files.push(put_file(&place, file, &about, self.settings.part_bytes, &self.progress).await?);
        }
        let committed = self.ledger.append(&self.world, Act::Commit(vec![Range { span, files }])).await?;
        self.release()?;
        Ok(if committed { Stepped::Committed } else { Stepped::Overtaken })
    }

    /// The next range of each shard that has rows to archive now, or how long until one has.
    fn due(&mut self) -> Result<std::result::Result<Vec<Span>, Option<Duration>>> {
        let bounds = self.log.bounds(self.info.id)?;
        let segments = self.log.segments(self.info.id)?;
        let now = self.world.clock.now();
        let (mut spans, mut wait) = (Vec::new(), None::<Duration>);
        for (shard, bounds) in (0..).zip(&bounds) {
            let first = self.next_of(shard, bounds);
            let of_shard = || segments.iter().filter(move |segment| segment.shard == ShardId(shard));
            let end = match self.info.spec.durability {
                Durability::Disk => bounds.next.0,
                // Only what is sealed survives a loss of power; other rows could take these numbers.
                _ => sealed_end(of_shard(), first),
            };
            if first >= end {
                continue;
            }
            let most = full_at(of_shard(), first, self.settings.roll.bytes)
                .min(first + self.settings.roll.rows.max(1));
            if most <= end {
                spans.push(Span { shard, first, next: most });
                continue;
            }
            let due = self.arrival_of(shard, first)?.plus(self.settings.roll.age);
            if due <= now {
                spans.push(Span { shard, first, next: end });
            } else {
                let left = Duration::from_nanos((due.0 - now.0).unsigned_abs());
                wait = Some(wait.map_or(left, |least| least.min(left)));
            }
        }
        Ok(if spans.is_empty() { Err(wait) } else { Ok(spans) })
    }

    /// The next row of a shard to archive.
    fn next_of(&self, shard: u32, bounds: &ShardBounds) -> u64 {
        self.manifest().bounds(shard).map_or(bounds.first.0, |(_, next)| next)
    }

    fn arrival_of(&mut self, shard: u32, sequence: u64) -> Result<EventTime> {
        if let Some((known, arrival)) = self.waiting.get(&shard)
            && *known == sequence
        {
            return Ok(*arrival);
        }
        let mut reader = self.log.read(ReadSpec {
            from: From::Sequence(Sequence(sequence)),
            until: Some(Sequence(sequence + 1)),
            projection: Some(Vec::new()),
            arrivals: true,
            ..ReadSpec::all(self.info.id, ShardId(shard))
        })?;
        let read = reader.next()?;
        let arrivals = read.and_then(|read| read.arrivals);
        let arrival =
            arrivals.filter(|arrivals| !arrivals.is_empty()).map(|arrivals| EventTime(arrivals.value(0)));
        let arrival = arrival.unwrap_or_else(|| self.world.clock.now());
        self.waiting.insert(shard, (sequence, arrival));
        Ok(arrival)
    }

    /// Whether the archive is still that of this stream.
    fn check_owner(&self) -> Result<()> {
        if let Some(owner) = self.manifest().owners.last().filter(|owner| **owner != self.identity.created) {
            let reason = format!(
                "a stream created {} has taken the archive over; archive this one to another place",
                EventTime(*owner)
            );
            return Err(ArchiveError::Foreign { place: self.ledger.place().shown().to_owned(), reason });
        }
        Ok(())
    }

    /// Whether log and archive are of one history and leave no gap between them.
    fn check_fits(&self) -> Result<()> {
        let bounds = self.log.bounds(self.info.id)?;
        for (shard, bounds) in (0..).zip(&bounds) {
            let Some((_, next)) = self.manifest().bounds(shard) else { continue };
            let reason = if next < bounds.first.0 {
                format!(
                    "the archive ends at row {next}, the log begins at {}: the rows between are gone; archive to another place",
                    bounds.first
                )
            } else if next > bounds.next.0 {
                format!(
                    "the archive has rows up to {next}, the log ends at {}: it is older than its archive; restore the log from \
                     the archive, or archive to another place",
                    bounds.next
                )
            } else {
                continue;
            };
            return Err(ArchiveError::Apart { stream: self.identity.stream.clone(), shard, reason });
        }
        Ok(())
    }
}

/// Where the sealed rows end that follow one another from a row on.
fn sealed_end<'a>(segments: impl Iterator<Item = &'a SegmentInfo>, from: u64) -> u64 {
    let sealed = segments.filter(|segment| segment.sealed && segment.rows.end.0 > from);
    sealed.map(|segment| segment.rows.end.0).max().unwrap_or(from)
}

/// The row before which so many bytes of the log lie, counted from a row on; past all rows if there are fewer.
fn full_at<'a>(segments: impl Iterator<Item = &'a SegmentInfo>, from: u64, bytes: u64) -> u64 {
    let mut left = bytes;
    for segment in segments {
        let (first, end) = (segment.rows.start.0.max(from), segment.rows.end.0);
        let rows = segment.rows.end.0 - segment.rows.start.0;
        if first >= end || rows == 0 {
            continue;
        }
        let size = |rows_taken: u64| u128::from(segment.bytes) * u128::from(rows_taken) / u128::from(rows);
        let here = size(end - first) as u64;
        if here >= left {
            let fits = u128::from(left) * u128::from(rows) / u128::from(segment.bytes.max(1));
            return first + (fits as u64).max(1);
        }
        left -= here;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use headwater_core::StreamId;

    use super::*;

    fn segment(rows: std::ops::Range<u64>, bytes: u64, sealed: bool) -> SegmentInfo {
        SegmentInfo {
            stream: StreamId(0),
            shard: ShardId(0),
            file: String::new(),
            sealed,
            rows: Sequence(rows.start)..Sequence(rows.end),
            batches: 1,
            bytes,
            event_time: None,
            arrival: (EventTime(0), EventTime(0)),
        }
    }

    #[test]
    fn a_range_ends_where_its_bytes_do() {
        let segments = [segment(0..100, 1000, true), segment(100..110, 1000, false)];
        assert_eq!(full_at(segments.iter(), 0, 500), 50);
        assert_eq!(full_at(segments.iter(), 50, 500), 100);
        assert_eq!(full_at(segments.iter(), 50, 1000), 105);
        assert_eq!(full_at(segments.iter(), 0, 5000), u64::MAX);
        assert_eq!(full_at(segments.iter(), 0, 1), 1, "at least one row");
        assert_eq!((sealed_end(segments.iter(), 20), sealed_end(segments.iter(), 105)), (100, 105));
    }
}
