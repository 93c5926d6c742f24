//! Groups in snapshots, and out of them.
//!
//! The table `groups`: keys, `$rows`, `$at` if groups may be forgotten, states; deletes name groups that have vanished.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};

use super::GroupOperator;
use super::group::{Age, Group};
use crate::api::{Snapshot, StateChange, StateEntries};
use crate::error::Result;
use crate::group_aggregate::Revises;
use crate::parts::PART_BYTES;
use crate::windows::{PART_ROWS, check_schema, slots};

/// Where at most one group in so many has changed, those are looked up one by one.
const SCATTERED: usize = 8;

impl GroupOperator {
    /// Writes the groups that have changed since the last snapshot, or all.
    pub(super) fn write_groups(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        let changed = self.take_changed(full);
        let lives = |group: &u32| self.what.keys.is_empty() || self.groups[*group as usize].rows != 0;
        let (live, gone): (Vec<u32>, Vec<u32>) = changed.into_iter().partition(lives);
        if !gone.is_empty() && !full {
            let columns = self.keys.columns(&gone)?;
            let fields = self.state_schema.fields()[..columns.len()].to_vec();
            let slots = slots(&columns, gone.len())?;
            let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
            out.push(StateEntries { table: "groups".into(), change: StateChange::Delete, rows, slots });
        }
        for live in live.chunks(self.rows_of_part()) {
            let mut columns = self.keys.columns(live)?;
            let slots = slots(&columns, live.len())?;
            let rows: Vec<i64> = live.iter().map(|group| self.groups[*group as usize].rows).collect();
            columns.push(Arc::new(Int64Array::from(rows.clone())));
            if self.what.ttl.is_some() {
                let at = live.iter().map(|group| self.ages[*group as usize].at);
                columns.push(Arc::new(Int64Array::from_iter_values(at)));
            }
            columns.extend(self.aggregates.state(live, rows)?);
            let rows = RecordBatch::try_new(Arc::clone(&self.state_schema), columns)?;
            out.push(StateEntries { table: "groups".into(), change: StateChange::Put, rows, slots });
        }
        Ok(())
    }

    /// Restores groups, or takes back some that had vanished.
    pub(super) fn restore_groups(&mut self, entries: &StateEntries) -> Result<()> {
        self.restored = true;
        let width = self.what.keys.len();
        let groups = self.intern(&entries.rows.columns()[..width], entries.rows.num_rows())?;
        self.aggregates.clear(&groups);
        if entries.change == StateChange::Delete {
            self.forget_restored(&groups);
            return Ok(());
        }
        check_schema(self.name, &entries.rows, &self.state_schema)?;
        let counts = entries.rows.column(width).as_primitive::<Int64Type>().values();
        let own = width + 1 + usize::from(self.what.ttl.is_some());
        let at = self.what.ttl.map(|_| entries.rows.column(width + 1).as_primitive::<Int64Type>().values());
        for (row, (group, rows)) in groups.iter().zip(counts).enumerate() {
            let present = self.what.keys.is_empty() || *rows > 0;
            if let Some(at) = at {
                self.ages[*group as usize] = Age { at: at[row], scheduled: false };
            }
            let restored = Group { rows: *rows, present, ..Group::default() };
            let before = std::mem::replace(&mut self.groups[*group as usize], restored);
            self.live = self.live + usize::from(*rows != 0) - usize::from(before.rows != 0);
        }
        self.aggregates.merge(&entries.rows.columns()[own..], &groups)
    }

    /// Takes back what older entries have restored of groups that had vanished later.
    fn forget_restored(&mut self, groups: &[u32]) {
        for group in groups {
            let gone = std::mem::take(&mut self.groups[*group as usize]);
            self.live -= usize::from(gone.rows != 0);
            if let Some(age) = self.ages.get_mut(*group as usize) {
                *age = Age::default();
            }
        }
        self.vanished += groups.len();
    }

    /// The groups that have changed since the last call, or all.
    fn take_changed(&mut self, full: bool) -> Vec<u32> {
        let mut dirty = std::mem::take(&mut self.dirty);
        if dirty.len() > self.groups.len() / SCATTERED {
            // In the order in which they lie.
            dirty.clear();
            dirty.extend((0..).zip(&self.groups).filter(|(_, group)| group.dirty).map(|(number, _)| number));
        }
        dirty.iter().for_each(|group| self.groups[*group as usize].dirty = false);
        if full { (0..self.groups.len() as u32).collect() } else { dirty }
    }

    /// How many groups a snapshot writes at a time: fewer, if they are large.
    fn rows_of_part(&self) -> usize {
        let bytes = self.keys.size() + self.aggregates.size();
        let each = bytes / self.live.max(1) + 1;
        // Some may be larger than others.
        (PART_BYTES / 8 / each).clamp(1, PART_ROWS)
    }

    /// Finds out which restored groups have been said, and when they end.
    pub(super) fn finish_restore(&mut self) {
        if !std::mem::take(&mut self.restored) {
            return;
        }
        if let Some(Revises::Late(_)) = self.what.revises {
            for (_, number) in self.opens.due(self.watermark) {
                self.groups[number as usize].open = true;
            }
            for group in &mut self.groups {
                group.present &= group.open;
            }
        }
        if let Some(ttl) = self.what.ttl {
            let ages = self.groups.iter().zip(&mut self.ages);
            for (number, (_, age)) in (0..).zip(ages).filter(|(_, (group, _))| group.rows != 0) {
                age.scheduled = true;
                self.ends.push(age.at.saturating_add(ttl), number);
            }
        }
    }
}
