//! What a key's earlier rows said: columns that conditions see beside the row's own.
//!
//! ```text
//!   row of the key   1     2     3     4
//!   x                7     NULL  9     9
//!   of the row       NULL  7     NULL  9       what x was in the key's row before
//!   of the value     NULL  7     7     9       the newest value before this row that was not NULL
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use datafusion::physical_expr::PhysicalExpr;

use super::store::RowStore;
use crate::error::Result;
use crate::stateless::evaluate_column;

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
}

/// One expression whose earlier value is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    /// Whether NULLs are passed over.
    pub(super) values_only: bool,
}

/// The earlier values of some expressions.
pub(super) struct History {
    kept: Vec<Kept>,
    pub(super) store: RowStore,
}

impl History {
    pub(super) fn new(kept: Vec<Kept>, types: Vec<DataType>) -> Result<Self> {
        Ok(Self { kept, store: RowStore::new(types)? })
    }

    /// For each expression what it was before each row; the batch's own values are then kept.
    pub(super) fn look_back(
        &mut self,
        batch: &RecordBatch,
        locals: &Locals,
        operator: &str,
    ) -> Result<Vec<ArrayRef>> {
        if self.kept.is_empty() {
            return Ok(Vec::new());
        }
        let before = self.store.columns(&locals.keys)?;
        let (mut seen, mut newest) = (Vec::new(), Vec::new());
        for (kept, before) in self.kept.iter().zip(&before) {
            let now = evaluate_column(&kept.expr, batch, operator)?;
            let mut place: Vec<(usize, usize)> = (0..locals.keys.len()).map(|local| (0, local)).collect();
            let mut places = Vec::with_capacity(now.len());
            for (row, local) in locals.of_row.iter().enumerate() {
                let place = &mut place[*local as usize];
                places.push(*place);
                if !kept.values_only || now.is_valid(row) {
                    *place = (1, row);
                }
            }
            let both: [&dyn Array; 2] = [before.as_ref(), now.as_ref()];
            seen.push(interleave(&both, &places)?);
            newest.push(interleave(&both, &place)?);
        }
        self.store.put(&locals.keys, &newest)?;
        Ok(seen)
    }
}
