//! Reads the rows of a stream up to where it ended when the query was planned.
//!
//! There are as many partitions as threads that could read them, or shards if those are fewer; each reads its shards one after the
//! other. A partition reads a little ahead of whoever takes its rows, and holds no thread while it waits for that: a query whose answer
//! is read slowly costs memory for what is read ahead, and nothing that others need.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use futures::future::Either;
use futures::{Stream, TryStreamExt, stream};
use headwater_core::ShardId;
use headwater_log::{ColumnBound, From, Log, LostRows, ReadSpec, Reader, ShardBounds, StreamInfo};
use headwater_plan::dataflow::Metadata;
use tokio::task::JoinHandle;

use super::stream::external;
use crate::job::metadata_columns;

/// Which columns a scan gives, and how they are put together from what the log gives.
#[derive(Debug, Clone)]
pub(super) struct ScanColumns {
    /// What comes out.
    schema: SchemaRef,
    /// Columns of the stream to read.
    own: Vec<usize>,
    metadata: Metadata,
    /// For each column that comes out, its place among the columns read and the metadata columns after them.
    order: Vec<usize>,
}

impl ScanColumns {
    /// The columns `projection` of a table whose first `own` columns are the stream's, the others metadata.
    pub fn new(table: &SchemaRef, projection: &[usize], own: usize) -> Result<Self> {
        let has = |column: usize| projection.contains(&(own + column));
        let metadata = Metadata { shard: has(0), sequence: has(1), arrival: has(2), watermark: false };
        let read: Vec<usize> = projection.iter().copied().filter(|column| *column < own).collect();
        let mut order = Vec::with_capacity(projection.len());
        let mut next_own = 0;
        for column in projection {
            if *column < own {
                order.push(next_own);
                next_own += 1;
                continue;
            }
            let earlier =
                [metadata.shard, metadata.sequence].iter().take(column - own).filter(|has| **has).count();
            order.push(read.len() + earlier);
        }
        Ok(Self { schema: Arc::new(table.project(projection)?), own: read, metadata, order })
    }
}

/// The scan of a stream.
pub(super) struct StreamScan {
    log: Arc<dyn Log>,
    info: Arc<StreamInfo>,
    columns: ScanColumns,
    bounds: Vec<ColumnBound>,
    shards: Vec<ShardBounds>,
    partitions: usize,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl StreamScan {
    /// A scan of the rows within `shards`, by at most so many threads.
    pub fn new(
        log: Arc<dyn Log>,
        info: Arc<StreamInfo>,
        columns: ScanColumns,
        bounds: Vec<ColumnBound>,
        shards: Vec<ShardBounds>,
        threads: usize,
    ) -> Self {
        let partitions = shards.len().min(threads).max(1);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&columns.schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        let metrics = ExecutionPlanMetricsSet::new();
        Self { log, info, columns, bounds, shards, partitions, properties, metrics }
    }

    /// The shards that a partition reads.
    fn shards_of(&self, partition: usize) -> impl Iterator<Item = (ShardId, ShardBounds)> {
        let all = (0..).map(ShardId).zip(self.shards.iter().copied());
        all.skip(partition).step_by(self.partitions)
    }

    /// Whether one of these rows lies within the scan.
    fn reads_any(&self, lost: &LostRows) -> bool {
        let within = self.shards.get(lost.shard.0 as usize);
        within.is_some_and(|shard| lost.rows.start < shard.next && shard.first < lost.rows.end)
    }
}

impl fmt::Debug for StreamScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamScan({})", self.info.spec.name)
    }
}

impl DisplayAs for StreamScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.columns.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "StreamScan: {} [{}]", self.info.spec.name, names.join(", "))?;
        if !self.bounds.is_empty() {
            write!(f, ", {} bounds prune batches", self.bounds.len())?;
        }
        Ok(())
    }
}

impl ExecutionPlan for StreamScan {
    fn name(&self) -> &'static str {
        "StreamScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scanner = Scanner {
            log: Arc::clone(&self.log),
            info: Arc::clone(&self.info),
            columns: self.columns.clone(),
            bounds: self.bounds.clone(),
            shards: self.shards_of(partition).filter(|(_, bounds)| bounds.first != bounds.next).collect(),
            reader: None,
        };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows = read_ahead(scanner).inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.columns.schema), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// How many rows there are is known exactly without reading any, since sequence numbers are dense: `COUNT(*)` is
    /// answered from this.
    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let rows_of = |shard: &ShardBounds| (shard.next.0 - shard.first.0) as usize;
        let rows = match args.partition() {
            Some(partition) => self.shards_of(partition).map(|(_, shard)| rows_of(&shard)).sum(),
            None => self.shards.iter().map(rows_of).sum(),
        };
        // A scan with bounds may leave rows out; one that meets lost rows is an error, which a count must not hide.
        let is_whole = !self.log.lost(self.info.id).iter().any(|lost| self.reads_any(lost));
        let num_rows = if self.bounds.is_empty() && is_whole {
            Precision::Exact(rows)
        } else {
            Precision::Inexact(rows)
        };
        let column_statistics = vec![ColumnStatistics::new_unknown(); self.columns.schema.fields().len()];
        Ok(Arc::new(Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }))
    }
}

/// So many rows, or so many bytes, are read at a time: what a partition is ahead by at most, a batch of the log more or less.
const AHEAD_ROWS: usize = 16 << 10;
const AHEAD_BYTES: usize = 4 << 20;

/// What reads a partition.
struct Scanner {
    log: Arc<dyn Log>,
    info: Arc<StreamInfo>,
    columns: ScanColumns,
    bounds: Vec<ColumnBound>,
    /// Those that are still to be read.
    shards: VecDeque<(ShardId, ShardBounds)>,
    reader: Option<(ShardId, Box<dyn Reader>)>,
}

impl Scanner {
    /// The next rows; none when there are no more. Blocks.
    fn read(&mut self) -> Result<Vec<RecordBatch>> {
        let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < AHEAD_ROWS && bytes < AHEAD_BYTES {
            let Some(batch) = self.next()? else { break };
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            batches.push(batch);
        }
        Ok(batches)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some((shard, reader)) = &mut self.reader else {
                let Some((shard, bounds)) = self.shards.pop_front() else { return Ok(None) };
                let spec = ReadSpec {
                    stream: self.info.id,
                    shard,
                    from: From::Sequence(bounds.first),
                    until: Some(bounds.next),
                    projection: Some(self.columns.own.clone()),
                    bounds: self.bounds.clone(),
                    arrivals: self.columns.metadata.arrival,
                };
                self.reader = Some((shard, self.log.read(spec).map_err(external)?));
                continue;
            };
            let Some(read) = reader.next().map_err(external)? else {
                self.reader = None;
                continue;
            };
            let mut all = read.rows.columns().to_vec();
            let metadata = metadata_columns(self.columns.metadata, *shard, &read);
            all.extend(metadata.map_err(|error| DataFusionError::External(error.into()))?);
            let ordered = self.columns.order.iter().map(|place| Arc::clone(&all[*place])).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(read.rows.num_rows()));
            let schema = Arc::clone(&self.columns.schema);
            return Ok(Some(RecordBatch::try_new_with_options(schema, ordered, &options)?));
        }
    }
}

/// A partition that is not read from yet, or whose next rows are on their way.
type Next = Either<Scanner, JoinHandle<(Scanner, Result<Vec<RecordBatch>>)>>;

/// The rows of a partition. What comes next is read on a thread for what blocks, while the rows before it are taken.
fn read_ahead(scanner: Scanner) -> impl Stream<Item = Result<RecordBatch>> {
    let read = |mut scanner: Scanner| {
        tokio::task::spawn_blocking(move || {
            let batches = scanner.read();
            (scanner, batches)
        })
    };
    let parts = stream::try_unfold(Next::Left(scanner), move |next| async move {
        let task = match next {
            Next::Left(scanner) => read(scanner),
            Next::Right(task) => task,
        };
        let (scanner, batches) =
            task.await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
        let batches = batches?;
        if batches.is_empty() {
            return Ok::<_, DataFusionError>(None);
        }
        let batches = stream::iter(batches.into_iter().map(Ok::<_, DataFusionError>));
        Ok(Some((batches, Next::Right(read(scanner)))))
    });
    parts.try_flatten()
}
