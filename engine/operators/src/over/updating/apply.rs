//! What comes in a step is added up, and then put into its partitions at once: what comes and goes within it is not seen.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;

use super::operator::UpdatingOverOperator;
use super::rows::{Line, Note};
use super::touched::Moved;
use crate::error::{OperatorError, Result};
use crate::windows::key_columns;

/// A row as it has come in.
pub(super) struct Arrival {
    partition: u32,
    batch: u32,
    row: u32,
    weight: i64,
    line: Line,
}

impl Arrival {
    fn order(&self, other: &Self) -> Ordering {
        self.partition.cmp(&other.partition).then_with(|| self.line.bytes.cmp(&other.line.bytes))
    }
}

/// A row that is to be held.
struct New {
    partition: u32,
    batch: u32,
    row: u32,
    line: Line,
    /// It was retracted, and has still to come.
    owed: bool,
}

impl UpdatingOverOperator {
    pub(super) fn take_in(&mut self, batch: RecordBatch, weights: Option<&[i64]>) -> Result<()> {
        let columns = key_columns(&batch, &self.what.partition);
        let partitions = self.intern(&columns, batch.num_rows())?;
        let lines = self.encoder.encode(&batch, self.name)?;
        let nth = self.batches.len() as u32;
        for (row, (partition, line)) in partitions.into_iter().zip(lines).enumerate() {
            self.touch(partition);
            let weight = weights.map_or(1, |weights| weights[row]);
            self.arrivals.push(Arrival { partition, batch: nth, row: row as u32, weight, line });
        }
        self.batches.push(batch);
        Ok(())
    }

    fn touch(&mut self, partition: u32) {
        let entry = &mut self.partitions[partition as usize];
        if entry.touch.is_none() {
            entry.touch = Some(self.touched.len() as u32);
            self.touched.push(partition);
        }
    }

    /// Puts the step's changes into force. Gives what has moved in each touched partition, and the rows that are gone: they are held
    /// until what was said of them has been taken back.
    pub(super) fn apply(&mut self) -> Result<(Vec<Vec<Moved>>, Vec<u32>)> {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let batches = std::mem::take(&mut self.batches);
        arrivals.sort_unstable_by(Arrival::order);
        let (mut news, mut gone) = (Vec::new(), Vec::new());
        let mut moved = vec![Vec::new(); self.touched.len()];
        for same in arrivals.chunk_by_mut(|a, b| a.order(b).is_eq()) {
            let weight: i64 = same.iter().map(|arrival| arrival.weight).sum();
            let Arrival { partition, batch, row, line, .. } = &mut same[0];
            let (partition, batch, row) = (*partition, *batch, *row);
            let (count, owed) = if weight < 0 {
                let left = gone.len();
                let missing = self.retract(partition, line, weight.unsigned_abs(), &mut gone);
                if let Some(last) = gone[left..].last() {
                    let moved: &mut Vec<Moved> = &mut moved[self.touch_of(partition)];
                    moved.push(Moved { row: *last, delta: -((gone.len() - left) as i64), at: 0..0 });
                }
                (missing, true)
            } else {
                (self.pay(partition, line, weight.unsigned_abs()), false)
            };
            let line = std::mem::take(line);
            news.extend((0..count).map(|_| New { partition, batch, row, line: line.clone(), owed }));
        }
        self.hold(news, &batches, &mut moved)?;
        for moved in &mut moved {
            moved.sort_unstable_by(|a, b| self.held.line(a.row).bytes.cmp(&self.held.line(b.row).bytes));
        }
        for (partition, moved) in self.touched.iter().zip(&mut moved) {
            let sorted = &self.partitions[*partition as usize].rows;
            for one in moved.iter_mut() {
                let bytes = &self.held.line(one.row).bytes;
                let end = sorted.partition_point(|row| self.held.line(row).bytes <= *bytes);
                let come = one.delta.max(0) as usize;
                one.at = end - come..end;
            }
        }
        Ok((moved, gone))
    }

    fn touch_of(&self, partition: u32) -> usize {
        self.partitions[partition as usize].touch.map_or(0, |touch| touch as usize)
    }

    /// Takes out so many rows that are equal to a line, the last ones first. Gives how many are not there but will have to come.
    fn retract(&mut self, partition: u32, line: &Line, count: u64, gone: &mut Vec<u32>) -> u64 {
        let (held, sorted) = (&self.held, &mut self.partitions[partition as usize]);
        for done in 0..count {
            let end = sorted.rows.partition_point(|row| held.line(row).bytes <= line.bytes);
            let last = end.checked_sub(1).and_then(|last| sorted.rows.at(last));
            match last.filter(|row| held.line(*row).bytes == line.bytes) {
                Some(_) => gone.push(sorted.rows.remove(end - 1)),
                // The retraction of a row that was forgotten is not heard.
                None if self.what.ttl.is_some() => return 0,
                None => return count - done,
            }
        }
        0
    }

    /// Settles what is owed of a line, and gives how many of so many rows are left.
    fn pay(&mut self, partition: u32, line: &Line, mut count: u64) -> u64 {
        let (held, debts) = (&mut self.held, &mut self.partitions[partition as usize].debts);
        debts.retain(|row| {
            let pays = count > 0 && held.line(*row).bytes == line.bytes;
            if pays {
                count -= 1;
                held.remove(*row);
            }
            !pays
        });
        count
    }

    /// Holds new rows, and puts them in order.
    fn hold(&mut self, news: Vec<New>, batches: &[RecordBatch], moved: &mut [Vec<Moved>]) -> Result<()> {
        if news.is_empty() {
            return Ok(());
        }
        let places: Vec<(usize, usize)> =
            news.iter().map(|new| (new.batch as usize, new.row as usize)).collect();
        let batch = interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &places)?;
        let each: Vec<_> = news
            .iter()
            .map(|new| {
                let slot = self.partitions[new.partition as usize].slot;
                (0, slot, self.names.next(slot), new.partition)
            })
            .collect();
        let rows = self.held.store.add(batch, each.into_iter(), false);
        let (kinds, lines): (Vec<(u32, bool)>, Vec<Line>) =
            news.into_iter().map(|new| ((new.partition, new.owed), new.line)).unzip();
        self.held.note_lines(&rows, lines.into_iter());
        for (row, (partition, owed)) in rows.into_iter().zip(kinds) {
            self.held.store.row_mut(row).note = Note { at: self.watermark, owed };
            if owed {
                self.partitions[partition as usize].debts.push(row);
                continue;
            }
            self.put_in_order(partition, row);
            let moved = &mut moved[self.touch_of(partition)];
            match moved.last_mut() {
                Some(last) if self.held.line(last.row).bytes == self.held.line(row).bytes => last.delta += 1,
                _ => moved.push(Moved { row, delta: 1, at: 0..0 }),
            }
        }
        Ok(())
    }

    /// Puts a row behind those that are equal to it.
    pub(super) fn put_in_order(&mut self, partition: u32, row: u32) {
        let (held, rows) = (&self.held, &mut self.partitions[partition as usize].rows);
        let bytes = &held.line(row).bytes;
        rows.insert(rows.partition_point(|other| held.line(other).bytes <= *bytes), row);
    }

    /// Rows of an input that only ever adds have no negative weight.
    pub(super) fn check_weights(&self, weights: Option<&[i64]>) -> Result<()> {
        let retracts = weights.is_some_and(|weights| weights.iter().any(|weight| *weight < 0));
        if self.what.changes == crate::api::Changes::AppendOnly && retracts {
            let reason = "a row was retracted from an input that only ever adds";
            return Err(OperatorError::unsupported(self.name, reason));
        }
        Ok(())
    }
}
