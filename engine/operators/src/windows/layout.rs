//! The columns that a windowed operator gives out, and the timeline per key that it may keep.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::physical_expr::PhysicalExpr;

use crate::aggregates::AggregateCall;
use crate::error::{OperatorError, Result};

/// One column of a windowed operator's output.
#[derive(Clone, Debug)]
pub struct OutputColumn {
    /// What it holds.
    pub from: WindowColumn,
    /// What it is called.
    pub name: String,
}

/// What a column of a windowed operator's output holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WindowColumn {
    /// `window_start`.
    Start,
    /// `window_end`.
    End,
    /// `window_time`: the end less one millisecond.
    Time,
    /// `window_number`: which one it is of its partition, from 1.
    Number,
    /// The key of this index.
    Key(usize),
    /// The aggregate of this index.
    Aggregate(usize),
}

/// A timeline for each key.
#[derive(Clone, Debug)]
pub struct PerKey {
    /// Gives for each row of the input a timestamp; the greatest so far is the key's watermark. Null does not move it.
    pub candidate: Arc<dyn PhysicalExpr>,
    /// The query's filter. Rows that fail it move the key's watermark and are not aggregated.
    pub pass: Option<Arc<dyn PhysicalExpr>>,
}

/// The type of window columns, for a time column: its own, but never coarser than milliseconds (`window_time` needs them).
pub(crate) fn window_type(input: &Schema, time: usize, operator: &str) -> Result<DataType> {
    match input.fields().get(time).map(|field| field.data_type()) {
        Some(DataType::Timestamp(TimeUnit::Second, zone)) => {
            Ok(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))
        }
        Some(kind @ DataType::Timestamp(..)) => Ok(kind.clone()),
        Some(other) => Err(OperatorError::unsupported(
            operator,
            format!("windows need a timestamp, but column {:?} is {other}", input.field(time).name()),
        )),
        None => Err(OperatorError::unsupported(operator, format!("there is no column {time}"))),
    }
}

/// The schema of a windowed operator's output.
pub(crate) fn window_schema(
    input: &Schema,
    time: usize,
    keys: &[usize],
    aggregates: &[AggregateCall],
    output: &[OutputColumn],
    operator: &str,
) -> Result<SchemaRef> {
    let kind = window_type(input, time, operator)?;
    let missing = |what: &str, index: usize| {
        OperatorError::unsupported(operator, format!("there is no {what} {index}"))
    };
    let fields = output
        .iter()
        .map(|column| match column.from {
            WindowColumn::Start | WindowColumn::End | WindowColumn::Time => {
                Ok(Field::new(&column.name, kind.clone(), false))
            }
            WindowColumn::Number => Ok(Field::new(&column.name, DataType::Int64, false)),
            WindowColumn::Key(key) => {
                let index = *keys.get(key).ok_or_else(|| missing("key", key))?;
                let field = input.fields().get(index).ok_or_else(|| missing("column", index))?;
                Ok(field.as_ref().clone().with_name(&column.name))
            }
            WindowColumn::Aggregate(aggregate) => {
                let call = aggregates.get(aggregate).ok_or_else(|| missing("aggregate", aggregate))?;
                Ok(call.field().as_ref().clone().with_name(&column.name))
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// The output columns by which instances' rows are put in order: window end, window start, keys, as far as they are there.
pub(crate) fn window_order(keys: usize, output: &[OutputColumn]) -> Vec<usize> {
    let place = |wanted: &[WindowColumn]| output.iter().position(|column| wanted.contains(&column.from));
    let end = place(&[WindowColumn::End, WindowColumn::Time]);
    let start = place(&[WindowColumn::Start]);
    let keys = (0..keys).map(|key| place(&[WindowColumn::Key(key)]));
    [end, start].into_iter().chain(keys).flatten().collect()
}

/// `keys=[..], aggs=[..]`, for EXPLAIN.
pub(crate) fn describe_columns(input: &Schema, keys: &[usize], aggregates: &[AggregateCall]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| input.field(*key).name().as_str()).collect();
    let aggregates: Vec<_> = aggregates.iter().map(AggregateCall::describe).collect();
    format!("keys=[{}], aggs=[{}]", keys.join(", "), aggregates.join(", "))
}
