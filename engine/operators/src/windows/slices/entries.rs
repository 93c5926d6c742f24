//! Groups as columns: what snapshots hold of them, and what one phase tells the next.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;

use super::Slices;
use crate::error::Result;
use crate::windows::place::Place;
use crate::windows::tables::slots;

impl Slices {
    /// The groups that have changed since the last call, or all.
    pub(in crate::windows) fn take_changed(&mut self, full: bool) -> Vec<u32> {
        let groups = if full { self.live().collect() } else { self.dirty.numbers().collect() };
        self.dirty.clear();
        groups
    }

    /// Keys, `$slice`, `$from` and states of groups; and their slots.
    pub(in crate::windows) fn entries(&mut self, groups: &[u32]) -> Result<(Vec<ArrayRef>, Vec<u32>)> {
        let columns = self.columns(groups)?;
        let slots = slots(&columns[..self.keys.types().len()], groups.len())?;
        Ok((columns, slots))
    }

    fn columns(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (ordinals, keys): (Vec<_>, Vec<_>) = groups.iter().map(|group| self.groups.of(*group)).unzip();
        let mut columns = self.keys.columns(&keys)?;
        columns.extend(self.place_columns(&ordinals));
        columns.extend(self.aggregates.state(groups)?);
        Ok(columns)
    }

    fn place_columns(&self, ordinals: &[u32]) -> [ArrayRef; 2] {
        let each = |of: fn(&Place) -> i64| {
            let places = ordinals.iter().map(|ordinal| of(&self.slices[*ordinal as usize].place));
            Arc::new(Int64Array::from_iter_values(places)) as ArrayRef
        };
        [each(|place| place.slice), each(|place| place.from)]
    }

    /// As [`Self::drain`] gives them, rows that are each a group of their own, with these ordinals and key columns; nothing else is there.
    pub(in crate::windows) fn each_alone(
        &mut self,
        rows: &RecordBatch,
        keys: Vec<ArrayRef>,
        ordinals: &[u32],
        weights: Option<&[i64]>,
    ) -> Result<Vec<ArrayRef>> {
        let each: Vec<u32> = (0..rows.num_rows() as u32).collect();
        self.aggregates.resize(each.len());
        self.aggregates.update(rows, &each, weights)?;
        let mut columns = keys;
        columns.extend(self.place_columns(ordinals));
        columns.extend(self.aggregates.state(&each)?);
        self.forget(&each);
        Ok(columns)
    }

    /// All there is, as [`Self::entries`] gives it, and then nothing is left.
    pub(in crate::windows) fn drain(&mut self) -> Result<Vec<ArrayRef>> {
        let groups: Vec<u32> = (0..self.groups.len() as u32).collect();
        let columns = self.columns(&groups)?;
        self.forget(&groups);
        Ok(columns)
    }

    /// Forgets all, which is these groups; keeps the memory.
    fn forget(&mut self, groups: &[u32]) {
        self.aggregates.clear(groups);
        self.keys.clear();
        self.groups.clear();
        self.places.clear();
        self.slices.clear();
        self.gone.clear();
        self.dirty.clear();
        self.last = None;
    }

    /// Replaces groups by what [`Self::entries`] gave.
    pub(in crate::windows) fn restore(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self.keys.types().len();
        let (mut key_numbers, mut groups) = (Vec::new(), Vec::new());
        self.keys.intern(&rows.columns()[..keys], rows.num_rows(), &mut key_numbers)?;
        let mut ordinals: Vec<u32> = Vec::with_capacity(rows.num_rows());
        for (place, own) in runs(rows, keys) {
            ordinals.extend(std::iter::repeat_n(self.ordinal(place), own.len()));
        }
        self.find(&ordinals, &key_numbers, &mut groups);
        self.aggregates.clear(&groups);
        self.aggregates.merge(&rows.columns()[keys + 2..], &groups)
    }
}

/// The places of rows as [`Slices::entries`] gives them, behind `keys` key columns, each with the rows in it that follow one another.
pub(in crate::windows) fn runs(
    rows: &RecordBatch,
    keys: usize,
) -> impl Iterator<Item = (Place, Range<usize>)> {
    let of = |column: usize| rows.column(column).as_primitive::<Int64Type>().values();
    let (slices, froms) = (of(keys), of(keys + 1));
    let mut row = 0;
    std::iter::from_fn(move || {
        let first = row;
        let place = Place { slice: *slices.get(first)?, from: *froms.get(first)? };
        let mut others = slices[first..].iter().zip(&froms[first..]);
        let ends = others.position(|(slice, from)| (*slice, *from) != (place.slice, place.from));
        row = ends.map_or(slices.len(), |run| first + run);
        Some((place, first..row))
    })
}
