//! Alarms: the points of a metric, then the alarm's own operator; of composite alarms, those of all alarms that they name.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::functions::string::expr_fn::concat;
use datafusion::logical_expr::{Expr, LogicalPlan, cast, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Literal};
use headwater_decide::composite::Expression;
use headwater_operators::Changes;
use headwater_operators::decide::{AlarmSpec, CompositeAlarmSpec, Report, alarm_history_schema};

use super::flow::{Flow, Time, names_of};
use super::lower::{Lower, column_at};
use crate::dataflow::{Exchange, Stage, StageInput, Upstream};
use crate::error::{Mistake, SqlError, refused};

/// The columns of points and of history that tell one metric from another.
const POINT_DIMENSIONS: usize = 1;
const HISTORY_DIMENSIONS: usize = 2;

/// Points in a dataflow: where they come from, and the names of their dimensions.
pub(crate) struct Points {
    pub(super) from: Upstream,
    dimensions: Vec<String>,
}

/// An alarm in a dataflow: where its history comes from, and the names of its dimensions.
pub(crate) struct Alarmed {
    pub(crate) history: Upstream,
    pub(crate) dimensions: Vec<String>,
}

impl Lower<'_> {
    /// The points that a plan gives, for one alarm or several.
    pub(crate) fn points(&mut self, plan: &LogicalPlan) -> Result<Points> {
        let mut flow = self.lower(plan, false)?;
        let dimensions = self.arrange_points(&mut flow, plan)?;
        Ok(Points { from: Upstream::Stage(self.push(flow.into_stage())), dimensions })
    }

    /// An alarm over points.
    pub(crate) fn alarm(&mut self, points: &Points, spec: AlarmSpec) -> Alarmed {
        let input = StageInput { from: points.from, exchange: Exchange::Hash(vec![POINT_DIMENSIONS]) };
        let stage = Stage {
            inputs: vec![input],
            operators: vec![Arc::new(spec)],
            schema: alarm_history_schema(),
            delay: self.delay_behind([points.from]),
        };
        let history = Upstream::Stage(self.push(stage));
        Alarmed { history, dimensions: points.dimensions.clone() }
    }

    /// A composite alarm over the histories of others.
    pub(crate) fn composite(
        &mut self,
        name: &str,
        expression: &Expression,
        alarms: Vec<(String, Alarmed)>,
        report: Report,
    ) -> Result<Alarmed> {
        let Some((first, Alarmed { dimensions, .. })) = alarms.first() else {
            let error = SqlError::new(Mistake::Definition, "a composite alarm names at least one alarm");
            return Err(refused(error.hint("ALARM(name), OK(name) or INSUFFICIENT_DATA(name)")));
        };
        let (first, dimensions) = (first.clone(), dimensions.clone());
        if let Some((other, of_other)) = alarms.iter().find(|(_, alarm)| alarm.dimensions != dimensions) {
            let shown =
                |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!(
                "the dimensions of '{first}' ({}) are not those of '{other}' ({})",
                shown(&dimensions),
                shown(&of_other.dimensions)
            );
            let error = SqlError::new(Mistake::Definition, message);
            return Err(refused(
                error.hint("a composite alarm is over alarms with the same dimensions in the same order; an alarm of one metric \
                     alone has WHERE in the place of DIMENSIONS"),
            ));
        }
        let (inputs, histories): (Vec<String>, Vec<Alarmed>) = alarms.into_iter().unzip();
        let exchange = || Exchange::Hash(vec![HISTORY_DIMENSIONS]);
        let spec =
            CompositeAlarmSpec { name: name.to_owned(), expression: expression.clone(), inputs, report };
        let delay = self.delay_behind(histories.iter().map(|alarm| alarm.history));
        let stage = Stage {
            delay,
            inputs: histories
                .into_iter()
                .map(|alarm| StageInput { from: alarm.history, exchange: exchange() })
                .collect(),
            operators: vec![Arc::new(spec)],
            schema: alarm_history_schema(),
        };
        Ok(Alarmed { history: Upstream::Stage(self.push(stage)), dimensions })
    }

    /// Turns a query's columns into those of points: its event time, the value, how many samples it is over, and all others as text.
    fn arrange_points(&self, flow: &mut Flow, points: &LogicalPlan) -> Result<Vec<String>> {
        if flow.changes != Changes::AppendOnly {
            let error = SqlError::new(
                Mistake::NotStreaming,
                "the query's rows change as events come in; points do not",
            );
            return Err(refused(error.hint("aggregate over a window: TUMBLE, HOP")));
        }
        if let Some(per_key) = &flow.time.per_key {
            return Err(per_key.refuse("an alarm"));
        }
        let node = points.schema();
        let columns = node.columns();
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let Some(time) = flow.time.columns.iter().copied().find(|column| *column < columns.len()) else {
            let error = SqlError::new(Mistake::NoWatermark, "the query gives no event time for its points");
            return Err(refused(
                error.hint("select window_end, or the column of the stream that has the watermark"),
            ));
        };
        let Some(value) = place("value").filter(|value| node.field(*value).data_type().is_numeric()) else {
            let error = SqlError::new(Mistake::Definition, "the query gives no number called 'value'");
            return Err(refused(error.hint("SELECT window_end, AVG(cpu) AS value, ...")));
        };
        let samples = place("samples").filter(|samples| node.field(*samples).data_type().is_integer());
        let is_time = |nth: usize| {
            flow.time.columns.contains(&nth)
                || ["window_start", "window_end", "window_time"].contains(&columns[nth].name.as_str())
        };
        let dimensions: Vec<&Column> = (0..columns.len())
            .filter(|nth| *nth != value && Some(*nth) != samples && !is_time(*nth))
            .map(|nth| &columns[nth])
            .collect();
        let names = names_of(node, &flow.schema)?;
        let at = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let exprs = vec![
            (cast_to(column_at(flow, time), at), "at".to_owned()),
            (self.dimensions(&dimensions, &names)?, "dimensions".to_owned()),
            (cast_to(column_at(flow, value), DataType::Float64), "value".to_owned()),
            (
                match samples {
                    Some(samples) => cast_to(column_at(flow, samples), DataType::Int64),
                    None => Arc::new(Literal::new(ScalarValue::Int64(None))),
                },
                "samples".to_owned(),
            ),
        ];
        let dimensions = dimensions.into_iter().map(|column| column.name.clone()).collect();
        flow.project(exprs, &[None; 4])?;
        flow.time = Time::default();
        Ok(dimensions)
    }

    /// `host=a, disk=sda`.
    fn dimensions(&self, columns: &[&Column], names: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        if columns.is_empty() {
            return Ok(Arc::new(Literal::new(ScalarValue::Utf8(Some(String::new())))));
        }
        let mut parts = Vec::new();
        for (nth, column) in columns.iter().enumerate() {
            let comma = if nth == 0 { "" } else { ", " };
            parts.push(lit(format!("{comma}{}=", column.name)));
            parts.push(cast(Expr::Column((*column).clone()), DataType::Utf8));
        }
        self.physical(&concat(parts), names)
    }
}

fn cast_to(expr: Arc<dyn PhysicalExpr>, kind: DataType) -> Arc<dyn PhysicalExpr> {
    Arc::new(CastExpr::new(expr, kind, None))
}
