//! Queries to DataFusion's plans and to dataflows, by what there is: a session's functions, a catalog, tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Statement};
use headwater_functions::with_text_casts;

use crate::as_of;
use crate::catalog::Catalog;
use crate::column_names::name_columns;
use crate::constants::with_constants;
use crate::dataflow::Dataflow;
use crate::definition::ViewDef;
use crate::error::{Mistake, SqlError, refused};
use crate::lookup;
use crate::metadata::{hide_metadata, mentioned_metadata, own_columns};
use crate::names::Names;
use crate::parameters::take_parameters;
use crate::planner::{Tables, Target};
use crate::proctime::name_arrival;
use crate::row_columns;
use crate::script::Script;
use crate::spelling::with_spelling;
use crate::startup::name_starts;
use crate::statement::Query;
use crate::stream;
use crate::translate::translate_with;
use crate::user_functions::Functions;
use crate::view_arrivals::view_with_arrival;
/// What a query is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To be run over the rows so far: tables are those of the runner.
    Batch,
    /// To go on for ever: tables are the catalog's streams, and views, also materialized ones, are their queries.
    Stream,
}

/// Everything that queries are planned against.
#[derive(Clone, Copy)]
pub(crate) struct Planning<'a> {
    pub(crate) state: &'a SessionState,
    pub(crate) catalog: &'a Catalog,
    pub(crate) tables: &'a Arc<dyn Tables>,
    pub(crate) mode: Mode,
}

impl Planning<'_> {
    /// The plan of a query, as DataFusion makes it from the syntax tree; neither analysed nor optimised.
    pub(crate) fn plan(&self, query: &Query) -> Result<LogicalPlan> {
        let mut ast = query.ast.clone();
        take_parameters(&mut ast);
        lookup::rewrite(&mut ast, self.catalog, self.mode, query).map_err(refused)?;
        as_of::rewrite_versioned_tables(&mut ast, self.catalog, &query.script).map_err(refused)?;
        name_arrival(&mut ast, self);
        let mentioned = mentioned_metadata(&ast);
        if !mentioned.is_empty() {
            let is_stream = |name: &str| self.has_metadata(name);
            hide_metadata(&mut ast, &mentioned, &is_stream, &query.script).map_err(refused)?;
        }
        name_starts(&mut ast, &query.options.starts, self.mode, &query.script).map_err(refused)?;
        let functions = query.functions.as_ref().unwrap_or(self.catalog.functions());
        // What runs over the rows so far keeps nothing.
        let hints = if self.mode == Mode::Stream { query.options.hints.clone() } else { Box::default() };
        let names = Names::new(*self, mentioned, &query.script, functions, hints);
        let plan_of = |query: ast::Query| {
            SqlToRel::new(&names).sql_statement_to_plan(Statement::Query(Box::new(query)))
        };
        row_columns::expand(&mut ast, &plan_of)?;
        name_columns(&mut ast);
        let plan = with_spelling(*ast, &|query| with_constants(query, &plan_of))?;
        match self.mode {
            Mode::Batch => as_of::in_batch(plan, self.state),
            Mode::Stream => as_of::in_stream(plan),
        }
    }

    /// A query that goes on for ever, as a dataflow.
    pub(crate) fn stream(
        &self,
        query: &Query,
        target: Target<'_>,
    ) -> std::result::Result<Dataflow, SqlError> {
        let dataflow = self
            .plan(query)
            .and_then(|plan| stream::plan(plan, self.state, self.catalog, query.options.clone(), target))
            .map_err(|error| translate_with(error, query, |error| stream::place_of(error, query)))?;
        match &query.options.late {
            Some(late) => stream::late_into(dataflow, late, self.catalog, target)
                .map_err(|error| error.at(late.position, &query.script)),
            None => Ok(dataflow),
        }
    }

    /// An expression over the columns of a schema, which may call these functions of the user's.
    pub(crate) fn expression(
        &self,
        expr: ast::Expr,
        schema: &DFSchema,
        functions: &Functions,
    ) -> Result<Expr> {
        let names = Names::new(*self, BTreeSet::new(), &Script::new(""), functions, Box::default());
        let expr = SqlToRel::new(&names).sql_to_expr(expr, schema, &mut PlannerContext::new())?;
        with_text_casts(expr, schema)
    }

    /// The plan of a view, with the view's names for the columns.
    pub(crate) fn plan_view(&self, view: &ViewDef) -> Result<LogicalPlan> {
        let plan = self.plan(&view.query)?;
        rename(plan, &view.columns, &view.name)
    }

    fn has_metadata(&self, name: &str) -> bool {
        match self.mode {
            _ if view_with_arrival(name).is_some() => true,
            _ if self.catalog.stream(name).is_some_and(|stream| stream.is_updating_table()) => false,
            Mode::Stream => self.catalog.stream(name).is_some(),
            Mode::Batch => {
                self.tables.provider(name).is_some_and(|table| own_columns(&table.schema()).is_some())
            }
        }
    }

    /// All names that a query can use, for `did you mean`.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let catalog = self.catalog.entries().filter(|entry| entry.has_rows());
        let catalog = catalog.map(|entry| entry.name().to_owned());
        catalog.chain(self.tables.names()).collect()
    }
}

/// Gives a plan's columns other names, if there are any.
pub(crate) fn rename(plan: LogicalPlan, columns: &[String], name: &str) -> Result<LogicalPlan> {
    if columns.is_empty() {
        return Ok(plan);
    }
    let found = plan.schema().fields().len();
    if columns.len() != found {
        let message = format!("'{name}' names {} columns, but its query has {found}", columns.len());
        return Err(refused(SqlError::new(Mistake::Definition, message)));
    }
    let exprs: Vec<_> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, name)| Expr::Column(column).alias(name))
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}
