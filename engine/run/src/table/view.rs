//! A materialized view whose rows change: its stream is a changelog, and the view is the fold of it.
//!
//! Each read brings the fold up to date from where the last one left it, so that a query costs what has changed since, and
//! what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use headwater_core::{Sequence, ShardId};
use headwater_log::{From, Log, ReadSpec, StreamInfo};
use parking_lot::Mutex;

use super::stream::external;

/// The rows of a changelog so far, each with its weight; rows of weight zero are gone.
pub(crate) struct ViewFold {
    log: Arc<dyn Log>,
    info: Arc<StreamInfo>,
    schema: SchemaRef,
    state: Mutex<FoldState>,
}

struct FoldState {
    next: Vec<Sequence>,
    converter: arrow_row::RowConverter,
    /// Encoded row to weight. Ordered, so that a view is read in the same order whenever it holds the same rows.
    weights: BTreeMap<Box<[u8]>, i64>,
}

impl ViewFold {
    /// The fold of a changelog, from its beginning.
    pub fn new(log: Arc<dyn Log>, info: Arc<StreamInfo>) -> Result<Self> {
        let columns = info.spec.schema.fields().len() - 1;
        let fields: Vec<_> = info.spec.schema.fields()[..columns].to_vec();
        let sort = fields.iter().map(|field| arrow_row::SortField::new(field.data_type().clone())).collect();
        let converter = arrow_row::RowConverter::new(sort)?;
        let next = vec![Sequence::ZERO; info.spec.shards as usize];
        let state = Mutex::new(FoldState { next, converter, weights: BTreeMap::new() });
        Ok(Self { log, info, schema: Arc::new(Schema::new(fields)), state })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows as of now.
    pub fn rows(&self) -> Result<RecordBatch> {
        let mut state = self.state.lock();
        self.catch_up(&mut state)?;
        let parser = state.converter.parser();
        let mut encoded = Vec::new();
        for (row, weight) in &state.weights {
            let times = usize::try_from(*weight).map_err(|_| {
                let stream = &self.info.spec.name;
                DataFusionError::Execution(format!(
                    "view {stream}: a row is retracted {} times too often",
                    -weight
                ))
            })?;
            encoded.extend(std::iter::repeat_n(parser.parse(row), times));
        }
        let columns = state.converter.convert_rows(encoded)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn catch_up(&self, state: &mut FoldState) -> Result<()> {
        let bounds = self.log.bounds(self.info.id).map_err(external)?;
        for (shard, bounds) in bounds.iter().enumerate() {
            if state.next[shard] >= bounds.next {
                continue;
            }
            let mut reader = self
                .log
                .read(ReadSpec {
                    from: From::Sequence(state.next[shard]),
                    until: Some(bounds.next),
                    ..ReadSpec::all(self.info.id, ShardId(shard as u32))
                })
                .map_err(external)?;
            while let Some(read) = reader.next().map_err(external)? {
                state.apply(&read.rows)?;
            }
            state.next[shard] = bounds.next;
        }
        Ok(())
    }
}

impl FoldState {
    fn apply(&mut self, changes: &RecordBatch) -> Result<()> {
        let columns = changes.num_columns() - 1;
        let weights = changes.column(columns).as_primitive::<Int64Type>();
        let rows = self.converter.convert_columns(&changes.columns()[..columns])?;
        for (row, weight) in rows.iter().zip(weights.values()) {
            let row: &[u8] = row.as_ref();
            match self.weights.get_mut(row) {
                Some(sum) => {
                    *sum += weight;
                    if *sum == 0 {
                        self.weights.remove(row);
                    }
                }
                None => {
                    self.weights.insert(row.into(), *weight);
                }
            }
        }
        Ok(())
    }
}

/// A changing view as a table.
pub(crate) struct ViewTable(pub Arc<ViewFold>);

impl std::fmt::Debug for ViewTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewTable({})", self.0.info.spec.name)
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let fold = Arc::clone(&self.0);
        let rows = tokio::task::spawn_blocking(move || fold.rows())
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))??;
        MemTable::try_new(rows.schema(), vec![vec![rows]])?.scan(state, projection, filters, limit).await
    }
}
