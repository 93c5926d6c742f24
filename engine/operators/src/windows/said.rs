//! What was said of sessions before a step, where they come out with every step that changes them.
//!
//! ```text
//!  said        [1, 5) n=2    [7, 9) n=1          a row at 6 makes one of the two:
//!  after it    [1, 9) n=4                        -[1, 5) n=2   -[7, 9) n=1   +[1, 9) n=4
//! ```
//!
//! A key's sessions and their results are noted when a step first touches the key, and compared with what has become of them at its end. So
//! nothing is kept of what was said: between steps it is what the sessions are.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, Int64Array, new_empty_array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, SortField};
use headwater_core::EventTime;

use super::emit::{Closed, Layout};
use super::layout::WindowColumn;
use super::sessions::{Session, Sessions};
use crate::api::Output;
use crate::error::Result;

/// What was said of the keys that this step has touched.
#[derive(Default)]
pub(super) struct Said {
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    /// Each with its key; the results are those of `results`, one after the other.
    sessions: Vec<(u32, Session)>,
    results: Vec<Vec<ArrayRef>>,
}

/// A row to be taken back or added.
struct Change {
    key: u32,
    session: Session,
    /// Where its results are: 0 before, 1 now; and the row.
    result: (usize, usize),
    weight: i64,
}

impl Said {
    /// Notes what was said of some keys, before rows change it.
    pub(super) fn note(&mut self, keys: &[u32], sessions: &mut Sessions) -> Result<()> {
        self.is_touched.resize(sessions.keys.len(), false);
        let mut groups = Vec::new();
        for key in keys {
            if !std::mem::replace(&mut self.is_touched[*key as usize], true) {
                self.touched.push(*key);
                for session in sessions.of(*key) {
                    groups.push(session.group);
                    self.sessions.push((*key, *session));
                }
            }
        }
        if !groups.is_empty() {
            self.results.push(sessions.aggregates.evaluate(&groups)?);
        }
        Ok(())
    }

    /// Says what has become of the keys' sessions.
    pub(super) fn emit(
        &mut self,
        sessions: &mut Sessions,
        layout: &Layout,
        batch_rows: usize,
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        if self.touched.is_empty() {
            return Ok(());
        }
        let touched = std::mem::take(&mut self.touched);
        self.is_touched.clear();
        let now: Vec<(u32, Session)> =
            touched.iter().flat_map(|key| sessions.of(*key).iter().map(|session| (*key, *session))).collect();
        let groups: Vec<u32> = now.iter().map(|(_, session)| session.group).collect();
        let new = sessions.aggregates.evaluate(&groups)?;
        let kinds: Vec<DataType> = new.iter().map(|column| column.data_type().clone()).collect();
        let old = joined(std::mem::take(&mut self.results), &kinds)?;
        let before = std::mem::take(&mut self.sessions);
        let mut changes = compared(&before, &now, &old, &new)?;
        sort(&mut changes, sessions, layout);
        for changes in changes.chunks(batch_rows) {
            let mut windows = Closed::default();
            changes.iter().for_each(|one| windows.push(one.session.start, one.session.end, one.key));
            let from: Vec<_> = changes.iter().map(|change| change.result).collect();
            let results =
                old.iter().zip(&new).map(|(old, new)| interleave(&[old.as_ref(), new.as_ref()], &from));
            let results = results.collect::<std::result::Result<Vec<_>, _>>()?;
            let weights = Int64Array::from_iter_values(changes.iter().map(|change| change.weight));
            layout.emit_weighted(&windows, &sessions.keys, &results, Some(weights), clock, out)?;
        }
        Ok(())
    }
}

/// Results that were noted one after the other, as a column per aggregate.
fn joined(parts: Vec<Vec<ArrayRef>>, kinds: &[DataType]) -> Result<Vec<ArrayRef>> {
    let column = |(nth, kind): (usize, &DataType)| {
        let parts: Vec<&dyn Array> = parts.iter().map(|part| part[nth].as_ref()).collect();
        Ok(if parts.is_empty() { new_empty_array(kind) } else { concat(&parts)? })
    };
    kinds.iter().enumerate().map(column).collect()
}

/// What is no longer so, and what is new. Both are in the order of the keys as they were touched, and of each key by start.
fn compared(
    before: &[(u32, Session)],
    now: &[(u32, Session)],
    old: &[ArrayRef],
    new: &[ArrayRef],
) -> Result<Vec<Change>> {
    let rows = match old.is_empty() {
        true => None,
        false => {
            let fields = new.iter().map(|column| SortField::new(column.data_type().clone())).collect();
            let converter = RowConverter::new(fields)?;
            Some((converter.convert_columns(old)?, converter.convert_columns(new)?))
        }
    };
    let is_same =
        |old: usize, new: usize| rows.as_ref().is_none_or(|(olds, news)| olds.row(old) == news.row(new));
    let bounds = |of: &(u32, Session)| (of.0, of.1.start, of.1.end);
    let known: HashMap<_, usize> = before.iter().enumerate().map(|(nth, one)| (bounds(one), nth)).collect();
    let mut stays = vec![false; before.len()];
    let mut changes = Vec::new();
    for (nth, one) in now.iter().enumerate() {
        match known.get(&bounds(one)) {
            Some(old) if is_same(*old, nth) => stays[*old] = true,
            _ => changes.push(Change { key: one.0, session: one.1, result: (1, nth), weight: 1 }),
        }
    }
    let gone = before.iter().enumerate().filter(|(nth, _)| !stays[*nth]);
    changes.extend(gone.map(|(nth, (key, session))| Change {
        key: *key,
        session: *session,
        result: (0, nth),
        weight: -1,
    }));
    Ok(changes)
}

/// In the order in which instances' rows are put, retractions first.
fn sort(changes: &mut [Change], sessions: &Sessions, layout: &Layout) {
    let shows = |wanted: &[WindowColumn]| layout.columns.iter().any(|column| wanted.contains(&column.from));
    let has_end = shows(&[WindowColumn::End, WindowColumn::Time]);
    let has_start = shows(&[WindowColumn::Start]);
    let place =
        |change: &Change| (has_end.then_some(change.session.end), has_start.then_some(change.session.start));
    changes.sort_by(|a, b| {
        let keys = || sessions.keys.compare(a.key, b.key);
        place(a).cmp(&place(b)).then_with(keys).then_with(|| a.weight.cmp(&b.weight))
    });
}
