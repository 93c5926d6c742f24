//! `system.catalog` as a table: its statements without the secrets in them, which only the engine needs.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::stream::StreamTable;
use crate::engine::without_secrets;

/// The stream of definitions.
#[derive(Debug)]
pub(crate) struct CatalogTable(pub StreamTable);

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Filters are for what is shown: bounds on what is stored would tell of it.
        let stored = self.0.scan(state, None, &[], None).await?;
        let shown = collect(stored, state.task_ctx()).await?;
        let shown = shown.iter().map(without_secrets).collect::<Result<Vec<_>, _>>()?;
        MemTable::try_new(self.schema(), vec![shown])?.scan(state, projection, filters, limit).await
    }
}
