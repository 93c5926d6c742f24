//! Queries over the rows so far, and INSERT.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;
use headwater_plan::statement::{Explain, ExplainMode, Insert};
use headwater_plan::{Catalog, Explained, Insertion, Query};

use super::connect::inputs_of;
use super::define::Defined;
use super::show;
use super::state::Inner;
use super::written::Inserting;
use crate::blocking::on_thread;
use crate::error::{Result, RunError};
use crate::replace::Replacement;

impl Inner {
    /// The rows of a query. One that reads a table whose source is bounded waits until that has delivered everything.
    pub async fn query(self: &Arc<Self>, query: &Query) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let plan = self.planner.batch(&catalog, &self.tables(), query)?;
        self.have_read(&catalog, query).await?;
        self.run(plan).await
    }

    /// The rows of a query in which `$name` stands for the value of that name.
    pub async fn select(
        self: &Arc<Self>,
        query: &Query,
        parameters: BTreeMap<String, ScalarValue>,
    ) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let plan = self.planner.batch(&catalog, &self.tables(), query)?;
        check_parameters(&plan, &parameters)?;
        let values: Vec<_> = parameters.into_iter().collect();
        let plan = plan.with_param_values(ParamValues::from(values))?;
        self.have_read(&catalog, query).await?;
        self.run(plan).await
    }

    async fn run(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
        let frame = self.planner.session().execute_logical_plan(plan).await?;
        Ok(frame.execute_stream().await?)
    }

    /// `INSERT INTO target query`, once: what is answered.
    pub async fn insert(self: &Arc<Self>, insert: &Insert) -> Result<Defined> {
        let catalog = self.catalog();
        let name = &insert.target.value;
        let Some(target) = catalog.stream(name) else {
            return Err(catalog
                .unknown(&insert.target, "stream")
                .at(insert.target.position, &insert.query.script)
                .into());
        };
        let Insertion { plan, note } = self.planner.insert(&catalog, &self.tables(), insert, target)?;
        self.write_to(name, plan.schema().as_arrow()).await?;
        self.have_read(&catalog, &insert.query).await?;
        let _under_way = Inserting::new(self, name);
        let mut rows = self.run(plan).await?;
        let (mut accepted, mut dead) = (0, 0);
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            let ingest = Arc::clone(&self.ingest);
            let stream = name.clone();
            let report = on_thread(move || ingest.append_batch(&stream, "sql", batch)).await??;
            accepted += report.accepted;
            dead += report.dead_lettered;
        }
        let mut notes = Vec::from_iter(note);
        if dead > 0 {
            notes.push(format!("{dead} rows went to system.dead_letters"));
        }
        notes.extend(self.done_once(insert));
        Ok(Defined { tag: format!("INSERT {accepted}"), notes })
    }

    /// What EXPLAIN shows.
    pub async fn explain(self: &Arc<Self>, explain: &Explain) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        if explain.mode == ExplainMode::Replace {
            let (inner, parsed) = (Arc::clone(self), explain.statement.clone());
            let text = on_thread(move || Replacement::explain(&inner, &catalog, &parsed)).await??;
            return show::lines("replacement", text.lines());
        }
        match self.planner.explain(&catalog, &self.tables(), explain)? {
            Explained::Text(text) => show::lines("plan", text.lines()),
            Explained::Run(plan) => self.run(plan).await,
        }
    }

    /// Lets the sources of a query's tables begin, and waits for those that end.
    async fn have_read(self: &Arc<Self>, catalog: &Catalog, query: &Query) -> Result<()> {
        let inputs = inputs_of(catalog, query);
        self.read_from(inputs.clone()).await?;
        self.await_bounded_sources(&inputs).await
    }
}

/// Holds what is given against what a query asks for: each once, and nothing else.
fn check_parameters(plan: &LogicalPlan, given: &BTreeMap<String, ScalarValue>) -> Result<()> {
    let mut wanted: Vec<String> = plan.get_parameter_names()?.into_iter().collect();
    wanted.sort_unstable();
    let is_given = |name: &&String| given.contains_key(name.trim_start_matches('$'));
    if let Some(missing) = wanted.iter().find(|name| !is_given(name)) {
        return Err(RunError::Invalid(format!("parameter {missing} is not given")));
    }
    let is_wanted = |name: &String| wanted.iter().any(|wanted| wanted.trim_start_matches('$') == name);
    match given.keys().find(|name| !is_wanted(name)) {
        None => Ok(()),
        Some(other) if wanted.is_empty() => {
            Err(RunError::Invalid(format!("there is no parameter ${other}: the query has none")))
        }
        Some(other) => {
            let wanted = wanted.join(", ");
            Err(RunError::Invalid(format!("there is no parameter ${other}; the query has {wanted}")))
        }
    }
}
