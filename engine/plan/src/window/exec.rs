//! How DataFusion runs windows over the rows so far: the oracle that streams are compared with.
//!
//! Simple on purpose: TUMBLE, HOP and CUMULATE repeat each row once for each of its windows, batch by batch; the others take all
//! rows into memory and sort each partition's by time. In a SESSION rows exactly a gap apart belong together. Rows without a time lie in
//! no window.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties, SendableRecordBatchStream,
};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::{StreamExt, TryStreamExt};

use super::node::{WindowTvf, Windowing};
use super::ordered::ordered_windows;

/// Turns [`WindowTvf`] into an execution plan.
#[derive(Debug)]
pub(crate) struct WindowPlanner;

#[async_trait]
impl ExtensionPlanner for WindowPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _planning: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(window) = node.as_any().downcast_ref::<WindowTvf>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("a window has one input") };
        let schema = Arc::clone(window.node_schema().inner());
        let names = window.input.schema();
        let conditions =
            window.conditions.iter().map(|condition| session.create_physical_expr(condition.clone(), names));
        let what = What {
            windowing: window.windowing,
            time: window.time_index()?,
            keys: window.partition_indices()?,
            conditions: conditions.collect::<Result<_>>()?,
            schema,
        };
        Ok(Some(Arc::new(WindowExec::new(Arc::clone(input), Arc::new(what)))))
    }
}

impl WindowTvf {
    fn node_schema(&self) -> &datafusion::common::DFSchemaRef {
        datafusion::logical_expr::UserDefinedLogicalNodeCore::schema(self)
    }
}

/// What rows are given windows by.
#[derive(Debug)]
pub(super) struct What {
    pub(super) windowing: Windowing,
    pub(super) time: usize,
    pub(super) keys: Vec<usize>,
    pub(super) conditions: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) schema: SchemaRef,
}

#[derive(Debug)]
struct WindowExec {
    input: Arc<dyn ExecutionPlan>,
    what: Arc<What>,
    properties: Arc<PlanProperties>,
}

impl WindowExec {
    fn new(input: Arc<dyn ExecutionPlan>, what: Arc<What>) -> Self {
        let partitions = match what.windowing.depends_on_rows() {
            true => 1,
            false => input.output_partitioning().partition_count(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&what.schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, what, properties: Arc::new(properties) }
    }
}

impl DisplayAs for WindowExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowExec: {} {}", self.what.windowing.name(), self.what.windowing)
    }
}

impl ExecutionPlan for WindowExec {
    fn name(&self) -> &str {
        "WindowExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![match self.what.windowing.depends_on_rows() {
            true => Distribution::SinglePartition,
            false => Distribution::UnspecifiedDistribution,
        }]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("a window has one input") };
        Ok(Arc::new(Self::new(input, Arc::clone(&self.what))))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let mut next = TreeNodeRecursion::Continue;
        for condition in &self.what.conditions {
            next = visit(condition)?;
            if next == TreeNodeRecursion::Stop {
                break;
            }
        }
        Ok(next)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (what, schema) = (Arc::clone(&self.what), Arc::clone(&self.what.schema));
        if !what.windowing.depends_on_rows() {
            let rows = input.map(move |batch| assign(&batch?, what.windowing, what.time, &what.schema));
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
        }
        let rows = futures::stream::once(async move {
            let input_schema = input.schema();
            let batches: Vec<RecordBatch> = input.try_collect().await?;
            let rows = concat_batches(&input_schema, &batches)?;
            match what.windowing {
                Windowing::Session { gap } => sessions(&rows, gap, what.time, &what.keys, &what.schema),
                _ => ordered_windows(&rows, &what),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Each row once for each of its windows.
fn assign(batch: &RecordBatch, windowing: Windowing, time: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    let times = nanos(batch.column(time))?;
    let (mut rows, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        if times.is_null(row) {
            continue;
        }
        for (start, end) in windows_of(windowing, times.value(row)) {
            rows.push(u32::try_from(row).or_else(|_| exec_err!("a batch of more than 2^32 rows"))?);
            starts.push(start);
            ends.push(end);
        }
    }
    append_windows(batch, rows, starts, ends, None, schema)
}

/// The windows that a time lies in, earliest end first.
fn windows_of(windowing: Windowing, time: i64) -> Vec<(i64, i64)> {
    let floor = |size: i64, offset: i64| time - (time - offset).rem_euclid(size);
    match windowing {
        Windowing::Tumble { size, offset } => {
            let start = floor(size, offset);
            vec![(start, start + size)]
        }
        Windowing::Hop { size, slide, offset } => {
            let last = floor(slide, offset);
            let mut windows: Vec<_> = (0..)
                .map(|nth| last - nth * slide)
                .take_while(|start| time < start + size)
                .map(|start| (start, start + size))
                .collect();
            windows.reverse();
            windows
        }
        Windowing::Cumulate { size, step, offset } => {
            let start = floor(size, offset);
            let first = start + ((time - start) / step + 1) * step;
            (0..)
                .map(|nth| first + nth * step)
                .take_while(|end| *end <= start + size)
                .map(|end| (start, end))
                .collect()
        }
        Windowing::Session { .. } | Windowing::Count { .. } | Windowing::State => Vec::new(),
    }
}

/// Each row with the session of its partition.
fn sessions(
    batch: &RecordBatch,
    gap: i64,
    time: usize,
    keys: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let times = nanos(batch.column(time))?;
    let mut partitions = partitions(batch, &times, keys)?;
    let (mut rows, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for members in &mut partitions {
        members.sort_by_key(|row| times.value(*row as usize));
        for session in members.chunk_by(|a, b| times.value(*b as usize) <= times.value(*a as usize) + gap) {
            let at = |nth: usize| times.value(session[nth] as usize);
            let (start, end) = (at(0), at(session.len() - 1) + gap);
            rows.extend_from_slice(session);
            starts.extend(session.iter().map(|_| start));
            ends.extend(session.iter().map(|_| end));
        }
    }
    append_windows(batch, rows, starts, ends, None, schema)
}

/// The rows of each partition that have a time.
pub(super) fn partitions(batch: &RecordBatch, times: &Int64Array, keys: &[usize]) -> Result<Vec<Vec<u32>>> {
    let columns: Vec<ArrayRef> = keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let mut partitions: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    let encoded =
        if keys.is_empty() { None } else { Some(RowConverter::new(fields)?.convert_columns(&columns)?) };
    for row in (0..batch.num_rows()).filter(|row| times.is_valid(*row)) {
        let key = encoded.as_ref().map_or_else(Vec::new, |rows| rows.row(row).as_ref().to_vec());
        let row = u32::try_from(row).or_else(|_| exec_err!("more than 2^32 rows"))?;
        partitions.entry(key).or_default().push(row);
    }
    Ok(partitions.into_values().collect())
}

/// Rows with the bounds of their windows, and their numbers where they have some.
pub(super) fn append_windows(
    batch: &RecordBatch,
    rows: Vec<u32>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    numbers: Option<Vec<i64>>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let own = batch.num_columns();
    let kind = schema.field(own).data_type();
    let times: Vec<i64> = ends.iter().map(|end| end - 1_000_000).collect();
    let mut columns = take_record_batch(batch, &UInt32Array::from(rows))?.columns().to_vec();
    for values in [starts, ends, times] {
        columns.push(from_nanos(values, kind)?);
    }
    columns.extend(numbers.map(|numbers| Arc::new(Int64Array::from(numbers)) as ArrayRef));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

pub(super) fn nanos(column: &ArrayRef) -> Result<Int64Array> {
    let column = cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
    Ok(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn from_nanos(values: Vec<i64>, kind: &DataType) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = kind else {
        return internal_err!("a window's columns are timestamps");
    };
    let column: ArrayRef = Arc::new(TimestampNanosecondArray::from(values));
    let column = cast(&column, &DataType::Timestamp(*unit, None))?;
    match zone {
        // The time column's nanoseconds are UTC already: the zone is a label.
        Some(_) => {
            let numbers = cast(&column, &DataType::Int64)?;
            Ok(cast(&numbers, kind)?)
        }
        None => Ok(column),
    }
}
