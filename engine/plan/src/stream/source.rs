//! Scans of streams.
//!
//! Batches are left out by bounds on columns only where a stream has no watermark: a batch left out would hold the watermark
//! back.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableScan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use headwater_core::StreamName;
use headwater_operators::Changes;

use super::flow::{Flow, PerKeyColumns, Time};
use super::lower::Lower;
use crate::METADATA_COLUMNS;
use crate::dataflow::{Bound, Exchange, Metadata, Source, StageInput, Upstream, Watermark};
use crate::definition::{StreamDef, WatermarkDef};
use crate::error::refused;
use crate::error::{Mistake, SqlError};
use crate::names::with_metadata;
use crate::physical::physical_expr;
use crate::proctime::ARRIVAL;

impl Lower<'_> {
    /// A scan, of the rows that `filters` (all above the scan, in the scan's columns) let pass.
    pub(super) fn scan(&mut self, scan: &TableScan, filters: &[Expr], below_window: bool) -> Result<Flow> {
        let name = scan.table_name.to_string();
        let stream = self.catalog.stream(&name).cloned().ok_or_else(|| {
            refused(SqlError::new(Mistake::NotStreaming, format!("'{name}' is not a stream")))
        })?;
        if stream.options.get("type").is_some_and(|kind| kind == "sink") {
            let error =
                SqlError::new(Mistake::NotStreaming, format!("'{name}' is a sink, which cannot be read"))
                    .hint("read the stream that is written into it");
            return Err(refused(error));
        }
        debug_assert!(scan.filters.is_empty() && scan.fetch.is_none(), "streams take no filters");
        let whole = with_metadata(&stream.schema);
        let wanted: Vec<usize> = match &scan.projection {
            Some(columns) => columns.clone(),
            None => (0..whole.fields().len()).collect(),
        };
        let own = stream.schema.fields().len();
        let mut projection: Vec<usize> = wanted.iter().copied().filter(|column| *column < own).collect();
        let watermark = if self.processing { None } else { self.watermark_of(&stream)? };
        for column in watermark.iter().flat_map(|(_, columns)| columns) {
            if !projection.contains(column) {
                projection.push(*column);
            }
        }
        let metadata: Vec<usize> = wanted.iter().copied().filter(|column| *column >= own).collect();
        let read: Vec<usize> = projection.iter().chain(&metadata).copied().collect();
        let schema: SchemaRef = Arc::new(whole.project(&read)?);
        let place = |column: usize| read.iter().position(|read| *read == column);
        let watermark = match (watermark, &stream.watermark) {
            _ if self.processing => Some(arrival_watermark(&schema)?),
            (Some((candidate, _)), Some(definition)) => {
                Some(self.place_watermark(&candidate, definition, &stream, &schema)?)
            }
            _ => None,
        };
        let bounds = if watermark.is_none() { bounds_of(filters, &whole) } else { Vec::new() };
        let has = |name: &str| metadata.iter().any(|column| whole.field(*column).name() == name);
        let [shard, sequence, arrival] = METADATA_COLUMNS.map(has);
        let time = time_of(&stream, &place, watermark.as_ref());
        let candidate = watermark.as_ref().map(|watermark| Arc::clone(&watermark.candidate));
        self.sources.push(Source {
            stream: StreamName::new(&name).map_err(|error| DataFusionError::External(Box::new(error)))?,
            projection,
            metadata: Metadata { shard, sequence, arrival },
            schema: Arc::clone(&schema),
            bounds,
            watermark,
        });
        let from = Upstream::Source(self.sources.len() - 1);
        let inputs = vec![StageInput { from, exchange: Exchange::Forward }];
        let mut flow = Flow::new(inputs, schema, Changes::AppendOnly, time);
        let timeline = candidate.filter(|_| below_window && flow.time.per_key.is_some());
        arrange(&mut flow, &wanted, &read, timeline)?;
        Ok(flow)
    }

    /// The stream's watermark over all its columns, and the columns that it uses.
    fn watermark_of(&self, stream: &StreamDef) -> Result<Option<(Expr, Vec<usize>)>> {
        let Some(definition) = &stream.watermark else { return Ok(None) };
        let schema = DFSchema::try_from(stream.schema.as_ref().clone())?;
        let wrong = |why: String| {
            let message = format!("the watermark of '{}' is wrong: {why}", stream.name);
            refused(SqlError::new(Mistake::Definition, message))
        };
        let expr = self
            .state
            .create_logical_expr(&definition.expr, &schema)
            .map_err(|error| wrong(error.to_string()))?;
        let mut columns = vec![schema.index_of_column(&Column::from_name(definition.column.as_str()))?];
        expr.apply(|part| {
            if let Expr::Column(column) = part {
                columns.push(schema.index_of_column(column)?);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for key in &definition.per {
            columns.push(schema.index_of_column(&Column::from_name(key.as_str()))?);
        }
        Ok(Some((expr, columns)))
    }

    /// The watermark over the columns that are read.
    fn place_watermark(
        &self,
        candidate: &Expr,
        definition: &WatermarkDef,
        stream: &StreamDef,
        schema: &SchemaRef,
    ) -> Result<Watermark> {
        let names = DFSchema::try_from(schema.as_ref().clone())?;
        let candidate = physical_expr(self.state, candidate.clone(), &names)?;
        let kind = candidate.data_type(schema)?;
        if !matches!(kind, DataType::Timestamp(..)) {
            let message = format!("the watermark of '{}' is {kind}, not a timestamp", stream.name);
            return Err(refused(SqlError::new(Mistake::Definition, message)));
        }
        let column = schema.index_of(&definition.column)?;
        let per_key = !definition.per.is_empty();
        Ok(Watermark { column, candidate, text: definition.expr.clone(), per_key, processing: false })
    }
}

/// The watermark of processing time.
fn arrival_watermark(schema: &SchemaRef) -> Result<Watermark> {
    let column = schema.index_of(ARRIVAL)?;
    let candidate = Arc::new(PhysicalColumn::new(ARRIVAL, column));
    Ok(Watermark { column, candidate, text: "PROCTIME()".to_owned(), per_key: false, processing: true })
}

fn time_of(
    stream: &StreamDef,
    place: &dyn Fn(usize) -> Option<usize>,
    watermark: Option<&Watermark>,
) -> Time {
    let Some(watermark) = watermark else { return Time::default() };
    let place_of = |name: &String| stream.schema.index_of(name).ok().and_then(place);
    let keys = stream.watermark.iter().flat_map(|definition| &definition.per);
    let per_key = watermark.per_key.then(|| PerKeyColumns {
        stream: stream.name.clone(),
        keys: keys.map(|name| (name.clone(), place_of(name))).collect(),
        below_window: None,
    });
    Time { columns: vec![watermark.column], per_key, ..Time::default() }
}

/// Puts the columns that the scan wants first; a key's timeline becomes two columns of its own.
fn arrange(
    flow: &mut Flow,
    wanted: &[usize],
    read: &[usize],
    timeline: Option<Arc<dyn PhysicalExpr>>,
) -> Result<()> {
    let in_order = read.starts_with(wanted);
    if in_order && timeline.is_none() {
        return Ok(());
    }
    let rest = read.iter().filter(|column| !wanted.contains(column));
    let mut from: Vec<Option<usize>> =
        wanted.iter().chain(rest).map(|column| read.iter().position(|read| read == column)).collect();
    let mut exprs: Vec<(Arc<dyn PhysicalExpr>, String)> = from
        .iter()
        .flatten()
        .map(|column| {
            let name = flow.schema.field(*column).name().clone();
            (Arc::new(PhysicalColumn::new(&name, *column)) as Arc<dyn PhysicalExpr>, name)
        })
        .collect();
    let Some(candidate) = timeline else { return flow.project(exprs, &from) };
    exprs.push((candidate, "$watermark".to_owned()));
    exprs.push((datafusion::physical_expr::expressions::lit(true), "$pass".to_owned()));
    from.extend([None, None]);
    flow.project(exprs, &from)?;
    let columns = from.len();
    if let Some(per_key) = &mut flow.time.per_key {
        per_key.below_window = Some((columns - 2, columns - 1));
    }
    Ok(())
}

/// Bounds on columns that conditions of the form `column < literal` imply.
fn bounds_of(filters: &[Expr], whole: &SchemaRef) -> Vec<Bound> {
    let mut bounds: Vec<Bound> = Vec::new();
    for filter in filters.iter().flat_map(split_conjunction) {
        let Some((name, operator, value)) = comparison(filter) else { continue };
        let Ok(column) = whole.index_of(name) else { continue };
        let own = column < whole.fields().len() - METADATA_COLUMNS.len();
        if !own || value.is_null() || value.data_type() != *whole.field(column).data_type() {
            continue;
        }
        let (min, max) = match operator {
            Operator::Eq => (Some(value.clone()), Some(value)),
            Operator::Lt | Operator::LtEq => (None, Some(value)),
            Operator::Gt | Operator::GtEq => (Some(value), None),
            _ => continue,
        };
        match bounds.iter_mut().find(|bound| bound.column == column) {
            Some(bound) => {
                bound.min = tighter(bound.min.take(), min, std::cmp::Ordering::Greater);
                bound.max = tighter(bound.max.take(), max, std::cmp::Ordering::Less);
            }
            None => bounds.push(Bound { column, min, max }),
        }
    }
    bounds
}

fn comparison(filter: &Expr) -> Option<(&str, Operator, ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) => Some((column.name(), *op, value.clone())),
        (Expr::Literal(value, _), Expr::Column(column)) => Some((column.name(), op.swap()?, value.clone())),
        _ => None,
    }
}

fn tighter(a: Option<ScalarValue>, b: Option<ScalarValue>, wins: std::cmp::Ordering) -> Option<ScalarValue> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.partial_cmp(&a) == Some(wins) { b } else { a }),
        (a, b) => a.or(b),
    }
}
