//! Finds, for the rows of a batch, the triggers whose guards they meet.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt64Array};
use arrow_row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use hashbrown::HashMap;

use super::guard::{Bound, ranks};
use crate::error::Result;
use crate::stateless::evaluate_column;

/// A trigger and a row that it has to look at.
pub(super) type Candidate = (u32, u32);

/// Triggers that wait for an expression to have a value.
pub(super) struct Points {
    x: Arc<dyn PhysicalExpr>,
    converter: RowConverter,
    waiting: HashMap<Box<[u8]>, Vec<Waiting>>,
    /// The further expressions that some of them want to be beyond a bound, and whether below it.
    scales: Vec<(Arc<dyn PhysicalExpr>, bool)>,
}

struct Waiting {
    trigger: u32,
    /// The place of its further expression, and the least rank that this must have.
    also: Option<(usize, u64)>,
}

impl Points {
    /// None yet.
    pub(super) fn new(x: &Arc<dyn PhysicalExpr>, value: &ScalarValue) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(value.data_type())])?;
        Ok(Self { x: Arc::clone(x), converter, waiting: HashMap::new(), scales: Vec::new() })
    }

    pub(super) fn is_of(&self, x: &Arc<dyn PhysicalExpr>) -> bool {
        &self.x == x
    }

    pub(super) fn add(&mut self, value: &ScalarValue, also: Option<&Bound>, trigger: u32) -> Result<()> {
        let also = also.map(|bound| (self.scale(bound), bound.least));
        let encoded = self.converter.convert_columns(&[value.to_array()?])?;
        self.waiting.entry(encoded.row(0).data().into()).or_default().push(Waiting { trigger, also });
        Ok(())
    }

    fn scale(&mut self, bound: &Bound) -> usize {
        let known = self.scales.iter().position(|(x, down)| x == &bound.x && *down == bound.down);
        known.unwrap_or_else(|| {
            self.scales.push((Arc::clone(&bound.x), bound.down));
            self.scales.len() - 1
        })
    }

    pub(super) fn find(&self, batch: &RecordBatch, name: &str, found: &mut Vec<Candidate>) -> Result<()> {
        let scales = self.scales.iter().map(|(x, down)| ranks(&evaluate_column(x, batch, name)?, *down));
        let scales: Vec<Option<UInt64Array>> = scales.collect::<Result<_>>()?;
        let beyond = |waiting: &&Waiting, row: usize| match waiting.also {
            Some((scale, least)) => {
                scales[scale].as_ref().is_some_and(|scale| scale.is_valid(row) && scale.value(row) >= least)
            }
            None => true,
        };
        let encoded = self.converter.convert_columns(&[evaluate_column(&self.x, batch, name)?])?;
        for (row, value) in encoded.iter().enumerate() {
            if let Some(waiting) = self.waiting.get(value.data()) {
                let found_here = waiting.iter().filter(|waiting| beyond(waiting, row));
                found.extend(found_here.map(|waiting| (waiting.trigger, row as u32)));
            }
        }
        Ok(())
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
    /// Rungs by the rank of their triggers, newest first.
    newest: Vec<u32>,
}

#[derive(Clone, Copy)]
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
        Self { x: Arc::clone(&bound.x), down: bound.down, before, rungs: Vec::new(), newest: Vec::new() }
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
        self.newest = (0..self.rungs.len() as u32).collect();
        self.newest.sort_by_key(|place| std::cmp::Reverse(self.rungs[*place as usize].rank));
    }

    /// `epoch`: that of the batch; triggers of a higher rank have not begun.
    pub(super) fn find(
        &self,
        batch: &RecordBatch,
        before: Option<Before<'_>>,
        epoch: u32,
        name: &str,
        found: &mut Vec<Candidate>,
    ) -> Result<()> {
        let now = evaluate_column(&self.x, batch, name)?;
        let Some(now) = ranks(&now, self.down)? else { return Ok(()) };
        let Some(before) = before else {
            for row in (0..now.len()).filter(|row| now.is_valid(*row)) {
                self.push(&self.rungs[..self.below(now.value(row))], row, epoch, found);
            }
            return Ok(());
        };
        let Some(values) = ranks(before.column, self.down)? else { return Ok(()) };
        for row in (0..now.len()).filter(|row| now.is_valid(*row)) {
            self.crossed(now.value(row), &values, before.epochs, row, epoch, found);
        }
        Ok(())
    }

    fn crossed(
        &self,
        now: u64,
        before: &UInt64Array,
        epochs: &[u32],
        row: usize,
        epoch: u32,
        found: &mut Vec<Candidate>,
    ) {
        if before.is_null(row) {
            return self.push(&self.rungs[..self.below(now)], row, epoch, found);
        }
        let known_to = epochs[row];
        if before.value(row) < now {
            let passed = &self.rungs[self.below(before.value(row))..self.below(now)];
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

    /// How many bounds a value has reached.
    fn below(&self, value: u64) -> usize {
        self.rungs.partition_point(|rung| rung.least <= value)
    }
}
