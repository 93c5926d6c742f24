//! A stream as a table: its rows so far, those of its archive included, with the metadata columns `_shard`, `_sequence` and
//! `_arrival` after its own.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use headwater_archive::History;
use headwater_log::{Log, LogError, StreamInfo};

use super::archived::Archived;
use super::bounds::bounds_of;
use super::scan::{ScanColumns, StreamScan};

/// A stream of the log.
pub(crate) struct StreamTable {
    history: Arc<History>,
    info: Arc<StreamInfo>,
    schema: SchemaRef,
}

impl StreamTable {
    /// The stream as it is now.
    pub fn new(history: Arc<History>, info: Arc<StreamInfo>) -> Self {
        let mut fields = info.spec.schema.fields().to_vec();
        let arrival = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let types = [DataType::Int32, DataType::Int64, arrival];
        let metadata = headwater_plan::METADATA_COLUMNS.into_iter().zip(types);
        fields.extend(metadata.map(|(name, data_type)| Arc::new(Field::new(name, data_type, false))));
        Self { history, info, schema: Arc::new(Schema::new(fields)) }
    }
}

impl std::fmt::Debug for StreamTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamTable({})", self.info.spec.name)
    }
}

#[async_trait]
impl TableProvider for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns =
            ScanColumns::new(&self.schema, projection.unwrap_or(&all), self.info.spec.schema.fields().len())?;
        let bounds = bounds_of(filters, &self.info.spec.schema);
        let log: Arc<dyn Log> = Arc::clone(&self.history) as _;
        let threads = state.config().target_partitions();
        let scan =
            |shards| StreamScan::new(log, Arc::clone(&self.info), columns, bounds.clone(), shards, threads);
        let kept = self.history.log().bounds(self.info.id).map_err(external)?;
        let Some(archive) = self.history.archive(self.info.id) else { return Ok(Arc::new(scan(kept))) };
        let Some(archived) = Archived::split(archive, kept.clone())? else { return Ok(Arc::new(scan(kept))) };
        let rest = Arc::new(scan(archived.rest.clone()));
        let files = archived.scan(state, &self.schema, projection, filters, &bounds)?;
        UnionExec::try_new(vec![files, rest])
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

pub(super) fn external(error: LogError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
