//! Rows to bytes and back in one word, and what the cases need for that.

pub(super) use std::sync::Arc;

pub(super) use arrow::array::RecordBatch;
pub(super) use arrow::buffer::Buffer;
pub(super) use arrow::datatypes::{Schema, SchemaRef};
pub(super) use headwater_core::{EventTime, SchemaId, Sequence, ShardId, StreamId};

pub(super) use super::arbitrary;
pub(super) use crate::api::Compression;
pub(super) use crate::batch::*;

pub(super) const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

pub(super) const ARRIVAL: EventTime = EventTime(1_357_020_000_000_000_000);

pub(super) fn source(compression: Compression) -> Source {
    Source {
        stream: StreamId(7),
        shard: ShardId(3),
        schema: SchemaId(0),
        event_time: None,
        compression,
        producer: None,
    }
}

pub(super) fn placement() -> Placement {
    Placement { first: Sequence(1000), arrival: ARRIVAL, chain: 0xfeed_beef, group_continues: false }
}

pub(super) fn bytes_of(encoded: &Encoded) -> Vec<u8> {
    let bytes: Vec<u8> = encoded.slices().flatten().copied().collect();
    assert_eq!(bytes.len() as u64, encoded.total_bytes());
    assert_eq!(bytes.len() % 64, 0);
    bytes
}

pub(super) fn encode(rows: &RecordBatch, compression: Compression) -> Vec<u8> {
    let same = Arrivals::Same(EventTime(0));
    let prepared = prepare(&source(compression), rows, &same, &Limits::FORMAT).unwrap();
    bytes_of(&prepared.finish(placement()))
}

/// Reads all columns from the bytes of a batch.
pub(super) fn read(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch, BatchError> {
    let header = Header::parse(bytes, &Limits::FORMAT)?;
    let wanted =
        Wanted { written: schema, target: schema, projection: None, output: schema, arrivals: false };
    Ok(decode(&header, &wanted, &Buffer::from(bytes))?.rows)
}

pub(super) fn project(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    Arc::new(Schema::project(schema, columns).unwrap())
}
