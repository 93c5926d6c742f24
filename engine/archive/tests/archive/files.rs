//! What lies at an archive's place.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt;
use headwater_archive::{Codec, Ledger, Partition, Place, Roll, Settings};
use headwater_core::world::sim::SimWorld;
use headwater_core::{EventTime, StreamName};
use headwater_log::{Durability, StreamSpec};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::bench_log::{Bench, every, lying, run, schema};
use super::faulty::healthy;

fn names(place: &Place) -> Vec<String> {
    let all: Vec<_> = run(place.store().list(Some(&place.path(""))).try_collect()).unwrap();
    let all = all.iter().map(|meta: &object_store::ObjectMeta| meta.location.to_string());
    let mut names: Vec<String> = all.map(|name| name.trim_start_matches("a/b/").to_owned()).collect();
    names.sort();
    names
}

fn manifest(bench: &Bench, place: &Place) -> headwater_archive::Manifest {
    run(Ledger::open(&bench.sim.world(), place.clone())).unwrap().manifest().clone()
}

#[test]
fn names_tell_the_range_and_the_day() {
    let bench = Bench::new(1);
    bench.append(0, 20..30);
    let place = healthy(&Arc::new(InMemory::new()));
    run(bench.archive(&place, &Settings { partition: Partition::Day, ..every(100) })).unwrap();
    assert_eq!(
        names(&place),
        [
            "_archive.json",
            "_manifest/00000000000000000001.json",
            "_manifest/00000000000000000002.json",
            "day=1970-01-01/00000-00000000000000000000-00000000000000000010.parquet",
            "day=1970-01-02/00000-00000000000000000000-00000000000000000010.parquet",
        ]
    );
    let manifest = manifest(&bench, &place);
    let hour = 3_600_000_000_000;
    let files: Vec<_> =
        manifest.files().map(|file| (file.rows, file.event_time.unwrap(), file.sorted)).collect();
    assert_eq!(files, [(4, (20 * hour, 23 * hour), false), (6, (24 * hour, 29 * hour), false)]);
}

#[test]
fn rows_are_sorted_and_filtered_as_wished() {
    let bench = Bench::new(1);
    bench.append(0, 0..9);
    let place = healthy(&Arc::new(InMemory::new()));
    let settings = Settings {
        sort: vec!["device".into()],
        bloom: vec!["device".into()],
        page_index: Some(vec!["ts".into()]),
        codec: Codec::Zstd(9),
        ..every(100)
    };
    run(bench.archive(&place, &settings)).unwrap();
    let manifest = manifest(&bench, &place);
    let file = manifest.files().next().unwrap();
    assert!(file.sorted);
    let bytes =
        run(async { place.store().get(&place.path(&file.path)).await.unwrap().bytes().await }).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let group = builder.metadata().row_group(0).clone();
    let column =
        |name: &str| group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
    assert!(
        column("device").bloom_filter_offset().is_some() && column("value").bloom_filter_offset().is_none()
    );
    assert!(column("ts").column_index_offset().is_some() && column("value").column_index_offset().is_none());
    assert!(format!("{:?}", column("value").compression()).starts_with("ZSTD"));
    assert_eq!(group.sorting_columns().unwrap().len(), 2);
    let rows = builder.build().unwrap().next().unwrap().unwrap();
    let sequences = rows.column_by_name("_sequence").unwrap().as_primitive::<Int64Type>();
    assert_eq!(sequences.values().to_vec(), [0, 3, 6, 1, 4, 7, 2, 5, 8]);
    assert_eq!(rows.column_by_name("_arrival").unwrap().null_count(), 0);
}

#[test]
fn a_range_ends_by_size_rows_or_age() {
    let bench = Bench::new(1);
    for n in 0..50 {
        bench.append(0, n..n + 1);
    }
    let spans = |settings: Settings| {
        let place = healthy(&Arc::new(InMemory::new()));
        run(bench.archive(&place, &settings)).unwrap();
        let spans: Vec<_> = manifest(&bench, &place)
            .ranges(0)
            .iter()
            .map(|range| range.span.next - range.span.first)
            .collect();
        spans
    };
    let roll = |bytes: u64, rows: u64, age: u64| Settings {
        roll: Roll { bytes, rows, age: Duration::from_secs(age) },
        ..Settings::default()
    };
    assert_eq!(spans(roll(u64::MAX, 20, 3600)), [20, 20], "the last ten rows wait");
    assert_eq!(spans(roll(u64::MAX, u64::MAX - 100, 3600)), Vec::<u64>::new(), "nothing is due");
    let total: u64 = bench.log.segments(bench.info.id).unwrap().iter().map(|one| one.bytes).sum();
    let by_size = spans(roll(total / 4, u64::MAX - 100, 3600));
    assert!((3..=5).contains(&by_size.len()), "{by_size:?}");
    bench.sim.clock().advance(Duration::from_secs(3601));
    assert_eq!(spans(roll(u64::MAX, u64::MAX - 100, 3600)), [50], "they have waited long enough");
}

#[test]
fn old_files_lack_columns_that_came_later() {
    let bench = Bench::new(1);
    bench.append(0, 0..3);
    let place = healthy(&Arc::new(InMemory::new()));
    run(bench.archive(&place, &every(100))).unwrap();
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("note", DataType::Utf8, true)));
    bench.log.evolve(bench.info.id, Arc::new(Schema::new(fields))).unwrap();
    let mut rows = super::bench_log::rows(3..5).columns().to_vec();
    rows.push(arrow::array::new_null_array(&DataType::Utf8, 2));
    let info = bench.log.stream(bench.info.id).unwrap();
    let rows = arrow::array::RecordBatch::try_new(Arc::clone(&info.spec.schema), rows).unwrap();
    bench.log.append(vec![headwater_log::Append::new(info.id, headwater_core::ShardId(0), rows)]).unwrap();
    run(bench.archive(&place, &every(100))).unwrap();
    assert_eq!(lying(&place)[&0], [0, 1, 2, 3, 4]);
    let done = run(headwater_archive::compact(&bench.sim.world(), &place, 1 << 20, Duration::ZERO)).unwrap();
    assert_eq!((done.merges, done.files_before, done.files_after), (1, 2, 1));
    assert_eq!(lying(&place)[&0], [0, 1, 2, 3, 4]);
}

#[test]
fn a_place_is_one_streams_alone() {
    let (one, other) = (Bench::new(1), Bench::new(2));
    other.sim.clock().advance(Duration::from_secs(5));
    let place = healthy(&Arc::new(InMemory::new()));
    run(one.archive(&place, &every(10))).unwrap();
    // Dropped and created again under its name: another stream.
    other.log.drop_stream(other.info.id).unwrap();
    let again = other.log.create_stream(other.info.spec.clone()).unwrap();
    assert_ne!(again.created, EventTime(0));
    let again = Bench { info: Arc::new(again), ..other };
    let error = run(again.archive(&place, &every(10))).unwrap_err();
    assert_eq!(error.code().to_string(), "HW5102", "{error}");
}

#[test]
fn what_cannot_be_archived_is_refused() {
    let bench = Bench::new(1);
    let place = || healthy(&Arc::new(InMemory::new()));
    let refused = |settings: Settings| run(bench.archive(&place(), &settings)).unwrap_err().to_string();
    assert!(refused(Settings { sort: vec!["nope".into()], ..every(1) }).contains("no column nope"));
    let spec = StreamSpec {
        durability: Durability::Memory,
        ..StreamSpec::new(StreamName::new("fleeting").unwrap(), schema())
    };
    let info = Arc::new(bench.log.create_stream(spec).unwrap());
    let fleeting = Bench { sim: SimWorld::new(9), log: Arc::clone(&bench.log), info };
    let error = run(fleeting.archive(&place(), &every(1))).unwrap_err();
    assert!(error.to_string().contains("durability 'memory'"), "{error}");
    let by_day = Settings { partition: Partition::Day, ..every(1) };
    let timeless = StreamSpec::new(StreamName::new("timeless").unwrap(), schema());
    let info = Arc::new(bench.log.create_stream(timeless).unwrap());
    let timeless = Bench { sim: SimWorld::new(9), log: Arc::clone(&bench.log), info };
    assert!(run(timeless.archive(&place(), &by_day)).unwrap_err().to_string().contains("no event time"));
    let world = bench.sim.world();
    for (address, reason) in [
        ("gs://bucket/x", "s3://bucket/prefix"),
        ("relative/path", "whole path"),
        ("s3://key:secret@bucket/x", "credentials"),
    ] {
        let error = Place::open(&world, address).unwrap_err();
        assert!(error.to_string().contains(reason) && !error.to_string().contains("secret@"), "{error}");
    }
}

#[test]
fn a_stream_of_durability_process_is_archived_as_far_as_it_is_sealed() {
    let mut bench = Bench::new(1);
    let spec = StreamSpec {
        durability: Durability::Process,
        ..StreamSpec::new(StreamName::new("quick").unwrap(), schema())
    };
    bench.info = Arc::new(bench.log.create_stream(spec).unwrap());
    for n in 0..200 {
        bench.append(0, n..n + 1);
    }
    bench.sim.tasks().settle();
    let sealed = bench.log.segments(bench.info.id).unwrap();
    let end = sealed.iter().filter(|one| one.sealed).map(|one| one.rows.end.0).max().unwrap();
    let place = healthy(&Arc::new(InMemory::new()));
    run(bench.archive(&place, &every(1000))).unwrap();
    assert!(end < 200);
    assert_eq!(manifest(&bench, &place).bounds(0), Some((0, end)));
}
