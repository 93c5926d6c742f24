//! Tables as DataFusion plans them: streams by their columns, and plans that stand for tables.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableSource};

use crate::computed::Declared;
use crate::metadata::with_metadata;
use crate::startup::Startup;

/// A stream in a streaming query: columns only. Filters stay above the scan.
#[derive(Debug)]
pub(crate) struct StreamTable {
    schema: SchemaRef,
    declared: Arc<Declared>,
    startup: Startup,
    is_at_rest: bool,
}

impl StreamTable {
    pub(crate) fn source(declared: Declared, metadata: bool) -> Arc<dyn TableSource> {
        let schema = if metadata { with_metadata(&declared.schema) } else { Arc::clone(&declared.schema) };
        Arc::new(Self { schema, declared: Arc::new(declared), startup: Startup::Earliest, is_at_rest: false })
    }

    /// One with the metadata columns that is read from here on. `is_at_rest` as in [`Self::is_at_rest`].
    pub(crate) fn starting_at(
        startup: Startup,
        declared: Declared,
        is_at_rest: bool,
    ) -> Arc<dyn TableSource> {
        let schema = with_metadata(&declared.schema);
        Arc::new(Self { schema, declared: Arc::new(declared), startup, is_at_rest })
    }

    /// Whether all its rows are there already, to be read as fast as it goes, and no other will come.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_at_rest
    }

    /// The first row that is read.
    pub(crate) fn startup(&self) -> Startup {
        self.startup
    }

    /// Its own columns, and where each comes from.
    pub(crate) fn declared(&self) -> &Arc<Declared> {
        &self.declared
    }
}

impl TableSource for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Unsupported; filters.len()])
    }
}

/// A table that is a plan; DataFusion puts the plan where the table is named.
pub(crate) struct Inlined {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Inlined {
    pub(crate) fn source(plan: LogicalPlan) -> Arc<dyn TableSource> {
        let schema = Arc::clone(plan.schema().inner());
        Arc::new(Self { plan, schema })
    }
}

impl fmt::Debug for Inlined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlined").field("plan", &self.plan).finish()
    }
}

impl TableSource for Inlined {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
