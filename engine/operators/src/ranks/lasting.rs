//! Lists that have no end of their own and are forgotten when no row has come into them for a while.
//!
//! A row's time is the watermark behind the step in which it came, and a list's that of its newest row; rows that lie behind the last
//! number of a full list do not come into it. So when a list goes follows from the steps alone. What was said of it stays said, and a
//! retraction that finds no row is not heard.

use super::lists::UNDATED;
use super::operator::TopNOperator;

impl TopNOperator {
    /// Gives the rows of this step their time. Those that were retracted and not there are left out.
    pub(super) fn date(&mut self) {
        for (list, row) in std::mem::take(&mut self.arrived) {
            let weight = self.lists.entry(row).weight;
            if weight == 0 {
                continue;
            }
            if weight < 0 {
                self.lists.leave(list, row);
                self.spent.push(row);
                continue;
            }
            self.lists.entry_mut(row).at = self.watermark;
            self.schedule(list, self.watermark);
        }
    }

    /// Notes when a list may be forgotten whose newest row came at this time.
    fn schedule(&mut self, list: u32, at: i64) {
        let Some(ttl) = self.what.ttl else { return };
        if !std::mem::replace(&mut self.lists.lists[list as usize].scheduled, true) {
            self.ends.push(at.saturating_add(ttl), list);
        }
    }

    /// Takes the time of a row of a snapshot.
    pub(super) fn restore_time(&mut self, list: u32, row: u32, at: i64) {
        self.lists.entry_mut(row).at = at;
        // Other rows of the list may be newer: whether it goes is found out when it is due.
        self.schedule(list, at);
    }

    /// Lets go of the lists into which no row has come for long.
    pub(super) fn forget_old(&mut self) {
        let Some(ttl) = self.what.ttl else { return };
        for (_, list) in self.ends.due(self.watermark) {
            self.lists.lists[list as usize].scheduled = false;
            let rows = self.lists.lists[list as usize].rows.clone();
            let mut newest = None;
            for row in rows {
                if self.lists.entry(row).at == UNDATED {
                    self.lists.entry_mut(row).at = self.watermark;
                    self.lists.touch(row);
                }
                newest = newest.max(Some(self.lists.entry(row).at));
            }
            match newest {
                None => {}
                Some(at) if self.watermark <= at.saturating_add(ttl) => self.schedule(list, at),
                Some(_) => self.spent.extend(self.lists.empty(list)),
            }
        }
    }
}
