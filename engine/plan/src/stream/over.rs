//! `OVER`: over rows that are only ever added and in the order of event time each result is said once; over all others results change.
//!
//! Functions of one node are over partitions and orders that need not be the same; each pair of these becomes an
//! operator of its own, one behind the other.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, NullTreatment, Sort, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::physical_expr::expressions::{Literal, lit};
use headwater_operators::{
    AggregateCall, Frame, FrameBound, FrameRow, OperatorSpec, Over, OverCall, OverFunction, OverSpec,
    UpdatingOver, UpdatingOverSpec,
};

use super::flow::{Flow, Time, external};
use super::lower::{Lower, all_columns, check_unused};
use crate::error::refused;
use crate::error::{Mistake, SqlError};
use crate::state_ttl::Hint;

/// Aggregates whose result depends on the order of the rows: they cannot give up the first of their rows.
const ORDERED: [&str; 2] = ["array_agg", "string_agg"];

/// A function of a node, and its place among them.
struct Call {
    function: WindowFunction,
    place: usize,
}

fn refuse(message: impl Into<String>, hint: &str) -> datafusion::common::DataFusionError {
    refused(SqlError::new(Mistake::NotStreaming, message.into()).hint(hint))
}

impl Lower<'_> {
    pub(super) fn over(&mut self, window: &Window, hint: Option<&Hint>) -> Result<Flow> {
        let node = window.input.schema();
        let width = node.fields().len();
        let mut flow = self.lower(&window.input, false)?;
        flow.keep_first(width)?;
        let mut places = vec![0; window.window_expr.len()];
        for calls in alike(&window.window_expr)? {
            let from = self.over_one(&mut flow, &calls, window, hint)?;
            for (nth, call) in calls.iter().enumerate() {
                places[call.place] = from + nth;
            }
        }
        let columns = all_columns(&flow);
        let kept: Vec<usize> = (0..width).chain(places).collect();
        let exprs = kept.iter().zip(window.schema.fields());
        let exprs = exprs.map(|(column, field)| (Arc::clone(&columns[*column].0), field.name().clone()));
        let from: Vec<_> = kept.iter().copied().map(Some).collect();
        flow.project(exprs.collect(), &from)?;
        Ok(flow)
    }

    /// Functions over one partition and order. Gives the place of the first of their columns.
    fn over_one(
        &mut self,
        flow: &mut Flow,
        calls: &[Call],
        window: &Window,
        hint: Option<&Hint>,
    ) -> Result<usize> {
        let node = window.input.schema();
        let params = &calls[0].function.params;
        let partition = self.key_columns(flow, &params.partition_by, node)?;
        let order = self.over_order(flow, &params.order_by, node)?;
        let is_timely = is_timely(flow, &order, calls)?;
        if is_timely {
            self.refuse_lateness("OVER")?;
        }
        let lengths = Lengths::of(flow, &order);
        let mut frames: Vec<Frame> = Vec::new();
        let mut made = Vec::with_capacity(calls.len());
        for Call { function, place } in calls {
            let field = &window.schema.fields()[node.fields().len() + place];
            let frame = frame_of(&function.params.window_frame, lengths)?;
            let function = self.over_function(flow, function, node, frame, &mut frames)?;
            made.push(OverCall { function, field: Arc::clone(field) });
        }
        let over = Made { partition: partition.clone(), order, frames, calls: made };
        let (operator, behind) = if is_timely {
            check_unused([hint, None])?;
            over.timely(flow)?
        } else {
            self.updating_over(over, flow, hint)?
        };
        let (schema, changes) = (operator.schema(), operator.changes());
        let first = flow.schema.fields().len();
        let before = std::mem::replace(
            flow,
            Flow::new(Vec::new(), Arc::clone(&schema), changes.clone(), Time::default()),
        );
        let input = self.exchange(before, partition, operator);
        *flow = Flow::new(vec![input], schema, changes, behind);
        Ok(first)
    }

    /// What rows are ordered by.
    fn over_order(
        &self,
        flow: &mut Flow,
        order_by: &[Sort],
        node: &DFSchema,
    ) -> Result<Vec<(usize, SortOptions)>> {
        let exprs: Vec<Expr> = order_by.iter().map(|sort| sort.expr.clone()).collect();
        let columns = self.key_columns(flow, &exprs, node)?;
        let options =
            order_by.iter().map(|sort| SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first });
        Ok(columns.into_iter().zip(options).collect())
    }

    /// The operator for rows that change, or in any order.
    fn updating_over(
        &self,
        over: Made,
        flow: &mut Flow,
        hint: Option<&Hint>,
    ) -> Result<(Arc<dyn OperatorSpec>, Time)> {
        let ttl = self.ttl_of_partitions(!over.partition.is_empty(), hint)?;
        if flow.schema.fields().is_empty() {
            // Rows without columns are told apart by nothing, but there must be rows.
            flow.project(vec![(lit(true), "$row".to_owned())], &[None])?;
        }
        let Made { partition, order, frames, calls } = over;
        let (input, changes) = (Arc::clone(&flow.schema), flow.changes.clone());
        let what = UpdatingOver { input, partition, order, frames, calls, changes, ttl };
        Ok((Arc::new(UpdatingOverSpec::try_new(what).map_err(external)?), Time::default()))
    }

    /// What a function is to the operator. Its frame becomes one of `frames`, if it looks at any.
    fn over_function(
        &self,
        flow: &mut Flow,
        function: &WindowFunction,
        node: &DFSchema,
        frame: Frame,
        frames: &mut Vec<Frame>,
    ) -> Result<OverFunction> {
        let params = &function.params;
        let udf = match &function.fun {
            WindowFunctionDefinition::WindowUDF(udf) => udf,
            WindowFunctionDefinition::AggregateUDF(udf) => {
                let call = self.aggregate_over(flow, udf, params, node, frame)?;
                return Ok(OverFunction::Aggregate { call, frame: place_of(frame, frames) });
            }
        };
        let name = udf.name();
        if params.null_treatment == Some(NullTreatment::IgnoreNulls) {
            let message = format!("OVER, {name}() IGNORE NULLS does not run as a stream");
            return Err(refuse(message, "filter the NULLs out before: WHERE value IS NOT NULL"));
        }
        let column = match params.args.first() {
            Some(arg) => Some(self.key_columns(flow, std::slice::from_ref(arg), node)?[0]),
            None => None,
        };
        let mut value = |column, row| OverFunction::Value { column, row, frame: place_of(frame, frames) };
        Ok(match (name, column) {
            ("row_number", _) => OverFunction::RowNumber,
            ("rank", _) => OverFunction::Rank,
            ("dense_rank", _) => OverFunction::DenseRank,
            ("lag" | "lead", Some(column)) => self.shift(flow, name, column, &params.args)?,
            ("first_value", Some(column)) => value(column, FrameRow::First),
            ("last_value", Some(column)) => value(column, FrameRow::Last),
            ("nth_value", Some(column)) => value(column, FrameRow::Nth(self.nth(&params.args)?)),
            _ => {
                let message = format!("OVER, {name}() does not run as a stream");
                return Err(refuse(message, "run it as a bounded query over the rows so far"));
            }
        })
    }

    /// LAG and LEAD: by one row unless said.
    fn shift(&self, flow: &Flow, name: &str, column: usize, args: &[Expr]) -> Result<OverFunction> {
        let by = args.get(1).map_or(Ok(1), |expr| self.whole_number(expr, name))?;
        let by = if name == "lead" { by } else { by.saturating_neg() };
        let default = self.default_of(args.get(2), flow.schema.field(column).data_type(), name)?;
        Ok(OverFunction::Shift { column, by, default })
    }

    /// Which row of its frame NTH_VALUE gives.
    fn nth(&self, args: &[Expr]) -> Result<u32> {
        let nth = args.get(1).map(|expr| self.whole_number(expr, "nth_value")).transpose()?;
        let nth = nth.and_then(|nth| u32::try_from(nth).ok()).filter(|nth| *nth > 0);
        nth.ok_or_else(|| refuse("OVER, nth_value() takes a number from 1 on", "NTH_VALUE(x, 2)"))
    }

    /// What LAG and LEAD give where there is no such row: NULL unless said.
    fn default_of(&self, said: Option<&Expr>, kind: &DataType, name: &str) -> Result<ScalarValue> {
        match said {
            Some(expr) => self.constant(expr, name)?.cast_to(kind),
            None => ScalarValue::try_from(kind),
        }
    }

    fn aggregate_over(
        &self,
        flow: &mut Flow,
        udf: &Arc<AggregateUDF>,
        params: &WindowFunctionParams,
        node: &DFSchema,
        frame: Frame,
    ) -> Result<AggregateCall> {
        if frame.start != FrameBound::Unbounded && ORDERED.contains(&udf.name()) {
            let message = format!("OVER a frame that slides, {}() does not run as a stream", udf.name());
            return Err(refuse(message, "ROWS UNBOUNDED PRECEDING, or a window: TUMBLE, HOP, SESSION"));
        }
        let call = Expr::AggregateFunction(AggregateFunction::new_udf(
            Arc::clone(udf),
            params.args.clone(),
            params.distinct,
            params.filter.clone(),
            Vec::new(),
            params.null_treatment,
        ));
        Ok(self.calls(flow, std::slice::from_ref(&call), node)?.remove(0))
    }

    fn constant(&self, expr: &Expr, function: &str) -> Result<ScalarValue> {
        let physical = self.physical(expr, &DFSchema::empty());
        let value =
            physical.ok().and_then(|expr| expr.downcast_ref::<Literal>().map(|one| one.value().clone()));
        value.ok_or_else(|| {
            refuse(
                format!("OVER, the arguments of {function}() behind the first are constants"),
                "LAG(x, 1, 0)",
            )
        })
    }

    fn whole_number(&self, expr: &Expr, function: &str) -> Result<i64> {
        match self.constant(expr, function)?.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(number)) => Ok(number),
            _ => Err(refuse(format!("OVER, {function}() takes a whole number"), "LAG(x, 1)")),
        }
    }
}

/// Functions over one partition and order, and what they are over.
struct Made {
    partition: Vec<usize>,
    order: Vec<(usize, SortOptions)>,
    frames: Vec<Frame>,
    calls: Vec<OverCall>,
}

impl Made {
    /// The operator in the order of event time, and what is known of time behind it.
    fn timely(self, flow: &Flow) -> Result<(Arc<dyn OperatorSpec>, Time)> {
        let Made { partition, mut order, frames, calls } = self;
        let (time, _) = order.remove(0);
        let after = flow.time.ends.iter().find(|(column, _)| *column == time).map_or(0, |(_, after)| *after);
        let (input, after) = (Arc::clone(&flow.schema), after.max(0));
        let what = Over { input, partition, time, after, order, frames, calls };
        let spec = OverSpec::try_new(what).map_err(external)?;
        let behind = match spec.delay() {
            None => Time::default(),
            Some(delay) => {
                let ends = flow.time.ends.iter().copied().filter(|(column, _)| *column == time && delay == 0);
                let delay = flow.time.delay.saturating_add(delay);
                Time { columns: vec![time], ends: ends.collect(), delay, per_key: None }
            }
        };
        Ok((Arc::new(spec), behind))
    }
}

/// Whether each result is final once the watermark has passed its row and frame.
fn is_timely(flow: &Flow, order: &[(usize, SortOptions)], calls: &[Call]) -> Result<bool> {
    let never_ends = |call: &Call| match &call.function.params.window_frame.end_bound {
        WindowFrameBound::Following(value) => value.is_null(),
        WindowFrameBound::CurrentRow | WindowFrameBound::Preceding(_) => false,
    };
    let in_time =
        |(column, options): &(usize, SortOptions)| flow.time.columns.contains(column) && !options.descending;
    if !flow.is_append_only() || !order.first().is_some_and(in_time) || calls.iter().any(never_ends) {
        return Ok(false);
    }
    match &flow.time.per_key {
        None => Ok(true),
        Some(per_key) => Err(per_key.refuse("OVER")),
    }
}

/// What the length of a frame of RANGE is one of.
#[derive(Clone, Copy)]
enum Lengths {
    Time,
    Numbers,
    None,
}

impl Lengths {
    fn of(flow: &Flow, order: &[(usize, SortOptions)]) -> Self {
        let [(column, _)] = order else { return Self::None };
        match flow.schema.field(*column).data_type() {
            DataType::Timestamp(..) | DataType::Date32 => Self::Time,
            kind if kind.is_integer() && *kind != DataType::UInt64 => Self::Numbers,
            _ => Self::None,
        }
    }

    fn length(self, value: &ScalarValue) -> Result<i64> {
        match (self, value.cast_to(&DataType::Int64)) {
            (Self::Time, _) => length(value),
            (Self::Numbers, Ok(ScalarValue::Int64(Some(number)))) => Ok(number),
            _ => Err(refuse(
                "OVER, the length of a frame of RANGE is one of time or of whole numbers, in the order of one column",
                "ORDER BY a time or a whole number, or ROWS BETWEEN ... PRECEDING AND CURRENT ROW",
            )),
        }
    }
}

/// The functions by what they are partitioned and ordered by.
fn alike(exprs: &[Expr]) -> Result<Vec<Vec<Call>>> {
    let mut groups: Vec<Vec<Call>> = Vec::new();
    for (place, expr) in exprs.iter().enumerate() {
        let Expr::WindowFunction(function) = expr.clone().unalias() else {
            return datafusion::common::internal_err!("'{expr}' is no function over a window");
        };
        let call = Call { function: *function, place };
        let same = |group: &&mut Vec<Call>| {
            let (a, b) = (&group[0].function.params, &call.function.params);
            a.partition_by == b.partition_by && a.order_by == b.order_by
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(call),
            None => groups.push(vec![call]),
        }
    }
    Ok(groups)
}

/// The place of a frame among others, to which it is added if it is new.
fn place_of(frame: Frame, frames: &mut Vec<Frame>) -> usize {
    frames.iter().position(|known| *known == frame).unwrap_or_else(|| {
        frames.push(frame);
        frames.len() - 1
    })
}

fn frame_of(frame: &WindowFrame, lengths: Lengths) -> Result<Frame> {
    let bound = |bound: &WindowFrameBound| -> Result<FrameBound> {
        let (value, sign) = match (bound, frame.units) {
            (WindowFrameBound::CurrentRow, WindowFrameUnits::Rows) => return Ok(FrameBound::Rows(0)),
            (WindowFrameBound::CurrentRow, _) => return Ok(FrameBound::Peers),
            (WindowFrameBound::Preceding(value), _) => (value, -1),
            (WindowFrameBound::Following(value), _) => (value, 1),
        };
        if value.is_null() {
            return Ok(FrameBound::Unbounded);
        }
        match frame.units {
            WindowFrameUnits::Rows => match value.cast_to(&DataType::Int64)? {
                ScalarValue::Int64(Some(rows)) => Ok(FrameBound::Rows(rows.saturating_mul(sign))),
                _ => Err(refuse(format!("OVER, '{value}' is no number of rows"), "ROWS 10 PRECEDING")),
            },
            WindowFrameUnits::Range => {
                lengths.length(value).map(|length| FrameBound::Range(length.saturating_mul(sign)))
            }
            WindowFrameUnits::Groups => Err(refuse(
                "OVER, frames of GROUPS do not run as a stream",
                "ROWS or RANGE BETWEEN ... PRECEDING AND CURRENT ROW",
            )),
        }
    };
    Ok(Frame { start: bound(&frame.start_bound)?, end: bound(&frame.end_bound)? })
}

/// The length of an interval in nanoseconds.
fn length(value: &ScalarValue) -> Result<i64> {
    const DAY: i64 = 86_400_000_000_000;
    let nanos = match value {
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months == 0 => {
            i64::from(value.days).checked_mul(DAY).and_then(|days| days.checked_add(value.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(value)) => i64::from(value.days)
            .checked_mul(DAY)
            .and_then(|days| days.checked_add(i64::from(value.milliseconds) * 1_000_000)),
        _ => None,
    };
    nanos.filter(|nanos| *nanos >= 0).ok_or_else(|| {
        refuse(
            "OVER, a frame of RANGE is a length of time, and not in months, which are not all of one length",
            "RANGE BETWEEN INTERVAL '5' MINUTE PRECEDING AND CURRENT ROW",
        )
    })
}
