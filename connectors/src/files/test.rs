//! The order of files, and the bounds of what is written. What files have in common with the others is in the conformance suite.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::world::sim::SimWorld;
use headwater_core::world::{Errno, Fault, Op};
use headwater_core::{Sequence, ShardId, StreamId, StreamName, World};
use headwater_ingest::{Format, Ingest, Options, Payload};
use headwater_log::{Log as _, MemoryLog, ReadSpec};

use super::config::Rolling;
use super::partitions::Partitions;
use super::rolled_sink::{GATHERED_MAX, RolledSink};
use crate::connector::{Context, Cursor, Delivery, Pulled, Sink as _};
use crate::lookup::Wanted;
use crate::parking::Aside;
use crate::registry::{make_lookup, make_sink, make_source};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn context() -> Context {
    let stream = StreamName::new("s").unwrap();
    Context { stream_id: StreamId(1), ..Context::of(World::real(), stream, schema()) }
}

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

async fn read_all(connector: &str, options: &[(&str, &str)]) -> Vec<i64> {
    let options = Options::new("test", options.iter().copied());
    let mut source = make_source(connector, context(), options).unwrap();
    source.open(BTreeMap::new()).await.unwrap();
    let mut all = Vec::new();
    loop {
        match source.pull().await.unwrap() {
            Pulled::Records { payload: Payload::Decoded(decoded), .. } => {
                all.extend(decoded.rows.column(0).as_primitive::<Int64Type>().values());
            }
            Pulled::End => return all,
            _ => {}
        }
    }
}

#[tokio::test]
async fn files_are_read_in_the_order_of_their_names_each_in_its_format() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("b.csv"), "n\n3\n4\n");
    write(&dir.path().join("a.jsonl"), "{\"n\":1}\n{\"n\":2}");
    write(&dir.path().join("c.json"), "{\"n\":5}\n");
    write(&dir.path().join(".hidden.csv"), "n\n99\n");
    let path = dir.path().to_str().unwrap();
    assert_eq!(read_all("filesystem", &[("path", path)]).await, [1, 2, 3, 4, 5]);
    assert_eq!(read_all("filesystem", &[("path", &format!("{path}/?.csv"))]).await, [3, 4]);
    assert_eq!(
        read_all("single_file", &[("path", &format!("file://{path}/a.jsonl")), ("type", "source")]).await,
        [1, 2]
    );
}

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn pack(path: &Path, content: &str) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, content.as_bytes()).unwrap();
    std::fs::write(path, encoder.finish().unwrap()).unwrap();
}

#[tokio::test]
async fn compressed_files_are_unpacked_and_gone_on_with_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..300_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    pack(&dir.path().join("a.jsonl.gz"), &lines);
    pack(&dir.path().join("b.csv.GZ"), "n\n-1\n-2");
    let path = dir.path().to_str().unwrap();
    let mut expect: Vec<i64> = (0..300_000).collect();
    expect.extend([-1, -2]);
    assert_eq!(read_all("filesystem", &[("path", path)]).await, expect);

    // Each incarnation goes on from the marks of the one before.
    let (mut marks, mut all) = (BTreeMap::new(), Vec::new());
    loop {
        let mut source =
            make_source("filesystem", context(), Options::new("test", [("path", path)])).unwrap();
        source.open(marks.clone()).await.unwrap();
        match source.pull().await.unwrap() {
            Pulled::Records { payload: Payload::Decoded(decoded), marks: moved } => {
                all.extend(decoded.rows.column(0).as_primitive::<Int64Type>().values().iter().copied());
                marks.extend(moved.into_iter().map(|mark| (mark.partition, mark.position)));
            }
            Pulled::End => break,
            _ => {}
        }
    }
    assert_eq!(all, expect);

    write(&dir.path().join("c.jsonl.gz"), "this is not compressed");
    let mut source = make_source("filesystem", context(), Options::new("test", [("path", path)])).unwrap();
    marks.remove("c.jsonl.gz");
    source.open(marks).await.unwrap();
    let error = source.pull().await.err().unwrap();
    assert!(error.to_string().contains("unpack"), "{error}");
}

/// `tests/run` starts a store and says where in the environment.
#[tokio::test]
async fn objects_are_read_in_each_format() {
    if !std::env::var("HEADWATER_TEST_S3").is_ok_and(|store| store != "/nowhere") {
        println!("left out: HEADWATER_TEST_S3 names no store");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    pack(&dir.path().join("b.csv.gz"), "n\n3\n4\n");
    write(&dir.path().join("a.jsonl"), "{\"n\":1}\n{\"n\":2}");
    let mut sink = make_sink(
        "filesystem",
        context(),
        Options::new("test", [("path", dir.path().to_str().unwrap()), ("format", "parquet")]),
    )
    .unwrap();
    sink.open(Cursor::default()).await.unwrap();
    let rows = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![5, 6]))]).unwrap();
    let stream = StreamName::new("s").unwrap();
    sink.deliver(Delivery { stream, shard: ShardId(0), first: Sequence(0), rows }).await.unwrap();
    sink.flush().await.unwrap();
    let address = format!("s3://headwater-tests/files-{}", std::process::id());
    let place = headwater_objects::Location::parse(&address).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        place.put(entry.file_name().to_str().unwrap(), bytes.into()).await.unwrap();
    }
    assert_eq!(read_all("filesystem", &[("path", &address)]).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(read_all("filesystem", &[("path", &format!("{address}/*.gz"))]).await, [3, 4]);
}

/// Also the folders that are made for it.
#[tokio::test]
async fn what_a_sink_has_flushed_survives_a_loss_of_power() {
    for (connector, path) in [("filesystem", "/new/out"), ("single_file", "/new/out/all.json")] {
        let sim = SimWorld::new(5);
        let stream = StreamName::new("s").unwrap();
        let own = Context { stream_id: StreamId(1), ..Context::of(sim.world(), stream.clone(), schema()) };
        let options = Options::new("test", [("path", path), ("format", "json")]);
        let mut sink = make_sink(connector, own, options).unwrap();
        sim.disk().faults().add(Fault::new(&[Op::SyncDir], Errno::Io));
        assert!(sink.open(Cursor::default()).await.is_err(), "{connector}: the folder may not last");
        sink.open(Cursor::default()).await.unwrap();
        let column = Int64Array::from(vec![7]);
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(column)]).unwrap();
        sink.deliver(Delivery { stream, shard: ShardId(0), first: Sequence(0), rows }).await.unwrap();
        sink.flush().await.unwrap();
        let durable = sim.disk().durable_image();
        let written: Vec<&[u8]> = durable.files.values().map(Vec::as_slice).collect();
        assert_eq!(written, [b"{\"n\":7}\n"], "{connector}");
    }
}

#[tokio::test]
async fn columns_are_written_and_read_back() {
    for format in ["parquet", "arrow", "json", "csv", "json_array"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let options = Options::new("test", [("path", path), ("format", format)]);
        let mut sink = make_sink("filesystem", context(), options).unwrap();
        sink.open(Cursor::default()).await.unwrap();
        for first in [0_i64, 3] {
            let column = Int64Array::from_iter_values(first..first + 3);
            let rows = RecordBatch::try_new(schema(), vec![Arc::new(column)]).unwrap();
            let stream = StreamName::new("s").unwrap();
            let first = Sequence(first.cast_unsigned());
            sink.deliver(Delivery { stream, shard: ShardId(0), first, rows }).await.unwrap();
        }
        sink.flush().await.unwrap();
        let read = read_all("filesystem", &[("path", path), ("format", format)]).await;
        assert_eq!(read, [0, 1, 2, 3, 4, 5], "{format}");
        // The names are the cursor.
        let next = sink.open(Cursor::default()).await.unwrap().next;
        assert_eq!(next, BTreeMap::from([(ShardId(0), Sequence(6))]), "{format}");
    }
}

#[tokio::test]
async fn little_is_held_of_many_files() {
    const FOLDERS: i64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let schema =
        Arc::new(Schema::new(vec![text("folder"), Field::new("n", DataType::Int64, false), text("long")]));
    let partitions = Partitions::new(&schema, vec!["folder".to_owned()]).unwrap();
    let rolling = Rolling { bytes_max: 1 << 30, age_max: Duration::from_secs(60) };
    let context = Context { schema: Arc::clone(&schema), ..context() };
    let (path, format) = (dir.path().to_owned(), Format::Csv);
    let mut sink = RolledSink::new(context, path, format, rolling, Some(partitions)).unwrap();
    sink.open(Cursor::default()).await.unwrap();
    // One behind the other, and then some of each.
    let rows_of = |folder: i64, first: i64, count: i64| {
        let texts = |text: String| Arc::new(StringArray::from(vec![text; count as usize])) as ArrayRef;
        let numbers = Arc::new(Int64Array::from_iter_values(first..first + count)) as ArrayRef;
        let columns = vec![texts(format!("f{folder}")), numbers, texts("x".repeat(900))];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let many: Vec<RecordBatch> = (0..FOLDERS).map(|folder| rows_of(folder, 0, 5_000)).collect();
    let few: Vec<RecordBatch> = (0..FOLDERS).map(|folder| rows_of(folder, 5_000, 300)).collect();
    let some_of_each = arrow::compute::concat_batches(&schema, &few).unwrap();
    let mut first = 0;
    for rows in many.into_iter().chain([some_of_each]) {
        let count = rows.num_rows() as u64;
        let stream = StreamName::new("s").unwrap();
        sink.deliver(Delivery { stream, shard: ShardId(0), first: Sequence(first), rows }).await.unwrap();
        assert!(sink.gathered() <= GATHERED_MAX, "{} bytes wait", sink.gathered());
        first += count;
    }
    sink.flush().await.unwrap();
    for folder in 0..FOLDERS {
        let files = std::fs::read_dir(dir.path().join(format!("folder=f{folder}"))).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let texts: Vec<String> = texts.collect();
        assert_eq!(texts.len(), 1);
        let numbers = texts[0].lines().skip(1).map(|line| line.split_once(',').unwrap().0.parse().unwrap());
        assert_eq!(numbers.collect::<Vec<i64>>(), (0..5_300).collect::<Vec<_>>(), "folder {folder}");
    }
}

#[tokio::test]
async fn a_record_that_is_no_row_of_a_table_that_is_looked_up_is_put_aside_once_while_it_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    write(&dir.path().join("a.jsonl"), "{\"n\":1}\nno row\n{\"n\":3}\n");
    let make = || {
        let options = [("path", path), ("lookup.full-cache.periodic-reload.interval", "1 nanosecond")];
        let wanted = Wanted { columns: schema(), key: vec!["n".to_owned()] };
        make_lookup("filesystem", context(), wanted, Options::new("test", options)).unwrap()
    };
    let keys = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![1, 2, 3]))]).unwrap();

    // With no place for it, it must not vanish.
    let refused = make().fetch(&keys).await.unwrap_err().to_string();
    assert!(refused.contains("a.jsonl") && refused.contains("record 2 does not fit"), "{refused}");

    let log = MemoryLog::new(World::real());
    let mut table = make();
    table.put_aside_in(Aside::new(Arc::new(Ingest::new(World::real(), log.clone()).unwrap())));
    let letters = || {
        let dead = log.stream_named("system.dead_letters").unwrap();
        let until = Some(log.bounds(dead.id).unwrap()[0].next);
        let mut reader = log.read(ReadSpec { until, ..ReadSpec::all(dead.id, ShardId(0)) }).unwrap();
        let line = |rows: &RecordBatch, row: usize| {
            let text = |name: &str| rows[name].as_string::<i32>().value(row).to_owned();
            let payload = rows["payload"].as_binary::<i32>().value(row);
            let record = rows["record"].as_primitive::<Int64Type>().value(row);
            let file = text("source").rsplit('/').next().unwrap().to_owned();
            format!("{} {file} {record} {}", text("stream"), String::from_utf8_lossy(payload))
        };
        let mut letters = Vec::new();
        while let Some(batch) = reader.next().unwrap() {
            letters.extend((0..batch.rows.num_rows()).map(|row| line(&batch.rows, row)));
        }
        letters
    };
    for _ in 0..3 {
        let found = table.fetch(&keys).await.unwrap();
        assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[1, 3]);
        assert_eq!(letters(), ["s a.jsonl 2 no row"]);
    }
    write(&dir.path().join("b.jsonl"), "{\"n\":2}\n{\"n\":[]}\n");
    let found = table.fetch(&keys).await.unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    assert_eq!(letters(), ["s a.jsonl 2 no row", "s b.jsonl 2 {\"n\":[]}"]);
}

#[test]
fn options_are_checked_before_anything_is_touched() {
    let told = |options: &[(&str, &str)]| {
        let options = Options::new("connector filesystem", options.iter().copied());
        make_source("filesystem", context(), options).err().unwrap().to_string()
    };
    assert_eq!(told(&[]), "connector filesystem needs option 'path'");
    assert_eq!(
        told(&[("path", "/nowhere"), ("formt", "json")]),
        "connector filesystem has no option 'formt'; did you mean 'format'?"
    );
    assert!(told(&[("path", "ftp://host/x")]).contains("not at ftp://"));
    let to_s3 = Options::new("connector filesystem", [("path", "s3://bucket/x")]);
    let to_s3 = make_sink("filesystem", context(), to_s3).err().unwrap().to_string();
    assert!(to_s3.contains("CREATE ARCHIVE writes to object stores"), "{to_s3}");
    assert!(told(&[("path", "/nowhere"), ("format", "xml")]).contains("there is no format \"xml\""));
    let options = Options::new("connector single_file", [("path", "/nowhere"), ("format", "parquet")]);
    assert!(
        make_sink("single_file", context(), options)
            .err()
            .unwrap()
            .to_string()
            .contains("filesystem takes the others")
    );
}
