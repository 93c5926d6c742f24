//! UNNEST of lists and structs.

use std::sync::Arc;

use datafusion::common::{NullHandling, Result};
use datafusion::logical_expr::{LogicalPlan, Unnest};
use headwater_operators::{UnnestSpec, Unnested};

use super::flow::{Flow, external};
use super::lower::{Lower, cannot};

impl Lower<'_> {
    pub(super) fn unnest(&mut self, unnest: &Unnest) -> Result<Flow> {
        let plan = || cannot(&LogicalPlan::Unnest(unnest.clone()));
        let mut flow = self.lower(&unnest.input, false)?;
        flow.keep_first(unnest.input.schema().fields().len())?;
        let mut columns = Vec::with_capacity(unnest.dependency_indices.len());
        for (nth, input) in unnest.dependency_indices.iter().enumerate() {
            // The fields of a struct stand side by side.
            let before =
                unnest.dependency_indices[..nth].iter().rev().take_while(|before| *before == input).count();
            let is_list = unnest.list_type_columns.iter().filter(|(list, _)| list == input);
            let mut depths = is_list.map(|(_, list)| list.depth);
            columns.push(match (depths.next(), depths.next()) {
                (None, _) if unnest.struct_type_columns.contains(input) => Unnested::Field(*input, before),
                (None, _) => Unnested::Column(*input),
                (Some(1), None) => Unnested::Elements(*input),
                // Lists in lists, more than one level at once.
                _ => return Err(plan()),
            });
        }
        let keep_null = match unnest.options.null_handling {
            NullHandling::Preserve => true,
            NullHandling::Drop => false,
            NullHandling::PreserveAndExpandEmpty => return Err(plan()),
        };
        let schema = Arc::new(unnest.schema.as_arrow().clone());
        let from: Vec<Option<usize>> = columns
            .iter()
            .map(|column| match column {
                Unnested::Column(at) => Some(*at),
                _ => None,
            })
            .collect();
        let spec =
            UnnestSpec::try_new(Arc::clone(&flow.schema), columns, schema, keep_null, flow.changes.clone())
                .map_err(external)?;
        flow.changes = headwater_operators::OperatorSpec::changes(&spec);
        flow.push(spec);
        flow.time.follow(&from);
        flow.time = flow.time.without_timelines("UNNEST");
        Ok(flow)
    }
}
