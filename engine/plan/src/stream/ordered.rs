//! `COUNT_WINDOW` and `STATE_WINDOW`: windows that are told by the order of a partition's rows.

use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Aggregate, Expr, UserDefinedLogicalNodeCore};
use headwater_operators::{
    OperatorSpec, OrderedAggregates, OrderedKind, OrderedWindows, OrderedWindowsSpec, OutputColumn,
    WindowColumn, part_rows,
};

use super::flow::{Flow, Time, external, names_of};
use super::lower::Lower;
use super::sets::Sets;
use super::windowed::{AFTER_END, AFTER_TIME, down_to_window};
use crate::window::{WindowTvf, Windowing};

impl Lower<'_> {
    /// The rows with the columns of their windows, each when its window has ended.
    pub(super) fn ordered_windows(&mut self, window: &WindowTvf) -> Result<Flow> {
        self.ordered(window, None)
    }

    /// An aggregate over windows of so many rows, whose rows need not be kept; `None` if it is not one.
    pub(super) fn counted(&mut self, aggregate: &Aggregate) -> Result<Option<Flow>> {
        let Some(counted) = Counted::of(aggregate)? else { return Ok(None) };
        self.ordered(counted.window, Some(&counted)).map(Some)
    }

    fn ordered(&mut self, window: &WindowTvf, counted: Option<&Counted<'_>>) -> Result<Flow> {
        let (node, name) = (window.input.schema(), window.windowing.name());
        let mut flow = self.window_input(window, false)?;
        let time = self.check_time(window, &flow)?;
        if let Some(per_key) = &flow.time.per_key {
            return Err(per_key.refuse(name));
        }
        self.refuse_lateness(name)?;
        let own = node.fields().len();
        flow.keep_first(own)?;
        let names = names_of(node, &flow.schema)?;
        let mut conditions = window.conditions.iter().map(|condition| self.physical(condition, &names));
        let kind = match (window.windowing, conditions.next().transpose()?) {
            (Windowing::Count { size, hop }, None) => OrderedKind::Count { size, hop },
            (Windowing::State, Some(begin)) => {
                OrderedKind::State { begin, emit: conditions.next().transpose()? }
            }
            _ => return internal_err!("{name} is not told by the order of rows"),
        };
        let after = flow.time.ends.iter().find(|(column, _)| *column == time).map_or(0, |(_, after)| *after);
        let partition = window.partition_indices()?;
        let aggregates = match counted {
            None => None,
            Some(counted) => {
                let calls = self.calls(&mut flow, &counted.aggregates, node)?;
                Some(OrderedAggregates { calls, output: counted.output.clone() })
            }
        };
        let what = OrderedWindows {
            input: Arc::clone(&flow.schema),
            partition: partition.clone(),
            time,
            after: after.max(0),
            kind,
            aggregates,
        };
        let place = |bound: WindowColumn| match counted {
            None => Some(if bound == WindowColumn::Time { own + 2 } else { own + 1 }),
            Some(counted) => counted.output.iter().position(|column| column.from == bound),
        };
        let bounds = [(WindowColumn::Time, AFTER_TIME), (WindowColumn::End, AFTER_END)];
        let ends = bounds.into_iter().filter_map(|(bound, after)| Some((place(bound)?, after)));
        let ends: Vec<(usize, i64)> = ends.collect();
        let time = Time {
            columns: ends.iter().map(|(column, _)| *column).collect(),
            ends,
            delay: flow.time.delay.saturating_add(what.delay()),
            per_key: None,
        };
        let operator: Arc<dyn OperatorSpec> = Arc::new(OrderedWindowsSpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let input = self.exchange(flow, partition, operator);
        Ok(Flow::new(vec![input], schema, changes, time))
    }
}

/// An aggregate over windows of so many rows, by what tells the windows from each other and nothing else.
struct Counted<'a> {
    window: &'a WindowTvf,
    aggregates: Vec<Expr>,
    output: Vec<OutputColumn>,
}

impl<'a> Counted<'a> {
    fn of(aggregate: &'a Aggregate) -> Result<Option<Self>> {
        let (group, sets) = Sets::of(aggregate)?;
        let Some((window, groups, aggregates, conditions)) = down_to_window(aggregate, group)? else {
            return Ok(None);
        };
        let Windowing::Count { size, hop } = window.windowing else { return Ok(None) };
        // Parts of one row each are the rows.
        if sets.is_some() || !conditions.is_empty() || part_rows(size, hop) == 1 {
            return Ok(None);
        }
        let own = window.input.schema().fields().len();
        let partition = window.partition_indices()?;
        let place = |expr: &Expr| match expr {
            Expr::Column(column) => window.schema().index_of_column(column).ok(),
            _ => None,
        };
        let from = |expr: &Expr| {
            let nth = place(expr)?;
            let key = partition.iter().position(|key| *key == nth).map(WindowColumn::Key);
            let bounds = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time, WindowColumn::Number];
            key.or_else(|| bounds.get(nth.checked_sub(own)?).copied())
        };
        let columns: Option<Vec<WindowColumn>> = groups.iter().map(from).collect();
        let Some(mut columns) = columns else { return Ok(None) };
        let keys = (0..partition.len()).map(WindowColumn::Key);
        let is_told = keys.chain([WindowColumn::Number]).all(|column| columns.contains(&column));
        let of_rows = |expr: &Expr| {
            let mut columns = expr.column_refs().into_iter();
            columns.all(|column| window.input.schema().index_of_column(column).is_ok())
        };
        if !is_told || !aggregates.iter().all(of_rows) {
            return Ok(None);
        }
        columns.extend((0..aggregates.len()).map(WindowColumn::Aggregate));
        let name = |nth: usize| aggregate.schema.field(nth).name().clone();
        let output =
            columns.into_iter().enumerate().map(|(nth, from)| OutputColumn { from, name: name(nth) });
        Ok(Some(Self { window, aggregates, output: output.collect() }))
    }
}
