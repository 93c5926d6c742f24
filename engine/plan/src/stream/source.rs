//! Scans of streams.
//!
//! Batches are left out by bounds on columns only where a stream has no watermark: a batch left out would hold the watermark
//! back.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableScan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use headwater_core::StreamName;
use headwater_operators::{Changes, Complete};

use super::flow::{Flow, PerKeyColumns, Time};
use super::lower::Lower;
use crate::METADATA_COLUMNS;
use crate::computed::{Declared, Origin, columns_of, is_by_arrival};
use crate::dataflow::{Bound, Exchange, Metadata, Source, StageInput, Upstream, Watermark};
use crate::definition::{StreamDef, WatermarkDef};
use crate::error::refused;
use crate::error::{Mistake, SqlError};
use crate::metadata::with_metadata;
use crate::physical::physical_expr;
use crate::proctime::ARRIVAL;
use crate::table_sources::StreamTable;

/// What the column of the watermark before each row is called in plans.
const WATERMARK_BEFORE: &str = "$current_watermark";

impl Lower<'_> {
    /// A scan, of the rows that `filters` (all above the scan, in the scan's columns) let pass.
    pub(super) fn scan(&mut self, scan: &TableScan, filters: &[Expr], below_window: bool) -> Result<Flow> {
        let name = scan.table_name.to_string();
        let stream = self.readable(&name)?;
        debug_assert!(scan.filters.is_empty() && scan.fetch.is_none(), "streams take no filters");
        let table = scan.source.downcast_ref::<StreamTable>();
        let startup = table.map(StreamTable::startup).unwrap_or_default();
        let is_at_rest = table.is_some_and(StreamTable::is_at_rest);
        let declared = match table {
            Some(table) => Arc::clone(table.declared()),
            None => Arc::new(Declared::stored(&stream.schema)),
        };
        let wanted: Vec<usize> = match &scan.projection {
            Some(columns) => columns.clone(),
            None => (0..declared.origins.len() + METADATA_COLUMNS.len()).collect(),
        };
        let watermark = if self.processing { None } else { self.watermark_of(&stream, &declared)? };
        let told_by = watermark.as_ref().map(|(_, columns)| columns.clone()).unwrap_or_default();
        let mut layout = Layout::of(&stream, &declared, &wanted, &told_by)?;
        let tells = watermark.is_some() && stream.watermark.as_ref().is_some_and(|told| told.per.is_empty());
        layout.metadata.watermark = tells && self.tells_watermark;
        let read = layout.schema(&stream, &declared)?;
        let computed = layout.computed.iter().map(|column| self.compute(&declared, *column, &read));
        let computed = computed.collect::<Result<Vec<_>>>()?;
        let schema = layout.with_computed(&declared, &read);
        let watermark = match (watermark, &stream.watermark) {
            _ if self.processing => Some(arrival_watermark(&schema)?),
            (Some((candidate, _)), Some(definition)) => {
                Some(self.place_watermark(&candidate, definition, &stream, &schema)?)
            }
            _ => None,
        };
        let whole = with_metadata(&stream.schema);
        let bounds = if watermark.is_none() { bounds_of(filters, &whole) } else { Vec::new() };
        let place = |column: usize| layout.place(&declared, column);
        let time = time_of(&stream, &declared, &place, watermark.as_ref());
        let candidate = watermark.as_ref().map(|watermark| Arc::clone(&watermark.candidate));
        let scanned = |column: &usize| match place(*column) {
            Some(nth) => Ok(Scanned::Read(nth)),
            None => {
                let name = declared.schema.field(*column).name().clone();
                Ok(Scanned::Computed(self.compute(&declared, *column, &schema)?, name))
            }
        };
        let columns = wanted.iter().map(scanned).collect::<Result<Vec<_>>>()?;
        let at = layout.watermark();
        let kept = told_by.iter().filter_map(|column| place(*column)).chain(at);
        let kept: Vec<usize> = kept.collect();
        self.sources.push(Source {
            stream: StreamName::new(&name).map_err(|error| DataFusionError::External(Box::new(error)))?,
            projection: layout.stored,
            metadata: layout.metadata,
            computed,
            schema: Arc::clone(&schema),
            bounds,
            watermark,
            startup,
            comes_first: false,
        });
        let from = Upstream::Source(self.sources.len() - 1);
        let inputs = vec![StageInput { from, exchange: Exchange::Forward }];
        let mut flow = Flow::new(inputs, schema, Changes::AppendOnly, time);
        flow.watermark = at;
        flow.complete = is_at_rest.then_some(Complete::ReadFirst);
        let timeline = candidate.filter(|_| below_window && flow.time.per_key.is_some());
        arrange(&mut flow, columns, &kept, timeline)?;
        Ok(flow)
    }

    /// A stream, which must be one that can be read.
    fn readable(&self, name: &str) -> Result<Arc<StreamDef>> {
        let stream = self.catalog.stream(name).cloned().ok_or_else(|| {
            refused(SqlError::new(Mistake::NotStreaming, format!("'{name}' is not a stream")))
        })?;
        if stream.options.get("type").is_some_and(|kind| kind == "sink") {
            let error =
                SqlError::new(Mistake::NotStreaming, format!("'{name}' is a sink, which cannot be read"))
                    .hint("read the stream that is written into it");
            return Err(refused(error));
        }
        Ok(stream)
    }

    /// What gives a column that is computed, over these columns.
    fn compute(&self, declared: &Declared, column: usize, read: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
        match &declared.origins[column] {
            Origin::Computed(expr) => {
                let names = DFSchema::try_from(read.as_ref().clone())?;
                physical_expr(self.state, expr.clone(), &names)
            }
            Origin::Stored(_) => {
                let name = declared.schema.field(column).name();
                Ok(Arc::new(PhysicalColumn::new(name, read.index_of(name)?)))
            }
        }
    }

    /// The stream's watermark over all its columns, and the columns that it uses.
    fn watermark_of(&self, stream: &StreamDef, declared: &Declared) -> Result<Option<(Expr, Vec<usize>)>> {
        let Some(definition) = &stream.watermark else { return Ok(None) };
        let schema = DFSchema::try_from(declared.schema.as_ref().clone())?;
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
    declared: &Declared,
    place: &dyn Fn(usize) -> Option<usize>,
    watermark: Option<&Watermark>,
) -> Time {
    let Some(watermark) = watermark else { return Time::default() };
    let place_of = |name: &String| declared.schema.index_of(name).ok().and_then(place);
    let keys = stream.watermark.iter().flat_map(|definition| &definition.per);
    let per_key = watermark.per_key.then(|| PerKeyColumns {
        stream: stream.name.clone(),
        keys: keys.map(|name| (name.clone(), place_of(name))).collect(),
        below_window: None,
        behind: None,
    });
    Time { columns: vec![watermark.column], per_key, ..Time::default() }
}

/// What a source reads: columns of the stream, those of metadata, and what is computed from both because event time is told by it.
/// Indices are those of the stream as it was declared, but for `stored`.
struct Layout {
    stored: Vec<usize>,
    metadata: Metadata,
    computed: Vec<usize>,
}

impl Layout {
    fn of(stream: &StreamDef, declared: &Declared, wanted: &[usize], told_by: &[usize]) -> Result<Self> {
        let own = declared.origins.len();
        let (mut stored, mut computed, mut by_arrival) = (Vec::new(), Vec::new(), false);
        let mut add = |column: usize| {
            if !stored.contains(&column) {
                stored.push(column);
            }
        };
        for column in wanted.iter().chain(told_by).filter(|column| **column < own) {
            match &declared.origins[*column] {
                Origin::Stored(stored) => add(*stored),
                Origin::Computed(expr) => {
                    columns_of(expr, &stream.schema)?.into_iter().for_each(&mut add);
                    by_arrival |= is_by_arrival(expr);
                    if told_by.contains(column) && !computed.contains(column) {
                        computed.push(*column);
                    }
                }
            }
        }
        let has = |nth: usize| wanted.contains(&(own + nth));
        let arrival = has(2) || by_arrival;
        let metadata = Metadata { shard: has(0), sequence: has(1), arrival, watermark: false };
        Ok(Self { stored, metadata, computed })
    }

    /// The columns that are read.
    fn schema(&self, stream: &StreamDef, declared: &Declared) -> Result<SchemaRef> {
        let whole = with_metadata(&stream.schema);
        let own = whole.fields().len() - METADATA_COLUMNS.len();
        debug_assert!(own <= declared.origins.len(), "every stored column is declared");
        let metadata = self.of_metadata().map(|nth| own + nth);
        let read: Vec<usize> = self.stored.iter().copied().chain(metadata).collect();
        let read = whole.project(&read)?;
        let watermark = self.watermark().map(|_| Arc::new(watermark_field()));
        Ok(Arc::new(Schema::new(read.fields().iter().cloned().chain(watermark).collect::<Vec<_>>())))
    }

    /// The same, and behind them those that are computed.
    fn with_computed(&self, declared: &Declared, read: &SchemaRef) -> SchemaRef {
        if self.computed.is_empty() {
            return Arc::clone(read);
        }
        let computed = self.computed.iter().map(|column| Arc::clone(&declared.schema.fields()[*column]));
        Arc::new(Schema::new(read.fields().iter().cloned().chain(computed).collect::<Vec<_>>()))
    }

    fn of_metadata(&self) -> impl Iterator<Item = usize> {
        let Metadata { shard, sequence, arrival, .. } = self.metadata;
        [shard, sequence, arrival].into_iter().enumerate().filter_map(|(nth, read)| read.then_some(nth))
    }

    /// Where the watermark before each row is.
    fn watermark(&self) -> Option<usize> {
        self.metadata.watermark.then(|| self.stored.len() + self.of_metadata().count())
    }

    /// Where a column is read, or computed as rows are read.
    fn place(&self, declared: &Declared, column: usize) -> Option<usize> {
        let metadata = self.of_metadata().count() + usize::from(self.metadata.watermark);
        let stored = self.stored.len();
        match declared.origins.get(column) {
            Some(Origin::Stored(own)) => self.stored.iter().position(|read| read == own),
            Some(Origin::Computed(_)) => {
                let nth = self.computed.iter().position(|computed| *computed == column)?;
                Some(stored + metadata + nth)
            }
            None => {
                let nth = self.of_metadata().position(|nth| declared.origins.len() + nth == column)?;
                Some(stored + nth)
            }
        }
    }
}

/// The column of the watermark before each row.
fn watermark_field() -> Field {
    Field::new(WATERMARK_BEFORE, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true)
}

/// A column that a scan wants.
enum Scanned {
    /// One that the source has.
    Read(usize),
    /// One that is computed from what the source has, and its name.
    Computed(Arc<dyn PhysicalExpr>, String),
}

/// Puts the columns that the scan wants first, and behind them those by which event time is told; a key's timeline becomes two columns of
/// its own.
fn arrange(
    flow: &mut Flow,
    wanted: Vec<Scanned>,
    kept: &[usize],
    timeline: Option<Arc<dyn PhysicalExpr>>,
) -> Result<()> {
    let in_place = |(nth, column): (usize, &Scanned)| matches!(column, Scanned::Read(read) if *read == nth);
    if wanted.iter().enumerate().all(in_place) && timeline.is_none() {
        return Ok(());
    }
    let mut from: Vec<Option<usize>> = Vec::with_capacity(wanted.len() + kept.len());
    let mut exprs: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::with_capacity(wanted.len() + kept.len());
    for column in wanted {
        match column {
            Scanned::Read(nth) => {
                from.push(Some(nth));
                exprs.push(read_column(flow, nth));
            }
            Scanned::Computed(expr, name) => {
                from.push(None);
                exprs.push((expr, name));
            }
        }
    }
    for nth in kept {
        if !from.contains(&Some(*nth)) {
            from.push(Some(*nth));
            exprs.push(read_column(flow, *nth));
        }
    }
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

fn read_column(flow: &Flow, nth: usize) -> (Arc<dyn PhysicalExpr>, String) {
    let name = flow.schema.field(nth).name().clone();
    (Arc::new(PhysicalColumn::new(&name, nth)), name)
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
