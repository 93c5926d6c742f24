//! Rows that meet the first row at or after their time.
//!
//! Left rows wait by key. A right row waits for the watermark: once that has passed it, no row of either side can come before it any
//! more, so that it is the first one for all left rows of its key that are still there up to its time; then it goes. A left row that no
//! right row follows waits until the streams end.

use super::operator::{LEFT, RIGHT, TemporalOperator};
use crate::error::Result;

impl TemporalOperator {
    /// Takes rows in that look ahead, or that are looked for.
    pub(super) fn take_in_ahead(&mut self, side: usize, rows: &[u32]) {
        for row in rows {
            let entry = self.sides[side].row(*row);
            let (time, key) = (entry.time, entry.key);
            if side == RIGHT {
                self.waiting.push(time, *row);
            } else if !self.is_null(key) {
                let rows = &mut self.by_key[key as usize];
                let place = rows.partition_point(|(other, _)| *other <= time);
                rows.insert(place, (time, *row));
            } else if self.what.outer {
                self.lonely.push(time, *row);
            } else {
                self.sides[LEFT].remove(*row);
            }
        }
    }

    /// The left rows that are decided, each with its right row, and the right rows that are done with.
    pub(super) fn decide_ahead(&mut self) -> Result<Decided> {
        let passed = self.waiting.passed(self.watermark).into_iter();
        let mut passed: Vec<_> =
            passed.map(|(time, row)| (time, self.sides[RIGHT].row(row).key, row)).collect();
        passed.sort_unstable();
        let mut pairs = Vec::new();
        for equal in passed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (time, key, mut first) = equal[0];
            for (.., other) in &equal[1..] {
                first = self.greater(first, *other)?;
            }
            let (strict, rows) = (self.what.strict, &mut self.by_key[key as usize]);
            let reached = rows.partition_point(|(own, _)| if strict { *own < time } else { *own <= time });
            pairs.extend(rows.drain(..reached).map(|(_, row)| (row, Some(first))));
        }
        pairs.extend(self.lonely.passed(self.watermark).into_iter().map(|(_, row)| (row, None)));
        if self.watermark == i64::MAX {
            pairs.extend(self.by_key.iter_mut().flat_map(|rows| rows.drain(..)).map(|(_, row)| (row, None)));
        }
        self.sort(&mut pairs);
        Ok(Decided { pairs, done: passed.into_iter().map(|(.., row)| row).collect() })
    }
}

/// What a watermark has decided.
pub(super) struct Decided {
    pub(super) pairs: Vec<(u32, Option<u32>)>,
    /// Right rows.
    pub(super) done: Vec<u32>,
}
