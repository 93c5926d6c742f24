//! FIRST_VALUE and LAST_VALUE, with or without ORDER BY.
//!
//! Of rows that are equal in the order, the earliest to arrive is first and the latest last. Without an order, arrival is
//! the order.
//!
//! State columns: the value, and what it is ordered by in `arrow-row` encoding (NULL: no row yet).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, UInt32Array};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, SortField};

use super::Aggregator;
use crate::error::Result;

const NONE: u32 = u32::MAX;

struct Kept {
    order: Box<[u8]>,
    value: Box<[u8]>,
}

/// The first or the last value of each group.
pub(super) struct FirstLast {
    last: bool,
    ignore_nulls: bool,
    kind: DataType,
    orders: RowConverter,
    values: RowConverter,
    kept: Vec<Option<Kept>>,
    /// Per group, the best row of the batch at hand.
    best: Vec<u32>,
}

impl FirstLast {
    pub(super) fn try_new(
        kind: DataType,
        orders: Vec<(DataType, SortOptions)>,
        last: bool,
        ignore_nulls: bool,
    ) -> Result<Self> {
        let orders = orders.into_iter().map(|(kind, options)| SortField::new_with_options(kind, options));
        Ok(Self {
            last,
            ignore_nulls,
            orders: RowConverter::new(orders.collect())?,
            values: RowConverter::new(vec![SortField::new(kind.clone())])?,
            kind,
            kept: Vec::new(),
            best: Vec::new(),
        })
    }

    /// Takes the best of the rows for which `order` gives something.
    fn take_best<'a>(
        &mut self,
        values: &ArrayRef,
        groups: &[u32],
        order: impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<()> {
        let mut touched = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            let group = *group as usize;
            let Some(new) = order(row) else { continue };
            let old = match self.best[group] {
                NONE => self.kept[group].as_ref().map(|kept| &*kept.order),
                best => order(best as usize),
            };
            let better = old.is_none_or(|old| if self.last { new >= old } else { new < old });
            if better {
                if self.best[group] == NONE {
                    touched.push(group);
                }
                self.best[group] = row as u32;
            }
        }
        let rows: UInt32Array = touched.iter().map(|group| self.best[*group]).collect();
        let encoded = self.values.convert_columns(&[take(values, &rows, None)?])?;
        for (group, value) in touched.into_iter().zip(&encoded) {
            let row = std::mem::replace(&mut self.best[group], NONE);
            let order = order(row as usize).expect("only rows with an order are chosen");
            self.kept[group] = Some(Kept { order: order.into(), value: value.as_ref().into() });
        }
        Ok(())
    }
}

impl Aggregator for FirstLast {
    fn resize(&mut self, groups: usize) {
        self.kept.resize_with(groups, || None);
        self.best.resize(groups, NONE);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        let nulls = if self.ignore_nulls { values[0].logical_nulls() } else { None };
        let skip = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        if values.len() == 1 {
            return self.take_best(&values[0], groups, |row| (!skip(row)).then_some(&[]));
        }
        let orders = self.orders.convert_columns(&values[1..])?;
        self.take_best(&values[0], groups, |row| (!skip(row)).then(|| orders.row(row).data()))
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let orders = states[1].as_binary::<i32>();
        self.take_best(&states[0], groups, |row| orders.is_valid(row).then(|| orders.value(row)))
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        if groups.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.kind));
        }
        let null = self.values.convert_columns(&[arrow::array::new_null_array(&self.kind, 1)])?;
        let parser = self.values.parser();
        let rows = groups.iter().map(|group| match &self.kept[*group as usize] {
            Some(kept) => parser.parse(&kept.value),
            None => null.row(0),
        });
        Ok(cast(&self.values.convert_rows(rows)?[0], &self.kind)?)
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![self.kind.clone(), DataType::Binary])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let orders: BinaryArray =
            groups.iter().map(|group| self.kept[*group as usize].as_ref().map(|kept| &*kept.order)).collect();
        Ok(vec![self.evaluate(groups)?, Arc::new(orders)])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.kept[*group as usize] = None);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.kept = groups.iter().map(|group| self.kept[*group as usize].take()).collect();
        self.best = vec![NONE; groups.len()];
    }

    fn size(&self) -> usize {
        let bytes: usize = self.kept.iter().flatten().map(|kept| kept.order.len() + kept.value.len()).sum();
        bytes + self.kept.capacity() * size_of::<Option<Kept>>() + self.best.capacity() * 4
    }
}
