//! Expressions over wide rows, as expressions over the columns that they look at.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

use crate::error::Result;

/// An expression over the few columns that it looks at.
pub(crate) struct Narrow {
    expr: Arc<dyn PhysicalExpr>,
    /// Which columns of the wide rows.
    pub(crate) columns: Vec<usize>,
    schema: SchemaRef,
}

impl Narrow {
    /// An expression over rows of `wide`.
    pub(crate) fn new(expr: &Arc<dyn PhysicalExpr>, wide: &Schema) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(Column::index).collect();
        columns.sort_unstable();
        columns.dedup();
        let fields = columns.iter().map(|column| wide.field(*column).clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let moved = |part: Arc<dyn PhysicalExpr>| {
            let place = part.downcast_ref::<Column>().map(|column| {
                let place = columns.binary_search(&column.index()).unwrap_or_default();
                Arc::new(Column::new(column.name(), place)) as Arc<dyn PhysicalExpr>
            });
            Ok(place.map_or(Transformed::no(part), Transformed::yes))
        };
        let expr = Arc::clone(expr).transform_up(moved).data()?;
        Ok(Self { expr, columns, schema })
    }

    /// The expression, over [`Self::batch`].
    pub(crate) fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.expr
    }

    /// The columns that it looks at, as one batch.
    pub(crate) fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}
