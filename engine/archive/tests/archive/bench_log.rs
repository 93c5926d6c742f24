//! A log with rows to archive, and ways to look at what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use futures::TryStreamExt;
use headwater_archive::{Archiver, Place, Roll, Settings, Stepped};
use headwater_core::world::sim::SimWorld;
use headwater_core::{Sequence, ShardId, StreamName};
use headwater_log::{
    Append, DiskLog, DiskLogOptions, Log, LogError, ReadSpec, Reader, StreamInfo, StreamSpec,
};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The columns of the stream.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", DataType::Int64, true),
    ]))
}

/// Rows numbered `from..to`, an hour of event time apart, of three devices.
pub fn rows(numbers: std::ops::Range<i64>) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(numbers.clone().map(|n| format!("d{}", n % 3)))),
        Arc::new(TimestampMillisecondArray::from_iter_values(numbers.clone().map(|n| n * 3_600_000))),
        Arc::new(Int64Array::from_iter_values(numbers)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// A simulated machine with a log with a stream of two shards.
pub struct Bench {
    pub sim: SimWorld,
    pub log: Arc<dyn Log>,
    pub info: Arc<StreamInfo>,
}

impl Bench {
    pub fn new(seed: u64) -> Self {
        Self::on(SimWorld::new(seed), schema())
    }

    /// Another machine, whose stream was made so many hours later.
    pub fn later(hours: u64, schema: SchemaRef) -> Self {
        let sim = SimWorld::new(hours);
        sim.clock().advance(Duration::from_secs(3_600 * hours));
        Self::on(sim, schema)
    }

    fn on(sim: SimWorld, schema: SchemaRef) -> Self {
        let options =
            DiskLogOptions { segment_bytes: 4096, scrub_bytes_per_second: 0, ..DiskLogOptions::default() };
        let log: Arc<dyn Log> = DiskLog::open(sim.world(), "/data".as_ref(), options).unwrap();
        let spec = StreamSpec {
            shards: 2,
            event_time: Some("ts".into()),
            ..StreamSpec::new(StreamName::new("readings").unwrap(), schema)
        };
        let info = Arc::new(log.create_stream(spec).unwrap());
        Self { sim, log, info }
    }

    pub fn append(&self, shard: u32, numbers: std::ops::Range<i64>) {
        self.log.append(vec![Append::new(self.info.id, ShardId(shard), rows(numbers))]).unwrap();
    }

    pub async fn archiver(&self, place: &Place, settings: &Settings) -> headwater_archive::Result<Archiver> {
        let (log, info) = (Arc::clone(&self.log), Arc::clone(&self.info));
        Archiver::open(self.sim.world(), log, info, place.clone(), settings.clone(), Arc::default()).await
    }

    /// Archives all that is due.
    pub async fn archive(&self, place: &Place, settings: &Settings) -> headwater_archive::Result<()> {
        let mut archiver = self.archiver(place, settings).await?;
        while !matches!(archiver.step().await?, Stepped::Idle(_)) {}
        Ok(())
    }

    /// Trims the log up to a row and lets that happen.
    pub fn trim(&self, shard: u32, before: u64) -> u64 {
        self.log.trim(self.info.id, ShardId(shard), Sequence(before)).unwrap();
        self.log.bounds(self.info.id).unwrap()[shard as usize].first.0
    }
}

/// Ranges of so many rows, or of what is there.
pub fn every(rows: u64) -> Settings {
    Settings { roll: Roll { bytes: u64::MAX, rows, age: Duration::ZERO }, ..Settings::default() }
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    futures::executor::block_on(work)
}

/// The sequence numbers of each shard in all files that lie at a place, committed or not, as a reader of files sees them.
pub fn lying(place: &Place) -> BTreeMap<i32, Vec<i64>> {
    let mut all: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    run(async {
        let from = place.path("");
        let metas: Vec<_> = place.store().list(Some(&from)).try_collect().await.unwrap();
        for meta in metas.iter().filter(|meta| meta.location.as_ref().ends_with(".parquet")) {
            let bytes = place.store().get(&meta.location).await.unwrap().bytes().await.unwrap();
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let shards =
                    batch.column_by_name("_shard").unwrap().as_primitive::<arrow::datatypes::Int32Type>();
                let sequences = batch.column_by_name("_sequence").unwrap().as_primitive::<Int64Type>();
                let values = batch.column_by_name("value").unwrap().as_primitive::<Int64Type>();
                for row in 0..batch.num_rows() {
                    // In these tests a row's value tells its shard and sequence number.
                    assert_eq!(values.value(row), value_of(shards.value(row), sequences.value(row)));
                    all.entry(shards.value(row)).or_default().push(sequences.value(row));
                }
            }
        }
    });
    all.values_mut().for_each(|sequences| sequences.sort_unstable());
    all
}

/// The value of a row: shard 0 counts from 0, shard 1 from 1000.
pub fn value_of(shard: i32, sequence: i64) -> i64 {
    i64::from(shard) * 1000 + sequence
}

/// Asserts that no row lies there twice.
pub fn assert_none_twice(place: &Place) {
    for (shard, sequences) in lying(place) {
        assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "shard {shard}: {sequences:?}");
    }
}

/// Everything that a reader gives: (sequence, value).
pub fn read_all(mut reader: Box<dyn Reader>) -> Result<Vec<(u64, i64)>, LogError> {
    let mut all = Vec::new();
    while let Some(read) = reader.next()? {
        let values = read.rows.column_by_name("value").unwrap().as_primitive::<Int64Type>();
        assert_eq!(values.null_count(), 0);
        all.extend((read.first.0..).zip(values.values().iter().copied()));
        assert_eq!(reader.position(), read.first.plus(read.rows.num_rows() as u64));
    }
    Ok(all)
}

/// [`read_all`] of a shard up to its end.
pub fn read_shard(log: &dyn Log, info: &StreamInfo, shard: u32) -> Vec<(u64, i64)> {
    let until = Some(log.bounds(info.id).unwrap()[shard as usize].next);
    read_all(log.read(ReadSpec { until, ..ReadSpec::all(info.id, ShardId(shard)) }).unwrap()).unwrap()
}
