//! One stable hash of keys: it decides a row's shard and a key's slot, so it never changes.
//!
//! The hash of a row is XXH3-64 over the row's key columns in `arrow-row` encoding. The encoding of a single
//! column of integers, or of one column of text, is common enough to have a path of its own with the same meaning on
//! every machine: XXH3-64 over the little-endian bytes of the `i64`, or over the UTF-8 bytes. A NULL hashes to 0.
//!
//! Shards own equal ranges of the hash space, in order (as Kinesis has it), so that resharding can split and merge
//! ranges. Slots are the top bits of the same hash, mixed once more so that the slots of one shard's keys spread.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow_row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_64;

use crate::ids::ShardId;

/// The number of slots that keyed state is split into. Fixed: a checkpoint names slots.
pub const SLOTS: u32 = 256;

/// Hashes each row's key. Without key columns every row hashes to 0.
pub fn hash_rows(keys: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    match keys {
        [] => Ok(Vec::new()),
        [one] => match one.data_type() {
            DataType::Int64 => {
                let values = one.as_primitive::<Int64Type>();
                Ok(hash_each(one.as_ref(), |row| xxh3_64(&values.value(row).to_le_bytes())))
            }
            DataType::Int32 => {
                let values = one.as_primitive::<Int32Type>();
                Ok(hash_each(one.as_ref(), |row| xxh3_64(&i64::from(values.value(row)).to_le_bytes())))
            }
            DataType::Utf8 => {
                let values = one.as_string::<i32>();
                Ok(hash_each(one.as_ref(), |row| xxh3_64(values.value(row).as_bytes())))
            }
            DataType::LargeUtf8 => {
                let values = one.as_string::<i64>();
                Ok(hash_each(one.as_ref(), |row| xxh3_64(values.value(row).as_bytes())))
            }
            DataType::Utf8View => {
                let values = one.as_string_view();
                Ok(hash_each(one.as_ref(), |row| xxh3_64(values.value(row).as_bytes())))
            }
            _ => hash_encoded(keys),
        },
        _ => hash_encoded(keys),
    }
}

fn hash_each(column: &dyn Array, hash: impl Fn(usize) -> u64) -> Vec<u64> {
    if column.null_count() == 0 {
        (0..column.len()).map(hash).collect()
    } else {
        (0..column.len()).map(|row| if column.is_null(row) { 0 } else { hash(row) }).collect()
    }
}

fn hash_encoded(keys: &[ArrayRef]) -> Result<Vec<u64>, ArrowError> {
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(keys)?;
    Ok(rows.iter().map(|row| xxh3_64(row.as_ref())).collect())
}

/// The shard that owns a hash, of `shards` (at least 1) equal ranges.
pub const fn shard_of(hash: u64, shards: u32) -> ShardId {
    ShardId(((hash as u128 * shards as u128) >> 64) as u32)
}

/// The slot of a hash, below [`SLOTS`].
pub const fn slot_of(hash: u64) -> u32 {
    ((hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 56) as u32
}

/// The worker that owns a slot when there are `workers` (at least 1): contiguous ranges of slots.
pub const fn worker_of(slot: u32, workers: u32) -> u32 {
    slot * workers / SLOTS
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn the_hash_is_stable_for_ever() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(42), None]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["EWR", "JFK"]));
        let view: ArrayRef = Arc::new(StringViewArray::from(vec!["EWR", "JFK"]));
        assert_eq!(hash_rows(&[ints]).unwrap(), [xxh3_64(&[0; 8]), 0xd5a6_f8c8_38df_27c8, 0]);
        assert_eq!(hash_rows(&[Arc::clone(&text)]).unwrap(), hash_rows(&[view]).unwrap());
        assert_eq!(hash_rows(&[text.clone(), text]).unwrap().len(), 2);
    }

    #[test]
    fn shards_slots_and_workers_stay_in_range() {
        for hash in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(shard_of(hash, 7).0 < 7);
            assert!(slot_of(hash) < SLOTS);
            for workers in 1..9 {
                assert!(worker_of(slot_of(hash), workers) < workers);
            }
        }
        assert_eq!(shard_of(u64::MAX, 1), ShardId(0));
        assert_eq!(shard_of(u64::MAX, 1000), ShardId(999));
    }
}
