//! From the marks at tables to what keeps their rows.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::{Extension, LogicalPlan};

use super::hint::Hint;
use super::node::{Hinted, Keeps};
use crate::error::refused;
use crate::script::Position;

/// Puts joins, aggregates and OVER over tables that a hint names into [`Keeps`], and takes the marks of the tables away.
pub(crate) fn settle(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut used: Vec<Position> = Vec::new();
    let kept = plan.transform_up(|node| {
        let hints = match &node {
            LogicalPlan::Join(join) => [hint_of(&join.left), hint_of(&join.right)],
            LogicalPlan::Aggregate(aggregate) => [hint_of(&aggregate.input), None],
            LogicalPlan::Window(window) => [hint_of(&window.input), None],
            _ => [None, None],
        };
        if hints.iter().all(Option::is_none) {
            return Ok(Transformed::no(node));
        }
        let hints = hints.map(|hint| hint.cloned());
        used.extend(hints.iter().flatten().map(|hint| hint.table));
        let node = Arc::new(Keeps { input: node, hints });
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
    });
    let unmarked = |node: LogicalPlan| match hinted(&node) {
        Some(Hinted { hint, .. }) if !used.contains(&hint.table) => Err(refused(hint.unused.clone())),
        Some(Hinted { input, .. }) => Ok(Transformed::yes(input.clone())),
        None => Ok(Transformed::no(node)),
    };
    kept.data()?.transform_up(unmarked).data()
}

fn hinted(plan: &LogicalPlan) -> Option<&Hinted> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// The hint for the table whose rows a node gives, if it is one of the same SELECT: the mark is above the table's alias.
fn hint_of(plan: &LogicalPlan) -> Option<&Hint> {
    match plan {
        LogicalPlan::Filter(filter) => hint_of(&filter.input),
        LogicalPlan::Projection(projection) => hint_of(&projection.input),
        other => hinted(other).map(|node| &node.hint),
    }
}
