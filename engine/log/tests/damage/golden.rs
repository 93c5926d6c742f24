//! The log that version 1 of the format left, `fixtures/log-v1/`: opened by every build, and read as it was written.
//!
//! `HEADWATER_WRITE_GOLDEN=log-v1 cargo test -p headwater-log golden` writes it anew, the same bytes each time: clock and
//! random numbers are simulated. That is for a new version of the format, into a folder of its own; a fixture that was
//! released stays as it is.

use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::*;
use arrow::datatypes::*;
use headwater_core::world::sim::{DiskImage, SimWorld};
use headwater_core::world::{Open, World};
use headwater_core::{Epoch, EventTime, ProducerId, Sequence, ShardId};
use headwater_log::{
    Append, ColumnBound, Compression, DiskLog, DiskLogOptions, From, Log, Producer, ReadSpec, StreamSpec,
};

use crate::sample::{DATA, Shard, calm, files, options, read, spec, weather};

const GROUPS: i64 = 8;

/// The files of the golden log, written anew first if asked for.
fn golden() -> &'static DiskImage {
    static GOLDEN: OnceLock<DiskImage> = OnceLock::new();
    GOLDEN.get_or_init(|| fixture("log-v1", write))
}

/// The files of the fixture of this name, written anew first if it is the one that is asked for.
pub fn fixture(name: &str, write: fn() -> DiskImage) -> DiskImage {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    if std::env::var_os("HEADWATER_WRITE_GOLDEN").is_some_and(|asked| asked == name) {
        save(&write(), &folder);
    }
    load(&folder)
}

/// Rows with a column of every kind of type.
fn types(numbers: std::ops::Range<i64>) -> RecordBatch {
    let all = || numbers.clone();
    let some = |n: i64| n % 4 != 1;
    let texts = || all().map(move |n| some(n).then(|| format!("text of number {n}")));
    let parts = StructArray::from(vec![
        (
            Arc::new(Field::new("x", DataType::Int32, true)),
            Arc::new(Int32Array::from_iter_values(all().map(|n| n as i32))) as ArrayRef,
        ),
        (Arc::new(Field::new("y", DataType::Utf8, true)), Arc::new(texts().collect::<StringArray>())),
    ]);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(
        all().map(|n| some(n).then(|| (0..n % 3).map(Some))),
    );
    let pair = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        all().map(|n| some(n).then_some([Some(n as f32), None])),
        2,
    );
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int16Builder::new());
    for n in all() {
        for entry in 0..n % 3 {
            map.keys().append_value(format!("key {entry}"));
            map.values().append_value(entry as i16);
        }
        map.append(some(n)).unwrap();
    }
    let dictionary: DictionaryArray<Int32Type> =
        all().map(|n| some(n).then_some(["red", "green"][n as usize % 2])).collect();
    let decimal = all().map(|n| some(n).then_some(i128::from(n) * 1001));
    let decimal = decimal.collect::<Decimal128Array>().with_precision_and_scale(20, 3).unwrap();
    let wide = Decimal256Array::from_iter_values(all().map(|n| i256::from_i128(i128::from(n))))
        .with_precision_and_scale(60, 0)
        .unwrap();
    let zoned = TimestampMicrosecondArray::from_iter_values(all()).with_timezone("+01:00");
    let digest = FixedSizeBinaryArray::try_from_iter(all().map(|n| n.to_be_bytes())).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("nothing", Arc::new(NullArray::new(all().count()))),
        ("wet", Arc::new(all().map(|n| some(n).then_some(n % 2 == 0)).collect::<BooleanArray>())),
        ("byte", Arc::new(all().map(|n| some(n).then_some(n as i8)).collect::<Int8Array>())),
        ("count", Arc::new(UInt64Array::from_iter_values(all().map(|n| u64::MAX - n as u64)))),
        ("single", Arc::new(all().map(|n| some(n).then_some(n as f32 / 3.0)).collect::<Float32Array>())),
        ("decimal", Arc::new(decimal)),
        ("wide", Arc::new(wide)),
        ("day", Arc::new(Date32Array::from_iter_values(all().map(|n| n as i32)))),
        ("hour", Arc::new(Time64NanosecondArray::from_iter_values(all()))),
        ("zoned", Arc::new(zoned)),
        ("span", Arc::new(DurationSecondArray::from_iter_values(all()))),
        ("months", Arc::new(IntervalYearMonthArray::from_iter_values(all().map(|n| n as i32)))),
        ("text", Arc::new(texts().collect::<StringArray>())),
        ("large", Arc::new(texts().collect::<LargeStringArray>())),
        ("view", Arc::new(texts().collect::<StringViewArray>())),
        ("binary", Arc::new(BinaryArray::from_iter_values(all().map(|n| vec![n as u8; n as usize % 5])))),
        ("digest", Arc::new(digest)),
        ("colour", Arc::new(dictionary)),
        ("list", Arc::new(list)),
        ("pair", Arc::new(pair)),
        ("parts", Arc::new(parts)),
        ("map", Arc::new(map.finish())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// What the golden log holds.
fn shards() -> Vec<Shard> {
    let shard = |stream, shard, rows| Shard { stream, shard: ShardId(shard), rows };
    vec![
        shard("weather", 0, weather(0..GROUPS * 3, 9)),
        shard("weather", 1, weather(0..GROUPS * 3, 9)),
        shard("types.plain", 0, types(0..GROUPS * 4)),
        shard("types.lz4", 0, types(0..GROUPS * 4)),
        shard("types.zstd", 0, types(0..GROUPS * 4)),
    ]
}

fn golden_options() -> DiskLogOptions {
    DiskLogOptions { segment_bytes: 64 * 1024, ..options() }
}

/// Appends group after group and is killed, so that the newest file is an active one that was not closed.
fn write() -> DiskImage {
    let machine = SimWorld::new(1);
    machine.clock().set_wall(EventTime(1_388_534_400_000_000_000));
    let log = DiskLog::open(machine.world(), Path::new(DATA), golden_options()).unwrap();
    let of_weather = StreamSpec {
        event_time: Some("time".to_owned()),
        partition_by: vec!["station".to_owned()],
        ..spec("weather", calm(0..1).schema(), 2, Compression::None)
    };
    let weather_id = log.create_stream(of_weather).unwrap().id;
    let types_ids = [
        ("types.plain", Compression::None),
        ("types.lz4", Compression::Lz4),
        ("types.zstd", Compression::Zstd),
    ]
    .map(|(name, compression)| {
        log.create_stream(spec(name, types(0..1).schema(), 1, compression)).unwrap().id
    });
    for group in 0..GROUPS {
        let hours = group * 3..group * 3 + 3;
        if group == 3 {
            log.evolve(weather_id, weather(0..1, 0).schema()).unwrap();
        }
        let rows = if group < 3 { calm(hours) } else { weather(hours, 9) };
        let producer = Some(Producer { id: ProducerId(5), epoch: Epoch(1), sequence: group as u64 });
        let mut appends: Vec<Append> =
            types_ids.map(|id| Append::new(id, ShardId(0), types(group * 4..group * 4 + 4))).into();
        appends.push(Append { producer, ..Append::new(weather_id, ShardId(0), rows.clone()) });
        appends.push(Append::new(weather_id, ShardId(1), rows));
        log.append(appends).unwrap();
        machine.clock().advance(Duration::from_secs(1));
        machine.tasks().settle();
    }
    machine.process_crash();
    drop(log);
    machine.disk().image()
}

fn save(image: &DiskImage, folder: &Path) {
    let disk = World::real().disk;
    for file in files(image) {
        let path = folder.join(file.strip_prefix(DATA).unwrap());
        disk.create_dir(path.parent().unwrap()).unwrap();
        let _ = disk.remove(&path);
        let written = disk.open(&path, Open::Create).unwrap();
        written.write_all_at(&mut [IoSlice::new(&image.files[&file])], 0).unwrap();
    }
}

fn load(folder: &Path) -> DiskImage {
    let mut image = DiskImage::default();
    image.dirs.insert(DATA.into());
    load_dir(folder, Path::new(DATA), &mut image);
    image
}

fn load_dir(from: &Path, to: &Path, image: &mut DiskImage) {
    for entry in World::real().disk.list(from).unwrap() {
        let (from, to) = (from.join(&entry.name), to.join(&entry.name));
        if entry.is_dir {
            image.dirs.insert(to.clone());
            load_dir(&from, &to, image);
        } else if !entry.name.ends_with(".md") {
            image.files.insert(to, std::fs::read(from).unwrap());
        }
    }
}

#[test]
fn golden_log_reads_as_it_was_written() {
    let image = golden();
    let count = |suffix: &str| {
        files(image).iter().filter(|path| path.display().to_string().ends_with(suffix)).count()
    };
    assert!(count(".hws") >= 4 && count(".hwl") == 1 && count(".hwc") == 1, "{:?}", files(image));
    let shards = shards();
    for (rows, shard) in read(image, &shards).unwrap().iter().zip(&shards) {
        assert_eq!(*rows, shard.rows, "{} shard {}", shard.stream, shard.shard);
    }
}

#[test]
fn golden_log_keeps_what_is_beside_the_rows() {
    let machine = SimWorld::new(2);
    machine.disk().restore(golden()).unwrap();
    let log = DiskLog::open(machine.world(), Path::new(DATA), golden_options()).unwrap();
    let stream = log.stream_named("weather").unwrap();
    assert_eq!(stream.spec.partition_by, ["station"]);
    let (producer, appended) = log.last_of(stream.id, ShardId(0), ProducerId(5)).unwrap().unwrap();
    assert_eq!((producer.epoch, producer.sequence), (Epoch(1), GROUPS as u64 - 1));
    assert_eq!(
        (appended.first, appended.next),
        (Sequence(GROUPS as u64 * 3 - 3), Sequence(GROUPS as u64 * 3))
    );

    // An append that was acknowledged then is a repeat now.
    let rows = weather(GROUPS * 3 - 3..GROUPS * 3, 9);
    let again = Append { producer: Some(producer), ..Append::new(stream.id, ShardId(0), rows) };
    assert!(log.append(vec![again]).unwrap()[0].duplicate);

    // Rows are found by event time, and batches left out by their statistics.
    let last_hour = EventTime((1_357_020_000 + (GROUPS * 3 - 1) * 3600) * 1_000_000_000);
    let spec = ReadSpec { from: From::EventTime(last_hour), ..ReadSpec::all(stream.id, ShardId(1)) };
    let found = log.read(spec).unwrap().next().unwrap().unwrap();
    let last = found.rows.slice(found.rows.num_rows() - 1, 1);
    assert_eq!(last, weather(GROUPS * 3 - 1..GROUPS * 3, 9));
    let bound = ColumnBound { column: 2, min: Some(Arc::new(Float64Array::from(vec![1000.0]))), max: None };
    let spec = ReadSpec { bounds: vec![bound], ..ReadSpec::all(stream.id, ShardId(1)) };
    assert!(
        log.read(ReadSpec { until: Some(Sequence(GROUPS as u64 * 3)), ..spec })
            .unwrap()
            .next()
            .unwrap()
            .is_none()
    );
}

#[test]
fn golden_log_is_written_the_same_twice() {
    assert_eq!(write(), write());
}
