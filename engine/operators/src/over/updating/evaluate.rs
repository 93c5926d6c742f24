//! What the functions give for the rows that a step has touched, and how that differs from what was said.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{cast, interleave, take_record_batch};
use headwater_core::EventTime;

use super::marks::{Mark, Marks, is_wanted};
use super::operator::UpdatingOverOperator;
use super::rows::UNTOLD;
use super::sorted::Sorted;
use super::touched::{Change, Moved};
use crate::api::{Clocks, Output, Rows};
use crate::error::{OperatorError, Result};
use crate::over::aggregates::{Answer, Ask};
use crate::over::frame::{Frame, FrameBound};
use crate::over::partitions::Stretch;
use crate::over::spec::OverFunction;

/// Rows of a partition that are evaluated and follow each other.
struct Run {
    partition: u32,
    positions: Range<usize>,
}

/// A row that is evaluated.
pub(super) struct Spot {
    pub(super) run: u32,
    pub(super) partition: u32,
    pub(super) position: usize,
    pub(super) row: u32,
}

/// What was said with a row and is taken back, or what is said with it now.
struct Said {
    touch: u32,
    row: u32,
    /// 0: what was said, 1: what is said now; and its place there.
    place: (usize, usize),
    weight: i64,
}

/// What was said before this step.
struct Before {
    /// Of evaluated rows, by their places, where anything was.
    known: Vec<(usize, u32)>,
    /// Of rows that are gone.
    left: Vec<(u32, u32)>,
    /// The results of both, one behind the other.
    columns: Vec<ArrayRef>,
}

impl UpdatingOverOperator {
    /// Evaluates what these changes touch, says what has become of it, and lets go of the rows that are gone.
    pub(super) fn say(
        &mut self,
        moved: &[Vec<Moved>],
        gone: &[u32],
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        let (runs, spots) = self.spots(moved)?;
        #[cfg(test)]
        {
            self.evaluated += spots.len() as u64;
        }
        let now = RecordBatch::try_new(self.what.results(), self.evaluate(&runs, &spots)?)?;
        let before = self.before(&spots, gone)?;
        let (said, changed) = self.compare(&spots, &before, &now)?;
        self.emit(said, &before.columns, &now, clock, out)?;
        self.note(&spots, &now, &changed)?;
        for (_, told) in before.left {
            self.told.remove(told);
        }
        gone.iter().for_each(|row| self.held.remove(*row));
        Ok(())
    }

    fn before(&self, spots: &[Spot], gone: &[u32]) -> Result<Before> {
        let told = |row: u32| Some(self.held.entry(row).told).filter(|told| *told != UNTOLD);
        let spots = spots.iter().enumerate();
        let known: Vec<_> = spots.filter_map(|(nth, spot)| Some((nth, told(spot.row)?))).collect();
        let left: Vec<_> = gone.iter().filter_map(|row| Some((*row, told(*row)?))).collect();
        let all = known.iter().map(|(_, told)| *told).chain(left.iter().map(|(_, told)| *told));
        let columns = self.told.columns(&all.collect::<Vec<_>>())?;
        Ok(Before { known, left, columns })
    }

    /// What is taken back and what is said, and the places of the rows of which something else is said than before.
    fn compare(&self, spots: &[Spot], before: &Before, now: &RecordBatch) -> Result<(Vec<Said>, Vec<u32>)> {
        let olds = self.results.convert_columns(&before.columns)?;
        let news = self.results.convert_columns(now.columns())?;
        let touch = |row: u32| self.partitions[self.held.partition(row) as usize].touch.unwrap_or_default();
        let (mut said, mut changed) = (Vec::new(), Vec::new());
        let mut known = before.known.iter().enumerate().peekable();
        for (nth, spot) in spots.iter().enumerate() {
            let old = known.next_if(|(_, (of, _))| *of == nth).map(|(place, _)| place);
            if old.is_some_and(|old| olds.row(old) == news.row(nth)) {
                continue;
            }
            let (touch, row) = (touch(spot.row), spot.row);
            said.extend(old.map(|old| Said { touch, row, place: (0, old), weight: -1 }));
            said.push(Said { touch, row, place: (1, nth), weight: 1 });
            changed.push(nth as u32);
        }
        for (nth, (row, _)) in before.left.iter().enumerate() {
            let place = (0, before.known.len() + nth);
            said.push(Said { touch: touch(*row), row: *row, place, weight: -1 });
        }
        let result = |said: &Said| match said.place {
            (0, nth) => olds.row(nth),
            (_, nth) => news.row(nth),
        };
        let line = |said: &Said| &self.held.line(said.row).bytes;
        // Of rows that are equal, one may say now what another has said before.
        said.sort_by(|a, b| {
            a.touch.cmp(&b.touch).then_with(|| line(a).cmp(line(b))).then_with(|| result(a).cmp(&result(b)))
        });
        said.dedup_by(|next, sum| {
            let same = next.touch == sum.touch && line(next) == line(sum) && result(next) == result(sum);
            if same {
                sum.weight += next.weight;
            }
            same
        });
        said.retain(|said| said.weight != 0);
        Ok((said, changed))
    }

    /// The rows that are to be evaluated, in runs.
    fn spots(&mut self, moved: &[Vec<Moved>]) -> Result<(Vec<Run>, Vec<Spot>)> {
        let mut runs: Vec<Run> = Vec::new();
        for (partition, moved) in self.touched.iter().zip(moved) {
            let Some(first) = moved.first() else { continue };
            let entry = &mut self.partitions[*partition as usize];
            entry.marks.iter_mut().for_each(|marks| marks.cut(first.at.start));
            let change = Change { what: &self.what, held: &self.held, sorted: &entry.rows, moved };
            let touched = change.touched().into_iter();
            runs.extend(touched.map(|positions| Run { partition: *partition, positions }));
        }
        let mut spots = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            let rows = &self.partitions[run.partition as usize].rows;
            for position in run.positions.clone() {
                let row = rows.at(position).ok_or_else(|| {
                    OperatorError::unsupported(self.name, "a row is evaluated that is not there")
                })?;
                spots.push(Spot { run: number as u32, partition: run.partition, position, row });
            }
        }
        Ok((runs, spots))
    }

    /// A column for each call, a row for each spot.
    fn evaluate(&mut self, runs: &[Run], spots: &[Spot]) -> Result<Vec<ArrayRef>> {
        if spots.is_empty() {
            return Ok(self.what.calls.iter().map(|call| new_empty_array(call.field.data_type())).collect());
        }
        if self.what.is_dense() {
            self.count_values(spots);
        }
        let asks: Vec<Vec<Ask>> =
            (0..self.what.frames.len()).map(|frame| self.ask(frame, spots)).collect::<Result<_>>()?;
        let mut answers: Vec<std::vec::IntoIter<ArrayRef>> = Vec::new();
        for (frame, asks) in asks.iter().enumerate() {
            answers.push(self.answer(frame, asks, runs)?.into_iter());
        }
        let what = Arc::clone(&self.what);
        let mut columns = Vec::with_capacity(what.calls.len());
        for call in &what.calls {
            let column = match &call.function {
                OverFunction::Aggregate { frame, .. } => answers[*frame].next().ok_or_else(|| {
                    OperatorError::unsupported(self.name, "an aggregate has given no column")
                })?,
                other => self.look_up(other, spots, &asks)?,
            };
            // Numbers come as they are wanted.
            columns.push(cast(&column, call.field.data_type())?);
        }
        Ok(columns)
    }

    /// What a frame holds for each row, and from where its aggregates go on: from a mark, for the first row of a run.
    fn ask(&mut self, frame: usize, spots: &[Spot]) -> Result<Vec<Ask>> {
        let mut asks: Vec<Ask> = Vec::with_capacity(spots.len());
        let mut last = None;
        for spot in spots {
            let entry = &self.partitions[spot.partition as usize];
            let stretch = self.stretch(&entry.rows, self.what.frames[frame], spot);
            let before = match asks.last() {
                Some(before) if last == Some(spot.run) => before.stretch,
                _ => {
                    let mark = entry.marks.get(frame).and_then(|marks| marks.before(stretch.end));
                    if let (Some(mark), Some(aggregates)) = (mark, &mut self.aggregates[frame]) {
                        aggregates.set.resize(spot.run as usize + 1);
                        aggregates.set.merge(&mark.state, &[spot.run])?;
                    }
                    Stretch { start: 0, end: mark.map_or(0, |mark| mark.position) }
                }
            };
            last = Some(spot.run);
            asks.push(Ask { run: spot.run, before, stretch });
        }
        Ok(asks)
    }

    /// The stretch of positions that a frame of a row holds.
    fn stretch(&self, sorted: &Sorted, frame: Frame, spot: &Spot) -> Stretch {
        let line = self.held.line(spot.row);
        let len = sorted.len();
        let by_rows = |rows: i64| (spot.position as i128 + i128::from(rows)).clamp(0, len as i128) as usize;
        let start = match frame.start {
            FrameBound::Unbounded => 0,
            FrameBound::Rows(rows) => by_rows(rows),
            FrameBound::Range(by) => {
                let first = line.measure.shifted(by);
                sorted.partition_point(|row| self.held.line(row).measure < first)
            }
            FrameBound::Peers => sorted.partition_point(|row| self.held.line(row).head() < line.head()),
        };
        let end = match frame.end {
            FrameBound::Unbounded => len,
            FrameBound::Rows(rows) => by_rows(rows.saturating_add(1)),
            FrameBound::Range(by) => {
                let last = line.measure.shifted(by);
                sorted.partition_point(|row| self.held.line(row).measure <= last)
            }
            FrameBound::Peers => sorted.partition_point(|row| self.held.line(row).head() <= line.head()),
        };
        Stretch { start: start as u64, end: end.max(start) as u64 }
    }

    /// The aggregates over a frame, if there are any. Puts down marks on the way.
    fn answer(&mut self, frame: usize, asks: &[Ask], runs: &[Run]) -> Result<Vec<ArrayRef>> {
        let Some(aggregates) = &mut self.aggregates[frame] else { return Ok(Vec::new()) };
        let partitions = &self.partitions;
        let rows = |run: u32| &partitions[runs[run as usize].partition as usize].rows;
        let row = |run: u32, position: u64| rows(run).at(position as usize);
        // A state that is not what it was bit by bit once it is copied would make results depend on where marks lie.
        let marked = !aggregates.slides && aggregates.set.copies_exactly();
        let keep = |ask: &Ask| marked && is_wanted(ask.stretch.end, rows(ask.run).len());
        let Answer { columns, kept } = aggregates.answer(asks, runs.len(), &row, &self.held.store, &keep)?;
        aggregates.set.clear(&(0..runs.len() as u32).collect::<Vec<_>>());
        for (ask, state) in kept {
            let ask = &asks[ask as usize];
            let entry = &mut self.partitions[runs[ask.run as usize].partition as usize];
            entry.marks.resize(self.what.frames.len(), Marks::default());
            entry.marks[frame].add(Mark { position: ask.stretch.end, state });
        }
        for partition in runs.iter().map(|run| run.partition) {
            let entry = &mut self.partitions[partition as usize];
            let len = entry.rows.len();
            entry.marks.iter_mut().for_each(|marks| marks.thin(len));
        }
        Ok(columns)
    }

    fn emit(
        &self,
        mut said: Vec<Said>,
        olds: &[ArrayRef],
        news: &RecordBatch,
        clock: EventTime,
        out: &mut Output,
    ) -> Result<()> {
        if said.is_empty() {
            return Ok(());
        }
        let slot = |said: &Said| self.held.store.row(said.row).slot;
        said.sort_by_key(|said| (slot(said), said.weight > 0));
        let rows: Vec<u32> = said.iter().map(|said| said.row).collect();
        let mut columns = self.held.store.columns(&rows)?;
        let places: Vec<(usize, usize)> = said.iter().map(|said| said.place).collect();
        for (old, new) in olds.iter().zip(news.columns()) {
            let sides: [&dyn Array; 2] = [old.as_ref(), new.as_ref()];
            columns.push(interleave(&sides, &places)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let plain = said.iter().all(|said| said.weight == 1);
        let weights = (!plain).then(|| Int64Array::from_iter_values(said.iter().map(|said| said.weight)));
        out.slots.extend(said.iter().map(slot));
        out.emit(Rows { batch, weights, clocks: Clocks::Uniform(clock) });
        Ok(())
    }

    /// Notes what has been said with the rows of which it has changed.
    fn note(&mut self, spots: &[Spot], results: &RecordBatch, changed: &[u32]) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let batch = take_record_batch(results, &UInt32Array::from(changed.to_vec()))?;
        let rows: Vec<u32> = changed.iter().map(|nth| spots[*nth as usize].row).collect();
        let each: Vec<_> = rows.iter().map(|row| self.held.store.row(*row)).collect();
        let each = each.into_iter().map(|row| (0, row.slot, row.sequence, row.key));
        let told = self.told.add(batch, each, false);
        for (row, told) in rows.into_iter().zip(told) {
            let before = std::mem::replace(&mut self.held.entry_mut(row).told, told);
            if before != UNTOLD {
                self.told.remove(before);
            }
        }
        Ok(())
    }
}
