//! What a key's earlier rows said: columns that conditions see beside the row's own.
//!
//! ```text
//!   row of the key   1     2     3     4
//!   x                7     NULL  9     9
//!   of the row       NULL  7     NULL  9       what x was in the key's row before
//!   of the value     NULL  7     7     9       the newest value before this row that was not NULL
//! ```
//!
//! A column is kept once, however many triggers look at it. A trigger that began later must not see what was before: so each value
//! has the epoch of its row, the rank of the newest trigger that had begun by then.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{interleave, nullif, take};
use arrow::datatypes::DataType;
use datafusion::physical_expr::PhysicalExpr;

use super::store::RowStore;
use crate::error::Result;
use crate::uncomputed::{Unfit, column_and_unfit};

/// The distinct keys of a batch, in order of appearance, and which of them each row has.
#[derive(Default)]
pub(super) struct Locals {
    pub(super) keys: Vec<u32>,
    pub(super) of_row: Vec<u32>,
    /// By key: its place in `keys`, plus one, while a batch is looked at.
    places: Vec<u32>,
}

impl Locals {
    pub(super) fn find(&mut self, keys: &[u32], known: usize) {
        for key in self.keys.drain(..) {
            self.places[key as usize] = 0;
        }
        self.places.resize(known, 0);
        self.of_row.clear();
        for key in keys {
            let place = &mut self.places[*key as usize];
            if *place == 0 {
                self.keys.push(*key);
                *place = self.keys.len() as u32;
            }
            self.of_row.push(*place - 1);
        }
    }

    /// The last row of each key.
    pub(super) fn last_rows(&self) -> UInt32Array {
        let mut last: Vec<u32> = vec![0; self.keys.len()];
        for (row, local) in self.of_row.iter().enumerate() {
            last[*local as usize] = row as u32;
        }
        last.into()
    }
}

/// The earlier values of one expression.
pub(super) struct Slot {
    /// By this a checkpoint knows it.
    pub(super) table: String,
    pub(super) expr: Arc<dyn PhysicalExpr>,
    /// Whether NULLs are passed over.
    pub(super) values_only: bool,
    pub(super) kind: DataType,
    store: RowStore,
    /// By key. Of a key without a row nothing is hidden from anybody.
    epochs: Vec<u32>,
}

/// What a slot held before each row of a batch.
pub(super) struct Seen {
    pub(super) column: ArrayRef,
    /// The epochs of the rows that had the values.
    pub(super) epochs: Vec<u32>,
    /// The least of them.
    pub(super) oldest: u32,
    /// Rows whose own value cannot be computed.
    pub(super) unfit: Unfit,
}

impl Seen {
    /// The column at these rows, or at all, as a trigger of this rank sees it.
    pub(super) fn to(&self, rank: u32, rows: Option<&UInt32Array>) -> Result<ArrayRef> {
        let column = match rows {
            Some(rows) => take(&self.column, rows, None)?,
            None => Arc::clone(&self.column),
        };
        if self.oldest >= rank {
            return Ok(column);
        }
        let hidden: BooleanArray = match rows {
            Some(rows) => rows.values().iter().map(|row| Some(self.epochs[*row as usize] < rank)).collect(),
            None => self.epochs.iter().map(|epoch| Some(*epoch < rank)).collect(),
        };
        Ok(nullif(&column, &hidden)?)
    }
}

impl Slot {
    pub(super) fn new(expr: &Arc<dyn PhysicalExpr>, values_only: bool, kind: DataType) -> Result<Self> {
        Ok(Self {
            table: table_of(expr, values_only),
            expr: Arc::clone(expr),
            values_only,
            store: RowStore::new(vec![kind.clone()])?,
            kind,
            epochs: Vec::new(),
        })
    }

    pub(super) fn resize(&mut self, keys: usize) {
        self.store.resize(keys);
        self.epochs.resize(keys, u32::MAX);
    }

    /// What it held before each row; the batch's own values are then kept, as NULL where they cannot be computed.
    pub(super) fn look_back(
        &mut self,
        batch: &RecordBatch,
        locals: &Locals,
        epoch: u32,
        operator: &str,
    ) -> Result<Seen> {
        let before = self.columns(&locals.keys)?;
        let (now, unfit) = column_and_unfit(&self.expr, batch, operator)?;
        let mut place: Vec<(usize, usize)> = (0..locals.keys.len()).map(|local| (0, local)).collect();
        let mut places = Vec::with_capacity(now.len());
        let mut epochs = Vec::with_capacity(now.len());
        for (row, local) in locals.of_row.iter().enumerate() {
            let place = &mut place[*local as usize];
            places.push(*place);
            let key = locals.keys[*local as usize];
            epochs.push(if place.0 == 0 { self.epochs[key as usize] } else { epoch });
            if !self.values_only || now.is_valid(row) {
                *place = (1, row);
            }
        }
        let both: [&dyn Array; 2] = [before.as_ref(), now.as_ref()];
        let column = interleave(&both, &places)?;
        let moved: Vec<usize> = (0..place.len()).filter(|local| place[*local].0 == 1).collect();
        let newest: Vec<(usize, usize)> = moved.iter().map(|local| place[*local]).collect();
        let keys: Vec<u32> = moved.iter().map(|local| locals.keys[*local]).collect();
        self.store.put(&keys, &[interleave(&both, &newest)?])?;
        keys.iter().for_each(|key| self.epochs[*key as usize] = epoch);
        let oldest = epochs.iter().copied().min().unwrap_or(u32::MAX);
        Ok(Seen { column, epochs, oldest, unfit })
    }

    /// What it holds for these keys.
    pub(super) fn columns(&self, keys: &[u32]) -> Result<ArrayRef> {
        Ok(self.store.columns(keys)?.remove(0))
    }

    pub(super) fn epochs<'a>(&'a self, keys: &'a [u32]) -> impl Iterator<Item = i64> + 'a {
        keys.iter().map(|key| i64::from(self.epochs[*key as usize]))
    }

    pub(super) fn put(&mut self, keys: &[u32], epochs: &[i64], values: &ArrayRef) -> Result<()> {
        self.store.put(keys, std::slice::from_ref(values))?;
        for (key, epoch) in keys.iter().zip(epochs) {
            self.epochs[*key as usize] = u32::try_from(*epoch).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.store.size() + self.epochs.capacity() * size_of::<u32>()
    }
}

/// The name of an expression's earlier values in a checkpoint.
pub(super) fn table_of(expr: &Arc<dyn PhysicalExpr>, values_only: bool) -> String {
    format!("{} {expr}", if values_only { "value" } else { "row" })
}
