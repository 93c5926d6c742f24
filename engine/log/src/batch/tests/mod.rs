//! The codec against itself, against arrow's own IPC, and against damage.

mod arbitrary;
mod damage;
mod example;
mod pruning;
mod round_trip;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use headwater_core::{EventTime, SchemaId, Sequence, ShardId, StreamId};
use std::sync::Arc;

use super::*;
use crate::api::Compression;

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

const ARRIVAL: EventTime = EventTime(1_357_020_000_000_000_000);

fn source(compression: Compression) -> Source {
    Source {
        stream: StreamId(7),
        shard: ShardId(3),
        schema: SchemaId(0),
        event_time: None,
        compression,
        producer: None,
    }
}

fn placement() -> Placement {
    Placement { first: Sequence(1000), arrival: ARRIVAL, chain: 0xfeed_beef, group_continues: false }
}

fn bytes_of(encoded: &Encoded) -> Vec<u8> {
    let bytes: Vec<u8> = encoded.slices().flatten().copied().collect();
    assert_eq!(bytes.len() as u64, encoded.total_bytes());
    assert_eq!(bytes.len() % 64, 0);
    bytes
}

fn encode(rows: &RecordBatch, compression: Compression) -> Vec<u8> {
    let same = Arrivals::Same(EventTime(0));
    let prepared = prepare(&source(compression), rows, &same, &Limits::FORMAT).unwrap();
    bytes_of(&prepared.finish(placement()))
}

/// Reads all columns from the bytes of a batch.
fn read(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch, BatchError> {
    let header = Header::parse(bytes, &Limits::FORMAT)?;
    let wanted =
        Wanted { written: schema, target: schema, projection: None, output: schema, arrivals: false };
    Ok(decode(&header, &wanted, &Buffer::from(bytes))?.rows)
}

fn project(schema: &SchemaRef, columns: &[usize]) -> SchemaRef {
    Arc::new(Schema::project(schema, columns).unwrap())
}
