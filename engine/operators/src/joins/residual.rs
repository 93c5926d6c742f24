//! What must hold of a pair beside equal keys.

use arrow::array::{ArrayRef, BooleanArray};

use super::spec::Join;
use crate::error::Result;
use crate::narrow::Narrow;
use crate::uncomputed::mask_or_null;

/// A predicate over the columns of both sides that it looks at.
pub(super) struct Residual {
    /// The columns of each side.
    pub(super) columns: [Vec<usize>; 2],
    predicate: Narrow,
}

impl Residual {
    /// The residual of a join, if it has one.
    pub(super) fn of(what: &Join) -> Result<Option<Self>> {
        let Some(predicate) = &what.residual else { return Ok(None) };
        let predicate = Narrow::new(predicate, &what.pair_schema())?;
        let left = what.left.schema.fields().len();
        let (own, others): (Vec<usize>, Vec<usize>) =
            predicate.columns.iter().partition(|column| **column < left);
        let columns = [own, others.into_iter().map(|column| column - left).collect()];
        Ok(Some(Self { columns, predicate }))
    }

    /// Which of so many pairs pass.
    pub(super) fn judge(
        &self,
        left: Vec<ArrayRef>,
        right: Vec<ArrayRef>,
        pairs: usize,
        operator: &str,
    ) -> Result<BooleanArray> {
        let batch = self.predicate.batch([left, right].concat(), pairs)?;
        mask_or_null(self.predicate.expr(), &batch, operator)
    }
}
