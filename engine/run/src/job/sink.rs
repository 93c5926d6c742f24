//! The results of a step as appends: each row to its shard of the stream that they go into, and of a second one if there is one. They
//! go to the log with the step's line in the journal, in one group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use headwater_core::hash::{hash_rows, shard_of};
use headwater_core::{ShardId, StreamId};
use headwater_log::{Append, Producer, StreamInfo};
use headwater_operators::Rows;

use super::exec::{StepOutput, concat, concat_weights};
use super::members::Members;
use crate::error::{Result, RunError};

/// The last column of a changelog: how often its row is added or retracted.
pub(crate) const WEIGHT: &str = "_weight";

/// A second stream that results go into, in the same group: for each column of the stream an expression over the result's.
pub(crate) struct Copies {
    sink: Sink,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Copies {
    /// Copies into a stream.
    pub fn new(target: Arc<StreamInfo>, exprs: Vec<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        Ok(Self { sink: Sink::new(target)?, exprs })
    }

    /// The appends of a step's rows.
    pub fn appends(&self, rows: &[Rows], producer: Producer) -> Result<Vec<Append>> {
        let schema = &self.sink.info.spec.schema;
        let copied = rows.iter().map(|rows| {
            let columns = self.exprs.iter().map(|expr| {
                expr.evaluate(&rows.batch)
                    .and_then(|value| value.into_array(rows.len()))
                    .map_err(RunError::Query)
            });
            Ok(rows.with_batch(fit(schema, columns.collect::<Result<_>>()?)?))
        });
        Ok(self.sink.appends(&copied.collect::<Result<Vec<_>>>()?, producer)?.0)
    }
}

/// Where the results of a job go.
pub(crate) enum Results {
    /// Into a stream, and changed into a second one.
    Stream {
        /// The stream.
        sink: Sink,
        /// The second one.
        copies: Option<Copies>,
    },
    /// Nowhere, as the stream is a black hole: they are only counted.
    Counted(Arc<StreamInfo>),
    /// Into the streams of a set's triggers.
    Members(Arc<Members>),
}

impl Results {
    /// Into a stream, and into a second one if there are copies.
    pub fn to(target: Arc<StreamInfo>, copies: Option<Copies>) -> Result<Self> {
        Ok(Self::Stream { sink: Sink::new(target)?, copies })
    }

    /// The name of the stream; a set has none.
    pub fn target(&self) -> &str {
        match self {
            Self::Stream { sink, .. } => sink.info.spec.name.as_str(),
            Self::Counted(target) => target.spec.name.as_str(),
            Self::Members(_) => "",
        }
    }

    /// The appends of what a step says, and how many results they hold.
    pub fn appends(&self, said: &StepOutput, producer: Producer) -> Result<(Vec<Append>, u64)> {
        let rows = &said.rows;
        match self {
            Self::Stream { sink, copies } => {
                let (mut group, count) = sink.appends(rows, producer)?;
                if let Some(copies) = copies {
                    group.extend(copies.appends(rows, producer)?);
                }
                Ok((group, count))
            }
            Self::Counted(_) => Ok((Vec::new(), said.count())),
            Self::Members(members) => members.appends(rows, producer),
        }
    }
}

/// Turns results into appends.
pub(crate) struct Sink {
    info: Arc<StreamInfo>,
    /// The columns of the target that the shard is chosen by.
    keys: Vec<usize>,
    /// Whether the stream is a changelog.
    weighted: bool,
}

impl Sink {
    /// A sink into a stream. The stream is a changelog if its last column is [`WEIGHT`].
    pub fn new(info: Arc<StreamInfo>) -> Result<Self> {
        let schema = &info.spec.schema;
        let index = |name: &String| schema.index_of(name).map_err(|error| RunError::Query(error.into()));
        let keys = info.spec.partition_by.iter().map(index).collect::<Result<_>>()?;
        let weighted = schema.fields().last().is_some_and(|field| field.name() == WEIGHT);
        Ok(Self { info, keys, weighted })
    }

    /// The appends of a step's rows, and how many rows they hold.
    pub fn appends(&self, rows: &[Rows], producer: Producer) -> Result<(Vec<Append>, u64)> {
        if rows.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let batch = self.batch(rows)?;
        let count = batch.num_rows() as u64;
        let appends = spread(self.info.id, self.info.spec.shards, &self.keys, batch)?;
        Ok((appends.into_iter().map(|append| Append { producer: Some(producer), ..append }).collect(), count))
    }

    /// The appends of rows that have the weight already, if the stream has one.
    pub fn spread(&self, rows: &RecordBatch) -> Result<Vec<Append>> {
        let batch = fit(&self.info.spec.schema, rows.columns().to_vec())?;
        spread(self.info.id, self.info.spec.shards, &self.keys, batch)
    }

    fn batch(&self, rows: &[Rows]) -> Result<RecordBatch> {
        let own = rows[0].batch.schema();
        let in_result = |source| RunError::Operator { what: "the results of a step".into(), source };
        let batch = concat(&own, rows).map_err(in_result)?;
        let mut columns = batch.columns().to_vec();
        if self.weighted {
            columns.push(Arc::new(concat_weights(rows).map_err(in_result)?));
        } else if rows.iter().any(|rows| {
            rows.weights.as_ref().is_some_and(|weights| weights.iter().flatten().any(|weight| weight < 0))
        }) {
            return Err(RunError::Invalid(format!(
                "a retraction cannot be appended to stream {}",
                self.info.spec.name
            )));
        }
        fit(&self.info.spec.schema, columns)
    }
}

/// Puts columns under a schema of the same types, whatever their own names and nullability were.
pub fn fit(schema: &SchemaRef, mut columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    for (column, field) in columns.iter_mut().zip(schema.fields()) {
        if column.data_type() != field.data_type() {
            *column = arrow::compute::cast(column, field.data_type())?;
        }
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Gives each shard its rows, in order.
fn spread(stream: StreamId, shards: u32, keys: &[usize], batch: RecordBatch) -> Result<Vec<Append>> {
    if shards == 1 || keys.is_empty() {
        return Ok(vec![Append::new(stream, ShardId(0), batch)]);
    }
    let columns: Vec<ArrayRef> = keys.iter().map(|key| Arc::clone(batch.column(*key))).collect();
    let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); shards as usize];
    for (row, hash) in hash_rows(&columns)?.into_iter().enumerate() {
        rows_of[shard_of(hash, shards).0 as usize].push(row as u32);
    }
    let mut appends = Vec::new();
    for (shard, rows) in rows_of.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        let rows = take_record_batch(&batch, &UInt32Array::from(rows))?;
        appends.push(Append::new(stream, ShardId(shard as u32), rows));
    }
    Ok(appends)
}
