//! Rows that these tests write and read.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use headwater_core::{ShardId, StreamId, StreamName};
use headwater_log::{Append, Log, ReadSpec, StreamSpec};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("n", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
    ]))
}

/// A stream of numbers in so many shards, whose event time is the number in milliseconds.
pub fn create(log: &dyn Log, name: &str, shards: u32) -> StreamId {
    let mut spec = StreamSpec::new(StreamName::new(name).unwrap(), schema());
    spec.shards = shards;
    spec.event_time = Some("at".to_owned());
    log.create_stream(spec).unwrap().id
}

/// Rows with these numbers, each with a text of so many characters.
pub fn rows(numbers: impl IntoIterator<Item = i64>, text: usize) -> RecordBatch {
    let numbers: Vec<i64> = numbers.into_iter().collect();
    let at = TimestampMillisecondArray::from(numbers.clone());
    let text: StringArray = numbers.iter().map(|n| Some(format!("{n:>text$}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(at), Arc::new(Int64Array::from(numbers)), Arc::new(text)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// An append of numbers.
pub fn append(stream: StreamId, shard: u32, numbers: impl IntoIterator<Item = i64>) -> Append {
    Append::new(stream, ShardId(shard), rows(numbers, 0))
}

/// The numbers that a reading gives, checked to be dense.
pub fn read(log: &dyn Log, spec: ReadSpec) -> Vec<i64> {
    let mut reader = log.read(spec).unwrap();
    let (mut all, mut next) = (Vec::new(), reader.position());
    while let Some(batch) = reader.next().unwrap() {
        assert_eq!(batch.first, next, "rows are dense");
        next = next.plus(batch.rows.num_rows() as u64);
        all.extend_from_slice(batch.rows.column(1).as_primitive::<Int64Type>().values());
    }
    all
}

/// All numbers of a shard.
pub fn read_all(log: &dyn Log, stream: StreamId, shard: u32) -> Vec<i64> {
    read(log, ReadSpec::all(stream, ShardId(shard)))
}
