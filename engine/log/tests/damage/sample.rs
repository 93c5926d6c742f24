//! A small log with everything in it that can be damaged, and the question what is left of it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::*;
use arrow::compute::concat_batches;
use arrow::datatypes::*;
use headwater_core::world::sim::{DiskImage, SimWorld};
use headwater_core::{Epoch, ProducerId, Sequence, ShardId, StreamId, StreamName};
use headwater_log::{
    Append, Compression, DiskLog, DiskLogOptions, Log, LogError, Producer, ReadSpec, StreamSpec,
};

pub const DATA: &str = "/data";

/// Seals early, and does nothing in the background that would make two runs differ.
pub fn options() -> DiskLogOptions {
    DiskLogOptions { segment_bytes: 6 * 1024, scrub_bytes_per_second: 0, ..DiskLogOptions::default() }
}

/// The rows of one shard.
#[derive(Clone, Debug)]
pub struct Shard {
    pub stream: &'static str,
    pub shard: ShardId,
    pub rows: RecordBatch,
}

/// A log's files, and what is in them.
pub struct Sample {
    pub image: DiskImage,
    pub shards: Vec<Shard>,
}

/// The weather of some hours. The column `wind` came later than the others; before, it is NULL.
pub fn weather(hours: std::ops::Range<i64>, wind_since: i64) -> RecordBatch {
    let time = TimestampSecondArray::from_iter_values(hours.clone().map(|hour| 1_357_020_000 + hour * 3600));
    let station =
        StringArray::from_iter_values(hours.clone().map(|hour| ["EWR", "JFK", "LGA"][hour as usize % 3]));
    let celsius: Float64Array =
        hours.clone().map(|hour| (hour % 5 != 0).then_some(hour as f64 * 0.5 - 3.0)).collect();
    let wind: Int32Array = hours.map(|hour| (hour >= wind_since).then_some(hour as i32 * 3)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("time", Arc::new(time) as ArrayRef, false),
        ("station", Arc::new(station), false),
        ("celsius", Arc::new(celsius), true),
        ("wind", Arc::new(wind), true),
    ])
    .unwrap()
}

/// What `weather` has before its column `wind` is there.
pub fn calm(hours: std::ops::Range<i64>) -> RecordBatch {
    weather(hours, i64::MAX).project(&[0, 1, 2]).unwrap()
}

/// Notes of some numbers.
pub fn notes(numbers: std::ops::Range<i64>) -> RecordBatch {
    let tags = ListArray::from_iter_primitive::<Int16Type, _, _>(
        numbers.clone().map(|n| (n % 4 != 0).then(|| (0..n % 3).map(|tag| Some(tag as i16)))),
    );
    let text = StringViewArray::from_iter_values(
        numbers.clone().map(|n| format!("note {n} {}", "é".repeat(n as usize % 9))),
    );
    RecordBatch::try_from_iter_with_nullable([
        ("number", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef, false),
        ("tags", Arc::new(tags), true),
        ("text", Arc::new(text), true),
    ])
    .unwrap()
}

pub fn spec(name: &str, schema: SchemaRef, shards: u32, compression: Compression) -> StreamSpec {
    StreamSpec { shards, compression, ..StreamSpec::new(StreamName::new(name).unwrap(), schema) }
}

/// Makes a log: two streams, a schema that evolves, groups over both, several sealed files, and an active one.
pub fn small(closed: bool) -> Sample {
    let machine = SimWorld::new(7);
    let log = DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap();
    let spec_of_weather = StreamSpec {
        event_time: Some("time".to_owned()),
        ..spec("weather", calm(0..1).schema(), 2, Compression::None)
    };
    let weather_id = log.create_stream(spec_of_weather).unwrap().id;
    let notes_id = log.create_stream(spec("notes", notes(0..1).schema(), 1, Compression::Lz4)).unwrap().id;
    for step in 0..6 {
        let hours = step * 3..step * 3 + 3;
        if step == 2 {
            log.evolve(weather_id, weather(0..1, 0).schema()).unwrap();
        }
        let rows = if step < 2 { calm(hours) } else { weather(hours, 6) };
        let producer = Producer { id: ProducerId(5), epoch: Epoch(1), sequence: step as u64 };
        let group = vec![
            Append { producer: Some(producer), ..Append::new(weather_id, ShardId(0), rows.clone()) },
            Append::new(weather_id, ShardId(1), rows),
            Append::new(notes_id, ShardId(0), notes(step * 2..step * 2 + 2)),
        ];
        log.append(group).unwrap();
        machine.clock().advance(Duration::from_secs(1));
        machine.tasks().settle();
    }
    if closed {
        log.close().unwrap();
    }
    drop(log);
    let all = |stream, shard, rows| Shard { stream, shard: ShardId(shard), rows };
    let shards = vec![
        all("weather", 0, weather(0..18, 6)),
        all("weather", 1, weather(0..18, 6)),
        all("notes", 0, notes(0..12)),
    ];
    Sample { image: machine.disk().image(), shards }
}

/// Opens a log from files and reads every shard.
pub fn read(image: &DiskImage, shards: &[Shard]) -> Result<Vec<RecordBatch>, LogError> {
    let machine = SimWorld::new(8);
    machine.disk().restore(image).unwrap();
    let log = DiskLog::open(
        machine.world(),
        Path::new(DATA),
        DiskLogOptions { segment_bytes: 1 << 20, ..options() },
    )?;
    shards.iter().map(|shard| read_shard(&*log, shard)).collect()
}

/// All rows of a shard, checked to be dense.
pub fn read_shard(log: &dyn Log, shard: &Shard) -> Result<RecordBatch, LogError> {
    let stream: StreamId = log.stream_named(shard.stream)?.id;
    let mut reader = log.read(ReadSpec { arrivals: true, ..ReadSpec::all(stream, shard.shard) })?;
    let (mut batches, mut next) = (Vec::new(), Sequence::ZERO);
    while let Some(batch) = reader.next()? {
        assert_eq!(batch.first, next, "rows are dense");
        assert_eq!(batch.arrivals.map(|arrivals| arrivals.len()), Some(batch.rows.num_rows()));
        next = next.plus(batch.rows.num_rows() as u64);
        batches.push(batch.rows);
    }
    assert_eq!(log.bounds(stream)?[shard.shard.0 as usize].next, next);
    Ok(concat_batches(&shard.rows.schema(), &batches)?)
}

/// What damage came to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// An error that names a file.
    Detected,
    /// All rows are there.
    Irrelevant,
    /// The newest appends are gone, in whole groups, and all before them is there.
    Shortened,
}

/// Opens and reads damaged files and says what it came to; panics if rows are wrong.
pub fn outcome(damaged: &DiskImage, sample: &Sample, what: &str) -> Outcome {
    let rows = match read(damaged, &sample.shards) {
        Err(LogError::Corrupt { .. }) => return Outcome::Detected,
        Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Outcome::Detected,
        Err(error) => panic!("{what}: not an error of damage: {error}"),
        Ok(rows) => rows,
    };
    for (rows, shard) in rows.iter().zip(&sample.shards) {
        assert!(rows.num_rows() <= shard.rows.num_rows(), "{what}: more rows than were written");
        assert_eq!(*rows, shard.rows.slice(0, rows.num_rows()), "{what}: rows that were not written");
    }
    let counts: Vec<usize> = rows.iter().map(RecordBatch::num_rows).collect();
    // Each group had three rows for the two shards of one stream, and two for the other.
    assert!(
        counts[0].is_multiple_of(3) && counts == [counts[0], counts[0], counts[0] / 3 * 2],
        "{what}: {counts:?}"
    );
    if counts[0] == 18 { Outcome::Irrelevant } else { Outcome::Shortened }
}

/// The files of a log, the lock apart.
pub fn files(image: &DiskImage) -> Vec<PathBuf> {
    image.files.keys().filter(|path| !path.ends_with("LOCK")).cloned().collect()
}

/// The files that are not as they are when the log is closed: the active one and the catalog.
pub fn files_of_a_killed_log(killed: &DiskImage) -> Vec<PathBuf> {
    let closed = small(true).image;
    files(killed).into_iter().filter(|file| killed.files[file] != closed.files[file]).collect()
}

/// The active file with the highest number.
pub fn newest_active(image: &DiskImage) -> PathBuf {
    let number = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("active-")?.strip_suffix(".hwl")?.parse().ok()
    };
    image.files.keys().filter(|path| number(path).is_some()).max_by_key(|path| number(path)).unwrap().clone()
}
