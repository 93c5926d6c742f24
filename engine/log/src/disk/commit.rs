//! What the committer does on disk: it gives batches their places in the active file, writes them, and syncs.
//!
//! Nothing here is done per row.

use std::sync::Arc;

use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::active::Active;
use super::event::Event;
use super::index::{ActiveEntry, Entry};
use super::inner::Inner;
use crate::batch::{Encoded, Placement};
use crate::error::{LogError, Result};
use crate::queue::Group;
use crate::sequencer::Sequencer;
use crate::stored::{Commit, Placing};
use crate::view::View;

/// What only the committer, and changes of streams, may touch.
pub(crate) struct Writer {
    /// Gives places.
    pub sequencer: Sequencer,
    /// The file that is written to, once there is something to write.
    pub active: Option<Active>,
    /// The number of the next active file.
    pub next_number: u64,
    /// No row arrives before the one before it, whatever the wall clock says.
    pub last_arrival: EventTime,
}

/// A batch that has its place.
pub(crate) struct Placed {
    stream: StreamId,
    shard: ShardId,
    entry: Entry,
    encoded: Encoded,
}

impl AsMut<Sequencer> for Writer {
    fn as_mut(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }
}

impl Inner {
    /// Gives groups their places in the active file, and writes them there; the answer is the file's number. After an error nothing is
    /// tried again, since nobody knows what the disk has.
    pub(crate) fn commit(
        &self,
        writer: &mut Writer,
        groups: Vec<Group>,
        commit: &mut Commit<Placed>,
    ) -> Result<u64> {
        // Without room the groups get their places all the same: so those who wait for them are known, and told the error.
        let room = self.make_room(writer, groups.iter().map(|group| group.bytes).sum());
        let arrival = self.arrival(&mut writer.last_arrival);
        let (mut at, mut chain) = writer.active.as_ref().map_or((0, 0), |one| (one.next_batch(), one.chain));
        commit.place(&mut writer.sequencer, groups, arrival, |placing| {
            let Placing { stream, shard, first, group_continues, prepared } = placing;
            let (rows, event_time) = (prepared.rows(), prepared.event_time());
            let encoded = prepared.finish(Placement { first, arrival, chain, group_continues });
            let entry = entry_of(at, &encoded, first, rows, event_time, arrival);
            (at, chain) = (at + encoded.total_bytes(), encoded.crc());
            Placed { stream, shard, entry, encoded }
        });
        room?;
        self.write(writer, commit)?;
        Ok(writer.active.as_ref().map_or(0, |active| active.number))
    }

    /// Starts another active file if this one would become too large, or is too old; makes the first one if need be.
    fn make_room(&self, writer: &mut Writer, bytes: u64) -> Result<()> {
        let full = writer
            .active
            .as_ref()
            .is_some_and(|active| !active.is_empty() && active.len + bytes > self.options.segment_bytes);
        if full {
            self.roll(writer)?;
        }
        if writer.active.is_none() && bytes > 0 {
            self.start_active(writer, 0)?;
        }
        Ok(())
    }

    /// Ends the active file and starts another. All of the old one is durable before the new one exists, so that
    /// only the newest can have a torn tail.
    pub(crate) fn roll(&self, writer: &mut Writer) -> Result<()> {
        let Some(mut old) = writer.active.take() else { return Ok(()) };
        if old.synced_to < old.len {
            old.sync()?;
        }
        self.start_active(writer, old.len)?;
        self.hand_to_sealer(writer, old);
        Ok(())
    }

    fn start_active(&self, writer: &mut Writer, previous: u64) -> Result<()> {
        let number = writer.next_number;
        let (now, since) = (self.world.clock.now(), self.world.clock.monotonic());
        let active = Active::create(&*self.world.disk, &self.layout, number, previous, now, since)?;
        writer.next_number += 1;
        // From now on it is missed if it is not there.
        let begun = Event::Durable { active: number, bytes: active.len };
        self.keep(&mut self.catalog.lock(), begun, None)?;
        self.actives.lock().insert(number, Arc::clone(&active.file));
        writer.active = Some(active);
        Ok(())
    }

    fn write(&self, writer: &mut Writer, commit: &Commit<Placed>) -> Result<()> {
        if commit.batches.is_empty() {
            if commit.rows > 0 {
                self.metrics.committed(commit.rows, 0);
            }
            return Ok(());
        }
        let Some(active) = &mut writer.active else { return Err(LogError::Closed) };
        let before = active.len;
        active.write(commit.batches.iter().map(|placed| &placed.encoded))?;
        if commit.needs_sync {
            let start = self.world.clock.monotonic();
            active.sync()?;
            self.metrics.synced(self.world.clock.monotonic().saturating_sub(start));
        }
        self.metrics.committed(commit.rows, active.len - before);
        Ok(())
    }
}

fn entry_of(
    at: u64,
    encoded: &Encoded,
    first: Sequence,
    rows: u32,
    event_time: Option<(EventTime, EventTime)>,
    arrival: EventTime,
) -> Entry {
    Entry {
        at,
        bytes: encoded.total_bytes() as u32,
        header: encoded.header().len() as u32,
        first,
        rows,
        event_time,
        arrival: (arrival, arrival),
    }
}

/// Shows batches in the file of this number to readers.
pub(crate) fn publish(view: &mut View, batches: Vec<Placed>, file: u64) {
    for Placed { stream, shard, entry, .. } in batches {
        if let Some(shard) = view.shard_mut(stream, shard) {
            shard.files.active.push_back(ActiveEntry { file, entry });
            shard.next = entry.next();
        }
    }
}
