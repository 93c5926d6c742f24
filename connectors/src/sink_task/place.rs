//! Where a sink is: the cursor that is kept in the log, and the delivery that it names.

use std::sync::Arc;

use headwater_core::{Sequence, ShardId};
use headwater_ingest::{Mark, SourceStep};
use tokio::time::Instant;

use super::SinkTask;
use crate::blocking::on_thread;
use crate::connector::{Cursor, Sink};
use crate::error::Result;
use crate::task::STORE_INTERVAL;

/// The partition under which a sink's note is kept beside its shards.
const NOTE: &str = "note";

/// A delivery by its name: the next from this row has as many rows as it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) shard: ShardId,
    pub(super) first: Sequence,
    pub(super) rows: usize,
}

impl Named {
    pub(super) fn note(self) -> String {
        format!("{} {} {}", self.shard, self.first, self.rows)
    }

    pub(super) fn read(note: &str) -> Option<Self> {
        let mut parts = note.split(' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (shard, first, rows) = (number()?, number()?, number()?);
        Some(Self {
            shard: ShardId(u32::try_from(shard).ok()?),
            first: Sequence(first),
            rows: usize::try_from(rows).ok()?,
        })
    }
}

impl<M: Fn() -> Result<Box<dyn Sink>> + Send> SinkTask<M> {
    /// Stores the flushed cursor, if it has moved and it is time.
    pub(super) async fn store(&mut self, at_once: bool) -> Result<()> {
        let is_time = self.stored_at.is_none_or(|at| at.elapsed() >= STORE_INTERVAL);
        let Some(cursor) = self.flushed.as_ref().filter(|_| !self.is_stored && (at_once || is_time)) else {
            return Ok(());
        };
        self.step += 1;
        let mark = |partition: String, position: String| Mark { partition, position };
        let mut marks: Vec<_> =
            cursor.next.iter().map(|(shard, next)| mark(shard.to_string(), next.to_string())).collect();
        marks.push(mark(NOTE.to_owned(), cursor.note.clone()));
        let step = SourceStep { source: self.name.clone(), epoch: self.epoch, step: self.step, marks };
        let cursors = Arc::clone(&self.cursors);
        on_thread(move || cursors.store(&step)).await??;
        self.is_stored = true;
        self.stored_at = Some(Instant::now());
        Ok(())
    }

    pub(super) async fn stored_cursor(&mut self) -> Result<Cursor> {
        let (cursors, name) = (Arc::clone(&self.cursors), self.name.clone());
        let mut place = on_thread(move || cursors.claim(&name)).await??;
        self.epoch = place.epoch;
        self.step = place.step;
        let note = place.positions.remove(NOTE).unwrap_or_default();
        let shard = |(shard, next): (&String, &String)| {
            Some((ShardId(shard.parse().ok()?), Sequence(next.parse().ok()?)))
        };
        Ok(Cursor { next: place.positions.iter().filter_map(shard).collect(), note })
    }
}
