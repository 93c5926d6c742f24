//! Rows to shards.

use arrow::array::RecordBatch;
use headwater_core::ShardId;
use headwater_log::StreamSpec;

use crate::error::Result;

/// Rows for one shard.
pub type Routed = (ShardId, RecordBatch);

/// Splits rows by the shard that the stream's partition columns say; without such columns all go to `otherwise`.
pub fn route(spec: &StreamSpec, rows: RecordBatch, otherwise: ShardId) -> Result<Vec<Routed>> {
    let _ = (spec, rows, otherwise);
    unimplemented!()
}
