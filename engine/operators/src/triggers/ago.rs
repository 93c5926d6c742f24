//! The value some time ago: for each key the values of the last stretch of time, oldest first.
//!
//! The value at a row of time t, so long ago, is that of the key's newest row at or before t less so long; NULL if there was none.
//! A row that is older than one before it is not remembered, and remembers nothing: what it would need may be gone.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;

use super::store::decode;
use crate::error::Result;
use crate::uncomputed::{Unfit, column_and_unfit};
use crate::windows::Times;

type Values = VecDeque<(i64, Box<[u8]>)>;

/// The values of one expression over a stretch of time.
pub(super) struct Ago {
    expr: Arc<dyn PhysicalExpr>,
    back: i64,
    types: [DataType; 1],
    converter: RowConverter,
    values: Vec<Values>,
    bytes: usize,
}

impl Ago {
    pub(super) fn new(expr: Arc<dyn PhysicalExpr>, back: i64, kind: DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(kind.clone())])?;
        Ok(Self { expr, back, types: [kind], converter, values: Vec::new(), bytes: 0 })
    }

    pub(super) fn kind(&self) -> &DataType {
        &self.types[0]
    }

    pub(super) fn resize(&mut self, keys: usize) {
        self.values.resize(keys, VecDeque::new());
    }

    /// The value so long before each row; the batch's own values are then kept, as NULL where they cannot be computed, which is answered.
    pub(super) fn look_back(
        &mut self,
        batch: &RecordBatch,
        times: &Times,
        keys: &[u32],
        operator: &str,
    ) -> Result<(ArrayRef, Unfit)> {
        let (now, unfit) = column_and_unfit(&self.expr, batch, operator)?;
        let now = self.converter.convert_columns(&[now])?;
        let mut found: Vec<Option<Box<[u8]>>> = Vec::with_capacity(keys.len());
        for (row, key) in keys.iter().enumerate() {
            let values = &mut self.values[*key as usize];
            let Some(time) = times.get(row) else {
                found.push(None);
                continue;
            };
            let then = time.saturating_sub(self.back);
            let newest = values.back().map_or(i64::MIN, |(time, _)| *time);
            if time < newest {
                found.push(None);
                continue;
            }
            let place = values.partition_point(|(time, _)| *time <= then);
            found.push(place.checked_sub(1).map(|place| values[place].1.clone()));
            for _ in 1..place {
                self.bytes -= values.pop_front().map_or(0, |(_, value)| value.len() + OVERHEAD);
            }
            let value: Box<[u8]> = now.row(row).data().into();
            self.bytes += value.len() + OVERHEAD;
            values.push_back((time, value));
        }
        let columns = decode(&self.converter, &self.types, found.iter().map(Option::as_deref))?;
        Ok((Arc::clone(&columns[0]), unfit))
    }

    /// All that is kept of some keys: which of the keys, when, what.
    pub(super) fn state(&self, keys: &[u32]) -> Result<(Vec<u32>, Vec<i64>, ArrayRef)> {
        let (mut of, mut times, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for key in keys {
            for (time, value) in &self.values[*key as usize] {
                of.push(*key);
                times.push(*time);
                rows.push(Some(&**value));
            }
        }
        let columns = decode(&self.converter, &self.types, rows.into_iter())?;
        Ok((of, times, Arc::clone(&columns[0])))
    }

    pub(super) fn clear(&mut self, keys: &[u32]) {
        for key in keys {
            for (_, value) in self.values[*key as usize].drain(..) {
                self.bytes -= value.len() + OVERHEAD;
            }
        }
    }

    pub(super) fn put(&mut self, keys: &[u32], times: &[i64], values: &ArrayRef) -> Result<()> {
        let rows = self.converter.convert_columns(std::slice::from_ref(values))?;
        for ((key, time), row) in keys.iter().zip(times).zip(rows.iter()) {
            let value: Box<[u8]> = row.data().into();
            self.bytes += value.len() + OVERHEAD;
            self.values[*key as usize].push_back((*time, value));
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.bytes + self.values.capacity() * size_of::<Values>()
    }
}

const OVERHEAD: usize = size_of::<(i64, Box<[u8]>)>();
