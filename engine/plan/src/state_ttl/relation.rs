//! Puts the mark above the tables of FROM that a hint names.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::TableFactor;
use datafusion::sql::sqlparser::tokenizer::Span;

use super::hint::{Hint, named};
use super::node::Hinted;
use crate::parse::position;

/// Plans the tables that the hints of a query name.
#[derive(Debug)]
pub(crate) struct HintedRelations(pub(crate) Box<[Hint]>);

impl RelationPlanner for HintedRelations {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let hint = named(&mut relation).and_then(|name| {
            let at = position(name.span.start);
            let hint = self.0.iter().find(|hint| hint.table == at)?;
            // A name without a place is not found again when the table itself is planned.
            name.span = Span::empty();
            Some(hint.clone())
        });
        let Some(hint) = hint else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let input = context.plan(relation)?;
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(Hinted { input, hint }) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}
