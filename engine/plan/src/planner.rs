//! The planner's face: statements in, DataFusion plans and [`Dataflow`]s out.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{TableFunctionImpl, TableProvider};
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::PhysicalExpr;

use crate::catalog::Catalog;
use crate::dataflow::Dataflow;
use crate::decision::AlarmDef;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::planning::{Mode, Planning, rename};
use crate::scaling::{GroupDef, PolicyDef};
use crate::session::new_session;
use crate::statement::{CreateFunction, Explain, ExplainMode, Insert, Parsed, Query, Statement, Together};
use crate::stream::{self, Insertion};
use crate::translate::translate;
use crate::trigger::{self, TriggerDef, TriggerPlan};
use crate::user_functions::{self, FunctionDef, Procedure};

/// Where the planner finds tables: streams (with the metadata columns [`crate::METADATA_COLUMNS`] after their own), system
/// tables, materialized views, files.
pub trait Tables: Send + Sync + fmt::Debug {
    /// The rows so far of what has this name; `None` if nothing has it.
    fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>>;

    /// All names, for `did you mean`.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether rows are written into this table, so that nothing is read from its connector.
    fn is_written(&self, table: &str) -> bool {
        let _ = table;
        false
    }

    /// Who answers for a function whose body is a procedure; the error says why nobody does.
    fn procedure(&self, function: &FunctionDef) -> std::result::Result<Arc<dyn Procedure>, String> {
        Err(format!("nobody is there who could call {}", function.name))
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
        Self { state: new_session(None) }
    }

    /// A planner whose bounded queries share the memory of a runtime.
    pub fn in_runtime(runtime: Arc<RuntimeEnv>) -> Self {
        Self { state: new_session(Some(runtime)) }
    }

    /// The same with a table function that bounded queries may read from.
    pub fn with_table_function(mut self, name: &str, function: Arc<dyn TableFunctionImpl>) -> Self {
        self.state.register_udtf(name, function);
        self
    }

    /// The session that plans of [`Planner::batch`] must be run in: it knows our nodes and functions.
    pub fn session(&self) -> SessionContext {
        SessionContext::new_with_state(self.state.clone())
    }

    /// What queries that go on for ever are planned with.
    fn streaming<'a>(&'a self, catalog: &'a Catalog, tables: &'a Arc<dyn Tables>) -> Planning<'a> {
        Planning { state: &self.state, catalog, tables, mode: Mode::Stream }
    }

    /// A query over the rows so far, not yet optimised, to be run by [`Planner::session`].
    pub fn batch(&self, catalog: &Catalog, tables: &Arc<dyn Tables>, query: &Query) -> Result<LogicalPlan> {
        let planning = Planning { state: &self.state, catalog, tables, mode: Mode::Batch };
        let plan = planning.plan(query).map_err(|error| translate(error, query))?;
        self.checked(plan, query)
    }

    /// The rows of an INSERT over the rows so far, with exactly the target's columns.
    pub fn insert(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        insert: &Insert,
        target: &StreamDef,
    ) -> Result<Insertion> {
        let query = &insert.query;
        let plan = self.batch(catalog, tables, query)?;
        let columns: Vec<String> = insert.columns.iter().map(|column| column.value.clone()).collect();
        stream::fit_insert(plan, target, &columns, query.is_values())
            .map_err(|error| translate(error, query).at(insert.target.position, &query.script))
    }

    /// A query that goes on for ever, as a dataflow.
    pub fn stream(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        query: &Query,
        target: Target<'_>,
    ) -> Result<Dataflow> {
        self.streaming(catalog, tables).stream(query, target)
    }

    /// A trigger, as a dataflow.
    pub fn trigger(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        definition: &TriggerDef,
    ) -> Result<TriggerPlan> {
        trigger::plan(self.streaming(catalog, tables), definition)
    }

    /// An alarm, as a dataflow whose rows are those of its history.
    pub fn alarm(&self, catalog: &Catalog, tables: &Arc<dyn Tables>, alarm: &AlarmDef) -> Result<Dataflow> {
        let mut decide = stream::Decide::new(self.streaming(catalog, tables));
        decide.alarm(alarm, alarm.report, false)?;
        Ok(decide.finish())
    }

    /// A scaling group, as a dataflow whose rows are its decisions. `instant`: its activities are over at once, as in a dry run.
    pub fn scaling_group(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        group: &GroupDef,
        instant: bool,
    ) -> Result<Dataflow> {
        let mut decide = stream::Decide::new(self.streaming(catalog, tables));
        decide.group(group, instant)?;
        Ok(decide.finish())
    }

    /// Whether a policy could be part of a group.
    pub fn check_policy(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        policy: &PolicyDef,
    ) -> Result<()> {
        stream::Decide::new(self.streaming(catalog, tables)).check_policy(policy)
    }

    /// The columns of a stream or table as queries see them, those that are computed among them, without those of metadata.
    pub fn columns_of(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        stream: &StreamDef,
    ) -> Result<SchemaRef> {
        self.streaming(catalog, tables).declared(stream).map(|declared| declared.schema)
    }

    /// What computes the event time of a stream's rows, over all of its columns, if it is computed.
    pub fn computed_time(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        stream: &StreamDef,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        self.streaming(catalog, tables).computed_time(stream)
    }

    /// Plans what a statement defines, so that its mistakes are told when it is made. Statements that plan nothing pass.
    pub fn check(&self, catalog: &Catalog, tables: &Arc<dyn Tables>, parsed: &Parsed) -> Result<()> {
        match &parsed.statement {
            Statement::CreateStream(create) | Statement::CreateTable(create) => {
                // The catalog's definition knows the functions that it calls.
                let made = catalog.stream(&create.name.value).map_or(&create.definition, |made| &**made);
                self.streaming(catalog, tables).check_computed(made)
            }
            Statement::CreateView(view) => {
                let plan = self.batch(catalog, tables, &view.definition.query)?;
                let query = &view.definition.query;
                rename(plan, &view.definition.columns, &view.definition.name)
                    .map(drop)
                    .map_err(|error| translate(error, query).at(view.name.position, &parsed.script))
            }
            Statement::CreateMaterializedView(view) => {
                let target = Target::View(&view.definition.columns);
                self.stream(catalog, tables, &view.definition.query, target).map(drop)
            }
            Statement::CreateTrigger(trigger) => self.trigger(catalog, tables, &trigger.definition).map(drop),
            Statement::CreateFunction(create) => self.check_function(catalog, tables, create, parsed),
            Statement::CreateJob(job) => {
                let target = catalog.stream(&job.target.value);
                let target =
                    target.map_or(Target::Anywhere, |to| Target::Stream(to, &job.definition.columns));
                self.stream(catalog, tables, &job.definition.query, target).map(drop)
            }
            Statement::CreateAlarm(alarm) => self
                .alarm(catalog, tables, &alarm.definition)
                .map(drop)
                .map_err(|error| error.at(alarm.name.position, &parsed.script)),
            Statement::CreateScalingPolicy(policy) => self
                .check_policy(catalog, tables, &policy.definition)
                .map_err(|error| error.at(policy.name.position, &parsed.script)),
            Statement::CreateScalingGroup(group) => self
                .scaling_group(catalog, tables, &group.definition, true)
                .map(drop)
                .map_err(|error| error.at(group.name.position, &parsed.script)),
            _ => Ok(()),
        }
    }

    /// Whether a function of the user's can be planned, and has a name of its own.
    fn check_function(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        create: &CreateFunction,
        parsed: &Parsed,
    ) -> Result<()> {
        let CreateFunction { name, definition, .. } = create;
        if self.has_function(&name.value) {
            let message = format!("'{}' is a function already, and not one of the user's", name.value);
            return Err(SqlError::new(Mistake::NameTaken, message)
                .at(name.position, &parsed.script)
                .hint("choose another name"));
        }
        // The catalog's definition knows what it calls.
        let definition = catalog.functions().get(&name.value).map_or(definition, |bound| &**bound);
        let planning = self.streaming(catalog, tables);
        user_functions::check(planning, definition).map_err(|error| error.at(name.position, &parsed.script))
    }

    /// Whether the library has a function of this name.
    fn has_function(&self, name: &str) -> bool {
        self.state.scalar_functions().contains_key(name)
            || self.state.aggregate_functions().contains_key(name)
            || self.state.window_functions().contains_key(name)
            || self.state.higher_order_functions().contains_key(name)
    }

    /// What EXPLAIN shows.
    pub fn explain(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        explain: &Explain,
    ) -> Result<Explained> {
        let parsed = &explain.statement;
        if let Statement::Together(together) = &parsed.statement {
            return self.explain_together(catalog, tables, explain, together);
        }
        if let Statement::CreateTrigger(trigger) = &parsed.statement {
            let plan = self.trigger(catalog, tables, &trigger.definition)?;
            return Ok(Explained::Text(format!("streaming plan\n{}", plan.dataflow.explain())));
        }
        let columns: Vec<String> = match &parsed.statement {
            Statement::Insert(insert) => insert.columns.iter().map(|column| column.value.clone()).collect(),
            _ => Vec::new(),
        };
        let (query, target) = query_of(parsed, catalog, &columns)?;
        if matches!(explain.mode, ExplainMode::Batch | ExplainMode::Analyze) {
            let plan = self.batch(catalog, tables, query)?;
            let analyze = explain.mode == ExplainMode::Analyze;
            let plan =
                LogicalPlanBuilder::from(plan).explain(false, analyze).and_then(LogicalPlanBuilder::build);
            return plan.map(Explained::Run).map_err(|error| translate(error, query));
        }
        match self.stream(catalog, tables, query, target) {
            Ok(dataflow) => Ok(Explained::Text(format!("streaming plan\n{}", dataflow.explain()))),
            Err(error) if error.mistake() == Mistake::NotStreaming && is_query(&parsed.statement) => {
                let plan = self.batch(catalog, tables, query)?;
                let plan = self.state.optimize(&plan).map_err(|error| translate(error, query))?;
                Ok(Explained::Text(format!(
                    "batch plan, over the rows so far; no stream: {error}\n{}",
                    plan.display_indent()
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// The plans of all that a statement set, or CREATE TABLE AS, inserts.
    fn explain_together(
        &self,
        catalog: &Catalog,
        tables: &Arc<dyn Tables>,
        explain: &Explain,
        together: &Together,
    ) -> Result<Explained> {
        if matches!(explain.mode, ExplainMode::Batch | ExplainMode::Analyze) {
            let parsed = &explain.statement;
            return Err(SqlError::new(Mistake::Syntax, "what is inserted together goes on, and is no batch")
                .at(parsed.position, &parsed.script)
                .hint(
                    "EXPLAIN STATEMENT SET BEGIN ... END, or EXPLAIN BATCH INSERT INTO ... of one of them",
                ));
        }
        let mut after = catalog.clone();
        if let Some(table) = &together.table {
            after = after.apply(table)?.0;
        }
        let mut plans = Vec::with_capacity(together.inserts.len());
        for insert in &together.inserts {
            let Statement::Insert(Insert { target, .. }) = &insert.statement else { continue };
            if after.stream(&target.value).is_none() {
                let script = &insert.script;
                return Err(after.unknown(target, "stream or table").at(target.position, script));
            }
            let one = Explain { mode: explain.mode, statement: Box::new(insert.clone()) };
            if let Explained::Text(plan) = self.explain(&after, tables, &one)? {
                plans.push(format!("INSERT INTO {}\n{plan}", target.value));
            }
        }
        Ok(Explained::Text(plans.join("\n")))
    }

    /// Types that do not fit, and constants that a function refuses, are found here, where the query's text is at hand, and not when the
    /// plan is run.
    fn checked(&self, plan: LogicalPlan, query: &Query) -> Result<LogicalPlan> {
        let options = self.state.config_options();
        let analyzed = self.state.analyzer().execute_and_check(plan, options, |_, _| {});
        let checked = analyzed.and_then(|plan| {
            let optimized = self.state.optimizer().optimize(plan.clone(), &self.state, |_, _| {})?;
            user_functions::check_places(&optimized)?;
            Ok(plan)
        });
        checked.map_err(|error| translate(error, query))
    }
}

/// The query that a statement runs, and what its rows go into: of INSERT, these columns.
fn query_of<'a>(
    parsed: &'a Parsed,
    catalog: &'a Catalog,
    columns: &'a [String],
) -> Result<(&'a Query, Target<'a>)> {
    let into = |target: &str, columns: &'a [String]| {
        catalog.stream(target).map_or(Target::Anywhere, |stream| Target::Stream(stream, columns))
    };
    match &parsed.statement {
        Statement::Query(query) => Ok((query, Target::Anywhere)),
        Statement::CreateView(view) => Ok((&view.definition.query, Target::Anywhere)),
        Statement::CreateMaterializedView(view) => {
            Ok((&view.definition.query, Target::View(&view.definition.columns)))
        }
        Statement::CreateJob(job) => {
            Ok((&job.definition.query, into(&job.target.value, &job.definition.columns)))
        }
        Statement::Insert(insert) => Ok((&insert.query, into(&insert.target.value, columns))),
        _ => Err(SqlError::new(Mistake::Syntax, "only queries and what runs them have a plan")
            .at(parsed.position, &parsed.script)),
    }
}

fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(_) | Statement::CreateView(_))
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}
