//! Where the task stands, and how that is kept: in one group with what is written down of attempts.

use std::sync::Arc;

use headwater_ingest::{Mark, Place, SourceStep};
use headwater_log::Append;

use super::ActuatorTask;
use crate::actuate::ledger::{Entry, Progress};
use crate::blocking::on_thread;
use crate::error::Result;

/// The partitions under which the cursor, the size that was last asked for and the token are stored.
pub(super) const CURSOR: &str = "cursor";
pub(super) const SIZE: &str = "size";
pub(super) const TOKEN: &str = "token";

impl ActuatorTask {
    /// The cursor's owner: not the group's name alone, which a group that was dropped may have had before.
    pub(super) fn owner(&self) -> String {
        format!("scaling group {} {}", self.def.group, self.def.identity)
    }

    /// Fences off what is left of a former self, and answers the size that was last asked for.
    pub(super) async fn claim(&mut self) -> Result<Option<u64>> {
        let (cursors, owner) = (Arc::clone(&self.cursors), self.owner());
        let place = on_thread(move || cursors.claim(&owner)).await??;
        Ok(self.note_place(&place))
    }

    pub(super) fn note_place(&mut self, place: &Place) -> Option<u64> {
        let number = |key: &str| place.positions.get(key).and_then(|position| position.parse::<u64>().ok());
        (self.epoch, self.step) = (place.epoch, place.step);
        self.stored = number(CURSOR).unwrap_or(self.stored);
        self.token = place.positions.get(TOKEN).cloned().unwrap_or_default();
        number(SIZE)
    }

    pub(super) fn next_step(&mut self, marks: Vec<Mark>) -> SourceStep {
        self.step += 1;
        SourceStep { source: self.owner(), epoch: self.epoch, step: self.step, marks }
    }

    /// Appends attempts, progress and where it stands, all or nothing.
    pub(super) async fn append(
        &mut self,
        entries: &[Entry],
        progress: &[Progress],
        marks: Vec<Mark>,
    ) -> Result<()> {
        let cursor = marks.iter().find(|mark| mark.partition == CURSOR);
        let cursor = cursor.and_then(|mark| mark.position.parse().ok());
        let mut group: Vec<Append> = Vec::new();
        if !marks.is_empty() {
            let step = self.next_step(marks);
            group.push(self.cursors.append_of(&step)?);
        }
        group.extend(self.ledger.attempts(entries)?);
        group.extend(self.ledger.progress(progress)?);
        self.submit(group).await?;
        self.stored = cursor.unwrap_or(self.stored);
        Ok(())
    }

    pub(super) async fn append_rows(&self, entries: &[Entry]) -> Result<()> {
        self.submit(self.ledger.attempts(entries)?.into_iter().collect()).await
    }

    async fn submit(&self, group: Vec<Append>) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let (log, cursors) = (Arc::clone(&self.log), Arc::clone(&self.cursors));
        let append = move || -> Result<()> {
            log.append(group)?;
            Ok(cursors.compact_if_long()?)
        };
        on_thread(append).await?
    }
}

pub(super) fn mark(partition: &str, position: u64) -> Mark {
    Mark { partition: partition.to_owned(), position: position.to_string() }
}
