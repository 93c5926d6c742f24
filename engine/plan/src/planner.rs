//! The planner's face: statements in, DataFusion plans and [`Dataflow`]s out.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::logical_expr::LogicalPlan;

use crate::catalog::Catalog;
use crate::dataflow::Dataflow;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::statement::{Explain, Insert, Query};

/// Where the planner finds tables: streams (with the metadata columns [`crate::METADATA_COLUMNS`] after their own), system
/// tables, materialized views, files.
pub trait Tables: Send + Sync + fmt::Debug {
    /// The rows so far of what has this name; `None` if nothing has it.
    fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>>;

    /// All names, for `did you mean`.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a streaming query's rows go into.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Nothing in particular: a tail, or EXPLAIN. Updates are allowed.
    Anywhere,
    /// A stream or connector table; the columns that the query fills, in its order (empty: all).
    Stream(&'a StreamDef, &'a [String]),
    /// A materialized view of these column names (empty: the query's own). Updates are allowed.
    View(&'a [String]),
}

/// Plans statements against a catalog and tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Planner {
    state: SessionState,
}

/// What `EXPLAIN` answers.
#[derive(Debug, Clone)]
pub enum Explained {
    /// This text.
    Text(String),
    /// What running this plan gives: DataFusion's own EXPLAIN.
    Run(LogicalPlan),
}

impl Planner {
    /// A planner with all functions of DataFusion and ours.
    pub fn new() -> Self {
        Self { state: datafusion::execution::SessionStateBuilder::new_with_default_features().build() }
    }

    /// The session that plans of [`Planner::batch`] must be run in: it knows our nodes and functions.
    pub fn session(&self) -> SessionContext {
        SessionContext::new_with_state(self.state.clone())
    }

    /// A query over the rows so far, not yet optimised, to be run by [`Planner::session`].
    pub fn batch(&self, catalog: &Catalog, tables: &Arc<dyn Tables>, query: &Query) -> Result<LogicalPlan> {
        let _ = (catalog, tables, query);
        Err(SqlError::new(Mistake::Query, "queries are not planned yet"))
    }

    /// The rows of an INSERT over the rows so far, with exactly the target's columns.
    pub fn insert(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        insert: &Insert,
        target: &StreamDef,
    ) -> Result<LogicalPlan> {
        let _ = target;
        self.batch(catalog, tables, &insert.query)
    }

    /// A query that goes on for ever, as a dataflow.
    pub fn stream(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        query: &Query,
        target: Target<'_>,
    ) -> Result<Dataflow> {
        let _ = (catalog, tables, query, target);
        Err(SqlError::new(Mistake::Query, "queries are not planned yet"))
    }

    /// What EXPLAIN shows.
    pub fn explain(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        explain: &Explain,
    ) -> Result<Explained> {
        let _ = (catalog, tables, explain);
        Err(SqlError::new(Mistake::Query, "queries are not planned yet"))
    }
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}
