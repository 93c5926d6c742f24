//! What names in a query mean: tables and views to plans, functions to DataFusion's.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::as_of;
use crate::catalog::Entry;
use crate::changelog;
use crate::computed::Declared;
use crate::decision::ALARM_HISTORY;
use crate::definition::StreamDef;
use crate::error::{Mistake, SqlError, did_you_mean, did_you_mean_relation, refused};
use crate::lookup::{self, looked_up_name};
use crate::metadata::own_columns;
use crate::patterns::PatternRelations;
use crate::planning::{Mode, Planning};
use crate::proctime::ARRIVAL;
use crate::script::Script;
use crate::startup::{STARTUP_MODE, Startup, started_name};
use crate::state_ttl::{Hint, HintedRelations};
use crate::table_sources::{Inlined, StreamTable};
use crate::user_functions::{self, Functions};
use crate::view_arrivals::view_with_arrival;
use crate::window::WindowRelations;

/// One query's names.
pub(crate) struct Names<'a> {
    planning: Planning<'a>,
    /// The metadata columns that the query mentions; the others are not there for it, so that `*` does not show them.
    mentioned: BTreeSet<&'static str>,
    relations: [Arc<dyn RelationPlanner>; 3],
    functions: &'a Functions,
}

impl<'a> Names<'a> {
    pub(crate) fn new(
        planning: Planning<'a>,
        mentioned: BTreeSet<&'static str>,
        script: &Script,
        functions: &'a Functions,
        hints: Box<[Hint]>,
    ) -> Self {
        let windows = WindowRelations { catalog: planning.catalog.clone(), script: script.clone() };
        let patterns = PatternRelations { script: script.clone() };
        let hinted = HintedRelations(hints);
        let relations: [Arc<dyn RelationPlanner>; 3] =
            [Arc::new(hinted), Arc::new(windows), Arc::new(patterns)];
        Self { planning, mentioned, relations, functions }
    }

    fn table(&self, name: &str) -> Result<Arc<dyn TableSource>> {
        let Planning { catalog, tables, mode, .. } = self.planning;
        if let Some((retry, name)) = looked_up_name(name)
            && let Some(table) = catalog.stream(name)
        {
            let source = StreamTable::source(Declared::stored(&table.own_schema()), false);
            if table.computed.is_empty() {
                return Ok(source);
            }
            let stored = LogicalPlanBuilder::scan(lookup::reference(table, retry), source, None)?.build()?;
            return self.with_computed(table, stored);
        }
        if let Some(Entry::View(view)) = view_with_arrival(name).and_then(|name| catalog.get(name)) {
            let plan = self.planning.plan_with_arrival(view);
            return plan.map(Inlined::source).ok_or_else(|| refused(self.unknown(&view.name)));
        }
        if let Some(name) = as_of::versions_name(name) {
            return self.versions(name);
        }
        if let Some((startup, name)) = started_name(name) {
            return self.started(name, startup);
        }
        if let Some(table) = catalog.stream(name).filter(|table| table.is_updating_table())
            && let Some(source) = self.changes(name)
        {
            let newest = changelog::newest(table, source, self.planning.state)?;
            return self.with_computed(table, newest);
        }
        let provider = match mode {
            Mode::Batch => tables.provider(name),
            Mode::Stream => None,
        };
        if let Some(provider) = provider {
            let schema = provider.schema();
            let computes = catalog.stream(name).filter(|stream| !stream.computed.is_empty());
            let mut seen = self.mentioned.clone();
            seen.extend(computes.map(|_| ARRIVAL));
            let source = scan(name, provider_as_source(provider), &schema, &seen)?;
            let plan = source.get_logical_plan().map(Cow::into_owned);
            return match (computes, plan) {
                (Some(stream), Some(plan)) => self.with_computed(stream, plan),
                _ => Ok(source),
            };
        }
        match catalog.get(name) {
            Some(Entry::View(view) | Entry::MaterializedView(view)) => {
                Ok(Inlined::source(self.planning.plan_view(view)?))
            }
            Some(Entry::Stream(stream) | Entry::Table(stream)) if mode == Mode::Stream => {
                self.stream(stream, Startup::Earliest)
            }
            _ => Err(refused(self.unknown(name))),
        }
    }

    /// A stream's rows, one after the other.
    fn stream(&self, stream: &StreamDef, startup: Startup) -> Result<Arc<dyn TableSource>> {
        let is_at_rest = stream.is_read_once() && !self.planning.tables.is_written(&stream.name);
        let declared = self.planning.declared(stream).map_err(refused)?;
        let source = StreamTable::starting_at(startup, declared, is_at_rest);
        let schema = source.schema();
        scan(&stream.name, source, &schema, &self.mentioned)
    }

    /// What is read from another place than the first row.
    fn started(&self, name: &str, startup: Startup) -> Result<Arc<dyn TableSource>> {
        let catalog = self.planning.catalog;
        match (catalog.stream(name), catalog.get(name)) {
            (Some(table), _) if table.is_updating_table() => {
                let changes = StreamTable::starting_at(startup, Declared::stored(&table.schema), false);
                let newest = changelog::newest(table, changes, self.planning.state)?;
                self.with_computed(table, newest)
            }
            (Some(stream), _) => self.stream(stream, startup),
            (None, Some(entry)) => {
                let what = entry.kind().with_article();
                let message = format!("'{STARTUP_MODE}' is for a stream or a table, and '{name}' is {what}");
                Err(refused(SqlError::new(Mistake::Option, message)))
            }
            (None, None) => Err(refused(self.unknown(name))),
        }
    }

    /// The changes that a table holds, with all of its columns and those of metadata.
    fn changes(&self, name: &str) -> Option<Arc<dyn TableSource>> {
        let Planning { catalog, tables, mode, .. } = self.planning;
        match mode {
            Mode::Batch => Some(provider_as_source(tables.provider(name)?)),
            Mode::Stream => Some(StreamTable::source(Declared::stored(&catalog.stream(name)?.schema), true)),
        }
    }

    /// A plan of a stream's rows, with the columns that are computed from them.
    fn with_computed(&self, stream: &StreamDef, plan: LogicalPlan) -> Result<Arc<dyn TableSource>> {
        let whole = match stream.computed.is_empty() {
            true => plan,
            false => self.planning.with_computed(stream, plan, &self.mentioned)?,
        };
        Ok(Inlined::source(whole))
    }

    /// What a join looks for versions in.
    fn versions(&self, name: &str) -> Result<Arc<dyn TableSource>> {
        let catalog = self.planning.catalog;
        if let Some(view) = catalog.view(name).and_then(|view| as_of::history_of(view)) {
            return Ok(Inlined::source(self.planning.plan_view(&view)?));
        }
        match (catalog.stream(name), self.changes(name)) {
            (Some(table), Some(source)) => Ok(Inlined::source(changelog::all(table, source)?)),
            _ => Err(refused(self.unknown(name))),
        }
    }

    fn unknown(&self, name: &str) -> SqlError {
        if self.planning.mode == Mode::Stream && self.planning.tables.provider(name).is_some() {
            return SqlError::new(Mistake::NotStreaming, format!("'{name}' is a table, not a stream"))
                .hint("a streaming query reads streams; this table can be read by a bounded query");
        }
        match self.planning.catalog.get(name) {
            Some(Entry::Alarm(_)) => {
                SqlError::new(Mistake::UnknownName, format!("'{name}' is an alarm, which has no rows"))
                    .hint(format!("SELECT ... FROM {ALARM_HISTORY} WHERE alarm = '{name}'"))
            }
            Some(Entry::Job(_) | Entry::MapReduce(_)) => {
                SqlError::new(Mistake::UnknownName, format!("'{name}' is a job, which has no rows"))
                    .hint("read the stream that it writes into")
            }
            Some(Entry::Archive(archive)) => {
                let message = format!("'{name}' is an archive, which is read through its stream");
                SqlError::new(Mistake::UnknownName, message).hint(format!("read '{}'", archive.stream))
            }
            Some(Entry::Trigger(_)) => {
                let message = format!("'{name}' is a trigger, whose firings are read by bounded queries");
                SqlError::new(Mistake::NotStreaming, message)
                    .hint("EXECUTE INSERT INTO a stream, and read that")
            }
            _ => {
                let names = self.planning.names();
                SqlError::new(Mistake::UnknownName, format!("there is no stream, table or view '{name}'"))
                    .hint_if(did_you_mean_relation(name, names.iter().map(String::as_str)))
            }
        }
    }
}

/// A scan of a table's own columns, and those of metadata that are `seen`.
fn scan(
    name: &str,
    source: Arc<dyn TableSource>,
    schema: &Schema,
    seen: &BTreeSet<&'static str>,
) -> Result<Arc<dyn TableSource>> {
    let Some(own) = own_columns(schema) else { return Ok(source) };
    let metadata =
        (own..schema.fields().len()).filter(|column| seen.contains(schema.field(*column).name().as_str()));
    let columns = (0..own).chain(metadata).collect();
    let plan = LogicalPlanBuilder::scan(TableReference::from(name), source, Some(columns))?.build()?;
    Ok(Inlined::source(plan))
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
        self.planning.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::session::Types))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        let Some(function) = self.planning.state.table_functions().get(name) else {
            let known = self.planning.state.table_functions().keys().map(String::as_str);
            let known: BTreeSet<_> = known.chain(["tumble", "hop", "cumulate", "session"]).collect();
            return Err(refused(
                SqlError::new(Mistake::UnknownFunction, format!("there is no table function '{name}'"))
                    .hint_if(did_you_mean(name, known)),
            ));
        };
        if self.planning.mode == Mode::Stream {
            let message = format!("{name}() is read once, and there is nothing to go on with");
            return Err(refused(SqlError::new(Mistake::NotStreaming, message).hint(match name {
                "read_text" => {
                    "make a table of the same place: CREATE TABLE lines (line STRING) WITH (connector = 'filesystem', path = ..., format = 'raw')"
                }
                _ => "INSERT INTO ... SELECT runs once",
            })));
        }
        let state = &self.planning.state;
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
            Some(function) => user_functions::scalar(self.planning, function),
            None => self.planning.state.scalar_functions().get(name).cloned(),
        }
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.planning.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.planning.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.planning.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.planning.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        let own = self.functions.names().chain(self.planning.catalog.functions().names()).map(str::to_owned);
        sorted(self.planning.state.scalar_functions().keys()).into_iter().chain(own).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        sorted(self.planning.state.higher_order_functions().keys())
    }

    fn udaf_names(&self) -> Vec<String> {
        sorted(self.planning.state.aggregate_functions().keys())
    }

    fn udwf_names(&self) -> Vec<String> {
        sorted(self.planning.state.window_functions().keys())
    }
}

/// In one order, so that the suggestion for a misspelt name is always the same.
fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<_> = names.cloned().collect();
    names.sort();
    names
}
