//! Rows to shards.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use headwater_core::ShardId;
use headwater_core::hash::{hash_rows, shard_of};
use headwater_log::StreamSpec;

use crate::error::Result;

/// Rows for one shard.
pub type Routed = (ShardId, RecordBatch);

/// Splits rows by the shard that the stream's partition columns say, the order within each shard kept; without such
/// columns all go to `otherwise`. Shards without rows are left out.
pub fn route(spec: &StreamSpec, rows: RecordBatch, otherwise: ShardId) -> Result<Vec<Routed>> {
    if rows.num_rows() == 0 {
        return Ok(Vec::new());
    }
    if spec.shards == 1 || spec.partition_by.is_empty() {
        return Ok(vec![(if spec.shards == 1 { ShardId(0) } else { otherwise }, rows)]);
    }
    let keys = spec.partition_by.iter().map(|name| key(&rows, name)).collect::<Result<Vec<_>>>()?;
    let mut rows_of = vec![Vec::new(); spec.shards as usize];
    for (row, hash) in (0_u32..).zip(hash_rows(&keys)?) {
        rows_of[shard_of(hash, spec.shards).0 as usize].push(row);
    }
    let mut routed = Vec::new();
    for (shard, indices) in (0_u32..).zip(rows_of) {
        if indices.len() == rows.num_rows() {
            return Ok(vec![(ShardId(shard), rows)]);
        }
        if !indices.is_empty() {
            routed.push((ShardId(shard), take_record_batch(&rows, &UInt32Array::from(indices))?));
        }
    }
    Ok(routed)
}

fn key(rows: &RecordBatch, name: &str) -> Result<ArrayRef> {
    let missing =
        || ArrowError::SchemaError(format!("the stream is partitioned by {name}, which is no column of it"));
    Ok(rows.column_by_name(name).map(Arc::clone).ok_or_else(missing)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use headwater_core::StreamName;

    use super::*;

    fn rows() -> RecordBatch {
        let keys: Vec<_> = (0..1000).map(|row| format!("device-{}", row % 37)).collect();
        let values = Int64Array::from_iter_values(0..1000);
        RecordBatch::try_from_iter([
            ("device", Arc::new(StringArray::from(keys)) as ArrayRef),
            ("value", Arc::new(values)),
        ])
        .unwrap()
    }

    #[test]
    fn keys_stay_together_and_in_order() {
        let rows = rows();
        let mut spec = StreamSpec::new(StreamName::new("s").unwrap(), rows.schema());
        spec.shards = 5;
        spec.partition_by = vec!["device".to_owned()];
        let routed = route(&spec, rows, ShardId(0)).unwrap();
        assert!(routed.len() > 1 && routed.len() <= 5);
        assert_eq!(routed.iter().map(|(_, rows)| rows.num_rows()).sum::<usize>(), 1000);
        for (shard, rows) in &routed {
            let values = rows.column(1).as_primitive::<Int64Type>().values();
            assert!(values.is_sorted(), "the order within a shard is kept");
            let hashes = hash_rows(&[Arc::clone(rows.column(0))]).unwrap();
            assert!(hashes.iter().all(|hash| shard_of(*hash, 5) == *shard));
        }
    }

    #[test]
    fn without_keys_the_caller_chooses() {
        let mut spec = StreamSpec::new(StreamName::new("s").unwrap(), rows().schema());
        spec.shards = 5;
        let routed = route(&spec, rows(), ShardId(3)).unwrap();
        assert_eq!(
            routed.iter().map(|(shard, rows)| (shard.0, rows.num_rows())).collect::<Vec<_>>(),
            [(3, 1000)]
        );
    }
}
