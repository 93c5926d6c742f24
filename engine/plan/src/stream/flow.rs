//! What a node of the logical plan becomes on its way to a [`crate::Dataflow`].

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{DFSchema, Result};
use datafusion::physical_expr::PhysicalExpr;
use headwater_operators::{Changes, FilterSpec, OperatorSpec, ProjectSpec};

use crate::dataflow::{Exchange, Stage, StageInput, Upstream};

/// Operators that still wait for their stage, and what is known of the rows that come out of them.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) inputs: Vec<StageInput>,
    pub(super) operators: Vec<Arc<dyn OperatorSpec>>,
    pub(super) schema: SchemaRef,
    pub(super) changes: Changes,
    pub(super) time: Time,
}

/// What is known of event time in a flow.
#[derive(Debug, Clone, Default)]
pub(super) struct Time {
    /// The columns by which windows can close: the source's own time, or a window's.
    pub(super) columns: Vec<usize>,
    /// The timeline per key, if the source has one.
    pub(super) per_key: Option<PerKeyColumns>,
}

/// Where a flow carries what a timeline per key needs.
#[derive(Debug, Clone)]
pub(super) struct PerKeyColumns {
    /// The stream's name, for messages.
    pub(super) stream: String,
    /// The key's names, and where they are, if they have come this far unchanged.
    pub(super) keys: Vec<(String, Option<usize>)>,
    /// Below a window: the columns of the key's watermark and of whether the row has passed the filters.
    pub(super) below_window: Option<(usize, usize)>,
}

impl Flow {
    pub(super) fn filter(&mut self, predicate: Arc<dyn PhysicalExpr>) -> Result<()> {
        let filter = FilterSpec::try_new(predicate, Arc::clone(&self.schema)).map_err(external)?;
        self.operators.push(Arc::new(filter));
        Ok(())
    }

    /// Replaces the columns. `from` says for each new column which old one it is, if it is one unchanged.
    pub(super) fn project(
        &mut self,
        exprs: Vec<(Arc<dyn PhysicalExpr>, String)>,
        from: &[Option<usize>],
    ) -> Result<()> {
        let project = ProjectSpec::try_new(exprs, &self.schema).map_err(external)?;
        self.schema = project.schema();
        self.operators.push(Arc::new(project));
        let place = |old: usize| from.iter().position(|column| *column == Some(old));
        self.time.columns = self.time.columns.iter().filter_map(|column| place(*column)).collect();
        if let Some(per_key) = &mut self.time.per_key {
            for (_, column) in &mut per_key.keys {
                *column = column.and_then(place);
            }
            per_key.below_window =
                per_key.below_window.and_then(|(time, pass)| Some((place(time)?, place(pass)?)));
        }
        self.changes = match &self.changes {
            Changes::Updating { key } => match key.iter().map(|column| place(*column)).collect() {
                Some(key) => Changes::Updating { key },
                None => Changes::Retracting,
            },
            other => other.clone(),
        };
        Ok(())
    }

    pub(super) fn is_append_only(&self) -> bool {
        self.changes == Changes::AppendOnly
    }

    /// Where the rows come from, if nothing waits to be done with them.
    pub(super) fn bare_upstream(&self) -> Option<Upstream> {
        match self.inputs.as_slice() {
            [StageInput { from, exchange: Exchange::Forward }] if self.operators.is_empty() => Some(*from),
            _ => None,
        }
    }

    pub(super) fn into_stage(self) -> Stage {
        Stage { inputs: self.inputs, operators: self.operators, schema: self.schema }
    }
}

/// The columns of a flow under a node's names, those that follow under their own.
pub(super) fn names_of(node: &DFSchema, schema: &SchemaRef) -> Result<DFSchema> {
    let mut fields: Vec<_> =
        node.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    fields.extend(schema.fields()[fields.len()..].iter().map(|field| (None, Arc::clone(field))));
    DFSchema::new_with_metadata(fields, Default::default())
}

/// An operator's error, which says what it does not take.
pub(super) fn external(error: headwater_operators::OperatorError) -> datafusion::common::DataFusionError {
    use crate::error::{Mistake, SqlError};
    crate::error::refused(SqlError::new(Mistake::NotStreaming, error.to_string()))
}
