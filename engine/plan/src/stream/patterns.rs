//! MATCH_RECOGNIZE as a stage of a dataflow.

use std::sync::Arc;

use datafusion::common::Result;
use headwater_operators::{Changes, OperatorSpec};

use super::flow::{Flow, Time};
use super::lower::Lower;
use super::refuse::check_expression;
use crate::error::{Mistake, SqlError};
use crate::patterns::MatchNode;

impl Lower<'_> {
    pub(super) fn recognize(&mut self, node: &MatchNode) -> Result<Flow> {
        node.hidden_exprs().try_for_each(check_expression)?;
        let mut flow = self.lower_timed(&node.input, node.is_in_processing_time(), false)?;
        self.check_pattern_time(node, &flow)?;
        let keys = self.key_columns(&mut flow, node.partition_by(), node.input.schema())?;
        let operator = node.operator(&flow.schema, &|expr, names| self.physical(expr, names))?;
        if node.within().is_none()
            && let Some(variable) = operator.open_end()
        {
            let message = format!(
                "the pattern ends with as many rows of '{variable}' as there are: where a key falls quiet, its match never ends"
            );
            return Err(node.error(SqlError::new(Mistake::Pattern, message).hint(
                "add WITHIN INTERVAL '1' HOUR behind PATTERN, a variable that ends the match, or a reluctant quantifier such as +?",
            )));
        }
        let time = match node.within() {
            // A match is told when the time of all that begin no later is over.
            Some(within) if !node.looks_ahead() => Time {
                columns: node.time_columns()?,
                delay: flow.time.delay.saturating_add(within),
                ..Time::default()
            },
            _ => Time::default(),
        };
        let schema = operator.schema();
        let input = self.exchange(flow, keys, Arc::new(operator));
        Ok(Flow::new(vec![input], schema, Changes::AppendOnly, time))
    }

    fn check_pattern_time(&self, node: &MatchNode, flow: &Flow) -> Result<()> {
        if !flow.is_append_only() {
            return Err(node.error(
                SqlError::new(Mistake::NotStreaming, "MATCH_RECOGNIZE is over rows that change").hint(
                    "patterns are over streams of events: aggregate above them, or over windows below them",
                ),
            ));
        }
        if let Some(per_key) = &flow.time.per_key {
            let message = format!(
                "MATCH_RECOGNIZE is over '{}', which has a timeline for each key: rows of a pattern are put in order by one watermark",
                per_key.stream
            );
            return Err(node.error(
                SqlError::new(Mistake::NotStreaming, message)
                    .hint("read a stream whose WATERMARK has no PER"),
            ));
        }
        self.refuse_lateness("MATCH_RECOGNIZE")?;
        let time = node.time_index()?;
        if flow.time.columns.contains(&time) {
            return Ok(());
        }
        let column = node.input.schema().field(time).name();
        let known = flow.time.columns.iter().map(|column| flow.schema.field(*column).name().as_str());
        let known: Vec<_> = known.collect();
        let error = if known.is_empty() {
            let message = format!(
                "MATCH_RECOGNIZE is ordered by '{column}', which has no watermark: rows are never known to be complete"
            );
            SqlError::new(Mistake::NoWatermark, message).hint(format!(
                "declare it with the stream: WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND"
            ))
        } else {
            let message = format!(
                "MATCH_RECOGNIZE is ordered by '{column}', but the watermark is for '{}'",
                known.join("', '")
            );
            SqlError::new(Mistake::NoWatermark, message).hint(format!("ORDER BY {}", known[0]))
        };
        Err(node.error(error))
    }
}
