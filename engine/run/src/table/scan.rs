//! Reads the rows of a stream up to where it ended when the query was planned, a partition for each shard.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use headwater_core::ShardId;
use headwater_log::{ColumnBound, From, Log, LostRows, ReadSpec, ShardBounds, StreamInfo};
use headwater_plan::dataflow::Metadata;

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
        let metadata = Metadata { shard: has(0), sequence: has(1), arrival: has(2) };
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
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl StreamScan {
    /// A scan of the rows within `shards`.
    pub fn new(
        log: Arc<dyn Log>,
        info: Arc<StreamInfo>,
        columns: ScanColumns,
        bounds: Vec<ColumnBound>,
        shards: Vec<ShardBounds>,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&columns.schema)),
            Partitioning::UnknownPartitioning(shards.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { log, info, columns, bounds, shards, properties, metrics: ExecutionPlanMetricsSet::new() }
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
        let bounds = self.shards[partition];
        let spec = ReadSpec {
            stream: self.info.id,
            shard: ShardId(partition as u32),
            from: From::Sequence(bounds.first),
            until: Some(bounds.next),
            projection: Some(self.columns.own.clone()),
            bounds: self.bounds.clone(),
            arrivals: self.columns.metadata.arrival,
        };
        let columns = self.columns.clone();
        let log = Arc::clone(&self.log);
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&columns.schema), 2);
        let rows = builder.tx();
        builder.spawn_blocking(move || {
            if bounds.first == bounds.next {
                return Ok(());
            }
            let shard = spec.shard;
            let mut reader = log.read(spec).map_err(external)?;
            while let Some(read) = reader.next().map_err(external)? {
                let mut all = read.rows.columns().to_vec();
                let metadata = metadata_columns(columns.metadata, shard, &read);
                all.extend(
                    metadata.map_err(|error| datafusion::error::DataFusionError::External(error.into()))?,
                );
                let ordered = columns.order.iter().map(|place| Arc::clone(&all[*place])).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(read.rows.num_rows()));
                let batch =
                    RecordBatch::try_new_with_options(Arc::clone(&columns.schema), ordered, &options)?;
                metrics.record_output(batch.num_rows());
                if rows.blocking_send(Ok(batch)).is_err() {
                    // Nobody wants more: a LIMIT was reached, or the query was cancelled.
                    return Ok(());
                }
            }
            Ok(())
        });
        Ok(builder.build())
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
            Some(partition) => rows_of(&self.shards[partition]),
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
