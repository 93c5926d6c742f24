//! A stream of readings, and short words for what the cases do with it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use headwater_core::{Sequence, ShardId, StreamId, StreamName};

use super::Make;
use crate::api::{Append, Appended, Log, ReadSpec, StreamInfo, StreamSpec};

/// A log with one stream, `readings`.
pub(super) struct Fixture {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The stream.
    pub stream: StreamId,
}

/// `at` (milliseconds, event time), `value`, `note`.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", DataType::Int64, false),
        Field::new("note", DataType::Utf8, true),
    ]))
}

/// Rows with these values; event time is the value in seconds, the note its text, NULL for every third.
pub(super) fn rows(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let values: Vec<i64> = values.into_iter().collect();
    let at = TimestampMillisecondArray::from_iter_values(values.iter().map(|value| value * 1000));
    let note: StringArray =
        values.iter().map(|value| (value % 3 != 0).then(|| format!("note {value}"))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(at), Arc::new(Int64Array::from(values)), Arc::new(note)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The values of a batch whose column `column` is `value`.
pub(super) fn values(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().values().to_vec()
}

impl Fixture {
    /// An empty log with the stream in so many shards.
    pub(super) fn new(make: Make<'_>, shards: u32) -> Self {
        let log = make();
        let stream = create(&*log, "readings", shards).id;
        Self { log, stream }
    }

    /// An append to a shard.
    pub(super) fn append_of(&self, shard: u32, values: impl IntoIterator<Item = i64>) -> Append {
        Append::new(self.stream, ShardId(shard), rows(values))
    }

    /// Appends to a shard.
    pub(super) fn append(&self, shard: u32, values: impl IntoIterator<Item = i64>) -> Appended {
        self.log.append(vec![self.append_of(shard, values)]).unwrap()[0]
    }

    /// Reads all of a shard.
    pub(super) fn spec(&self, shard: u32) -> ReadSpec {
        ReadSpec::all(self.stream, ShardId(shard))
    }

    /// The values that a reading gives, checked to be dense from where it starts.
    pub(super) fn read(&self, spec: ReadSpec) -> Vec<i64> {
        let mut reader = self.log.read(spec).unwrap();
        let mut all = Vec::new();
        let mut next = reader.position();
        while let Some(batch) = reader.next().unwrap() {
            assert_eq!(batch.first, next, "rows are dense");
            assert!(batch.rows.num_rows() > 0, "no batch is empty");
            next = next.plus(batch.rows.num_rows() as u64);
            assert_eq!(reader.position(), next);
            all.extend(values(&batch.rows, 1));
        }
        all
    }

    /// The values of a shard.
    pub(super) fn read_all(&self, shard: u32) -> Vec<i64> {
        self.read(self.spec(shard))
    }

    /// Where the rows of a shard end.
    pub(super) fn next(&self, shard: usize) -> Sequence {
        self.log.bounds(self.stream).unwrap()[shard].next
    }
}

/// A stream of readings.
pub(super) fn create(log: &dyn Log, name: &str, shards: u32) -> StreamInfo {
    let mut spec = StreamSpec::new(StreamName::new(name).unwrap(), schema());
    spec.shards = shards;
    spec.event_time = Some("at".to_owned());
    log.create_stream(spec).unwrap()
}
