//! Partitions that are forgotten when no row has come into them for a while.
//!
//! A partition's time is the watermark behind the step in which its newest row came. What was said of it stays said, and the retraction of
//! a row that was forgotten is not heard. The time is in the notes of its rows, the newest that is there: when that row goes, another
//! takes it over. So when a partition goes follows from the steps alone, also where the state was restored in between.

use super::operator::UpdatingOverOperator;
use super::rows::UNTOLD;
use super::touched::Moved;

/// The time of a partition whose rows came before any watermark; the first one gives it another.
pub(super) const UNDATED: i64 = i64::MIN;

impl UpdatingOverOperator {
    /// Gives the partitions into which rows have come in this step their time.
    pub(super) fn date(&mut self, moved: &[Vec<Moved>]) {
        if self.what.ttl.is_none() {
            return;
        }
        for (touch, moved) in moved.iter().enumerate() {
            let partition = self.touched[touch];
            if moved.iter().any(|moved| moved.delta > 0) {
                self.partitions[partition as usize].at = self.watermark;
                self.schedule(partition);
            } else if !moved.is_empty() {
                self.keep_time(partition);
            }
        }
    }

    /// Sees to it that one of a partition's rows has its time.
    fn keep_time(&mut self, partition: u32) {
        let entry = &self.partitions[partition as usize];
        let at = entry.at;
        let Some(first) = entry.rows.at(0) else { return };
        if !entry.rows.rows().any(|row| self.held.store.row(row).note.at == at) {
            self.held.store.row_mut(first).note.at = at;
        }
    }

    /// Notes when a partition may be forgotten.
    pub(super) fn schedule(&mut self, partition: u32) {
        let Some(ttl) = self.what.ttl else { return };
        let entry = &mut self.partitions[partition as usize];
        if !std::mem::replace(&mut entry.scheduled, true) {
            self.ends.push(entry.at.saturating_add(ttl), partition);
        }
    }

    /// Lets go of the partitions into which no row has come for long.
    pub(super) fn forget_old(&mut self) {
        let Some(ttl) = self.what.ttl else { return };
        for (_, partition) in self.ends.due(self.watermark) {
            let entry = &mut self.partitions[partition as usize];
            entry.scheduled = false;
            if entry.rows.is_empty() {
                continue;
            }
            if entry.at == UNDATED {
                entry.at = self.watermark;
                self.keep_time(partition);
            }
            if self.watermark <= self.partitions[partition as usize].at.saturating_add(ttl) {
                self.schedule(partition);
            } else {
                self.forget(partition);
            }
        }
    }

    fn forget(&mut self, partition: u32) {
        let entry = &mut self.partitions[partition as usize];
        let rows = std::mem::take(&mut entry.rows);
        entry.marks.clear();
        for row in rows.rows() {
            let told = self.held.entry(row).told;
            if told != UNTOLD {
                self.told.remove(told);
            }
            self.held.remove(row);
        }
    }
}
