//! `COUNT_WINDOW` and `STATE_WINDOW`: windows that are told by the order of a partition's rows.

use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use headwater_operators::{OperatorSpec, OrderedKind, OrderedWindows, OrderedWindowsSpec};

use super::flow::{Flow, Time, external, names_of};
use super::lower::Lower;
use super::windowed::{AFTER_END, AFTER_TIME};
use crate::error::{Mistake, SqlError, refused};
use crate::window::{WindowTvf, Windowing};

impl Lower<'_> {
    /// The rows with the columns of their windows, each when its window has ended.
    pub(super) fn ordered_windows(&mut self, window: &WindowTvf) -> Result<Flow> {
        let (node, name) = (window.input.schema(), window.windowing.name());
        let mut flow = self.window_input(window, false)?;
        let time = self.check_time(window, &flow)?;
        if let Some(per_key) = &flow.time.per_key {
            let message = format!(
                "{name} does not run over '{}', whose keys have timelines of their own",
                per_key.stream
            );
            return Err(refused(
                SqlError::new(Mistake::NotStreaming, message).hint("declare the watermark without PER"),
            ));
        }
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
        let what = OrderedWindows {
            input: Arc::clone(&flow.schema),
            partition: partition.clone(),
            time,
            after: after.max(0),
            kind,
        };
        let time = Time {
            columns: vec![own + 2, own + 1],
            ends: vec![(own + 2, AFTER_TIME), (own + 1, AFTER_END)],
            delay: flow.time.delay.saturating_add(what.delay()),
            per_key: None,
        };
        let operator: Arc<dyn OperatorSpec> = Arc::new(OrderedWindowsSpec::try_new(what).map_err(external)?);
        let (schema, changes) = (operator.schema(), operator.changes());
        let input = self.exchange(flow, partition, operator);
        Ok(Flow::new(vec![input], schema, changes, time))
    }
}
