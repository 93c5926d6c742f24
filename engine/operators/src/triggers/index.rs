//! Finds, for the rows of a batch, the triggers whose guards they meet.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take;
use arrow_row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use hashbrown::HashMap;

use super::bounds::Bounds;
use super::guard::{Bound, ranks};
use crate::error::Result;
use crate::stateless::evaluate_column;

/// A trigger and a row that it has to look at.
pub(super) type Candidate = (u32, u32);

/// The ranks of a batch's columns, each computed once whoever asks.
pub(super) struct Ranked<'a> {
    batch: &'a RecordBatch,
    name: &'a str,
    known: Vec<(Arc<dyn PhysicalExpr>, bool, Option<UInt64Array>)>,
}

impl<'a> Ranked<'a> {
    pub(super) fn new(batch: &'a RecordBatch, name: &'a str) -> Self {
        Self { batch, name, known: Vec::new() }
    }

    fn of(&mut self, x: &Arc<dyn PhysicalExpr>, down: bool) -> Result<Option<UInt64Array>> {
        let known = self.known.iter().find(|(of, way, _)| *way == down && of == x);
        if let Some((.., ranks)) = known {
            return Ok(ranks.clone());
        }
        let ranks = ranks(&evaluate_column(x, self.batch, self.name)?, down)?;
        self.known.push((Arc::clone(x), down, ranks.clone()));
        Ok(ranks)
    }
}

/// The rows that have reached a rank, most often few.
fn rows_from(least: u64, ranks: &UInt64Array) -> impl Iterator<Item = u32> {
    let ranked = (0..).zip(ranks.values()).filter(move |(_, rank)| **rank >= least);
    ranked.map(|(row, _)| row).filter(|row| ranks.is_valid(*row as usize))
}

/// Triggers that wait for an expression to have a value, and maybe for another one to be beyond a bound.
///
/// ```text
///   device = 't7' ─┬─ nothing more:  t1, t4
///                  ├─ temp above     20: t3   25: t9   30: t2       a row of t7 with 26 concerns t1, t4, t3 and t9
///                  └─ humidity below 10: t8
/// ```
pub(super) struct Points {
    x: Arc<dyn PhysicalExpr>,
    /// All that have been added.
    waiting: Vec<Waiting>,
    values: Vec<ScalarValue>,
    /// The further expressions that some of them want to be beyond a bound.
    scales: Vec<Scale>,
    /// Whether some of them want nothing more.
    plain: bool,
    converter: RowConverter,
    /// By the encoded value: a number, by which `runs_of` has the place of its first run.
    numbers: HashMap<Box<[u8]>, u32>,
    runs_of: Vec<u32>,
    runs: Vec<Run>,
}

/// An expression that is to be beyond a bound, or below it, and the least rank of all bounds on it.
struct Scale {
    x: Arc<dyn PhysicalExpr>,
    down: bool,
    floor: u64,
}

struct Waiting {
    /// The number of the value.
    value: u32,
    /// The place of the further expression, or [`NOTHING_MORE`], and the least rank that it must have.
    scale: u32,
    least: u64,
    trigger: u32,
}

/// Those that wait for one value and look at one scale: the least of their bounds, and which they are.
struct Run {
    least: u64,
    scale: u32,
    from: u32,
    to: u32,
}

const NOTHING_MORE: u32 = u32::MAX;

impl Points {
    /// None yet.
    pub(super) fn new(x: &Arc<dyn PhysicalExpr>, value: &ScalarValue) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(value.data_type())])?;
        Ok(Self {
            x: Arc::clone(x),
            waiting: Vec::new(),
            values: Vec::new(),
            scales: Vec::new(),
            plain: false,
            converter,
            numbers: HashMap::new(),
            runs_of: Vec::new(),
            runs: Vec::new(),
        })
    }

    pub(super) fn is_of(&self, x: &Arc<dyn PhysicalExpr>) -> bool {
        &self.x == x
    }

    pub(super) fn add(&mut self, value: &ScalarValue, also: Option<&Bound>, trigger: u32) {
        self.plain |= also.is_none();
        let (scale, least) = also.map_or((NOTHING_MORE, 0), |bound| (self.scale(bound) as u32, bound.least));
        self.values.push(value.clone());
        self.waiting.push(Waiting { value: 0, scale, least, trigger });
    }

    fn scale(&mut self, bound: &Bound) -> usize {
        let Bound { x, down, least } = bound;
        if let Some(place) = self.scales.iter().position(|scale| &scale.x == x && scale.down == *down) {
            let scale = &mut self.scales[place];
            scale.floor = scale.floor.min(*least);
            return place;
        }
        self.scales.push(Scale { x: Arc::clone(x), down: *down, floor: *least });
        self.scales.len() - 1
    }

    /// Puts them in order, once all have been added.
    pub(super) fn settle(&mut self) -> Result<()> {
        let values = ScalarValue::iter_to_array(std::mem::take(&mut self.values))?;
        let encoded = self.converter.convert_columns(&[values])?;
        for (waiting, value) in self.waiting.iter_mut().zip(encoded.iter()) {
            let next = self.numbers.len() as u32;
            waiting.value = *self.numbers.entry(value.data().into()).or_insert(next);
        }
        self.waiting.sort_by_key(|waiting| (waiting.value, waiting.scale, waiting.least));
        let mut from = 0;
        for own in self.waiting.chunk_by(|one, other| (one.value, one.scale) == (other.value, other.scale)) {
            if own[0].value as usize == self.runs_of.len() {
                self.runs_of.push(self.runs.len() as u32);
            }
            let to = from + own.len() as u32;
            self.runs.push(Run { least: own[0].least, scale: own[0].scale, from, to });
            from = to;
        }
        self.runs_of.push(self.runs.len() as u32);
        Ok(())
    }

    pub(super) fn find(&self, ranked: &mut Ranked<'_>, found: &mut Vec<Candidate>) -> Result<()> {
        let scales = self.scales.iter().map(|scale| ranked.of(&scale.x, scale.down));
        let scales: Vec<Option<UInt64Array>> = scales.collect::<Result<_>>()?;
        let reached = |scale: u32, row: usize| match scales.get(scale as usize) {
            Some(Some(scale)) => scale.is_valid(row).then(|| scale.value(row)),
            Some(None) => None,
            None => Some(u64::MAX),
        };
        let rows = self.rows(&scales);
        let values = evaluate_column(&self.x, ranked.batch, ranked.name)?;
        let values = match &rows {
            Some(rows) if rows.is_empty() => return Ok(()),
            Some(rows) => take(&values, rows, None)?,
            None => values,
        };
        let encoded = self.converter.convert_columns(&[values])?;
        for (nth, value) in encoded.iter().enumerate() {
            let Some(number) = self.numbers.get(value.data()) else { continue };
            let row = rows.as_ref().map_or(nth as u32, |rows| rows.value(nth));
            let number = *number as usize;
            for run in &self.runs[self.runs_of[number] as usize..self.runs_of[number + 1] as usize] {
                let reached = reached(run.scale, row as usize).filter(|reached| *reached >= run.least);
                let Some(reached) = reached else { continue };
                let waiting = &self.waiting[run.from as usize..run.to as usize];
                let beyond = waiting.iter().take_while(|waiting| waiting.least <= reached);
                found.extend(beyond.map(|waiting| (waiting.trigger, row)));
            }
        }
        Ok(())
    }

    /// The rows whose value is worth looking for: all (`None`) if somebody wants nothing more, otherwise those that have reached the least
    /// bound of some scale.
    fn rows(&self, scales: &[Option<UInt64Array>]) -> Option<UInt32Array> {
        if self.plain {
            return None;
        }
        let own = |(scale, ranks): (&Scale, &Option<UInt64Array>)| {
            ranks.as_ref().map(|ranks| rows_from(scale.floor, ranks).collect::<Vec<u32>>())
        };
        let mut rows: Vec<u32> = self.scales.iter().zip(scales).filter_map(own).flatten().collect();
        if self.scales.len() > 1 {
            rows.sort_unstable();
            rows.dedup();
        }
        Some(rows.into())
    }
}

/// Bounds of one expression, in order.
///
/// ```text
///   bounds      10   20   30   40   50          value before 15, now 42: passes 20, 30, 40
///                       │ p         │ v
///                       └── passed ─┘
/// ```
pub(super) struct Ladder {
    x: Arc<dyn PhysicalExpr>,
    down: bool,
    /// For crossings the slot of memory that holds the value before.
    pub(super) before: Option<usize>,
    rungs: Vec<Rung>,
    /// Those of the rungs.
    bounds: Bounds,
    /// Rungs by the rank of their triggers, newest first.
    newest: Vec<u32>,
}

struct Rung {
    least: u64,
    trigger: u32,
    rank: u32,
}

/// The values before, and the epochs of the rows that had them.
pub(super) struct Before<'a> {
    pub(super) column: &'a ArrayRef,
    pub(super) epochs: &'a [u32],
}

impl Ladder {
    pub(super) fn new(bound: &Bound, before: Option<usize>) -> Self {
        let (x, down) = (Arc::clone(&bound.x), bound.down);
        Self { x, down, before, rungs: Vec::new(), bounds: Bounds::default(), newest: Vec::new() }
    }

    pub(super) fn is_of(&self, bound: &Bound, before: Option<usize>) -> bool {
        let Bound { x, down, .. } = bound;
        self.down == *down && self.before == before && &self.x == x
    }

    pub(super) fn add(&mut self, bound: &Bound, trigger: u32, rank: u32) {
        self.rungs.push(Rung { least: bound.least, trigger, rank });
    }

    /// Puts the bounds in order, once all have been added.
    pub(super) fn settle(&mut self) {
        self.rungs.sort_by_key(|rung| (rung.least, rung.rank));
        self.bounds = Bounds::new(self.rungs.iter().map(|rung| rung.least).collect());
        self.newest = (0..self.rungs.len() as u32).collect();
        self.newest.sort_by_key(|place| std::cmp::Reverse(self.rungs[*place as usize].rank));
    }

    /// `epoch`: that of the batch; triggers of a higher rank have not begun.
    pub(super) fn find(
        &self,
        ranked: &mut Ranked<'_>,
        before: Option<Before<'_>>,
        epoch: u32,
        found: &mut Vec<Candidate>,
    ) -> Result<()> {
        let (Some(now), Some(first)) = (ranked.of(&self.x, self.down)?, self.rungs.first()) else {
            return Ok(());
        };
        let rows: UInt32Array = rows_from(first.least, &now).collect::<Vec<u32>>().into();
        let Some(before) = before.filter(|_| !rows.is_empty()) else {
            for row in rows.values() {
                let reached = self.bounds.reached(now.value(*row as usize));
                self.push(&self.rungs[..reached], *row as usize, epoch, found);
            }
            return Ok(());
        };
        let Some(values) = ranks(&take(before.column, &rows, None)?, self.down)? else { return Ok(()) };
        for (nth, row) in rows.values().iter().enumerate() {
            let row = *row as usize;
            let value = values.is_valid(nth).then(|| values.value(nth));
            self.crossed(now.value(row), value, before.epochs[row], row, epoch, found);
        }
        Ok(())
    }

    /// `before`: the value before, and `known_to` the epoch of the row that had it.
    fn crossed(
        &self,
        now: u64,
        before: Option<u64>,
        known_to: u32,
        row: usize,
        epoch: u32,
        found: &mut Vec<Candidate>,
    ) {
        let Some(before) = before else {
            return self.push(&self.rungs[..self.bounds.reached(now)], row, epoch, found);
        };
        if before < now {
            let from = self.bounds.reached(before);
            let passed = &self.rungs[from..self.bounds.reached_from(from, now)];
            let knows = passed.iter().filter(|rung| rung.rank <= known_to.min(epoch));
            found.extend(knows.map(|rung| (rung.trigger, row as u32)));
        }
        // To triggers that began after the value before, this one is the first.
        let newer = self.newest.iter().map(|place| &self.rungs[*place as usize]);
        let newer = newer.take_while(|rung| rung.rank > known_to);
        let newer = newer.filter(|rung| rung.rank <= epoch && rung.least <= now);
        found.extend(newer.map(|rung| (rung.trigger, row as u32)));
    }

    fn push(&self, rungs: &[Rung], row: usize, epoch: u32, found: &mut Vec<Candidate>) {
        let begun = rungs.iter().filter(|rung| rung.rank <= epoch);
        found.extend(begun.map(|rung| (rung.trigger, row as u32)));
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use datafusion::physical_expr::expressions::Column;
    use proptest::prelude::*;

    use super::*;

    /// A trigger that wants column 0 to have a value and, if told so, column 1 or 2 to be up or down at a bound.
    type Wants = (i64, Option<(usize, bool, i64)>);

    fn column(nth: usize) -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(["k", "x", "y"][nth], nth))
    }

    fn wants() -> impl Strategy<Value = Wants> {
        (0_i64..6, prop::option::of((1_usize..3, any::<bool>(), -8_i64..8)))
    }

    proptest! {
        /// Against a look at each trigger.
        #[test]
        fn rows_find_those_who_wait_for_their_values(
            triggers in prop::collection::vec(wants(), 1..40),
            rows in prop::collection::vec((0_i64..8, prop::option::of(-9_i64..9), prop::option::of(-9_i64..9)), 1..40),
        ) {
            let mut points = Points::new(&column(0), &ScalarValue::Int64(Some(0))).unwrap();
            for (number, (value, also)) in (0..).zip(&triggers) {
                let bound = also.map(|(nth, down, at)| {
                    let least = ranks(&(Arc::new(Int64Array::from(vec![at])) as ArrayRef), down).unwrap();
                    Bound { x: column(nth), down, least: least.unwrap().value(0) }
                });
                points.add(&ScalarValue::Int64(Some(*value)), bound.as_ref(), number);
            }
            points.settle().unwrap();
            let columns: [ArrayRef; 3] = [
                Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
            ];
            let batch = RecordBatch::try_from_iter(["k", "x", "y"].into_iter().zip(columns)).unwrap();
            let mut found = Vec::new();
            points.find(&mut Ranked::new(&batch, "test"), &mut found).unwrap();
            found.sort_unstable();
            let is = |(value, also): &Wants, row: &(i64, Option<i64>, Option<i64>)| {
                let beyond = also.is_none_or(|(nth, down, at)| {
                    let x = if nth == 1 { row.1 } else { row.2 };
                    x.is_some_and(|x| if down { x <= at } else { x >= at })
                });
                *value == row.0 && beyond
            };
            let pairs = (0..).zip(&triggers).flat_map(|(number, wants)| {
                (0..).zip(&rows).filter(move |(_, row)| is(wants, row)).map(move |(row, _)| (number, row))
            });
            prop_assert_eq!(found, pairs.collect::<Vec<Candidate>>());
        }
    }
}
