//! What names in a query mean: tables and views to plans, functions to DataFusion's.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF,
    TableProviderFilterPushDown, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Statement};

use crate::METADATA_COLUMNS;
use crate::as_of;
use crate::catalog::{Catalog, Entry};
use crate::changelog;
use crate::computed::Declared;
use crate::constants::with_constants;
use crate::dataflow::Dataflow;
use crate::decision::ALARM_HISTORY;
use crate::definition::{StreamDef, ViewDef};
use crate::error::refused;
use crate::error::{Mistake, SqlError, did_you_mean, did_you_mean_relation};
use crate::functions::{take_parameters, with_text_casts};
use crate::lookup::{self, looked_up_name};
use crate::metadata::{hide_metadata, mentioned_metadata};
use crate::patterns::PatternRelations;
use crate::planner::{Tables, Target};
use crate::proctime::name_arrival;
use crate::row_columns;
use crate::script::Script;
use crate::state_ttl::{Hint, HintedRelations};
use crate::statement::Query;
use crate::stream;
use crate::translate::translate_with;
use crate::user_functions::{self, Functions};
use crate::window::WindowRelations;

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
pub(crate) struct World<'a> {
    pub(crate) state: &'a SessionState,
    pub(crate) catalog: &'a Catalog,
    pub(crate) tables: &'a Arc<dyn Tables>,
    pub(crate) mode: Mode,
}

impl World<'_> {
    /// The plan of a query, as DataFusion makes it from the syntax tree; neither analysed nor optimised.
    pub(crate) fn plan(&self, query: &Query) -> Result<LogicalPlan> {
        let mut ast = query.ast.clone();
        take_parameters(&mut ast);
        lookup::rewrite(&mut ast, self.catalog, self.mode, &query.script).map_err(refused)?;
        as_of::rewrite_versioned_tables(&mut ast, self.catalog, &query.script).map_err(refused)?;
        name_arrival(&mut ast, self.catalog);
        let mentioned = mentioned_metadata(&ast);
        if !mentioned.is_empty() {
            let is_stream = |name: &str| self.has_metadata(name);
            hide_metadata(&mut ast, &mentioned, &is_stream, &query.script).map_err(refused)?;
        }
        let functions = query.functions.as_ref().unwrap_or(self.catalog.functions());
        // What runs over the rows so far keeps nothing.
        let hints = if self.mode == Mode::Stream { query.options.hints.clone() } else { Box::default() };
        let names = Names::new(*self, mentioned, &query.script, functions, hints);
        let plan_of = |query: ast::Query| {
            SqlToRel::new(&names).sql_statement_to_plan(Statement::Query(Box::new(query)))
        };
        row_columns::expand(&mut ast, &plan_of)?;
        let plan = with_constants(*ast, &plan_of)?;
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
            _ if self.catalog.stream(name).is_some_and(|stream| stream.is_updating_table()) => false,
            Mode::Stream => self.catalog.stream(name).is_some(),
            Mode::Batch => {
                self.tables.provider(name).is_some_and(|table| own_columns(&table.schema()).is_some())
            }
        }
    }

    /// All names that a query can use, for `did you mean`.
    fn names(&self) -> BTreeSet<String> {
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

/// How many columns a table has of its own, if the metadata columns follow them.
fn own_columns(schema: &Schema) -> Option<usize> {
    let own = schema.fields().len().checked_sub(METADATA_COLUMNS.len())?;
    let follow =
        schema.fields()[own..].iter().zip(METADATA_COLUMNS).all(|(field, name)| field.name() == name);
    follow.then_some(own)
}

/// The columns of a stream as a query sees them: its own, then the metadata columns.
pub(crate) fn with_metadata(schema: &Schema) -> SchemaRef {
    let arrival = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let kinds = [DataType::Int32, DataType::Int64, arrival];
    let metadata =
        METADATA_COLUMNS.iter().zip(kinds).map(|(name, kind)| Arc::new(Field::new(*name, kind, false)));
    Arc::new(Schema::new(schema.fields().iter().cloned().chain(metadata).collect::<Vec<_>>()))
}

/// One query's names.
struct Names<'a> {
    world: World<'a>,
    /// The metadata columns that the query mentions; the others are not there for it, so that `*` does not show them.
    mentioned: BTreeSet<&'static str>,
    relations: [Arc<dyn RelationPlanner>; 3],
    functions: &'a Functions,
}

impl<'a> Names<'a> {
    fn new(
        world: World<'a>,
        mentioned: BTreeSet<&'static str>,
        script: &Script,
        functions: &'a Functions,
        hints: Box<[Hint]>,
    ) -> Self {
        let windows = WindowRelations { catalog: world.catalog.clone(), script: script.clone() };
        let patterns = PatternRelations { script: script.clone() };
        let hinted = HintedRelations(hints);
        let relations: [Arc<dyn RelationPlanner>; 3] =
            [Arc::new(hinted), Arc::new(windows), Arc::new(patterns)];
        Self { world, mentioned, relations, functions }
    }

    fn table(&self, name: &str) -> Result<Arc<dyn TableSource>> {
        let World { catalog, tables, mode, .. } = self.world;
        if let Some(table) = looked_up_name(name).and_then(|name| catalog.stream(name)) {
            let source = StreamTable::source(Declared::stored(&table.own_schema()), false);
            if table.computed.is_empty() {
                return Ok(source);
            }
            let stored = LogicalPlanBuilder::scan(lookup::reference(table), source, None)?.build()?;
            return self.with_computed(table, stored);
        }
        if let Some(name) = as_of::versions_name(name) {
            return self.versions(name);
        }
        if let Some(table) = catalog.stream(name).filter(|table| table.is_updating_table())
            && let Some(source) = self.changes(name)
        {
            let newest = changelog::newest(table, source, self.world.state)?;
            return self.with_computed(table, newest);
        }
        let provider = match mode {
            Mode::Batch => tables.provider(name),
            Mode::Stream => None,
        };
        if let Some(provider) = provider {
            let schema = provider.schema();
            let source = self.scan(name, provider_as_source(provider), &schema)?;
            let plan = source.get_logical_plan().map(Cow::into_owned);
            return match (catalog.stream(name), plan) {
                (Some(stream), Some(plan)) if !stream.computed.is_empty() => self.with_computed(stream, plan),
                _ => Ok(source),
            };
        }
        match catalog.get(name) {
            Some(Entry::View(view) | Entry::MaterializedView(view)) => {
                Ok(Inlined::source(self.world.plan_view(view)?))
            }
            Some(Entry::Stream(stream) | Entry::Table(stream)) if mode == Mode::Stream => {
                let source = StreamTable::source(self.world.declared(stream).map_err(refused)?, true);
                let schema = source.schema();
                self.scan(name, source, &schema)
            }
            _ => Err(refused(self.unknown(name))),
        }
    }

    /// The changes that a table holds, with all of its columns and those of metadata.
    fn changes(&self, name: &str) -> Option<Arc<dyn TableSource>> {
        let World { catalog, tables, mode, .. } = self.world;
        match mode {
            Mode::Batch => Some(provider_as_source(tables.provider(name)?)),
            Mode::Stream => Some(StreamTable::source(Declared::stored(&catalog.stream(name)?.schema), true)),
        }
    }

    /// A plan of a stream's rows, with the columns that are computed from them.
    fn with_computed(&self, stream: &StreamDef, plan: LogicalPlan) -> Result<Arc<dyn TableSource>> {
        let whole = if stream.computed.is_empty() { plan } else { self.world.with_computed(stream, plan)? };
        Ok(Inlined::source(whole))
    }

    /// What a join looks for versions in.
    fn versions(&self, name: &str) -> Result<Arc<dyn TableSource>> {
        let catalog = self.world.catalog;
        if let Some(view) = catalog.view(name).and_then(|view| as_of::history_of(view)) {
            return Ok(Inlined::source(self.world.plan_view(&view)?));
        }
        match (catalog.stream(name), self.changes(name)) {
            (Some(table), Some(source)) => Ok(Inlined::source(changelog::all(table, source)?)),
            _ => Err(refused(self.unknown(name))),
        }
    }

    /// A scan of the columns that the query may see.
    fn scan(
        &self,
        name: &str,
        source: Arc<dyn TableSource>,
        schema: &Schema,
    ) -> Result<Arc<dyn TableSource>> {
        let Some(own) = own_columns(schema) else { return Ok(source) };
        let metadata = (own..schema.fields().len())
            .filter(|column| self.mentioned.contains(schema.field(*column).name().as_str()));
        let columns = (0..own).chain(metadata).collect();
        let plan = LogicalPlanBuilder::scan(TableReference::from(name), source, Some(columns))?.build()?;
        Ok(Inlined::source(plan))
    }

    fn unknown(&self, name: &str) -> SqlError {
        if self.world.mode == Mode::Stream && self.world.tables.provider(name).is_some() {
            return SqlError::new(Mistake::NotStreaming, format!("'{name}' is a table, not a stream"))
                .hint("a streaming query reads streams; this table can be read by a bounded query");
        }
        if let Some(Entry::Alarm(_)) = self.world.catalog.get(name) {
            return SqlError::new(Mistake::UnknownName, format!("'{name}' is an alarm, which has no rows"))
                .hint(format!("SELECT ... FROM {ALARM_HISTORY} WHERE alarm = '{name}'"));
        }
        if let Some(Entry::Job(_) | Entry::MapReduce(_)) = self.world.catalog.get(name) {
            return SqlError::new(Mistake::UnknownName, format!("'{name}' is a job, which has no rows"))
                .hint("read the stream that it writes into");
        }
        if let Some(Entry::Archive(archive)) = self.world.catalog.get(name) {
            let message = format!("'{name}' is an archive, which is read through its stream");
            return SqlError::new(Mistake::UnknownName, message).hint(format!("read '{}'", archive.stream));
        }
        if let Some(Entry::Trigger(_)) = self.world.catalog.get(name) {
            return SqlError::new(
                Mistake::NotStreaming,
                format!("'{name}' is a trigger, whose firings are read by bounded queries"),
            )
            .hint("EXECUTE INSERT INTO a stream, and read that");
        }
        let names = self.world.names();
        SqlError::new(Mistake::UnknownName, format!("there is no stream, table or view '{name}'"))
            .hint_if(did_you_mean_relation(name, names.iter().map(String::as_str)))
    }
}

/// A stream in a streaming query: columns only. Filters stay above the scan.
#[derive(Debug)]
pub(crate) struct StreamTable {
    schema: SchemaRef,
    declared: Arc<Declared>,
}

impl StreamTable {
    fn source(declared: Declared, metadata: bool) -> Arc<dyn TableSource> {
        let schema = if metadata { with_metadata(&declared.schema) } else { Arc::clone(&declared.schema) };
        Arc::new(Self { schema, declared: Arc::new(declared) })
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
struct Inlined {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl Inlined {
    fn source(plan: LogicalPlan) -> Arc<dyn TableSource> {
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

impl ContextProvider for Names<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let parts: Vec<_> =
            [name.catalog(), name.schema(), Some(name.table())].into_iter().flatten().collect();
        self.table(&parts.join("."))
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.world.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::session::Types))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let Some(function) = self.world.state.table_functions().get(name) else {
            let known = self.world.state.table_functions().keys().map(String::as_str);
            let known: BTreeSet<_> = known.chain(["tumble", "hop", "cumulate", "session"]).collect();
            return Err(refused(
                SqlError::new(Mistake::UnknownFunction, format!("there is no table function '{name}'"))
                    .hint_if(did_you_mean(name, known)),
            ));
        };
        if self.world.mode == Mode::Stream {
            let message = format!("{name}() is read once, and there is nothing to go on with");
            return Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(match name {
                "read_text" => {
                    "make a table of the same place: CREATE TABLE lines (line STRING) WITH (connector = 'filesystem', path = ..., format = 'raw')"
                }
                _ => "INSERT INTO ... SELECT runs once",
            })));
        }
        let state = &self.world.state;
        let context =
            SimplifyContext::builder().with_config_options(Arc::clone(state.config_options())).build();
        let (simplifier, no_columns) = (ExprSimplifier::new(context), DFSchema::empty());
        let constant = |arg| simplifier.coerce(arg, &no_columns).and_then(|arg| simplifier.simplify(arg));
        let args = args.into_iter().map(constant).collect::<Result<Vec<_>>>()?;
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&args, *state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        let table = datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema);
        Ok(provider_as_source(Arc::new(table)))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        match self.functions.get(name) {
            Some(function) => user_functions::scalar(self.world, function),
            None => self.world.state.scalar_functions().get(name).cloned(),
        }
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.world.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.world.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.world.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.world.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        let own = self.functions.names().chain(self.world.catalog.functions().names()).map(str::to_owned);
        sorted(self.world.state.scalar_functions().keys()).into_iter().chain(own).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        sorted(self.world.state.higher_order_functions().keys())
    }

    fn udaf_names(&self) -> Vec<String> {
        sorted(self.world.state.aggregate_functions().keys())
    }

    fn udwf_names(&self) -> Vec<String> {
        sorted(self.world.state.window_functions().keys())
    }
}

/// In one order, so that the suggestion for a misspelt name is always the same.
fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<_> = names.cloned().collect();
    names.sort();
    names
}
