//! Aggregates without windows, and what both kinds have in common.

use std::sync::Arc;

use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Aggregate, Expr};
use headwater_operators::{Changes, Closing, GroupAggregate, GroupAggregateSpec, OperatorSpec, Revises};

use super::flow::{Flow, Time, external, names_of};
use super::lower::{Lower, all_columns, check_unused, column_of};
use super::sets::Sets;
use super::windowed::is_over_session;
use crate::dataflow::Source;
use crate::error::{Mistake, SqlError, refused};
use crate::state_ttl::Hint;
use crate::statement::Emit;

impl Lower<'_> {
    /// GROUP BY, with a window or without, and DISTINCT.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, hint: Option<&Hint>) -> Result<Flow> {
        // Windows that are revised are groups like others, that end; but sessions are known by their rows alone.
        let is_windowed = self.revises().is_none() || is_over_session(&aggregate.input);
        let windowed = if is_windowed { self.windowed(aggregate)? } else { None };
        let flow = match windowed {
            None if is_windowed => self.counted(aggregate)?,
            other => other,
        };
        match flow {
            Some(flow) => check_unused([hint, None]).map(|()| flow),
            None => self.group(aggregate, hint),
        }
    }

    fn group(&mut self, aggregate: &Aggregate, hint: Option<&Hint>) -> Result<Flow> {
        let flow = self.lower(&aggregate.input, false)?;
        if let Some(per_key) = flow.time.per_key.as_ref().filter(|_| is_over_session(&aggregate.input)) {
            return Err(per_key.refuse("SESSION with a condition above it, or under other keys,"));
        }
        let (exprs, _) = Sets::of(aggregate)?;
        let node = aggregate.input.schema();
        self.grouped(flow, node, (&exprs, &aggregate.aggr_expr), aggregate, hint)
    }

    /// The groups of a flow. `node`: its names, in which are what is grouped by and what is computed.
    pub(super) fn grouped(
        &mut self,
        mut flow: Flow,
        node: &DFSchema,
        (exprs, calls): (&[Expr], &[Expr]),
        aggregate: &Aggregate,
        hint: Option<&Hint>,
    ) -> Result<Flow> {
        let (_, sets) = Sets::of(aggregate)?;
        let mut keys = self.key_columns(&mut flow, exprs, node)?;
        let aggregates = self.calls(&mut flow, calls, node)?;
        if let Some(sets) = &sets {
            let columns: Vec<_> = keys.into_iter().map(Some).collect();
            let (columns, id) = sets.expand(&mut flow, &columns, aggregate)?;
            keys = columns.into_iter().flatten().chain([id]).collect();
        }
        let closes = self.closing_of(&flow, &keys);
        let revises = closes.and_then(|_| self.revises());
        // The one group of an aggregate without keys stays.
        let grows = closes.is_none() && !keys.is_empty();
        let ttl = if grows { self.ttl(hint)? } else { check_unused([hint, None]).map(|()| None)? };
        let what = GroupAggregate {
            closes,
            revises,
            ttl,
            input: Arc::clone(&flow.schema),
            keys: keys.clone(),
            aggregates,
            retractions: !flow.is_append_only(),
        };
        let operator: Arc<dyn OperatorSpec> = Arc::new(GroupAggregateSpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let time = match closes {
            None if changes != Changes::AppendOnly => flow.time.of_changes(&keys_of(&keys)),
            _ => time_behind(&flow, &keys, closes),
        };
        let time = if revises.is_some() { time.revised(self.lateness_of(&flow)) } else { time };
        let input = self.exchange(flow, keys, operator);
        Ok(Flow::new(vec![input], schema, changes, time))
    }

    /// Whether windows come out before their end, or are changed after it.
    pub(super) fn revises(&self) -> Option<Revises> {
        match (self.options.emit, self.options.lateness) {
            (Emit::Changes | Emit::Every(_), _) => Some(Revises::Always),
            (Emit::OnWindowClose, Some(lateness)) => Some(Revises::Late(lateness)),
            (Emit::OnWindowClose, None) => None,
        }
    }

    /// The same of the first rows of windows: of windows that are changed after their end they are said with every change.
    pub(super) fn revises_first(&self, flow: &Flow) -> bool {
        match self.revises() {
            Some(Revises::Late(_)) => !flow.is_append_only(),
            revises => revises.is_some(),
        }
    }

    /// When groups by these columns end: when one of them stands for a window, and no row of it comes any more.
    pub(super) fn closing_of(&self, flow: &Flow, keys: &[usize]) -> Option<Closing> {
        if flow.time.per_key.is_some() {
            return None;
        }
        let (column, after) = *flow.time.ends.iter().find(|(column, _)| keys.contains(column))?;
        Some(Closing { column, after: after.saturating_add(self.lateness_of(flow)) })
    }

    /// How long rows without an end are kept: as a hint says, or as all of the query's are.
    pub(super) fn ttl(&self, hint: Option<&Hint>) -> Result<Option<i64>> {
        let (ttl, what) = match hint {
            Some(hint) => (hint.ttl(), "STATE_TTL"),
            None => (self.options.ttl, "'ttl'"),
        };
        if ttl.is_some() {
            self.check_timed(what)?;
        }
        Ok(ttl)
    }

    /// The same of what only forgets whole partitions, if it does at all.
    pub(super) fn ttl_of_partitions(&self, forgets: bool, hint: Option<&Hint>) -> Result<Option<i64>> {
        if forgets {
            return self.ttl(hint);
        }
        check_unused([hint, None])?;
        Ok(None)
    }

    /// What is measured in event time of all rows needs sources that tell it.
    pub(super) fn check_timed(&self, what: &str) -> Result<()> {
        let untimed = |source: &&Source| source.watermark.as_ref().is_none_or(|watermark| watermark.per_key);
        match self.sources.iter().find(untimed) {
            None => Ok(()),
            Some(source) => Err(refused(
                SqlError::new(
                    Mistake::NoWatermark,
                    format!(
                        "{what} is a length of event time, and '{}' has no watermark for all its rows",
                        source.stream
                    ),
                )
                .hint("WATERMARK FOR ts AS ts - INTERVAL '5' SECOND"),
            )),
        }
    }

    /// The columns of the keys; those that are computed come after the flow's others.
    pub(super) fn key_columns(&self, flow: &mut Flow, keys: &[Expr], node: &DFSchema) -> Result<Vec<usize>> {
        let names = names_of(node, &flow.schema)?;
        let mut exprs = all_columns(flow);
        let mut from: Vec<_> = (0..exprs.len()).map(Some).collect();
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            let physical = self.physical(key, &names)?;
            columns.push(match column_of(&physical) {
                Some(column) => column,
                None => {
                    exprs.push((physical, key.schema_name().to_string()));
                    from.push(None);
                    exprs.len() - 1
                }
            });
        }
        if exprs.len() > flow.schema.fields().len() {
            flow.project(exprs, &from)?;
        }
        Ok(columns)
    }
}

/// What is known of time behind an operator that gives out these columns first, each group at its end.
pub(super) fn time_behind(flow: &Flow, keys: &[usize], closes: Option<Closing>) -> Time {
    if closes.is_none() {
        return Time::default();
    }
    flow.time.at_ends(&keys_of(keys))
}

fn keys_of(keys: &[usize]) -> Vec<Option<usize>> {
    keys.iter().copied().map(Some).collect()
}
